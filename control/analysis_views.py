"""What the analytics of one experiment answer."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from control.arm_views import ArmView
from pullarm.domain.arm_rates import LeftOut
from pullarm.domain.summary import DataCut

Interval = tuple[float, float]

NOT_BY_ARM = (
    "intervals take users as the independent units, and what each of them did is not kept by arm"
)
NOT_BY_MINUTE = (
    "intervals take users as the independent units, and what they did is kept by hours and days: ask for one of "
    "these as grain"
)
BY_GROUPS = (
    "of 95 %, from 200 groups of users as the independent units; a user who was shown two policies in this time counts "
    "with both"
)
"""What intervals of a part of the time or of cohorts rest on."""
NAIVE = (
    "naive: rewards by serves, of whatever was served. A bandit serves an arm less once it did badly by chance, so "
    "such rates are too low, most of all those of arms that are served little"
)

ADAPTIVE = (
    "adaptively valid: each decision is weighted by the probability that its policy gave the arm, so that such rates "
    "are not too low for arms that were served little by chance, and their intervals hold. Of first slots and mature "
    "decisions"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maturity:
    """How much of what is asked for may still change, because rewards of it may still come."""

    mature_before: datetime
    """Decisions made before then have all the rewards that count: an attribution window and an hour have passed."""
    serves: int
    """In the last 24 hours."""
    not_mature: int
    """Of these, those made since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came of some serves."""

    serves: int
    rewarded: int
    """Serves with a reward above zero."""
    reward: float
    """Sum of the credits, each from 0 to 1."""
    rate: float | None
    """Mean credit a serve; None before the first serve."""
    interval: Interval | None
    """95 % interval of the rate, with users as the independent units; None without serves, or see `interval_note`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framed:
    """Which part of an experiment an answer is about."""

    experiment: str
    since: datetime
    """The time asked for, widened to whole buckets of what is kept."""
    until: datetime
    as_of: datetime
    data_cut: DataCut


@dataclass(frozen=True, slots=True, kw_only=True)
class PointView(Figures):
    """One bucket of time."""

    at: datetime
    """Its beginning."""
    mature: bool
    """Whether all rewards that count have come."""
    cumulative_serves: int
    """Since the first bucket."""
    cumulative_reward: float
    cumulative_rate: float | None
    cumulative_interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeseriesView(Framed):
    """Figures over time; buckets in which a policy served nothing are left out."""

    grain: str
    maturity: Maturity
    interval_note: str
    policies: dict[str, tuple[PointView, ...]]
    """By assigned policy; by acting policy where an arm is asked for."""


