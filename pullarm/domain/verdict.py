"""Verdicts: what an experiment came to, by which criteria, and everything that is told beside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    """What a verdict says; where several hold, the first."""

    INVALID = "invalid"
    """Users were not split as configured, or the figures are not what the ledger makes of them: nothing follows."""
    ROLLED_BACK = "rolled_back"
    """It was rolled back, and has not been resumed."""
    SHIP = "ship"
    """A policy is better than the baseline, by at least the uplift asked for as far as can be estimated."""
    KILL = "kill"
    """Every policy but the baseline lacks the uplift asked for."""
    ITERATE = "iterate"
    """The time is over, and neither can be said."""
    CONTINUE = "continue"
    """Neither can be said yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """By what an experiment is judged, with what that is unless told otherwise."""

    min_uplift: float = 0.03
    """What a policy is to be better by to be shipped: 0.03 is 3 % of the baseline's reward a serve."""
    min_confidence: float = 0.95
    significance_level: float = 0.05
    """The same said twice, as the original did: the stricter holds, for all policies and looks together."""
    min_window_days: int = 7
    """Whole days of matured data before the first test."""
    max_experiment_days: int = 14
    """Day of the last test; the experiment's duration where that is less."""
    min_events_per_policy: int = 1_000
    """Serves of a policy, and of the baseline, before the first test."""
    baseline: str = "control"
    """The policy that the others are compared with."""
    time_zone: str = "UTC"
    """Where it is nine o'clock when the experiment is judged; a name such as Europe/Berlin."""
    automatic_ship: bool = False
    """Whether a policy is shipped by itself when the verdict says so."""

    @property
    def alpha(self) -> float:
        """One-sided chance that any policy without an effect is shipped, over all looks."""
        return min(self.significance_level, 1.0 - self.min_confidence) / 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One test of one policy, which has spent some of its chance to err."""

    day: int
    information: float
    """1 / error^2 of the log lift."""
    spent: float
    """One-sided, cumulative over the looks of the same allocation epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVerdict:
    """One policy beside the baseline."""

    call: Outcome
    """Ship, kill or continue; once a policy is killed it stays so."""
    users: int
    serves: int
    rate: float | None
    """Mean reward a serve."""
    lift: float | None
    """Over the baseline as estimated, 0.03 being 3 %; None where it cannot be told."""
    observed_lift: float | None = None
    """Without regard to what is known of users from before the experiment."""
    log_lift: float | None
    error: float | None
    """Standard error of the log lift, with users as the independent units."""
    bound: float | None
    """Errors that count at this look; None where nothing was tested."""
    interval: tuple[float, float] | None
    """Of the lift: holds at all looks of all policies together; None where nothing was tested."""
    shrunk_lift: float | None
    """The lift to expect: what looks large is mostly less."""
    shrunk_interval: tuple[float, float] | None
    """95 % of that belief, which is no test."""
    loss_of_shipping: float | None
    """Share of the reward that shipping it is expected to cost, were it worse after all."""
    loss_of_keeping: float | None
    """Share of the reward that keeping the baseline is expected to forgo."""
    power: float | None
    """Chance that it ships by the last look, were the shrunk lift true; None after that."""
    days_to_ship: int | None
    """Day of the experiment on which it would ship, should the lift stay as it is; None where no look is enough."""
    days_to_kill: int | None
    look: Look | None
    """What this test spent; None where nothing was tested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an experiment came to on one day."""

    outcome: Outcome
    final: bool
    """Whether it stands, whatever comes later; what was invalid for its figures alone is judged again."""
    why: str
    policy: str
    """The one to ship; empty where none is."""
    day: int
    """Whole days of matured data since its start."""
    last_day: int
    """Day of the last look."""
    baseline_users: int
    baseline_serves: int
    baseline_rate: float | None
    policies: Mapping[str, PolicyVerdict]
    """All but the baseline."""
    known_users: int = 0
    """Those of whom something from before the experiment is known, which makes errors smaller."""
    runner_up: str
    """The second policy that could be shipped; empty where there is none."""
    over_runner_up: tuple[float, float] | None
    """Interval of the lift of the one to ship over that one: 0 in it means that it is not shown to be the better."""
    split_p: float
    """That users are split so unevenly by chance; below 0.001 the verdict is invalid."""
    spent: float
    """One-sided, of the chance to err, by all policies, looks and allocation epochs so far."""
    alpha: float
    """All there is of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortLift:
    """One policy beside the baseline in one cohort."""

    cohort: str
    """The attribute's value; `other` where it is none that was told apart."""
    serves: int
    baseline_serves: int
    lift: float | None
    interval: tuple[float, float] | None
    """95 %, for one look at one cohort: among many, some are beside the truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BestArm:
    """One of the arms that are probably a policy's best."""

    arm_id: str
    version: int
    serves: int
    rate: float
    """Credit a serve; too low rather than too high for arms that were seldom chosen."""
    probability_best: float
    """By the posterior of the policy's own decisions."""
    adaptive_rate: float | None = None
    """Valid although the policy chose what was shown; None before that is worked out, as below."""
    interval: tuple[float, float] | None = None
    """95 % of that, for one look; None with too few rewards."""
    sequence: tuple[float, float] | None = None
    """95 % of that, at all looks at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDetails:
    """What is told of one policy beside a verdict; nothing follows from it."""

    cohorts: tuple[CohortLift, ...]
    """Those with enough serves on both sides."""
    cohort_variation: float | None
    """By how much its rates differ between cohorts beyond noise: deviation / mean; None with fewer than two."""
    baseline_variation: float | None
    """Of the baseline's rates in the same cohorts: what differs there without the policy."""
    best_arms: tuple[BestArm, ...]
    """At most three, the most probable first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVerdict:
    """A verdict as it was frozen."""

    verdict_no: int
    """From 1, by experiment."""
    at: datetime
    name: str
    """What it was judged for, and the name of its data cut: `epoch 1 day 7`, or the rollback it tells of."""
    allocation_epoch: int
    config_no: int
    fold_no: int
    """The data cut: every fold up to this one."""
    watermark: datetime | None
    """All events of before are in it."""
    verdict: Verdict
    details: Mapping[str, PolicyDetails]
    """By policy, as they were then."""
    content: str = field(repr=False)
    """The verdict's JSON, to the byte."""
