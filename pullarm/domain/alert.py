"""What somebody has to be told."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pullarm.domain.experiment import Experiment
from pullarm.domain.verdict import Outcome, Verdict


class Level(StrEnum):
    """How much it matters; a channel takes alerts from one level on."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for what matters least."""
        return list(Level).index(self)


TOLD_AGAIN_AFTER = timedelta(hours=6)
"""How long the same is not told again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message."""

    key: str
    """What it is about: the same is not told again within TOLD_AGAIN_AFTER."""
    level: Level
    title: str
    text: str
    experiment: int | None = None
    began_at: datetime | None = None
    """Since when it holds, where that is no news: told since then, it is not told again at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An alert that a channel still has to take."""

    alert_no: int
    at: datetime
    alert: Alert
    attempts: int
    """How often it was tried in vain."""


def of_retention(what: str, problem: str) -> Alert:
    """Days that cannot be archived or removed, or files that still name who was erased."""
    return Alert(
        key=f"retention {what}",
        level=Level.WARNING,
        title=f"Retention: {what}",
        text=f'{problem}. It is tried again by itself; see "Days are not removed" in the runbook.',
    )


def of_rollback(experiment: Experiment, reason: str, *, stopped: bool = False) -> Alert:
    """A rollback in the present guard epoch, whoever makes it: so it is told once."""
    what = "stopped for good" if stopped else "rolled back"
    return Alert(
        key=f"rollback {experiment.id} {experiment.guard_epoch}",
        level=Level.CRITICAL,
        title=f"{experiment.spec.name} was {what}",
        text=f"{experiment.id} was {what}, and everybody gets control: {reason}.",
        experiment=experiment.number,
    )


_WAITED_FOR = {
    Outcome.INVALID: Level.CRITICAL,
    Outcome.SHIP: Level.WARNING,
    Outcome.KILL: Level.WARNING,
    Outcome.ITERATE: Level.WARNING,
}
"""Verdicts after which somebody has to do something, and does not know it yet."""


def of_verdict(experiment: Experiment, verdict: Verdict, before: Outcome | None) -> Alert | None:
    """A verdict, where there is something to do and the one before did not say the same."""
    level = _WAITED_FOR.get(verdict.outcome)
    if level is None or verdict.outcome is before:
        return None
    what = f"{verdict.outcome} {verdict.policy}".strip()
    return Alert(
        key=f"verdict {experiment.id} {verdict.outcome}",
        level=level,
        title=f"{experiment.spec.name}: the verdict is {what}",
        text=f"{experiment.id}, day {verdict.day} of {verdict.last_day}: {verdict.why}.",
        experiment=experiment.number,
    )
