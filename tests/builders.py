"""Builds experiments, publications and snapshots for tests of serving and of the workers."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from struct import pack

import numpy as np

from pullarm.domain.assignment import MICRO, allocate
from pullarm.domain.decision import Reason, Token
from pullarm.domain.decision_id import KeyRing
from pullarm.domain.experiment import (
    POLICY_NUMBERS,
    Arm,
    Catalogue,
    Experiment,
    PolicySpec,
    RewardDefinition,
    Spec,
    State,
    policy_weights,
)
from pullarm.domain.publication import Head, PosteriorCell, Publication, Published
from pullarm.domain.rebuild import Rebuilt, Sums
from pullarm.policies.draw import KERNEL
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import build
from pullarm.v1 import selection_pb2 as pb
from serving import requests
from serving.decider import Answer, decide
from serving.snapshot import Snapshot, serve
from tests.ledger_events import START_MS

KEYS = KeyRing(deployment=bytes(range(16)), sign=1, keys={1: bytes(range(32))})
ENTROPY = bytes(range(10))


class FixedClock:
    """A clock that stands until it is moved."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


TOKEN = Token(
    uid=START_MS.to_bytes(6, "big") + ENTROPY,
    experiment=7,
    allocation_epoch=1,
    assigned=1,
    acting=1,
    reason=Reason.ASSIGNED,
    learn_slots=1,
    unit_hash=5,
    cohort=0,
    arms=[2],
)
"""Of a decision by control that chose the second arm of experiment 7."""


def experiment(
    *policies: str | PolicySpec,
    number: int = 7,
    arms: Sequence[str] = ("one", "two", "three"),
    state: State = State.RUNNING,
    traffic_pct: float = 1.0,
    catalogue: Catalogue = Catalogue.CLOSED,
    reward: RewardDefinition | None = None,
    learn_slots: int = 1,
    config_no: int = 1,
) -> Experiment:
    """A running experiment on control alone, unless told otherwise; its key is `key-NUMBER`."""
    specs = [PolicySpec(name=p) if isinstance(p, str) else p for p in policies or ("control",)]
    spec = Spec(
        name=f"Experiment {number}",
        traffic_pct=traffic_pct,
        policies=tuple(specs),
        catalogue=catalogue,
        reward=reward or RewardDefinition(),
        learn_slots=learn_slots,
    )
    return Experiment(
        number=number,
        id=f"exp_{number}",
        key=f"key-{number}",
        state=state,
        spec=spec,
        config_no=config_no,
        allocation_epoch=1,
        guard_epoch=1,
        salt=b"0123456789abcdef",
        buckets=allocate(policy_weights(spec)),
        arms=tuple(Arm(arm_no=n, arm_id=arm_id) for n, arm_id in enumerate(arms, start=1)),
        created_at=datetime(2025, 10, 14, tzinfo=UTC),
        updated_at=datetime(2025, 10, 14, tzinfo=UTC),
    )


def cells(policy: str, *outcomes: tuple[float, float]) -> list[PosteriorCell]:
    """One policy's (serves, rewards) of arms 1, 2, ..."""
    number = POLICY_NUMBERS[policy]
    return [
        (number, arm_no, round(serves * MICRO), round(rewards * MICRO))
        for arm_no, (serves, rewards) in enumerate(outcomes, start=1)
    ]


def posterior(of: Experiment, given: Iterable[PosteriorCell], policy: int) -> Posterior:
    """One policy's posterior, zero where no cell is given."""
    pairs = np.zeros((len(of.arms), 2), dtype=np.int64)
    for cell_policy, arm_no, serves, rewards in given:
        if cell_policy == policy:
            pairs[arm_no - 1] = serves, rewards
    return Posterior(serves_micro=pairs[:, 0], rewards_micro=pairs[:, 1])


