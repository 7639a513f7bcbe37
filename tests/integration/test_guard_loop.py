"""Guardrails as they run: the real job on PostgreSQL and Valkey, over days of counters, on a clock of its own."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest

from pullarm.domain.audit import Author
from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import State
from pullarm.domain.guardrail import Verdict
from pullarm.domain.transitions import edited
from pullarm.storage.postgres import Database
from pullarm.storage.postgres.guardrails import Owed, PostgresGuardrails
from pullarm.storage.redis import RedisBoard
from tests.guarding import Fault, Guarded, day, failing, guarding
from tests.ledger_events import START_MS
from tests.publishing import Scene
from tests.services import reachable
from tests.statistics.guardrails import CHECK_S
from workers.guard import Guard

EVERY_6_HOURS = range(71, day(13.9), 72)
MINUTES = 5


@pytest.fixture
async def guarded(database_url: str, redis_url: str) -> AsyncIterator[Guarded]:
    async with guarding(database_url, redis_url, seed=20261122) as made:
        yield made


async def test_a_healthy_experiment_is_left_alone_for_14_days(guarded: Guarded) -> None:
    await guarded.serve(0, day(14))
    await guarded.start_tests(EVERY_6_HOURS[-1])
    assert await guarded.until_rolled_back(EVERY_6_HOURS, guarded.rewarded(EVERY_6_HOURS)) is None
    checks = await guarded.check(EVERY_6_HOURS[-1])
    assert failing(checks) == set()
    assert {name for name, each in checks.items() if each.check.verdict is Verdict.PASS} >= {
        "error_rate",
        "latency_p95",
        "reward_drop",
        "sample_ratio",
        "worker_lag",
    }
    history = await guarded.store.history(1, "error_rate", before=None, count=1_000)
    assert len(history) == len(EVERY_6_HOURS)
    assert await guarded.store.rollbacks(1) == []
    assert await guarded.served() == "ASSIGNED"


@pytest.mark.parametrize(
    ("fault", "guardrail", "minutes"),
    [
        (Fault(day(5), errors=0.10), "error_rate", 15),
        (Fault(day(5), slow=0.60), "latency_p95", 15),
        (Fault(day(5), slow=0.10), "latency_p95", 60),
    ],
)
async def test_what_fails_on_day_5_is_rolled_back_within_minutes(
    guarded: Guarded,
    fault: Fault,
    guardrail: str,
    minutes: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await guarded.serve(0, day(5) + 24, fault)
    assert await guarded.until_rolled_back([day(4), day(5) - 1]) is None
    look = await guarded.until_rolled_back(range(day(5), day(5) + 24))
    assert look is not None
    assert (look + 1 - day(5)) * MINUTES <= minutes
    assert (await guarded.now()).state is State.ROLLED_BACK
    assert await guarded.served() == "ROLLED_BACK"
    (rollback,) = await guarded.store.rollbacks(1)
    assert [check.guardrail for check in rollback.evidence] == [guardrail]
    assert rollback.evidence[0].policy == "thompson"
    assert rollback.recheck_at is None
    (line,) = [r.message for r in caplog.records if r.levelno == logging.ERROR]
    assert line.startswith(
        f"GUARDRAIL FAIL experiment=exp_guarded guardrail={guardrail} policy=thompson value="
    )


async def test_a_halved_reward_is_rolled_back_and_confirmed_once_rewards_have_matured(
    guarded: Guarded,
) -> None:
    looks = range(day(5) + 11, day(7), 12)
    await guarded.serve(0, day(7))
    await guarded.start_tests(day(7) - 1)
    fault = Fault(day(5), reward=0.5)
    tests = guarded.rewarded([day(5) - 1, *looks], fault)
    look = await guarded.until_rolled_back([day(5) - 1, *looks], tests)
    assert look is not None
    assert day(5) < look <= day(6.5)
    assert await guarded.served() == "ROLLED_BACK"
    (rollback,) = await guarded.store.rollbacks(1)
    assert [check.guardrail for check in rollback.evidence] == ["reward_drop"]
    assert rollback.confirmed is None
    await guarded.check(look + day(1))
    assert (await guarded.store.rollbacks(1))[0].confirmed is None, "rewards may come for 25 h"
    await guarded.check(look + day(1) + 12)
    assert (await guarded.store.rollbacks(1))[0].confirmed is True


async def test_what_only_delayed_its_rewards_is_not_confirmed_and_does_not_count(
    guarded: Guarded,
) -> None:
    looks = range(day(5) + 11, day(7), 12)
    await guarded.serve(0, day(7))
    await guarded.start_tests(day(7) - 1)
    tests = guarded.rewarded([*looks], Fault(day(5), reward=0.4))
    look = await guarded.until_rolled_back(looks, tests)
    assert look is not None
    place = looks.index(look)
    # Meanwhile the missing rewards came: as many as control's.
    await guarded.reward({"thompson": tests["control"], "control": tests["control"]}, place)
    await guarded.check(look + day(1) + 12)
    (rollback,) = await guarded.store.rollbacks(1)
    assert rollback.confirmed is False
    assert await guarded.store.count_rollbacks(1, 2) == 0


async def test_resumed_it_goes_on_and_the_fourth_rollback_stops_it(guarded: Guarded) -> None:
    for epoch in range(1, 5):
        first = (epoch - 1) * 12
        await guarded.serve(first, 12, Fault(first, errors=0.5))
        look = await guarded.until_rolled_back(range(first, first + 12))
        assert look is not None
        assert (await guarded.now()).guard_epoch == epoch
        if epoch < 4:
            assert await guarded.served() == "ROLLED_BACK"
            guarded.scene.clock.now_ms = START_MS + (first + 12) * CHECK_S * 1000
            await guarded.resume()
            assert await guarded.served() == "ASSIGNED"
            await guarded.scene.publisher.audit()
            assert (await guarded.now()).state is State.RUNNING, "the old halt is not stored again"
    assert (await guarded.now()).state is State.STOPPED
    assert await guarded.served() == "NOT_RUNNING"
    assert [each.stopped for each in await guarded.store.rollbacks(1)] == [
        True,
        False,
        False,
        False,
    ]


class ChangedMeanwhile(PostgresGuardrails):
    """Finds what is owed; then somebody changes the experiment."""

    def __init__(self, database: Database, change: Callable[[], Awaitable[object]]) -> None:
        super().__init__(database)
        self._change = change

    async def owed(self, due_ms: int, now_ms: int) -> list[Owed]:
        found = await super().owed(due_ms, now_ms)
        await self._change()
        return found


async def test_an_epoch_that_began_meanwhile_is_not_judged_by_the_one_before(
    guarded: Guarded,
) -> None:
    async def heavier() -> None:
        spec = (await guarded.now()).spec
        policies = tuple(replace(each, weight=1.0 + n) for n, each in enumerate(spec.policies))
        plan = partial(edited, spec=replace(spec, policies=policies))
        await guarded.lifecycle.revise("guarded", plan, Author("somebody", "test"))

    await guarded.serve(0, 12, Fault(0, errors=0.5))
    guarded.scene.clock.now_ms = START_MS + 12 * CHECK_S * 1000
    scene = guarded.scene
    store = ChangedMeanwhile(scene.database, heavier)
    guard = Guard(store, guarded.lifecycle, scene.board, scene.clock)
    assert await guard.check_due() == 0
    now = await guarded.now()
    assert (now.state, now.guard_epoch) == (State.RUNNING, 2)
    assert await store.rollbacks(1) == []
    assert await guarded.served() == "ASSIGNED"


class LosesPostgres(RedisBoard):
    """Halts, and then PostgreSQL is away."""

    def __init__(self, scene: Scene, database_url: str) -> None:
        super().__init__(scene.redis)
        self._url = database_url

    async def halt(self, number: int, state: State, guard_epoch: int = 0, note: str = "") -> None:
        await super().halt(number, state, guard_epoch, note)
        await reachable(self._url, so=False)


async def test_a_rollback_is_on_record_though_postgres_went_away_when_users_were_told(
    guarded: Guarded, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene = guarded.scene
    board = LosesPostgres(scene, database_url)
    guard = Guard(guarded.store, guarded.lifecycle, board, scene.clock)
    await guarded.serve(0, 12, Fault(0, errors=0.5))
    scene.clock.now_ms = START_MS + 12 * CHECK_S * 1000
    with pytest.raises(Unavailable):
        await guard.check_due()
    assert await guarded.served() == "ROLLED_BACK"
    await reachable(database_url, so=True)
    await scene.publisher.audit()
    assert (await guarded.now()).state is State.ROLLED_BACK
    assert await guarded.store.rollbacks(1) == []

    scene.clock.now_ms += CHECK_S * 1000
    assert await guard.check_due() == 0
    (rollback,) = await guarded.store.rollbacks(1)
    assert [check.guardrail for check in rollback.evidence] == ["error_rate"]
    assert await guarded.store.count_rollbacks(1, 2) == 1
    async with scene.database.connection() as connection:
        told = await connection.fetchval("SELECT count(*) FROM alert WHERE key LIKE 'rollback %'")
    assert told == 1
    assert "GUARDRAIL FAIL experiment=exp_guarded guardrail=error_rate" in caplog.text


async def test_silence_is_unknown_and_never_a_pass(guarded: Guarded) -> None:
    await guarded.serve(0, 12)
    checks = await guarded.check(11)
    assert checks["error_rate"].check.verdict is Verdict.PASS
    checks = await guarded.check(20)
    assert {each.check.verdict for each in checks.values()} == {Verdict.UNKNOWN}
    assert checks["error_rate"].check.why == "nothing was heard for 2700 s"
    assert await guarded.served() == "ASSIGNED"


async def test_what_stays_amiss_is_told_though_the_same_was_told_shortly_before(
    guarded: Guarded,
) -> None:
    await guarded.serve(0, 12)
    await guarded.serve(21, 4)
    told = []
    for check in (11, 20, 24, 40, 41, 92, 93, 94, 170, 250):
        await guarded.check(check)
        async with guarded.scene.database.connection() as connection:
            sql = "SELECT count(*) FROM alert WHERE key LIKE '% error_rate unknown'"
            told.append(await connection.fetchval(sql))
    # Silent from 20 on, heard at 24, silent from 40 on: told again six hours after 20, and then no more.
    assert told == [0, 1, 1, 1, 1, 1, 2, 2, 2, 2]


async def test_a_check_is_made_once_and_a_missed_one_made_up_for(guarded: Guarded) -> None:
    await guarded.serve(0, 50)
    await guarded.check(3)
    guarded.scene.clock.now_ms += 60_000
    assert await guarded.guard.check_due() == 0
    await guarded.check(40)
    history = await guarded.store.history(1, "error_rate", before=None, count=10)
    assert [each.check.sample for each in history] == [41 * 5 * 17, 4 * 5 * 17]
