"""When an experiment is judged, and on how much of its data."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pullarm.domain.decision import GRACE_MS
from pullarm.domain.experiment import POLICY_NUMBERS, Experiment, State

_NINE = time(9)
_DAY = timedelta(days=1)


def unjudged(experiment: Experiment) -> str:
    """Why nothing can be judged of an experiment, as it is split; empty where it can."""
    weights, baseline = experiment.policy_weights(), experiment.spec.decision.baseline
    if POLICY_NUMBERS[baseline] not in weights:
        return f"the baseline is {baseline}, which has no traffic"
    if len(weights) < 2:
        return f"no policy but the baseline, {baseline}, has traffic"
    return ""


def due_at(now: datetime, time_zone: str) -> datetime:
    """The last time it was nine o'clock in a time zone, in UTC."""
    there = now.astimezone(ZoneInfo(time_zone))
    nine = datetime.combine(there, _NINE, there.tzinfo)
    if nine > there:
        nine = datetime.combine(there - _DAY, _NINE, there.tzinfo)
    return nine.astimezone(UTC)


def matures_after(experiment: Experiment) -> timedelta:
    """How long after a decision no reward of it is taken any more."""
    return timedelta(hours=experiment.spec.reward.window_hours, milliseconds=GRACE_MS)


def matured_day(experiment: Experiment, started_at: datetime, now: datetime) -> int:
    """Whole days of decisions since the start, 24 hours each, whose rewards are all there by now; once it has ended, no
    more than it had begun."""
    days = max((now - matures_after(experiment) - started_at) // _DAY, 0)
    return (
        days if experiment.end_at is None else min(days, ended_day(experiment.end_at, started_at))
    )


def ended_day(end_at: datetime, started_at: datetime) -> int:
    """How many days it had begun when it ended."""
    return -((started_at - end_at) // _DAY)


def last_day(experiment: Experiment, started_at: datetime) -> int:
    """Day of the last look, by the plan: a stop by hand does not change it."""
    planned = ended_day(_planned(experiment, started_at), started_at)
    return max(1, min(experiment.spec.decision.max_experiment_days, planned))


def ran_out(experiment: Experiment) -> bool:
    """Whether it has stopped because its time was over, not because somebody stopped it before."""
    began, ended = experiment.started_at, experiment.end_at
    if experiment.state is not State.STOPPED or began is None or ended is None:
        return False
    return ended >= _planned(experiment, began)


def _planned(experiment: Experiment, started_at: datetime) -> datetime:
    spec = experiment.spec
    return spec.end_at or started_at + timedelta(days=spec.duration_days)


def complete_from(experiment: Experiment, started_at: datetime, day: int) -> datetime:
    """From when on so many days have matured."""
    return started_at + day * _DAY + matures_after(experiment)


def next_due(experiment: Experiment, started_at: datetime, day: int) -> datetime:
    """The first nine o'clock by which a day more has matured."""
    ready, zone = complete_from(experiment, started_at, day + 1), experiment.spec.decision.time_zone
    nine = due_at(ready, zone)
    return nine if nine == ready else due_at(nine + 1.5 * _DAY, zone)
