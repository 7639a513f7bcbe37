"""An experiment: what it tries, on whom, and the states it goes through."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pullarm.domain.admission import Forced, Seat
from pullarm.domain.assignment import MICRO, gate_limit
from pullarm.domain.cohorts import Cohort, CohortRule
from pullarm.domain.decision import Reason
from pullarm.domain.errors import Conflict
from pullarm.domain.expected import Expected
from pullarm.domain.guardrail import Guardrails
from pullarm.domain.targeting import Targeting
from pullarm.domain.verdict import Criteria

POLICY_NUMBERS: Mapping[str, int] = {"control": 1, "thompson": 2, "egreedy": 3, "ucb": 4}
"""Stored in events and decision ids: never reused, never changed. 0 is "none", never a policy."""
POLICY_NAMES: Mapping[int, str] = {
    0: "none",
    **{number: name for name, number in POLICY_NUMBERS.items()},
}


class State(StrEnum):
    """Where an experiment is in its life."""

    DRAFT = "draft"
    RUNNING = "running"
    ROLLED_BACK = "rolled_back"
    STOPPED = "stopped"
    SHIPPED = "shipped"
    ARCHIVED = "archived"


_STANDINGS = {
    State.RUNNING: Reason.ASSIGNED,
    State.ROLLED_BACK: Reason.ROLLED_BACK,
    State.SHIPPED: Reason.SHIPPED,
}


def standing(state: State) -> Reason:
    """Why units of an experiment in this state get what they get, before their assignment is looked at."""
    return _STANDINGS.get(state, Reason.NOT_RUNNING)


EFFECT_DELAY = timedelta(seconds=0.5)
"""From a change to its effect: longer than any server takes to hear of it, so that all take it up together."""


class Catalogue(StrEnum):
    """Whether the arms are given or found."""

    CLOSED = "closed"
    """Only the listed arms."""
    OPEN = "open"
    """Candidates become arms when they are first seen."""


class Aggregation(StrEnum):
    """How several rewards for one decision, slot and kind become one credit."""

    FIRST = "first"
    SUM = "sum"
    MAX = "max"


ACTIONS: Mapping[str, Mapping[State, State]] = {
    "edit": {State.DRAFT: State.DRAFT, State.RUNNING: State.RUNNING},
    "start": {State.DRAFT: State.RUNNING},
    "stop": {
        State.RUNNING: State.STOPPED,
        State.ROLLED_BACK: State.STOPPED,
        State.SHIPPED: State.STOPPED,
        State.STOPPED: State.STOPPED,
    },
    "ship": {
        State.RUNNING: State.SHIPPED,
        State.SHIPPED: State.SHIPPED,
        State.STOPPED: State.SHIPPED,
    },
    "clone": {State.STOPPED: State.STOPPED, State.ARCHIVED: State.ARCHIVED},
    "archive": {
        State.DRAFT: State.ARCHIVED,
        State.STOPPED: State.ARCHIVED,
        State.ARCHIVED: State.ARCHIVED,
    },
    "rollback": {
        State.RUNNING: State.ROLLED_BACK,
        State.SHIPPED: State.ROLLED_BACK,
        State.ROLLED_BACK: State.ROLLED_BACK,
    },
    "resume": {State.ROLLED_BACK: State.RUNNING},
}
"""Which action leads from which state to which; stopping or archiving twice is harmless."""


def next_state(action: str, state: State) -> State:
    """Where an action leads; raises Conflict that names the legal actions."""
    target = ACTIONS[action].get(state)
    if target is None:
        legal = [name for name, moves in ACTIONS.items() if state in moves]
        raise Conflict(
            f"cannot {action} an experiment that is {state}; legal now: {', '.join(legal)}"
        )
    return target


class Exposure(StrEnum):
    """When a decision counts as shown."""

    SERVED = "served"
    """With its answer."""
    CONFIRMED = "confirmed"
    """With the first reward of any kind for its slot, `shown` among them: for callers who prefetch."""


class CandidateLog(StrEnum):
    """What a decision's event keeps of its candidates."""

    ARMS = "arms"
    """Their arm numbers in the caller's order."""
    HASH = "hash"
    """A hash of those: smaller, and what another policy would have earned can then no longer be estimated."""


