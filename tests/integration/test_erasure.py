"""After an erasure nothing in the database leads to the user, and everything that is proved stays proved."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from random import Random

import pytest

from pullarm.domain.admission import Forced
from pullarm.domain.assignment import unit_of
from pullarm.domain.audit import Author
from pullarm.domain.decision import Token
from pullarm.domain.erasure import stand_in
from pullarm.domain.errors import Conflict
from pullarm.domain.experiment import Aggregation, Experiment, Exposure
from pullarm.domain.ports import Revision
from pullarm.domain.rollup import group_of
from pullarm.storage.postgres import (
    PostgresErasure,
    PostgresExperiments,
    PostgresHistory,
    PostgresStatistics,
)
from pullarm.storage.postgres.export import PostgresExport
from pullarm.storage.postgres.retention import PostgresRetention
from replay.log_file import log_rows
from tests.builders import experiment
from tests.integration.ledger_scene import LedgerScene, ledger_scene
from tests.integration.retention_scene import RetentionScene
from tests.ledger_events import HOUR_MS, START_MS, Event, Events, some_rewards

ADMIN = Author("admin (tok_1)", "test", "request 17")
USERS = ("anna-erasmus", "bob", "carl")
REQUESTS = ("", "1", "2")


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[LedgerScene]:
    async with ledger_scene(database_url) as scene:
        yield scene


def visits(make: Events, of: Experiment, users: Sequence[str], count: int = 40) -> list[Event]:
    """Whatever can happen to decisions for these users, on three days."""
    random = make.random
    events: list[Event] = []
    for _ in range(count):
        user = random.choice(users)
        unit = unit_of(of.salt, user)
        at_ms = START_MS + random.choice([0, 1, 25, 50]) * HOUR_MS
        token = make.token(of.number, at_ms=at_ms, acting=random.choice([1, 2]))._replace(
            unit_hash=unit.hash, allocation_epoch=random.choice([1, 1, 2])
        )
        decision = make.decision(token)._replace(
            unit=user,
            bucket=unit.bucket,
            request_id=(request := random.choice(REQUESTS)) and f"{user}-{request}",
            attributes={"mail": f"{user}@example.org"},
        )
        events += [decision] * random.choice([0, 1, 1, 1])
        events += [token] * random.choice([0, 0, 0, 1])
        events += [
            reward._replace(reward_id=reward.reward_id and f"{user}-{reward.reward_id}")
            for reward in some_rewards(make, token, random)
        ]
    return random.sample(events, len(events))


async def traces(scene: LedgerScene | RetentionScene, *marks: object) -> list[str]:
    """The tables that have a row with any of these in it."""
    found: list[str] = []
    async with scene.database.connection() as connection:
        tables = await connection.fetch(
            "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'p') "
            "AND relnamespace = 'public'::regnamespace"
        )
        for table in tables:
            for mark in marks:
                sql = f"SELECT EXISTS (SELECT FROM {table['name']} t WHERE t::text LIKE $1)"  # its own tables
                if await connection.fetchval(sql, f"%{mark}%"):
                    found.append(table["name"])
    return found


async def verified(scene: LedgerScene, number: int) -> None:
    assert await scene.ledger.verify(number) == []
    assert await PostgresStatistics(scene.database).verify(number) == []


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_leads_to_the_user_and_every_sum_stays(scene: LedgerScene, seed: int) -> None:
    make = Events(Random(seed))
    number = await scene.experiment(
        make.random.choice([*Aggregation]), make.random.choice([*Exposure])
    )
    made = await scene.found(number)
    events = visits(make, made, USERS)
    await scene.fold(events[:30])
    statistics = PostgresStatistics(scene.database)
    await statistics.catch_up(number)
    await scene.fold(events[30:])  # the statistics are behind
    summary, posterior = await scene.summary(number), await scene.ledger.posterior(number)
    user, gone = USERS[0], unit_of(made.salt, USERS[0])
    assert {"decision", "user_day"} <= {*await traces(scene, user, gone.hash)}
    erasure = PostgresErasure(scene.database)
    erased = await erasure.erase(made, user, ADMIN, START_MS)
    assert erased.decisions > 0
    assert await traces(scene, user, gone.hash) == []
    assert await scene.ledger.posterior(number) == posterior
    assert await scene.summary(number) == summary
    await verified(scene, number)
    pages = PostgresExport(scene.database).pages(made, [])
    rows = [row async for page in pages for row in log_rows(page)]
    mine = [row for row in rows if row.unit == erased.known_as]
    assert mine
    assert {row.unit for row in rows} == {*USERS[1:], erased.known_as}
    assert all(not row.attributes for row in mine)
    again = await erasure.erase(made, user, ADMIN, START_MS)
    assert (again.decisions, again.rewards) == (0, 0)


async def test_what_comes_later_is_erased_by_another_erasure(scene: LedgerScene) -> None:
    """Stubs that are completed, events again, and new visits, with the statistics stepping in between."""
    make = Events(Random(9))
    number = await scene.experiment(Aggregation.SUM)
    made = await scene.found(number)
    events = visits(make, made, USERS)
    erasure, statistics = (
        PostgresErasure(scene.database),
        PostgresStatistics(scene.database, folds=1),
    )
    for place in range(0, len(events), 9):
        await scene.fold(events[place : place + 9])
        await asyncio.gather(
            erasure.erase(made, USERS[0], ADMIN, START_MS),
            statistics.step(number),
            scene.fold(events[place + 9 : place + 12]),
        )
        await verified(scene, number)
    await statistics.catch_up(number)
    await scene.fold(events)
    await statistics.catch_up(number)
    await verified(scene, number)
    await erasure.erase(made, USERS[0], ADMIN, START_MS)
    assert await traces(scene, USERS[0], unit_of(made.salt, USERS[0]).hash) == []
    await verified(scene, number)


async def test_it_is_audited_without_the_user(scene: LedgerScene) -> None:
    number = await scene.experiment(Aggregation.FIRST)
    await PostgresErasure(scene.database).erase(await scene.found(number), "ann", ADMIN, START_MS)
    async with scene.database.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM audit ORDER BY audit_no DESC LIMIT 1")
    assert row is not None
    assert (row["action"], row["actor"], row["experiment_id"]) == ("erase", ADMIN.actor, number)
    assert row["after"] == {"decisions": 0, "rewards": 0, "note": "request 17"}


async def test_who_was_forced_is_in_no_version_any_more(scene: LedgerScene) -> None:
    store = PostgresExperiments(scene.database)
    made = await scene.found(await scene.experiment(Aggregation.FIRST))
    users = (Forced(user_id="anna-erasmus", policy="thompson"), Forced(user_id="bob", arm_id="one"))
    change = Revision(
        action="force",
        spec=made.spec,
        state=made.state,
        buckets=made.buckets,
        allocation_epoch=1,
        guard_epoch=1,
        forced=users,
    )
    made = await store.revise(await store.get(made.id), change, START_MS)
    erased = await PostgresErasure(scene.database).erase(made, "anna-erasmus", ADMIN, START_MS)
    now = await store.get(made.id)
    assert erased.forced
    assert (now.forced, now.config_no) == (users[1:], made.config_no + 1)
    assert await traces(scene, "anna-erasmus") == []
    async with scene.database.connection() as connection:
        then = await connection.fetchval(
            "SELECT forced FROM experiment_revision WHERE config_no = $1", made.config_no
        )
    assert [user["user_id"] for user in then] == [erased.known_as, "bob"]


async def test_of_an_erased_decision_it_is_told(scene: LedgerScene) -> None:
    make = Events(Random(2))
    made = await scene.found(await scene.experiment(Aggregation.FIRST))
    token: Token = make.token(made.number)._replace(unit_hash=unit_of(made.salt, "ann").hash)
    await scene.fold([make.decision(token)._replace(unit="ann")])
    history = PostgresHistory(scene.database)
    assert not (await history.logged(token.uid)).erased
    erased = await PostgresErasure(scene.database).erase(made, "ann", ADMIN, START_MS)
    logged = await history.logged(token.uid)
    assert logged.erased
    assert logged.decision is not None
    assert logged.decision.unit == erased.known_as


async def test_a_day_that_is_about_to_be_removed_is_waited_for(scene: LedgerScene) -> None:
    make = Events(Random(2))
    made = await scene.found(await scene.experiment(Aggregation.FIRST))
    token = make.token(made.number)._replace(unit_hash=unit_of(made.salt, "ann").hash)
    await scene.fold([make.decision(token)._replace(unit="ann")])
    async with scene.database.connection() as connection:
        await connection.execute("SELECT seal_day('2025-10-14', now())")
    erasure = PostgresErasure(scene.database)
    with pytest.raises(Conflict, match="about to remove a day"):
        await erasure.erase(made, "ann", ADMIN, START_MS)
    await PostgresStatistics(scene.database).catch_up(made.number)
    retention = PostgresRetention(scene.database)
    for stored in await retention.days():
        await retention.remove(stored.day, START_MS)
    assert (await erasure.erase(made, "ann", ADMIN, START_MS)).decisions == 0
    assert await traces(scene, unit_of(made.salt, "ann").hash) == []
    await verified(scene, made.number)


def test_stand_in_keeps_what_sums_are_kept_by() -> None:
    of = experiment("thompson", "control")
    for number in range(50):
        unit = unit_of(of.salt, f"user-{number}")
        drawn = stand_in(of, unit.hash, unit.bucket)
        assert -(2**63) <= drawn.unit_hash < 2**63
        assert group_of(drawn.unit_hash) == group_of(unit.hash)
        assert of.buckets[drawn.bucket] == of.buckets[unit.bucket]
    assert replace(drawn, secret=b"") != replace(stand_in(of, unit.hash, unit.bucket), secret=b"")
