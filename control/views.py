"""What the REST API answers; every configured value is there, defaults included."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from math import prod
from typing import TYPE_CHECKING, Any

from control import expectations
from control.arm_views import ArmView, arm_view
from control.expectations import Expectation
from pullarm.domain.assignment import BUCKETS, MICRO
from pullarm.domain.cohorts import Cohort, CohortRule
from pullarm.domain.expected import Expected
from pullarm.domain.experiment import (
    POLICY_NUMBERS,
    Experiment,
    Learning,
    RewardDefinition,
)
from pullarm.domain.guardrail import Guardrails
from pullarm.domain.summary import DataCut, FirstExposures, PolicyFigures, Summary
from pullarm.domain.targeting import Targeting
from pullarm.domain.transitions import difference
from pullarm.domain.verdict import Criteria
from pullarm.statistics import wilson

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyView:
    """A configured policy."""

    name: str
    weight: float
    share: float
    """Of the units in traffic, from the stored buckets."""
    params: dict[str, float | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedExperiment:
    """An experiment as the list shows it."""

    id: str
    key: str
    name: str
    state: str
    notes: str
    traffic_pct: float
    targeting: Targeting
    group: str
    group_share: float
    holdout_pct: float
    """Share of all users that is held out, of all experiments or of its group's."""
    forced_users: int
    """How many users are given a policy or an arm to look at."""
    policies: tuple[PolicyView, ...]
    default_policy: str
    catalogue: str
    max_arms: int
    reward: RewardDefinition
    learning: Learning
    learn_slots: int
    log_candidates: str
    cohorts: CohortRule | None
    start_at: datetime | None
    """When it starts by itself."""
    duration_days: float
    expected: Expected
    guardrails: Guardrails
    decision: Criteria
    """By what it is judged."""
    config_no: int
    allocation_epoch: int
    guard_epoch: int
    created_at: datetime
    updated_at: datetime
    effective_from: datetime
    """When servers take up this version, all at once."""
    started_at: datetime | None
    end_at: datetime | None
    """When it ended; before, when it is to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentView(ListedExperiment):
    """An experiment with its arms."""

    arms: tuple[ArmView, ...]
    """Those that are not retired."""
    cohort_numbers: tuple[Cohort, ...]
    """Every value that ever was a cohort, of attributes that the experiment does not go by any more too."""
    warnings: tuple[str, ...]
    """What was done in part only and what becomes of the rest; what the configuration rules out."""
    expectation: Expectation | None
    """Impressions and days for the wanted uplift; null without a base rate or without control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a request would make, which was not done."""

    experiment: ExperimentView
    before: dict[str, object]
    after: dict[str, object]
    """What would change alone; of a new experiment, all."""
    new_epoch: bool
    """Whether figures from before and after the change cannot be compared."""
    moved_share: float
    """Of the users in traffic, those who would get another policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentList:
    """Experiments."""

    experiments: tuple[ListedExperiment, ...]
    next: str | None
    """What to give as `after` for the ones that follow; null at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySummary:
    """What came of one policy's users, beside what was configured."""

    share: float
    users: int
    serves: int
    rewards: int
    rate: float | None
    standard_error: float | None
    """Of the rate, with users as the independent units; None below two users."""
    interval: tuple[float, float] | None
    """Wilson's 95 % interval of the rate, with users as the independent units; None before the first serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryView:
    """An experiment at a glance."""

    id: str
    key: str
    name: str
    state: str
    traffic_pct: float
    as_of: datetime
    started_at: datetime | None
    end_at: datetime | None
    days_running: float
    duration_days: float
    policies: dict[str, PolicySummary]
    decisions: int
    decisions_by_reason: dict[str, int]
    rewards_received: int
    duplicate_rewards: int
    rewards_by_status: dict[str, int]
    """Of the rewards received; repetitions are counted in `duplicate_rewards` as well."""
    refused_rewards: dict[str, int]
    """Rewards of this experiment's decisions that were refused, by status; not among those received."""
    unattributed_rewards: dict[str, int]
    """Refused rewards whose decision id told no experiment: of all experiments together."""
    voided: dict[str, int]
    """Answered and never seen, by the policy the user was assigned to."""
    moved: dict[str, int]
    """Serves in no policy's figures, by the policy assigned then: of users who were shown another policy first."""
    not_analysed: dict[str, int]
    """Decisions in no policy's figures, by why: a reason other than ASSIGNED, MOVED, VOIDED, or SUPERSEDED (by a later
    try of the same request, or never confirmed)."""
    first_exposures: tuple[FirstExposures, ...]
    """Users by the epoch and policy they were first shown, beside how that epoch's buckets are split."""
    unlisted_candidates: int
    withheld_candidates: int
    """Named while their arms were paused or retired."""
    first_decision_at: datetime | None
    last_decision_at: datetime | None
    data_cut: DataCut
    """Which folds the figures hold; the refused rewards are as of now."""
    fold_no: int
    posterior_version: int


