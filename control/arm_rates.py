"""Adaptively valid rates of arms, from the sums that workers keep."""

from collections import defaultdict
from collections.abc import Sequence

from control.analysis_views import AdaptiveCut, AdaptiveRate
from pullarm.domain.arm_rates import ArmCell, ArmRates
from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import POLICY_NAMES, Experiment

_ALPHA = 0.05
_BEST_OF = 30
"""Arms that are compared at most: it is worked out at every request, in some 40 ms a policy for so many."""


def cut(found: ArmRates) -> AdaptiveCut:
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
    experiment: Experiment, found: ArmRates, policy: int | None
) -> defaultdict[int, list[AdaptiveRate]]:
    """By arm number; under every policy, or one by its number."""
    # Imported here because scipy takes a third of a second, and a control plane may be up before anybody asks.
    from pullarm.statistics.arm_rates import arm_rate

    told: defaultdict[int, list[AdaptiveRate]] = defaultdict(list)
    best = _best(experiment, found.cells)
    for cell in found.cells:
        if policy not in (None, cell.policy):
            continue
        rate = arm_rate(cell.counts, cell.scored, alpha=_ALPHA)
        told[cell.arm_no].append(
            AdaptiveRate(
                policy=POLICY_NAMES[cell.policy],
                allocation_epoch=cell.allocation_epoch,
                offered=rate.offered,
                served=rate.served,
                rewarded=rate.rewarded,
                naive_rate=rate.naive,
                rate=rate.rate,
                error=rate.error,
                interval=rate.interval,
                sequence=rate.sequence,
                best=best.get((cell.allocation_epoch, cell.policy, cell.arm_no)),
            )
        )
    return told


def _best(experiment: Experiment, cells: Sequence[ArmCell]) -> dict[tuple[int, int, int], float]:
    """P(best) of the active arms by newest epoch, policy and arm, from what each earned by its serves.

    A posterior does not ask why an arm was served so often, so these need no weights.
    """
    from pullarm.statistics.best_arm import probability_best

    active = {arm.arm_no for arm in experiment.active()}
    newest = max((cell.allocation_epoch for cell in cells), default=0)
    compared: defaultdict[int, list[ArmCell]] = defaultdict(list)
    for cell in cells:
        if cell.allocation_epoch == newest and cell.arm_no in active:
            compared[cell.policy].append(cell)
    found: dict[tuple[int, int, int], float] = {}
    for policy, group in compared.items():
        if len(group) <= _BEST_OF:
            earned = [cell.counts[3] / MICRO for cell in group]
            missed = [cell.counts[1] - won for cell, won in zip(group, earned, strict=True)]
            alpha, beta = [1.0 + won for won in earned], [1.0 + lost for lost in missed]
            chances = probability_best(alpha, beta).tolist()
            for cell, chance in zip(group, chances, strict=True):
                found[newest, policy, cell.arm_no] = chance
    return found
