"""Intervals of rates and lifts, whichever sums they come from."""

from math import expm1

from control.analysis_views import Interval, Lift
from pullarm.statistics import jackknife, mixture, ratio
from pullarm.statistics.jackknife import GroupSums
from pullarm.statistics.ratio import LogLift
from pullarm.statistics.shrinkage import TAU, shrunk

_ALPHA = 0.05
_Z = 1.959963984540054


def of_rate(sums: GroupSums | None) -> Interval | None:
    """Of what these users did; None where they were served nothing."""
    found = None if sums is None else jackknife.rate(sums)
    return None if found is None else found.interval


def lift_of_groups(treatment: GroupSums | None, control: GroupSums | None) -> Lift | None:
    """From sums of groups of users; None while it cannot be told."""
    if treatment is None or control is None:
        return None
    found = jackknife.log_lift(treatment, control)
    if found is None:
        return None
    return _lift(LogLift(found.value, found.error), found.interval(_ALPHA))


def lift_of_users(treatment: ratio.Sums | None, control: ratio.Sums | None) -> Lift | None:
    """From exact sums over users; None while it cannot be told."""
    if treatment is None or control is None:
        return None
    found = ratio.log_lift(treatment, control)
    return None if found is None else _lift(found, found.interval(_Z))


def _lift(found: LogLift, interval: Interval) -> Lift:
    reach = float(mixture.radius(found.error, tau=TAU, alpha=_ALPHA))
    return Lift(
        value=found.lift,
        interval=interval,
        anytime_interval=(expm1(found.value - reach), expm1(found.value + reach)),
        shrunk=shrunk(found).lift,
    )