# Structs, which are made and told in a third of a dataclass's time: an answer has thousands of these two.
class ArmFigures(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What came of an arm under one policy, in one group of slots."""

    policy: str
    """That chose it."""
    first_slot: int
    """Of the group: 1, 2 (to 3), 4 (to 7), 8 (to 15), ..."""
    serves: int
    rewarded: int
    reward: float
    share: float
    """Of the policy's serves in these slots."""
    naive_rate: float | None
    """See `rate_note`."""


class AdaptiveRate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An arm's rate under one policy, over the first slots of mature decisions that offered it; see `adaptive_note`."""

    policy: str
    """That chose."""
    allocation_epoch: int
    offered: int
    """Decisions that could have shown it."""
    served: int
    rewarded: int
    """Serves with a reward above zero."""
    naive_rate: float | None
    """Of the same decisions."""
    rate: float | None
    """Adaptively valid; None before the first serve, or where it never could be shown."""
    error: float | None
    interval: Interval | None
    """At 95 %, for one look; None with fewer than 5 rewarded serves."""
    sequence: Interval | None
    """At 95 %, for all looks at once; None with fewer than 50 rewarded serves."""
    best: float | None
    """The probability that of the active arms this one pays best, in the newest epoch; None for one that is not active,
    and where more than 30 are compared: the route `policies` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveCut:
    """What the adaptively valid rates are of: all time up to a moment, whatever time is asked for."""

    decided_before: datetime | None
    """Decisions made before; None where none is in them yet."""
    mature_before: datetime | None
    """Up to when decisions were mature and had come when workers last looked; None where that is not known."""
    behind_s: float
    """From the one to the other: what is still to be worked through."""
    decisions: int
    left_out: LeftOut
    """Those whose weights cannot be worked out again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmWithFigures(ArmView):
    """One version of an arm, and what came of it."""

    figures: tuple[ArmFigures, ...]
    """Where it was served at all; by policy, then slot."""
    rates: tuple[AdaptiveRate, ...]
    """Where it was offered at all; by epoch, then policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmsView(Framed):
    """Every version of every arm, by number."""

    maturity: Maturity
    rate_note: str
    interval_note: str
    adaptive_note: str
    adaptive_cut: AdaptiveCut
    arms: tuple[ArmWithFigures, ...]
    unlisted: tuple[ArmFigures, ...]
    """Of candidates that were no arms, together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """How much more than the baseline a policy earns; 0.03 is 3 % more."""

    value: float
    interval: Interval
    """95 %, for one look that was settled before."""
    anytime_interval: Interval
    """95 % over all looks at once: for whoever looks every day."""
    shrunk: float
    """What to expect of it: lifts are looked at when they happen to be large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared(Figures):
    """One policy beside the baseline."""

    lift: Lift | None
    """Over the baseline; None for the baseline, and before both have earned."""
    mature_lift: Lift | None
    """The same of decisions whose rewards have all come."""
    best: float | None
    """The probability that its rate is the highest; None while that cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartView(Framed):
    """What came of each policy in a part of an experiment: a time, a cohort, some arms."""

    baseline: str
    maturity: Maturity
    interval_note: str
    policies: dict[str, Compared]
    """By assigned policy; by acting policy, of first slots and without lifts, where an arm is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharePoint:
    """One bucket of time."""

    at: datetime
    serves: int
    shares: dict[str, float]
    """By assigned policy, of the serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concentration:
    """How a policy spread its serves over the arms, in the first slot."""

    policy: str
    arms: int
    """Those it served at all."""
    top_arm: str | None
    top_share: float
    entropy: float
    """Of the shares, by that of equal ones over as many arms: 1 for equal, 0 for a single arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRatio:
    """Whether users were split as configured: Pearson's chi-square on users, each counted in the epoch that first
    showed them anything, with its shares."""

    users: dict[str, int]
    """Of all epochs."""
    expected: dict[str, float]
    """Shares of these users."""
    p_value: float
    sound: bool
    """Whether it is above 0.001."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationView(Framed):
    """How traffic was split."""

    grain: str
    traffic_pct: float
    configured: dict[str, float]
    serves: dict[str, int]
    observed: dict[str, float]
    """Shares of the serves."""
    points: tuple[SharePoint, ...]
    concentration: tuple[Concentration, ...]
    sample_ratio: SampleRatio | None
    sample_ratio_note: str | None
    """Why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRegret(Compared):
    """One policy beside the others."""

    gap_to_best: float | None
    """The best policy's rate less this one's: at least 0 by construction, and above it by noise alone."""
    missed_reward: float | None
    """That gap times the policy's serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegretView(Framed):
    """What each policy earned less than the best."""

    allocation_epoch: int
    """The newest. What is asked for may begin before it: shares were others then, and a lift is partly of that."""
    baseline: str
    best: str | None
    maturity: Maturity
    interval_note: str | None
    gap_note: str
    policies: dict[str, PolicyRegret]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochView:
    """A stretch of an experiment's life in which its figures are comparable."""

    allocation_epoch: int
    guard_epoch: int
    config_no: int
    """The version that began it."""
    action: str
    state: str
    began_at: datetime
    ended_at: datetime | None
    traffic_pct: float
    shares: dict[str, float]
    """Of the users in traffic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPolicy(Figures):
    """One policy in one allocation epoch."""

    users: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochsView:
    """Epochs, oldest first, and what came of each allocation epoch."""

    experiment: str
    data_cut: DataCut
    epochs: tuple[EpochView, ...]
    figures: dict[int, dict[str, EpochPolicy]]
    """By allocation epoch and assigned policy."""
