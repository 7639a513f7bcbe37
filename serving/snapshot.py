"""What requests are answered from: an immutable picture of every published experiment, swapped whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pullarm.domain import cohorts
from pullarm.domain.admission import Admission, Forced
from pullarm.domain.assignment import BUCKETS
from pullarm.domain.decision import Reason
from pullarm.domain.errors import NotFound, Unavailable
from pullarm.domain.experiment import (
    POLICY_NUMBERS,
    ArmStatus,
    Catalogue,
    Experiment,
    RewardKind,
    State,
    standing,
)
from pullarm.domain.publication import Head, Published
from pullarm.policies.base import Policy, Prepared
from pullarm.policies.control import Control
from pullarm.policies.fallback import fallback
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import build
from serving.query import Arms


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPolicy:
    """One policy of an experiment, ready to draw."""

    policy: Policy
    prepared: Prepared


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """One experiment as requests see it."""

    head: Head
    experiment: Experiment = field(repr=False)
    grid: Grid | None
    halt: State | None
    standing: Reason
    """Why a unit gets what it gets, before its own assignment is looked at."""
    admission: Admission | None
    """Whom it lets in at all; None for everybody."""
    gate_limit: int
    shipped: int
    """Number of the policy that everybody gets who takes part; 0 where each has their own."""
    forced: Mapping[str, Forced]
    """By user."""
    arms: Arms
    cohorts: cohorts.CohortTable
    policies: Mapping[int, ServedPolicy]
    fallback: Control
    """Control, as configured: what everybody gets whom no policy serves."""
    kinds: Mapping[str, RewardKind]

    @property
    def open(self) -> bool:
        """Whether unlisted candidates become arms."""
        return self.experiment.spec.catalogue is Catalogue.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every published experiment, by number and by what callers call it."""

    complete: bool = False
    """Whether the board was read to its end."""
    missing: int = 0
    """How many published experiments could not be read and have no predecessor here."""
    by_number: Mapping[int, Served] = field(default_factory=dict)
    by_reference: Mapping[bytes, Served] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether what is not in here does not exist."""
        return self.complete and not self.missing

    def find(self, reference: str) -> Served:
        """The experiment that a caller names; raises NotFound, Unavailable."""
        served = self.by_reference.get(reference.encode())
        if served is not None:
            return served
        if not self.whole:
            raise Unavailable("NO_SNAPSHOT: this server has not loaded all experiments; try again")
        raise NotFound(f"experiment_id: there is no experiment {reference!r}")

    @classmethod
    def of(cls, served: Mapping[int, Served], missing: int = 0) -> "Snapshot":
        """A complete snapshot."""
        references = {one.experiment.key.encode(): one for one in served.values()}
        # Ids are unique by construction and win over a key that looks like one.
        references |= {one.experiment.id.encode(): one for one in served.values()}
        return cls(complete=True, missing=missing, by_number=dict(served), by_reference=references)


def serve(published: Published, before: Served | None) -> Served:
    """Make a publication ready to answer from, keeping what has not changed since `before`.

    Raises ValueError where the publication is not sound: then the predecessor serves on.
    """
    experiment = published.experiment or (before.experiment if before else None)
    if experiment is None:
        raise ValueError("published without a configuration")
    head = published.head
    same = before is not None and before.experiment is experiment
    _check(experiment, head)
    grid = _grid(published, before)
    arms = before.arms if same and before else _arms(experiment)
    admission = before.admission if same and before else _admission(experiment)
    state = published.halt or experiment.state
    return Served(
        head=head,
        experiment=experiment,
        grid=grid,
        halt=published.halt,
        standing=standing(state),
        admission=admission,
        gate_limit=experiment.spec.gate_limit,
        shipped=experiment.shipped,
        forced=experiment.forced_now(),
        arms=arms,
        cohorts=cohorts.table(experiment.spec.cohorts, experiment.cohorts),
        policies=_policies(experiment, published, grid, arms, before),
        fallback=fallback(experiment.spec.params_of("control")),
        kinds={kind.name: kind for kind in experiment.spec.reward.kinds},
    )


def _admission(experiment: Experiment) -> Admission | None:
    admission = Admission(experiment.spec.targeting, experiment.seats)
    return None if admission.open else admission


def _arms(experiment: Experiment) -> Arms:
    active = [row for row, arm in enumerate(experiment.arms) if arm.status is ArmStatus.ACTIVE]
    return Arms([arm.arm_id for arm in experiment.arms], active)


def _check(experiment: Experiment, head: Head) -> None:
    """Refuse what requests would stumble over."""
    if head.config_no != experiment.config_no:
        raise ValueError(f"configuration {experiment.config_no}, but version says {head.config_no}")
    if len(experiment.arms) != head.arms or (head.arms and experiment.arms[-1].arm_no != head.arms):
        raise ValueError(f"{len(experiment.arms)} arms, but version says {head.arms}")
    names = {policy.name for policy in experiment.spec.policies}
    if experiment.shipped and experiment.spec.default_policy not in names:
        raise ValueError(f"{experiment.spec.default_policy} is shipped, which it does not have")
    strange = {each.policy for each in experiment.forced} - names - {""}
    if strange:
        raise ValueError(
            f"users are forced to {', '.join(sorted(strange))}, which it does not have"
        )
    policies = bytes(POLICY_NUMBERS.get(name, 0) for name in names)
    nobodys = experiment.buckets.translate(None, delete=policies)
    if len(experiment.buckets) != BUCKETS or nobodys:
        raise ValueError(f"buckets must be {BUCKETS} numbers of the experiment's policies")


def _grid(published: Published, before: Served | None) -> Grid | None:
    if published.head.grid_no == 0:
        return None
    if published.grid is not None:
        return Grid.from_bytes(published.head.grid_no, published.grid)
    if before is not None and before.grid is not None:
        if before.grid.number != published.head.grid_no:
            raise ValueError(f"grid {published.head.grid_no} is missing")
        return before.grid
    raise ValueError(f"grid {published.head.grid_no} is missing")


def _policies(
    experiment: Experiment,
    published: Published,
    grid: Grid | None,
    arms: Arms,
    before: Served | None,
) -> dict[int, ServedPolicy]:
    served: dict[int, ServedPolicy] = {}
    for spec in experiment.spec.policies:
        policy = build(spec.name, spec.params)
        number = policy.number
        old = before.policies.get(number) if before else None
        if old is not None and old.policy == policy:
            policy = old.policy
        posterior = _posterior(published.posteriors[number], published.head.arms)
        previous = old.prepared if old is not None and old.policy is policy else None
        prepared = policy.prepare(posterior, grid=grid, previous=previous, offered=arms.offered)
        served[number] = ServedPolicy(policy=policy, prepared=prepared)
    return served


def _posterior(vector: bytes, arms: int) -> Posterior:
    posterior = Posterior.from_bytes(vector)
    if posterior.n_arms != arms:
        raise ValueError(f"a posterior has {posterior.n_arms} arms, but version says {arms}")
    return posterior
