"""Adaptively valid rates of arms, from the sums that workers keep."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from control.analysis_views import AdaptiveCut, AdaptiveRate
from pullarm.domain.arm_rates import RatesCut
from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import POLICY_NAMES, Experiment
from pullarm.statistics.arm_rates import ArmCells, arm_rates
from pullarm.statistics.best_arm import probability_best

_ALPHA = 0.05
_BEST_OF = 30
"""Arms that are compared at most: it is worked out at every request, in some 40 ms a policy for so many."""


def cut(found: RatesCut) -> AdaptiveCut:
    """What they are of."""
    reached, mature = found.decided_before, found.mature_before
    behind = (mature - reached).total_seconds() if reached and mature else 0.0
    return AdaptiveCut(
        decided_before=reached,
        mature_before=mature,
        behind_s=max(behind, 0.0),
        decisions=found.counted,
        left_out=found.left_out,
    )


def rates(
    experiment: Experiment, cells: ArmCells, policy: int | None
) -> defaultdict[int, list[AdaptiveRate]]:
    """By arm number; under every policy, or one by its number."""
    told: defaultdict[int, list[AdaptiveRate]] = defaultdict(list)
    best = dict(_best(experiment, cells))
    found = zip(cells.keys, arm_rates(cells.sums, alpha=_ALPHA), strict=True)
    for row, ((allocation_epoch, number, arm_no), rate) in enumerate(found):
        if policy in (None, number):
            told[arm_no].append(
                AdaptiveRate(
                    policy=POLICY_NAMES[number],
                    allocation_epoch=allocation_epoch,
                    offered=rate.offered,
                    served=rate.served,
                    rewarded=rate.rewarded,
                    naive_rate=rate.naive,
                    rate=rate.rate,
                    error=rate.error,
                    interval=rate.interval,
                    sequence=rate.sequence,
                    best=best.get(row),
                )
            )
    return told


def _best(experiment: Experiment, cells: ArmCells) -> Iterator[tuple[int, float]]:
    """P(best) of the active arms in the newest epoch, by row of the cells, from what each earned by its serves.

    A posterior does not ask why an arm was served so often, so these need no weights.
    """
    active = [arm.arm_no for arm in experiment.active()]
    newest = cells.allocation_epochs == cells.allocation_epochs.max(initial=0)
    compared = newest & np.isin(cells.arm_nos, active)
    for policy in np.unique(cells.policies[compared]):
        rows = np.flatnonzero(compared & (cells.policies == policy))
        if len(rows) <= _BEST_OF:
            _, served, _, credit = cells.sums.counts[rows].T
            earned = credit / MICRO
            chances = probability_best(1.0 + earned, 1.0 + (served - earned))
            yield from zip(rows.tolist(), chances.tolist(), strict=True)
