"""Up to when the ledger is complete, in words."""

from datetime import datetime

LATE_S = 120.0
"""From this age on somebody has to look."""


def told(at: datetime | None, age_s: float | None, process: str) -> str:
    """One line: all events of before `at` have come, as far as `process` is concerned."""
    if at is None or age_s is None:
        line = "it is not known yet up to when all events have come"
    else:
        line = f"all events before {at:%Y-%m-%d %H:%M:%S} UTC have come, {age_s:,.0f} s ago"
    if process and (age_s is None or age_s > LATE_S):
        line += (
            f"; {process} holds it back: it was killed and nobody has taken over its spool, or events of it are on "
            f"their way or lost (`pullarm give-up {process}` waits for it no more)"
        )
    return line
