"""Checks guardrails every five minutes, and rolls experiments back that fail them."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import takewhile

from pullarm.clock import Clock
from pullarm.domain.alert import TOLD_AGAIN_AFTER, Alert, Level, of_rollback
from pullarm.domain.audit import Author
from pullarm.domain.decision import GRACE_MS
from pullarm.domain.errors import Conflict, PullarmError, Unavailable
from pullarm.domain.experiment import Experiment, State
from pullarm.domain.guardrail import (
    CHECK_EVERY_S,
    Check,
    Rollback,
    Verdict,
    rollback_reason,
)
from pullarm.domain.ports import Board, Revision
from pullarm.domain.transitions import taking
from pullarm.lifecycle import Lifecycle
from pullarm.statistics.guardrails.readings import Readings
from pullarm.storage.postgres.guardrails import Outcome, Owed, PostgresGuardrails, Recheck
from pullarm.storage.postgres.times import at

_log = logging.getLogger(__name__)

_EVERY_MS = CHECK_EVERY_S * 1000
_LOOK_BACK = 2 * TOLD_AGAIN_AFTER
"""Whatever changed before then has been told by now."""
GUARDRAILS = Author("guardrails", "worker")


class Guard:
    """Whatever is owed at the time it is asked; any number of processes may ask."""

    def __init__(
        self,
        store: PostgresGuardrails,
        lifecycle: Lifecycle,
        board: Board,
        clock: Clock,
    ) -> None:
        self._store = store
        self._lifecycle = lifecycle
        self._board = board
        self._clock = clock
        self._unstored: dict[int, tuple[Experiment, Outcome]] = {}
        """By experiment, what it was halted for when PostgreSQL went away."""

    async def check_due(self) -> int:
        """Check every experiment that has no check of these five minutes, and rollbacks whose rewards have matured.

        Answers how many experiments were checked. What cannot be done is told, and tried again. Raises Unavailable
        while PostgreSQL is away.
        """
        now_ms = self._clock()
        due_ms = now_ms // _EVERY_MS * _EVERY_MS
        for experiment, outcome in list(self._unstored.values()):
            await _or_tell(experiment.number, self._keep(experiment, outcome))
        owed = await self._store.owed(due_ms, now_ms)
        done = [await _or_tell(each.number, self._check(each, due_ms, now_ms)) for each in owed]
        for recheck in await self._store.rechecks(now_ms):
            await _or_tell(recheck.number, self._recheck(recheck, now_ms))
        return sum(done)

    async def _check(self, owed: Owed, due_ms: int, now_ms: int) -> bool:
        """False where it is not to be checked like this any more."""
        experiment, readings = await self._store.readings(owed, now_ms)
        guarded = experiment.state in (State.RUNNING, State.SHIPPED)
        if not guarded or experiment.guard_epoch != owed.epoch.number:
            return (
                False  # changed just now: the epoch that began is owed a check of its own figures
            )
        made = await asyncio.to_thread(_made, experiment, readings)
        reason = rollback_reason(made)
        rollback = await self._rollback(experiment, made, reason, now_ms) if reason else None
        since = at(now_ms) - _LOOK_BACK
        before = await self._store.recent(owed.number, owed.epoch.number, since)
        alerts = [*_alerts(experiment, made, before), *_told(experiment, rollback)]
        outcome = Outcome(
            experiment=owed.number,
            guard_epoch=owed.epoch.number,
            due_ms=due_ms,
            now_ms=now_ms,
            checks=made,
            alerts=alerts,
            rollback=rollback,
        )
        if rollback is not None:  # users come before records
            await self._halt(experiment, rollback)
        return await self._keep(experiment, outcome)

    async def _keep(self, experiment: Experiment, outcome: Outcome) -> bool:
        """Store what was found; what halted an experiment is kept here while PostgreSQL is away."""
        self._unstored.pop(experiment.number, None)
        try:
            stored = await self._store.store(outcome)
        except Unavailable:
            if outcome.rollback is not None:
                self._unstored[experiment.number] = (experiment, outcome)
            raise
        if stored:
            _log_failures(experiment, outcome.checks)
        if outcome.rollback is not None:
            await self._become(experiment, outcome.rollback)
        return True

    async def _rollback(
        self, experiment: Experiment, made: Sequence[Check], reason: str, now_ms: int
    ) -> Rollback:
        earlier = await self._store.count_rollbacks(experiment.number, experiment.guard_epoch)
        evidence = tuple(check for check in made if check.failing)
        matures = timedelta(hours=experiment.spec.reward.window_hours, milliseconds=GRACE_MS)
        by_rewards = any(check.guardrail == "reward_drop" for check in evidence)
        return Rollback(
            guard_epoch=experiment.guard_epoch,
            at=at(now_ms),
            stopped=earlier >= experiment.spec.guardrails.max_rollbacks,
            reason=reason,
            evidence=evidence,
            recheck_at=at(now_ms) + matures if by_rewards else None,
        )

    async def _halt(self, experiment: Experiment, rollback: Rollback) -> None:
        state = State.STOPPED if rollback.stopped else State.ROLLED_BACK
        try:
            await self._board.halt(experiment.number, state, rollback.guard_epoch, rollback.reason)
        except Unavailable as error:
            _log.error(
                "%s is rolled back, and serving cannot be told yet: %s", experiment.id, error
            )

    async def _become(self, experiment: Experiment, rollback: Rollback) -> None:
        """Store the new state; where that fails the publisher does, because the board has the halt."""
        taken = taking("stop" if rollback.stopped else "rollback")

        def plan(newest: Experiment) -> Revision | None:
            return taken(newest) if newest.guard_epoch == rollback.guard_epoch else None

        author = GUARDRAILS._replace(note=rollback.reason)
        with suppress(Conflict):  # somebody stopped it meanwhile
            await self._lifecycle.revise(experiment.id, plan, author)

    async def _recheck(self, recheck: Recheck, now_ms: int) -> bool:
        from pullarm.statistics.guardrails.checks import drops  # loads scipy

        age_s = recheck.epoch.age_s(recheck.rolled_back_ms)
        experiment, sums = await self._store.sums(recheck.number, recheck.epoch, age_s)
        readings = Readings(age_s=age_s, shares=dict.fromkeys(sums, 1.0), sums=sums)
        limit = experiment.spec.guardrails.reward_drop.limit
        held = any(found.below(limit) for found in drops(readings).values())
        said = (
            "say the same"
            if held
            else "do not: it may be resumed, and does not count as a rollback"
        )
        alert = Alert(
            key=f"recheck {experiment.id} {recheck.epoch.number}",
            level=Level.INFO if held else Level.WARNING,
            title=f"{experiment.spec.name}: rollback {'confirmed' if held else 'not confirmed'}",
            text=f"The rewards that {experiment.id} was rolled back for have matured, and {said}.",
            experiment=experiment.number,
        )
        await self._store.confirm(recheck, alert, now_ms, held=held)
        return True


async def _or_tell(number: int, doing: Awaitable[bool]) -> bool:
    """What it answers; where it cannot be done that is told, and holds up no other experiment, nor alerts."""
    try:
        return await doing
    except Unavailable:
        raise
    except (PullarmError, ValueError, ArithmeticError) as error:
        _log.error("guardrails of experiment %d cannot be checked: %s", number, error)
        return False


def _made(experiment: Experiment, readings: Readings) -> list[Check]:
    from pullarm.statistics.guardrails.checks import checks  # loads scipy

    return checks(readings, experiment.spec.guardrails)


def _log_failures(experiment: Experiment, made: Sequence[Check]) -> None:
    for check in made:
        if check.verdict is Verdict.FAIL:
            _log.error(
                "GUARDRAIL FAIL experiment=%s guardrail=%s policy=%s value=%s limit=%g action=%s: %s",
                experiment.id,
                check.guardrail,
                check.policy or "-",
                "-" if check.value is None else f"{check.value:.6g}",
                check.configured.limit,
                check.configured.action.value,
                check.why,
            )


_SAID = {
    Verdict.FAIL: "fails",
    Verdict.WARN: "is near its limit",
    Verdict.UNKNOWN: "is unknown",
    Verdict.PASS: "passes again",
}


def _alerts(
    experiment: Experiment,
    made: Sequence[Check],
    before: Mapping[str, Sequence[tuple[Verdict, datetime]]],
) -> list[Alert]:
    """One for each guardrail whose verdict has changed to something worth telling.

    For as long as it stays so: where the same was told shortly before, this one is to be told later.
    """
    told = []
    for check in made:
        earlier = before.get(check.guardrail, ())
        same = _same(check.verdict, earlier)
        unchanged = earlier and same == len(earlier)
        level = None if unchanged else _level(earlier[same][0] if earlier else None, check)
        if level is None:
            continue
        told.append(
            Alert(
                key=f"guardrail {experiment.id} {experiment.guard_epoch} {check.guardrail} {check.verdict}",
                level=level,
                title=f"{experiment.spec.name}: {check.guardrail} {_SAID[check.verdict]}",
                text=f"{experiment.id}: {check.why}.",
                experiment=experiment.number,
                began_at=earlier[same - 1][1] if same else None,
            )
        )
    return told


def _same(verdict: Verdict, earlier: Sequence[tuple[Verdict, datetime]]) -> int:
    """For how many of the newest checks it has been this verdict."""
    return len(list(takewhile(lambda each: each[0] is verdict, earlier)))


def _level(was: Verdict | None, check: Check) -> Level | None:
    verdict = check.verdict
    if verdict is Verdict.OFF:
        return None
    if verdict is Verdict.FAIL:
        return Level.CRITICAL if check.failing else Level.WARNING
    if verdict is Verdict.WARN:
        return None if was is Verdict.FAIL else Level.WARNING
    if (
        verdict is Verdict.UNKNOWN
    ):  # at the beginning everything is; that nothing is heard at all is told once
        return Level.WARNING if was or check.guardrail == "worker_lag" else None
    return Level.INFO if was in (Verdict.FAIL, Verdict.WARN) else None


def _told(experiment: Experiment, rollback: Rollback | None) -> list[Alert]:
    if rollback is None:
        return []
    return [of_rollback(experiment, rollback.reason, stopped=rollback.stopped)]