def listed(experiment: Experiment) -> ListedExperiment:
    """An experiment as the list shows it."""
    spec = experiment.spec
    policies = tuple(
        PolicyView(
            name=policy.name,
            weight=policy.weight,
            share=_share(experiment, policy.name),
            params=dict(policy.params),
        )
        for policy in spec.policies
    )
    return ListedExperiment(
        id=experiment.id,
        key=experiment.key,
        name=spec.name,
        state=experiment.state.value,
        notes=spec.notes,
        traffic_pct=spec.traffic_pct,
        targeting=spec.targeting,
        group=spec.group,
        group_share=spec.group_share,
        holdout_pct=_held_out(experiment),
        forced_users=len(experiment.forced),
        policies=policies,
        default_policy=spec.default_policy,
        catalogue=spec.catalogue.value,
        max_arms=spec.max_arms,
        reward=spec.reward,
        learning=spec.learning,
        learn_slots=spec.learn_slots,
        log_candidates=spec.log_candidates.value,
        cohorts=spec.cohorts,
        start_at=spec.start_at,
        duration_days=spec.duration_days,
        expected=spec.expected,
        guardrails=spec.guardrails,
        decision=spec.decision,
        config_no=experiment.config_no,
        allocation_epoch=experiment.allocation_epoch,
        guard_epoch=experiment.guard_epoch,
        created_at=experiment.created_at,
        updated_at=experiment.updated_at,
        effective_from=experiment.effective_from,
        started_at=experiment.started_at,
        end_at=experiment.end_at or experiment.planned_end,
    )


def _held_out(experiment: Experiment) -> float:
    """The holdouts are independent of each other."""
    return round(1.0 - prod(1.0 - seat.holdout_micro / MICRO for seat in experiment.seats), 6)


def whole(experiment: Experiment, warnings: tuple[str, ...] = ()) -> ExperimentView:
    """An experiment with everything that is configured."""
    return ExperimentView(
        **values(listed(experiment)),
        arms=tuple(map(arm_view, experiment.live())),
        cohort_numbers=experiment.cohorts,
        warnings=(*warnings, *expectations.warnings(experiment)),
        expectation=expectations.expectation(experiment.spec),
    )


def preview(before: Experiment | None, after: Experiment) -> Preview:
    """What would become of an experiment."""
    was, became = difference(before, after)
    known = before or after
    moved = sum(a != b for a, b in zip(known.buckets, after.buckets, strict=True))
    return Preview(
        experiment=whole(after),
        before=dict(was),
        after=dict(became),
        new_epoch=known.allocation_epoch != after.allocation_epoch,
        moved_share=moved / BUCKETS,
    )


def summary_view(experiment: Experiment, summary: Summary, now: datetime) -> SummaryView:
    """An experiment's figures as of now."""
    figures = values(summary)
    policies: dict[str, PolicyFigures] = figures.pop("policies")
    started, ended = experiment.started_at, experiment.end_at
    running = (ended or now) - started if started else timedelta()
    return SummaryView(
        id=experiment.id,
        key=experiment.key,
        name=experiment.spec.name,
        state=experiment.state.value,
        traffic_pct=experiment.spec.traffic_pct,
        as_of=now,
        started_at=started,
        end_at=ended,
        days_running=round(running / timedelta(days=1), 4),
        duration_days=experiment.spec.duration_days,
        policies={
            name: PolicySummary(
                share=_share(experiment, name),
                interval=interval_of(of_policy),
                **values(of_policy),
            )
            for name, of_policy in policies.items()
        },
        **figures,
    )


def _share(experiment: Experiment, policy: str) -> float:
    return experiment.buckets.count(POLICY_NUMBERS[policy]) / BUCKETS


def interval_of(policy: PolicyFigures) -> tuple[float, float] | None:
    """95 % interval of the rate, with users as the independent units; None before the first serve."""
    if policy.rate is None:
        return None
    return wilson.clustered(
        policy.rate, policy.standard_error, trials=policy.serves, clusters=policy.users
    )


def values(record: "DataclassInstance", *, but: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a record by name, as they are; for another that has fields of the same names."""
    names = (each.name for each in fields(record))
    return {name: getattr(record, name) for name in names if name not in but}
