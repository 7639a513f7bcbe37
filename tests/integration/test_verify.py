"""Verify finds whatever was changed behind the ledger's back, and where."""

from collections.abc import AsyncIterator

import pytest

from pullarm.domain.experiment import Aggregation
from tests.integration.ledger_scene import LedgerScene, ledger_scene
from tests.ledger_events import HOUR_MS, START_MS, Event, Events

_HOUR = START_MS // HOUR_MS


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[LedgerScene]:
    async with ledger_scene(database_url) as scene:
        yield scene


async def _learn(scene: LedgerScene) -> int:
    """An experiment with two decisions, one of arm 1 with a reward of 0.5, and one of no policy that was rewarded."""
    number = await scene.experiment(Aggregation.FIRST)
    make = Events()
    rewarded, other = make.token(number), make.token(number, arms=[2])
    outside = make.token(number, acting=0)
    events: list[Event] = [make.decision(token) for token in (rewarded, other, outside)]
    events += [make.reward(rewarded, credit=0.5), make.reward(outside)]
    await scene.fold(events)
    await scene.check([number], events)
    return number


async def _tamper(scene: LedgerScene, statement: str) -> list[str]:
    number = await _learn(scene)
    async with scene.database.connection() as connection:
        assert await connection.execute(statement) != "UPDATE 0"
    return await scene.ledger.verify(number)


@pytest.mark.parametrize(
    ("statement", "stored"),
    [
        (
            "UPDATE posterior SET n = n + 1 WHERE arm_no = 1",
            "stored n=2 s=500000, ledger n=1 s=500000",
        ),
        (
            "UPDATE posterior SET s = s - 1 WHERE arm_no = 1",
            "stored n=1 s=499999, ledger n=1 s=500000",
        ),
        ("DELETE FROM posterior WHERE arm_no = 1", "stored n=0 s=0, ledger n=1 s=500000"),
        (
            "DELETE FROM decision WHERE arms = '{1}' AND acting > 0",
            "stored n=1 s=500000, ledger n=0 s=0",
        ),
    ],
    ids=["serves", "rewards", "posterior row", "decision"],
)
async def test_posterior_that_is_not_the_fold(
    scene: LedgerScene, statement: str, stored: str
) -> None:
    assert await _tamper(scene, statement) == [f"policy 2 arm 1 hour {_HOUR}: {stored}"]


async def test_cell_without_any_decision(scene: LedgerScene) -> None:
    statement = "INSERT INTO posterior SELECT experiment_id, 3, 9, 0, 4, 5 FROM experiment"
    assert await _tamper(scene, statement) == [
        "policy 3 arm 9 hour 0: stored n=4 s=5, ledger n=0 s=0"
    ]


@pytest.mark.parametrize(
    ("statement", "differences"),
    [
        ("UPDATE decision SET voided = true WHERE arms = '{1}' AND acting > 0", 2),
        ("UPDATE decision SET acting = 1 WHERE arms = '{2}'", 2),
        ("UPDATE decision SET decided_at = decided_at + interval '1 hour' WHERE arms = '{2}'", 2),
        ("UPDATE reward SET credit = 600000 WHERE credit = 500000", 2),
        ("UPDATE reward SET status = 2 WHERE credit = 500000", 2),
        ("DELETE FROM reward WHERE credit = 500000", 2),
        ("UPDATE reward SET credit = 3 WHERE credit = 1000000", 1),
        ("UPDATE credit SET value = 1 WHERE value = 500000", 1),
        ("UPDATE credit SET booked = 0 WHERE booked = 500000", 1),
        ("UPDATE credit SET booked = value WHERE booked = 0", 1),
        ("DELETE FROM credit WHERE value = 500000", 1),
        ("INSERT INTO credit SELECT uid, 2, kind, 0, 0, 0 FROM credit WHERE value = 500000", 1),
    ],
)
async def test_every_kind_of_change_is_found(
    scene: LedgerScene, statement: str, differences: int
) -> None:
    assert len(await _tamper(scene, statement)) == differences


async def test_change_of_another_experiment_is_not_reported(scene: LedgerScene) -> None:
    other = await scene.experiment(Aggregation.SUM)
    lines = await _tamper(scene, f"UPDATE posterior SET n = 7 WHERE experiment_id <> {other}")
    assert len(lines) == 2
    assert await scene.ledger.verify(other) == []


async def test_difference_names_the_credit(scene: LedgerScene) -> None:
    (line,) = await _tamper(scene, "UPDATE credit SET value = 1 WHERE value = 500000")
    assert line.startswith("credit ")
    assert line.endswith(
        " slot 1 reward: stored value=1 booked=500000 serves=0, ledger value=500000 booked=500000 serves=0"
    )
