"""Checks guardrails every five minutes, and rolls experiments back that fail them."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from pullarm.clock import Clock
from pullarm.domain.alert import Alert, Level
from pullarm.domain.audit import Author
from pullarm.domain.decision import GRACE_MS
from pullarm.domain.errors import Conflict, PullarmError, Unavailable
from pullarm.domain.experiment import Experiment, State
from pullarm.domain.guardrail import (
    CHECK_EVERY_S,
    Check,
    Rollback,
    StoredCheck,
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
GUARDRAILS = Author("guardrails", "worker")


class Guard:
    """Whatever is owed at the time it is asked; any number of processes may ask."""

    def __init__(
        self,
        store: PostgresGuardrails,
        lifecycle: Lifecycle,
        board: Board,
        clock: Clock,
        channels: Mapping[str, Level],
    ) -> None:
        self._store = store
        self._lifecycle = lifecycle
        self._board = board
        self._clock = clock
        self._channels = channels

    async def check_due(self) -> int:
        """Check every experiment that has no check of these five minutes, and rollbacks whose rewards have matured.

        Answers how many experiments were checked. What cannot be done is told, and tried again. Raises Unavailable
        while PostgreSQL is away.
        """
        now_ms = self._clock()
        due_ms = now_ms // _EVERY_MS * _EVERY_MS
        owed = await self._store.owed(due_ms, now_ms)
        done = [await self._check_or_tell(each, due_ms, now_ms) for each in owed]
        for recheck in await self._store.rechecks(now_ms):
            await self._recheck(recheck, now_ms)
        return sum(done)

    async def _check_or_tell(self, owed: Owed, due_ms: int, now_ms: int) -> bool:
        try:
            await self._check(owed, due_ms, now_ms)
        except Unavailable:
            raise
        except (PullarmError, ValueError, ArithmeticError) as error:
            _log.error("guardrails of experiment %d cannot be checked: %s", owed.number, error)
            return False
        return True

    async def _check(self, owed: Owed, due_ms: int, now_ms: int) -> None:
        experiment, readings = await self._store.readings(owed, now_ms)
        made = await asyncio.to_thread(_made, experiment, readings)
        reason = rollback_reason(made)
        rollback = await self._rollback(experiment, made, reason, now_ms) if reason else None
        if rollback is not None:  # first of all: users come before records
            await self._halt(experiment, rollback)
        before = await self._store.latest(owed.number)
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
        if await self._store.store(outcome, self._channels):
            _log_failures(experiment, made)
        if rollback is not None:
            await self._become(experiment, rollback)

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
            await self._board.halt(experiment.number, state, rollback.guard_epoch)
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

    async def _recheck(self, recheck: Recheck, now_ms: int) -> None:
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
        await self._store.confirm(recheck, alert, self._channels, now_ms, held=held)


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
    experiment: Experiment, made: Sequence[Check], before: Sequence[StoredCheck]
) -> list[Alert]:
    """One for each guardrail whose verdict has changed to something worth telling."""
    was = {
        each.check.guardrail: each.check.verdict
        for each in before
        if each.guard_epoch == experiment.guard_epoch
    }
    told = []
    for check in made:
        level = _level(was.get(check.guardrail), check)
        if level is None:
            continue
        told.append(
            Alert(
                key=f"guardrail {experiment.id} {experiment.guard_epoch} {check.guardrail} {check.verdict}",
                level=level,
                title=f"{experiment.spec.name}: {check.guardrail} {_SAID[check.verdict]}",
                text=f"{experiment.id}: {check.why}.",
                experiment=experiment.number,
            )
        )
    return told


def _level(was: Verdict | None, check: Check) -> Level | None:
    verdict = check.verdict
    if verdict is was or verdict is Verdict.OFF:
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
    what = "stopped for good" if rollback.stopped else "rolled back"
    return [
        Alert(
            key=f"rollback {experiment.id} {rollback.guard_epoch}",
            level=Level.CRITICAL,
            title=f"{experiment.spec.name} was {what}",
            text=f"{experiment.id} was {what}, and everybody gets control: {rollback.reason}.",
            experiment=experiment.number,
        )
    ]
