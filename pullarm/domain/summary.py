"""An experiment's figures at a glance, and where they come from."""

from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from typing import Protocol, Self

from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import Experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFigures:
    """What came of one policy's own users, by assigned policy."""

    users: int
    serves: int
    rewards: int
    """Serves with a reward above zero in the first slot."""
    rate: float | None
    """Mean credit a serve; None before the first serve."""
    standard_error: float | None
    """Of the rate, with serves taken as independent; None below two serves."""

    @classmethod
    def of(
        cls, *, users: int, serves: int, rewards: int, credit_micro: int, squared_micro: int
    ) -> Self:
        """From the sum of the serves' credits in millionths, and the sum of their squares."""
        if not serves:
            return cls(users=users, serves=0, rewards=0, rate=None, standard_error=None)
        rate = credit_micro / MICRO / serves
        spread = max(0.0, squared_micro / MICRO**2 / serves - rate * rate)
        error = sqrt(spread / (serves - 1)) if serves > 1 else None
        return cls(users=users, serves=serves, rewards=rewards, rate=rate, standard_error=error)


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
    unlisted_candidates: int
    withheld_candidates: int
    """Named while their arms were paused or retired."""
    first_decision_at: datetime | None
    last_decision_at: datetime | None
    fold_no: int
    posterior_version: int


class Summaries(Protocol):
    """Where the figures come from."""

    async def of(self, experiment: Experiment) -> Summary:
        """The figures as of this moment, all from one look at the ledger."""
