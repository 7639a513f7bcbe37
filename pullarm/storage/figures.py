"""A policy's figures from the sums over its users, whatever keeps them."""

from collections.abc import Mapping
from math import sqrt

from pullarm.domain.assignment import BUCKETS, MICRO
from pullarm.domain.decision import Reason
from pullarm.domain.experiment import POLICY_NAMES
from pullarm.domain.summary import PolicyFigures
from pullarm.statistics.ratio import Sums


def shares(buckets: bytes | None) -> dict[str, float]:
    """The share of each policy that has any in an epoch's table of buckets; none where there is no table."""
    table = buckets or b""
    return {POLICY_NAMES[number]: table.count(number) / BUCKETS for number in sorted(set(table))}


def not_analysed(
    by_reason: Mapping[str, int], *, voided: int, moved: int, serves: int
) -> dict[str, int]:
    """Decisions in no policy's figures; `by_reason` are those that are not voided, `serves` those in some."""
    assigned = by_reason.get(Reason.ASSIGNED.name, 0)
    found = {name: count for name, count in by_reason.items() if name != Reason.ASSIGNED.name}
    found |= {"MOVED": moved, "VOIDED": voided, "SUPERSEDED": assigned - moved - serves}
    return {name: count for name, count in sorted(found.items()) if count}


def figures(sums: Sums, rewarded: int) -> PolicyFigures:
    """From sums of serves and of credit in millionths, and the number of serves with a credit above zero."""
    ratio, variance = sums.ratio, sums.variance
    return PolicyFigures(
        users=int(sums.n),
        serves=int(sums.m),
        rewards=rewarded,
        rate=None if ratio is None else ratio / MICRO,
        standard_error=None if variance is None else sqrt(variance) / MICRO,
    )
