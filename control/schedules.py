"""Reading when an experiment starts and ends."""

from datetime import datetime, timedelta

from control.fields import Fields
from pullarm.domain.experiment import Spec

SCHEDULE_FIELDS = ("start_at", "end_at", "duration_days", "duration")
_LONGEST_DAYS = 365.0


def read_schedule(
    given: Fields, base: Spec, now: datetime, started_at: datetime | None
) -> tuple[datetime | None, datetime | None, float]:
    """Planned start, planned end and days between; what is not given stays as in `base`.

    What is given lies in the future: a slip in a date must not end an experiment for good.
    """
    if "duration" in given and "duration_days" in given:
        given.note("duration", "is another name of duration_days; give one of them")
    length = "duration" if "duration" in given else "duration_days"
    days = given.positive(length, base.duration_days, _LONGEST_DAYS)
    start_at = given.moment("start_at", base.start_at)
    end_at = given.moment("end_at", base.end_at)
    if "start_at" in given and started_at is not None:
        given.note("start_at", f"is of no use any more: it was started at {_said(started_at)}")
    elif "start_at" in given and start_at is not None and start_at <= now:
        given.note("start_at", f"is {_said(start_at)}, and it is {_said(now)}; start it instead")
    begin = started_at or start_at or now
    if "end_at" in given and end_at is not None and end_at <= max(begin, now):
        given.note("end_at", f"is {_said(end_at)}; it must come after {_said(max(begin, now))}")
    elif "start_at" in given and end_at is not None and end_at <= begin:
        given.note("start_at", f"is {_said(begin)}, but end_at is {_said(end_at)}; change both")
    ends = begin + timedelta(days=days)
    if length in given and end_at is None and started_at is not None and ends <= now:
        given.note(length, f"would have ended it at {_said(ends)}; stop it instead")
    return start_at, end_at, days


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
