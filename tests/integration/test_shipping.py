"""What becomes of an experiment that is shipped: who is served what, rollbacks and resumes, and what has run out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from pullarm.domain.errors import Conflict
from pullarm.domain.experiment import State
from pullarm.domain.verdict import Criteria, Outcome
from tests.builders import ask, query
from tests.judging import CRITERIA, SOMEBODY, Judging
from tests.ledger_events import START_MS, draft
from tests.publishing import Scene, publishing
from workers.schedule import Schedule

USERS = [f"user-{number}" for number in range(40)]
AUTOMATIC = replace(CRITERIA, automatic_ship=True)
ALERTS = "SELECT array_agg(level || ' ' || title ORDER BY alert_no) FROM alert"


class Shipping(Judging):
    """The experiment of ten days, as serving has it."""

    scene: Scene

    async def keep_schedule(self) -> None:
        await Schedule(self.experiments, self.lifecycle, self.clock).keep()

    async def answers(self) -> set[tuple[str, str]]:
        """(policy, standing) of users, once what has changed is published and read."""
        await self.scene.publisher.publish_due()
        await self.scene.publisher.audit()
        served = await self.scene.served(1)
        snapshot = self.scene.refresher.snapshot
        found = {
            ask(snapshot, query("one", user=user, reference="exp_judged")).policy for user in USERS
        }
        return {(policy, served.standing.name) for policy in found}

    async def ended(self) -> None:
        """Its ten days and the last rewards are over."""
        await self.visit(0, thompson=0.9)
        self.at_day(9)
        await self.keep_schedule()
        assert (await self.now()).state is State.STOPPED
        self.at_day(10)
        await self.say_complete()


@asynccontextmanager
async def shipping(
    database_url: str, redis_url: str, criteria: Criteria = CRITERIA
) -> AsyncIterator[Shipping]:
    async with publishing(database_url, redis_url) as scene:
        made = Shipping(scene.database, criteria, scene.board, scene.clock)
        made.scene = scene
        await made.begin()
        yield made


@pytest.fixture
async def shipped(database_url: str, redis_url: str) -> AsyncIterator[Shipping]:
    async with shipping(database_url, redis_url) as made:
        yield made


async def test_everybody_gets_what_is_shipped_and_again_after_a_rollback(shipped: Shipping) -> None:
    """Resumed it is shipped as before, not split once more, and no schedule ends it."""
    await shipped.visit(0, thompson=0.9)
    assert await shipped.answers() == {("thompson", "ASSIGNED"), ("control", "ASSIGNED")}
    shipped.at_day(1)
    await shipped.say_complete()
    assert (await shipped.judge.judge("judged")).verdict.outcome is Outcome.SHIP
    experiment, warnings = await shipped.judge.ship("judged", "", SOMEBODY)
    assert (experiment.spec.default_policy, experiment.spec.traffic_pct) == ("thompson", 1.0)
    assert warnings == ()
    assert await shipped.answers() == {("thompson", "SHIPPED")}
    shipped.at_day(30)
    await shipped.lifecycle.rollback("judged", SOMEBODY._replace(note="complaints"))
    assert await shipped.answers() == {("none", "ROLLED_BACK")}
    await shipped.keep_schedule()
    assert await shipped.verdicts.owed() == []
    resumed, _ = await shipped.lifecycle.resume("judged", SOMEBODY)
    assert resumed.state is State.SHIPPED
    assert await shipped.answers() == {("thompson", "SHIPPED")}


async def test_what_is_shipped_without_a_verdict_is_judged_no_more(shipped: Shipping) -> None:
    _, warnings = await shipped.judge.ship("judged", "thompson", SOMEBODY)
    assert warnings == ("thompson was shipped without a verdict that says so: it has no verdict",)
    shipped.at_day(1)
    await shipped.lifecycle.rollback("judged", SOMEBODY)
    with pytest.raises(Conflict, match="judged no more since it was shipped"):
        await shipped.judge.judge("judged")


async def test_a_draft_is_not_said_to_be_shipped_once_a_policy_is_named(shipped: Shipping) -> None:
    await shipped.experiments.create(draft("young"), START_MS)
    with pytest.raises(Conflict, match="cannot ship an experiment that is draft; legal now: edit"):
        await shipped.judge.ship("young", "", SOMEBODY)


async def test_what_has_run_out_is_shipped_by_its_last_verdict_alone(shipped: Shipping) -> None:
    await shipped.ended()
    assert await shipped.answers() == {("none", "NOT_RUNNING")}
    with pytest.raises(Conflict, match="it has stopped, and it has no verdict: clone it"):
        await shipped.judge.ship("judged", "thompson", SOMEBODY)
    assert (await shipped.judge.judge("judged")).verdict.outcome is Outcome.SHIP
    assert (await shipped.now()).state is State.STOPPED
    with pytest.raises(Conflict, match="it has stopped, and its verdict is ship: clone it"):
        await shipped.judge.ship("judged", "control", SOMEBODY)
    experiment, _ = await shipped.judge.ship("judged", "", SOMEBODY)
    assert (experiment.state, experiment.end_at) == (State.SHIPPED, None)
    assert await shipped.answers() == {("thompson", "SHIPPED")}
    await shipped.keep_schedule()
    ended, _ = await shipped.lifecycle.stop("judged", SOMEBODY)
    assert (ended.state, ended.end_at) == (State.STOPPED, shipped.lifecycle.now())
    assert await shipped.answers() == {("none", "NOT_RUNNING")}


async def test_what_has_run_out_ships_by_itself_once_where_it_says_so(
    database_url: str, redis_url: str
) -> None:
    async with shipping(database_url, redis_url, AUTOMATIC) as scene:
        await scene.ended()
        assert len(await scene.verdicts.owed()) == 1
        await scene.judge.judge("judged")
        assert await scene.answers() == {("thompson", "SHIPPED")}
        # Somebody has ended it: the verdict that stands does not ship it anew.
        await scene.lifecycle.stop("judged", SOMEBODY)
        await scene.judge.judge_due()
        assert await scene.answers() == {("none", "NOT_RUNNING")}


async def test_what_somebody_stopped_does_not_ship_by_itself(
    database_url: str, redis_url: str
) -> None:
    async with shipping(database_url, redis_url, AUTOMATIC) as scene:
        await scene.visit(0, thompson=0.9)
        scene.clock.now_ms += round(timedelta(days=1).total_seconds() * 1000)
        await scene.lifecycle.stop("judged", SOMEBODY)
        scene.at_day(1)
        await scene.say_complete()
        assert (await scene.judge.judge("judged")).verdict.outcome is Outcome.SHIP
        assert (await scene.now()).state is State.STOPPED
        assert await scene.verdicts.owed() == []


async def test_verdicts_that_wait_for_somebody_are_told_once(shipped: Shipping) -> None:
    async def alerts() -> list[str]:
        async with shipped.database.connection() as connection:
            return list(await connection.fetchval(ALERTS) or ())

    await shipped.visit(0)
    shipped.at_day(1)
    await shipped.say_complete()
    assert (await shipped.judge.judge("judged")).verdict.outcome is Outcome.CONTINUE
    assert await alerts() == []
    await shipped.visit(1, users=400, thompson=0.9)
    shipped.at_day(2)
    await shipped.say_complete()
    for _ in range(2):
        await shipped.judge.judge("judged")
    assert await alerts() == ["warning judged: the verdict is ship thompson"]
