"""An experiment's figures at a glance, and where they come from."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pullarm.domain.experiment import Experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFigures:
    """What came of one policy's own users, by assigned policy. Users count with the policy they were first shown."""

    users: int
    serves: int
    rewards: int
    """Serves with a reward above zero in the first slot."""
    rate: float | None
    """Mean credit a serve; None before the first serve."""
    standard_error: float | None
    """Of the rate, with users as the independent units; None below two users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstExposures:
    """Units that were shown their first choice of all in one allocation epoch: each unit is in one epoch and policy.

    Buckets are hashed, so that within an epoch these units are to be split as its buckets are; whom an earlier epoch
    had is left out, because the split was another one then. For a test of the split (`pullarm.statistics.srm`).
    """

    allocation_epoch: int
    users: dict[str, int]
    """By the policy they were shown; one that was shown to none is missing."""
    shares: dict[str, float]
    """Of the epoch's buckets; empty where the ledger has no version of that epoch."""

    def counts_and_shares(self) -> tuple[list[int], list[float]]:
        """A stratum of the test of the split: users and share of each policy that has one."""
        return [self.users.get(name, 0) for name in self.shares], list(self.shares.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCut:
    """What the figures hold: every fold up to one."""

    fold_no: int
    folds_behind: int
    """How many folds there are beyond."""
    behind_since: datetime | None
    """When the first of those was committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """An experiment at a glance."""

    policies: dict[str, PolicyFigures]
    """Those with traffic, then those that had it once."""
    decisions: int
    rewards_received: int
    duplicate_rewards: int
    decisions_by_reason: dict[str, int]
    rewards_by_status: dict[str, int]
    """Of those received, which are rows of the ledger."""
    refused_rewards: dict[str, int]
    """Those that are not, by status, for a decision of this experiment."""
    unattributed_rewards: dict[str, int]
    """Those of all experiments together whose decision id told none, so that they were refused."""
    voided: dict[str, int]
    """Decisions that nobody was shown, by assigned policy."""
    moved: dict[str, int]
    """Serves in no policy's figures, by assigned policy: of users who were shown another policy first."""
    not_analysed: dict[str, int]
    """Decisions in no policy's figures, by why: a reason other than ASSIGNED, MOVED, VOIDED (nobody was shown it, or a
    rebuild left it out), SUPERSEDED (a later try of its request counts, or its exposure was not confirmed). With the
    serves of all policies they are all decisions that the ledger has heard of."""
    first_exposures: tuple[FirstExposures, ...]
    """By epoch."""
    unlisted_candidates: int
    withheld_candidates: int
    """Named while their arms were paused or retired."""
    first_decision_at: datetime | None
    last_decision_at: datetime | None
    data_cut: DataCut
    fold_no: int
    posterior_version: int


class Summaries(Protocol):
    """Where the figures come from."""

    async def of(self, experiment: Experiment) -> Summary:
        """The figures as of one data cut, a few seconds behind the fold at most while workers keep up."""