class Delay(StrEnum):
    """How a decision whose reward may still come counts in a published posterior."""

    PROVISIONAL = "provisional"
    """As a failure, until its reward comes."""
    WEIGHTED = "weighted"
    """As a failure by the share of rewards that would have come by its age, estimated from those that did."""
    AT_CLOSE = "at_close"
    """Not at all, nor its reward, before its attribution window has closed."""


SHOWN = "shown"
"""The kind of reward that says no more than that a choice was shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """One policy of an experiment."""

    name: str
    weight: float = 1.0
    """Share of the traffic relative to the other policies' weights."""
    params: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardKind:
    """One declared kind of reward."""

    name: str
    threshold: float | None = None
    """A value from here on counts 1, below 0; without a threshold the value itself counts, 0 to 1."""

    def credit_micro(self, value: float) -> int:
        """What a value is worth, in millionths."""
        if self.threshold is not None:
            return MICRO if value >= self.threshold else 0
        return round(value * MICRO)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardDefinition:
    """Which rewards there are and how they are credited."""

    kinds: tuple[RewardKind, ...] = (RewardKind(name="reward"),)
    learns: str = "reward"
    """The kind that feeds the posterior."""
    aggregation: Aggregation = Aggregation.FIRST
    exposure: Exposure = Exposure.SERVED
    window_hours: float = 24.0
    """Attribution window: how long after a decision its reward may occur."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How the folded sums become the posteriors that are published; the ledger is the same under any."""

    delay: Delay = Delay.PROVISIONAL
    half_life_hours: float | None = None
    """A decision counts half after so many hours; None counts all alike, for rates that stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """All that can be configured; every change of it is a new version."""

    name: str
    notes: str = ""
    traffic_pct: float = 1.0
    """Share of the units that take part, 0 to 1: of those that `targeting` and the group let in."""
    targeting: Targeting = field(default_factory=dict)
    """Whom it is for; empty for everybody."""
    group: str = ""
    """The exclusion group it is in, by name; empty for none."""
    group_share: float = 1.0
    """Share of the group's users that are its own, above 0 to 1."""
    policies: tuple[PolicySpec, ...]
    default_policy: str = "control"
    """What everybody gets once the experiment is shipped."""
    shipped: bool = False
    """Whether it was: then it does not end by itself, and after a rollback goes on as shipped."""
    catalogue: Catalogue = Catalogue.CLOSED
    max_arms: int = 1_000
    reward: RewardDefinition = field(default_factory=RewardDefinition)
    learning: Learning = field(default_factory=Learning)
    learn_slots: int = 1
    log_candidates: CandidateLog = CandidateLog.ARMS
    cohorts: CohortRule | None = None
    """What decisions are told apart by, beside their policy; None is nothing."""
    start_at: datetime | None = None
    """When a draft starts by itself; None never."""
    end_at: datetime | None = None
    """When it ends by itself; None after duration_days."""
    duration_days: float = 14.0
    expected: Expected = field(default_factory=Expected)
    guardrails: Guardrails = field(default_factory=Guardrails)
    decision: Criteria = field(default_factory=Criteria)
    """By what it is judged."""

    @property
    def gate_limit(self) -> int:
        """The first gate hash that is out of traffic."""
        return gate_limit(round(self.traffic_pct * MICRO))

    def params_of(self, policy: str) -> Mapping[str, float | str]:
        """What is configured of a policy; nothing where it is not among them."""
        return next((each.params for each in self.policies if each.name == policy), {})


