"""What the publisher hands to serving: a numbered state of one experiment's configuration and posteriors."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pullarm.domain.experiment import POLICY_NUMBERS, Arm, Experiment, State
from pullarm.domain.weighting import Weighting


class Head(NamedTuple):
    """The version of everything published for one experiment."""

    incarnation: str
    """Which life of the ledger this comes from; versions of different incarnations do not compare."""
    pub_no: int
    """The posterior version: one more for every publication of the experiment."""
    fold_no: int
    config_no: int
    as_of_ms: int
    grid_no: int
    kernel: int
    arms: int
    """Rows in every posterior vector; row r is arm number r + 1."""


PosteriorCell = tuple[int, int, int, int]
"""Policy number, arm number, serves in millionths, rewards in millionths."""


def warmed(
    cells: list[PosteriorCell], arms: Sequence[Arm], *, since: int = 0
) -> list[PosteriorCell]:
    """What is published of learnt cells: with the pseudo-counts of their arms added, for every policy alike.

    Arms with a number above `since` bring cells of their own where nothing was learnt of them yet.
    """
    priors = {
        arm.arm_no: (arm.prior_serves_micro, arm.prior_rewards_micro)
        for arm in arms
        if arm.prior_serves_micro
    }
    if not priors:
        return cells
    learnt = {(policy, arm_no): (serves, rewards) for policy, arm_no, serves, rewards in cells}
    for arm_no in priors:
        if arm_no > since:
            for policy in POLICY_NUMBERS.values():
                learnt.setdefault((policy, arm_no), (0, 0))
    return [
        (policy, arm_no, serves + prior_serves, rewards + prior_rewards)
        for (policy, arm_no), (serves, rewards) in learnt.items()
        for prior_serves, prior_rewards in (priors.get(arm_no, (0, 0)),)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One publication, complete or as the difference to the one before."""

    experiment: Experiment
    head: Head
    previous_pub_no: int
    """The publication a difference applies to."""
    previous_fold_no: int = 0
    """What had been folded by then."""
    complete: bool
    """Whether `cells` are all cells that are not zero, or only the changed ones."""
    reconfigured: bool
    """Whether the configuration is another than in the publication before."""
    cells: list[PosteriorCell]
    grid: bytes | None = field(default=None, repr=False)
    """The quadrature grid, where it changed or the publication is complete and there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What serving reads back: one experiment as last published."""

    head: Head
    experiment: Experiment | None
    """None where the reader said it has this version."""
    posteriors: dict[int, bytes] = field(repr=False)
    """By policy number: little-endian int64 pairs (serves, rewards) in millionths, one for each arm row."""
    grid: bytes | None = field(default=None, repr=False)
    halt: State | None = None
    """A stop or rollback that holds whatever the configuration says."""
    weighting: Weighting | None = None
    """How the hours were weighted; only the ledger tells, and None where everything counts whole."""
