"""What came of arms, from the roll-ups."""

from collections import defaultdict

from control.analysis_views import ArmFigures
from pullarm.domain.experiment import POLICY_NAMES
from pullarm.statistics.arm_counts import ArmCounts


def figures(found: ArmCounts, policy: int | None) -> defaultdict[int, list[ArmFigures]]:
    """By arm number; under every policy, or one by its number."""
    told: defaultdict[int, list[ArmFigures]] = defaultdict(list)
    keys = (found.policies, found.arm_nos, found.first_slots)
    columns = (*keys, found.serves, found.rewarded, found.rewards, found.shares, found.rates)
    for number, arm_no, first_slot, serves, rewarded, reward, share, rate in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        if policy in (None, number):
            told[arm_no].append(
                ArmFigures(
                    policy=POLICY_NAMES[number],
                    first_slot=first_slot,
                    serves=serves,
                    rewarded=rewarded,
                    reward=reward,
                    share=share,
                    naive_rate=rate,
                )
            )
    return told