class ArmStatus(StrEnum):
    """Whether an arm may be shown."""

    ACTIVE = "active"
    PAUSED = "paused"
    """Not shown until it is resumed; rewards of what was shown still count."""
    RETIRED = "retired"
    """Never shown again; a new version of it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One version of one thing that can be shown."""

    arm_no: int
    """From 1, never reused; 0 means unlisted."""
    arm_id: str
    label: str = ""
    version: int = 1
    payload_hash: str = ""
    """The caller's word for what is shown; empty where it was never stated."""
    status: ArmStatus = ArmStatus.ACTIVE
    prior_serves_micro: int = 0
    """Pseudo-counts that every policy starts from beside its prior, in millionths."""
    prior_rewards_micro: int = 0
    """At most prior_serves_micro."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One version of an experiment with its arms."""

    number: int
    id: str
    key: str
    state: State
    spec: Spec
    config_no: int
    allocation_epoch: int
    guard_epoch: int
    salt: bytes = field(repr=False)
    buckets: bytes = field(repr=False)
    """10,000 bytes: the policy number of each bucket."""
    arms: tuple[Arm, ...]
    """Every version of each, ascending by number from 1 without gaps."""
    seats: tuple[Seat, ...] = ()
    """Its places in groups: that of all experiments where it holds users out, and its own."""
    forced: tuple[Forced, ...] = field(default=(), repr=False)
    """Users who are given a policy or an arm, each once; not in the spec, because their names can be erased."""
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    end_at: datetime | None = None
    cohorts: tuple[Cohort, ...] = ()
    """Every one that ever had a number, ascending from 1 without gaps."""

    @property
    def effective_from(self) -> datetime:
        """When servers take this version up; one in which no policy serves anybody does not wait."""
        serves = self.state in (State.RUNNING, State.SHIPPED)
        return self.updated_at + EFFECT_DELAY if serves else self.updated_at

    @property
    def shipped(self) -> int:
        """Number of the policy that everybody gets; 0 where it is not shipped."""
        return POLICY_NUMBERS[self.spec.default_policy] if self.state is State.SHIPPED else 0

    @property
    def planned_end(self) -> datetime | None:
        """When it ends by itself; None where it does not, or only its start will tell."""
        ending = self.state in (State.DRAFT, State.RUNNING, State.ROLLED_BACK)
        if not ending or self.spec.shipped:
            return None
        begin = self.started_at or self.spec.start_at
        after = begin + timedelta(days=self.spec.duration_days) if begin else None
        return self.spec.end_at or after

    def due(self, now: datetime) -> str | None:
        """The action that its schedule has it take by now."""
        start, end = self.spec.start_at, self.planned_end
        if self.state is State.DRAFT:
            return "start" if start is not None and start <= now else None
        return "stop" if end is not None and end <= now else None

    def live(self) -> tuple[Arm, ...]:
        """The arms that are not retired: one version of each."""
        return tuple(arm for arm in self.arms if arm.status is not ArmStatus.RETIRED)

    def active(self) -> tuple[Arm, ...]:
        """The arms that may be shown."""
        return tuple(arm for arm in self.arms if arm.status is ArmStatus.ACTIVE)

    def cohort(self, number: int) -> Cohort | None:
        """The cohort of a decision; None where it is no value that was told apart."""
        return self.cohorts[number - 1] if 0 < number <= len(self.cohorts) else None

    def policy_weights(self) -> dict[int, float]:
        """Relative traffic weight by policy number."""
        return policy_weights(self.spec)

    def forced_now(self) -> dict[str, Forced]:
        """By user, as long as anybody is: in a draft too, and no longer once it ends or is rolled back."""
        looked_at = self.state in (State.DRAFT, State.RUNNING)
        return {each.user_id: each for each in self.forced} if looked_at else {}


def policy_weights(spec: Spec) -> dict[int, float]:
    """Relative traffic weight by policy number, of the policies that have any."""
    return {POLICY_NUMBERS[p.name]: p.weight for p in spec.policies if p.weight > 0}