def grid(of: Experiment, given: Iterable[PosteriorCell], number: int = 1) -> Grid | None:
    """A grid for thompson's posterior; None where nobody needs one."""
    for spec in of.spec.policies:
        if spec.name == "thompson":
            thompson = build("thompson", spec.params)
            planned = thompson.plan_grid(
                posterior(of, given, POLICY_NUMBERS["thompson"]), previous=None
            )
            return planned.numbered(number) if planned else None
    return None


def head(of: Experiment, *, pub_no: int = 1, grid_no: int = 0, incarnation: str = "one") -> Head:
    """The version of a publication."""
    return Head(
        incarnation=incarnation,
        pub_no=pub_no,
        fold_no=pub_no,
        config_no=of.config_no,
        as_of_ms=START_MS,
        grid_no=grid_no,
        kernel=KERNEL,
        arms=len(of.arms),
    )


def publication(
    of: Experiment,
    given: Sequence[PosteriorCell] = (),
    *,
    pub_no: int = 1,
    complete: bool = True,
    planned: Grid | None = None,
    new_grid: bool = True,
    incarnation: str = "one",
    reconfigured: bool = False,
) -> Publication:
    """A publication; a complete one brings its own grid unless it is given one."""
    if complete and planned is None:
        planned = grid(of, given)
    return Publication(
        experiment=of,
        head=head(
            of, pub_no=pub_no, grid_no=planned.number if planned else 0, incarnation=incarnation
        ),
        previous_pub_no=pub_no - 1,
        complete=complete,
        reconfigured=reconfigured or complete,
        cells=list(given),
        grid=planned.to_bytes() if planned and new_grid else None,
    )


def published(
    of: Experiment,
    given: Sequence[PosteriorCell] = (),
    *,
    pub_no: int = 1,
    halt: State | None = None,
) -> Published:
    """What serving reads of a complete publication."""
    planned = grid(of, given)
    vectors = {}
    for policy in POLICY_NUMBERS.values():
        known = posterior(of, given, policy)
        pairs = zip(known.serves_micro.tolist(), known.rewards_micro.tolist(), strict=True)
        vectors[policy] = b"".join(pack("<qq", *pair) for pair in pairs)
    return Published(
        head=head(of, pub_no=pub_no, grid_no=planned.number if planned else 0),
        experiment=of,
        posteriors=vectors,
        grid=planned.to_bytes() if planned else None,
        halt=halt,
    )


def snapshot_of(*all_published: Published) -> Snapshot:
    """A complete snapshot of these publications."""
    served = [serve(one, None) for one in all_published]
    return Snapshot.of({one.experiment.number: one for one in served})


def query(
    *candidates: str,
    reference: str = "exp_7",
    user: str = "user",
    slots: int = 1,
    attributes: dict[str, str] | None = None,
    request_id: str = "",
) -> pb.SelectRequest:
    """A selection from experiment 7."""
    return pb.SelectRequest(
        experiment_id=reference,
        user_id=user,
        candidate_ids=candidates,
        slots=slots,
        attributes=attributes,
        request_id=request_id,
    )


def ask(
    snapshot: Snapshot,
    asked: pb.SelectRequest,
    *,
    entropy: bytes = ENTROPY,
    now_ms: int = START_MS,
) -> Answer:
    """The decision of one request, whichever way it is read."""
    served, read = requests.read(snapshot, asked.SerializeToString())
    checked = requests.query(asked, served.arms)
    answer = decide(served, read, now_ms, entropy)
    assert decide(served, checked, now_ms, entropy) == answer
    return answer


def entropies(count: int) -> list[bytes]:
    """As many different randomnesses."""
    return [number.to_bytes(10, "big") for number in range(count)]


def rebuilt_from(before: Sums, after: Sums) -> Rebuilt:
    """A rebuild where every hour counts whole."""
    weighed_before, weighed_after = (
        {cell: (serves * MICRO, rewards) for cell, (serves, rewards) in sums.items()}
        for sums in (before, after)
    )
    return Rebuilt(
        rebuild_no=1,
        fold_no=1,
        before=before,
        after=after,
        weighed_before=weighed_before,
        weighed_after=weighed_after,
        credits=1,
    )
