"""Every change is in the audit trail: who, when, from where, and what became of what."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pullarm.domain.access import Principal, Role, Token, digest
from pullarm.domain.audit import Author
from pullarm.domain.errors import NotFound, VersionMismatch
from pullarm.domain.experiment import ArmStatus, Catalogue, State
from pullarm.domain.ports import AuditTrail, TokenStore
from pullarm.domain.transitions import changed
from pullarm.storage.memory import MemoryTokens, MemoryTrail
from pullarm.storage.postgres import Database, PostgresTokens, PostgresTrail
from pullarm.storage.postgres.times import at
from tests.contract.conftest import Stores
from tests.ledger_events import START_MS, draft, rearmed

ANN = Author("ann (tok_1)", "REST", address="192.0.2.7")
BOB = Author("bob", "command", "too early")
_LATER_MS = START_MS + 5_000


async def test_creation_is_told_whole(stores: Stores) -> None:
    new = replace(draft("a", arms=["one"]), author=ANN, cloned_from="exp_old")
    made = await stores.experiments.create(new, START_MS)
    (entry,) = await stores.trail.page(made.number, before=None, count=10)
    assert (entry.action, entry.actor, entry.origin, entry.address) == ("clone", *ANN[:2], ANN[3])
    assert (entry.at, entry.experiment, entry.config_no) == (at(START_MS), made.number, 1)
    assert entry.before == {}
    assert entry.after["cloned_from"] == "exp_old"
    assert (entry.after["id"], entry.after["key"]) == ("exp_a", "a")
    assert entry.after["state"] == "draft"
    assert entry.after["traffic_pct"] == 1.0
    assert str(entry.after["arms"]).count("arm_id") == 1
    assert "salt" not in entry.after


async def test_a_change_is_told_by_what_it_changed(stores: Stores) -> None:
    made = await stores.experiments.create(draft("a"), START_MS)
    change = replace(
        changed(made, "edit", State.DRAFT),
        spec=replace(made.spec, traffic_pct=0.5),
        allocation_epoch=2,
        author=BOB,
    )
    revised = await stores.experiments.revise(made, change, _LATER_MS)
    arms = (replace(made.arms[0], status=ArmStatus.PAUSED), made.arms[1])
    await stores.experiments.revise(revised, rearmed(revised, arms), _LATER_MS)
    paused, edited = await stores.trail.page(made.number, before=None, count=2)
    assert (edited.actor, edited.at, edited.config_no) == ("bob", at(_LATER_MS), 2)
    assert edited.before == {"allocation_epoch": 1, "traffic_pct": 1.0}
    assert edited.after == {"allocation_epoch": 2, "traffic_pct": 0.5, "note": "too early"}
    assert list(paused.after) == list(paused.before) == ["arms"]


async def test_first_seen_arms_are_told(stores: Stores) -> None:
    made = await stores.experiments.create(draft("a", catalogue=Catalogue.OPEN), START_MS)
    await stores.experiments.register_arms(made.number, ["new"], _LATER_MS)
    (entry, _) = await stores.trail.page(made.number, before=None, count=10)
    assert (entry.action, entry.actor, entry.config_no) == ("register_arms", "worker", 2)
    assert entry.before == {}
    assert str(entry.after).count("arm_id") == 1


async def test_pages_are_newest_first_and_of_one_experiment_or_all(stores: Stores) -> None:
    a, b = [await stores.experiments.create(draft(key), START_MS) for key in "ab"]
    for _ in range(3):
        a = await stores.experiments.revise(a, changed(a, "start", State.RUNNING), _LATER_MS)
    everything = await stores.trail.page(None, before=None, count=10)
    assert [entry.experiment for entry in everything] == [1, 1, 1, 2, 1]
    first = await stores.trail.page(a.number, before=None, count=2)
    second = await stores.trail.page(a.number, before=first[-1].audit_no, count=9)
    assert [entry.config_no for entry in (*first, *second)] == [4, 3, 2, 1]
    assert [entry.config_no for entry in await stores.trail.since(a.number, 2)] == [3, 4]
    assert await stores.trail.since(b.number, 1) == []


async def test_what_is_refused_is_not_told(stores: Stores) -> None:
    made = await stores.experiments.create(draft("a"), START_MS)
    await stores.experiments.revise(made, changed(made, "start", State.RUNNING), _LATER_MS)
    with pytest.raises(VersionMismatch):
        await stores.experiments.revise(made, changed(made, "stop", State.STOPPED), _LATER_MS)
    assert len(await stores.trail.page(None, before=None, count=10)) == 2


@pytest.fixture
def memory_tokens() -> tuple[TokenStore, AuditTrail]:
    trail = MemoryTrail()
    return MemoryTokens(trail), trail


@pytest.fixture
async def postgres_tokens(database_url: str) -> AsyncIterator[tuple[TokenStore, AuditTrail]]:
    async with Database(database_url) as database:
        yield PostgresTokens(database), PostgresTrail(database)


@pytest.fixture(params=["memory", "postgres"])
def trailed(request: pytest.FixtureRequest) -> tuple[TokenStore, AuditTrail]:
    found: tuple[TokenStore, AuditTrail] = request.getfixturevalue(f"{request.param}_tokens")
    return found


async def test_who_made_and_revoked_a_token(trailed: tuple[TokenStore, AuditTrail]) -> None:
    tokens, trail = trailed
    scope = frozenset({4})
    principal = Principal(token_id="tok_1", name="one", role=Role.VIEWER, experiments=scope)
    token = Token(principal=principal, created_at=at(START_MS), created_by="ann")
    await tokens.create(token, digest("one"), ANN)
    await tokens.revoke("tok_1", BOB, _LATER_MS)
    await tokens.revoke("tok_1", ANN, _LATER_MS)
    with pytest.raises(NotFound):
        await tokens.revoke("tok_2", ANN, _LATER_MS)
    revoked, made = await trail.page(None, before=None, count=10)
    assert (made.action, made.actor, made.address) == ("create token", ANN.actor, "192.0.2.7")
    assert made.after["token_id"] == "tok_1"
    assert made.after["experiments"] == [4]
    assert (revoked.action, revoked.actor, revoked.experiment) == ("revoke token", "bob", None)
    assert revoked.after["note"] == "too early"
