"""A fold happens whole or not at all, whatever goes wrong, and says whether trying again helps."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from pullarm.domain.decision import Decision, Reward
from pullarm.domain.errors import Refused, Unavailable
from pullarm.domain.experiment import Aggregation
from pullarm.storage.postgres import Database
from tests.integration.ledger_scene import LedgerScene, ledger_scene
from tests.ledger_events import Event, Events


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[LedgerScene]:
    async with ledger_scene(database_url) as scene:
        yield scene


def _with_nul(decision: Decision, reward: Reward) -> Event:
    return reward._replace(kind="a\x00b")


def _beyond_range(decision: Decision, reward: Reward) -> Event:
    return decision._replace(token=decision.token._replace(cohort=2**40))


def _short_uid(decision: Decision, reward: Reward) -> Event:
    return reward._replace(reward_uid=b"short")


@pytest.mark.parametrize("spoil", [_with_nul, _beyond_range, _short_uid])
async def test_bad_event_is_refused_and_nothing_of_its_batch_is_kept(
    scene: LedgerScene, spoil: Callable[[Decision, Reward], Event]
) -> None:
    number = await scene.experiment(Aggregation.FIRST)
    make = Events()
    decision = make.decision(make.token(number))
    reward = make.reward(decision.token)
    spoiled = spoil(decision, reward)
    with pytest.raises(Refused, match="the ledger does not take these events"):
        await scene.fold([decision, reward, spoiled])
    assert await scene.ledger.posterior(number) == {}
    await scene.fold([decision, reward])
    await scene.check([number], [decision, reward])


async def test_reward_of_a_slot_that_was_not_filled_is_kept_and_not_learned(
    scene: LedgerScene,
) -> None:
    number = await scene.experiment(Aggregation.FIRST)
    make = Events()
    token = make.token(number, learn_slots=5)
    events: list[Event] = [make.reward(token, slot=slot) for slot in (0, 2, 5)]
    await scene.fold(events)
    await scene.check([number], events)


async def test_database_restored_to_before_the_day_is_mended(scene: LedgerScene) -> None:
    number = await scene.experiment(Aggregation.FIRST)
    make = Events()
    await scene.fold([make.decision(make.token(number))])
    async with scene.database.connection() as connection:
        await connection.execute(
            "DROP TABLE decision_20251014, reward_20251014, credit_20251014; TRUNCATE posterior"
        )
    events: list[Event] = [make.decision(make.token(number))]
    with pytest.raises(Refused):
        await scene.fold(events)
    await scene.fold(events)
    await scene.check([number], events)


async def test_missing_table_is_not_blamed_on_the_events(scene: LedgerScene) -> None:
    number = await scene.experiment(Aggregation.FIRST)
    make = Events()
    await scene.fold([make.decision(make.token(number))])
    async with scene.database.connection() as connection:
        await connection.execute("DROP TABLE fold_log CASCADE")
    with pytest.raises(Exception, match="fold_log") as caught:
        await scene.fold([make.decision(make.token(number))])
    assert not isinstance(caught.value, Refused)


async def test_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="PostgreSQL is away"):
        async with Database("postgresql://nobody@127.0.0.1:1/none"):
            pass


async def test_cut_connections_lose_and_double_nothing(scene: LedgerScene) -> None:
    """While folds run, every connection is cut again and again; each fold is repeated until it succeeds."""
    number = await scene.experiment(Aggregation.SUM)
    make = Events()
    tokens = [make.token(number) for _ in range(60)]
    events: list[Event] = [make.decision(token) for token in tokens]
    events += [make.reward(token, credit=0.5) for token in tokens]

    async def fold(some: list[Event]) -> int:
        for failures in range(100):
            try:
                await scene.fold(some)
            except Unavailable:
                await asyncio.sleep(0.005)
            else:
                return failures
        raise AssertionError("a hundred failures")

    async def cut() -> None:
        for _ in range(25):
            with suppress(Unavailable):  # on a connection that it had cut itself
                async with scene.database.connection() as connection:
                    await connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
            await asyncio.sleep(0.01)

    cutter = asyncio.create_task(cut())
    failures = await asyncio.gather(*(fold(events[start::20]) for start in range(20)))
    await cutter
    assert sum(failures) > 0
    await scene.check([number], events)
