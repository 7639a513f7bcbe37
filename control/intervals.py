"""Intervals of rates and lifts, whichever sums they come from."""

from collections.abc import Mapping
from math import expm1, sqrt

from control.analysis_views import Interval, Lift
from pullarm.statistics import jackknife, mixture, ratio
from pullarm.statistics.best_arm import probability_best
from pullarm.statistics.jackknife import GroupSums
from pullarm.statistics.ratio import LogLift
from pullarm.statistics.shrinkage import TAU, shrunk

_ALPHA = 0.05
_JEFFREYS = 0.5
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


def relative_error(sums: GroupSums | ratio.Sums) -> float | None:
    """Of the rate, in whatever unit sums are, with users as the independent units; None while it cannot be told."""
    if isinstance(sums, ratio.Sums):
        return sqrt(sums.variance) / sums.ratio if sums.variance and sums.ratio else None
    found = jackknife.rate(sums)
    return found.error / found.value if found and found.error and found.value else None


def best_of(rates: Mapping[str, tuple[float | None, float | None]]) -> dict[str, float]:
    """The probability that a policy's rate is the highest, by its name; empty while that cannot be told.

    Each rate, given with its relative error, is taken as a Beta posterior of as many independent trials as
    leave such an error.
    """
    shapes = []
    for rate, error in rates.values():
        if rate is None or not error or not 0.0 < rate < 1.0:
            return {}
        trials = (1.0 - rate) / (rate * error**2)
        shapes.append((rate * trials + _JEFFREYS, (1.0 - rate) * trials + _JEFFREYS))
    if len(shapes) < 2:
        return {}
    found = probability_best([a for a, _ in shapes], [b for _, b in shapes])
    return dict(zip(rates, map(float, found), strict=True))


def _lift(found: LogLift, interval: Interval) -> Lift:
    reach = float(mixture.radius(found.error, tau=TAU, alpha=_ALPHA))
    return Lift(
        value=found.lift,
        interval=interval,
        anytime_interval=(expm1(found.value - reach), expm1(found.value + reach)),
        shrunk=shrunk(found).lift,
    )
