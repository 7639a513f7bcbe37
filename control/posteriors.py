"""What the policies have learned, as it was published for serving."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from control.analysis_views import Interval
from pullarm.domain.assignment import MICRO
from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import POLICY_NUMBERS, Arm, ArmStatus, Experiment
from pullarm.domain.publication import Head, Published

Doubles = NDArray[np.float64]
KEPT = 64
"""Experiments whose posteriors are kept worked out; of ten thousand arms that is two megabytes each."""
_TAILS = (0.025, 0.975)
_UNIFORM = 1.0  # of policies that have no prior of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmPosterior:
    """What a policy makes of one arm, as published."""

    arm_no: int
    id: str
    status: str
    serves: float
    """As they count: under the weights of hours, and with the arm's pseudo-counts."""
    rewards: float
    mean: float
    """Of the posterior."""
    interval: Interval
    """The posterior's 2.5 % and 97.5 % quantiles."""
    best: float | None
    """The probability that of the active arms this one pays best, within 0.001; None for one that is not active."""
    share: float | None
    """The probability that it is chosen first where all active arms are offered; None for one that is not active."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPosterior:
    """What one policy has learned."""

    params: dict[str, float | str]
    prior: tuple[float, float]
    """Of its Beta posterior; (1, 1) to read what a policy without a prior has learned."""
    total: int
    """How many arms there are, of which at most `limit` are listed."""
    arms: tuple[ArmPosterior, ...]
    """Those it chooses most often first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoliciesView:
    """Posteriors as serving has them."""

    experiment: str
    posterior_version: int
    """0 before the first publication."""
    fold_no: int
    as_of: datetime | None
    policies: dict[str, PolicyPosterior]


class Board(Protocol):
    """Where serving reads what is published. Away, it raises Unavailable."""

    async def read(self, number: int, have: Head | None) -> Published | None:
        """One experiment as it was published last; raises ValueError where that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learned:
    """One policy's posterior, by row; row r is arm number r + 1."""

    params: dict[str, float | str]
    serves: Doubles  # (n_arms,)
    rewards: Doubles  # (n_arms,)
    prior: tuple[float, float]
    mean: Doubles  # (n_arms,)
    interval: tuple[Doubles, Doubles]  # (n_arms,) each
    best: Doubles  # (n_arms,) NaN for arms that are not active
    share: Doubles  # (n_arms,) likewise


class Posteriors:
    """Answers posteriors; what is worked out of a publication is kept until the next one, of so many experiments."""

    def __init__(self, board: Board, *, kept: int = KEPT) -> None:
        self._board = board
        self._most = kept
        self._kept: dict[int, tuple[Head, dict[str, _Learned]]] = {}
        """By experiment, those asked for last at the end."""

    async def of(
        self,
        experiment: Experiment,
        *,
        policy: str | None,
        arms: Sequence[int] | None,
        limit: int,
    ) -> PoliciesView:
        """Of the policies that have traffic.

        Raises Unavailable while the board is away or damaged.
        """
        published = await self._published(experiment)
        if published is None:
            return PoliciesView(
                experiment=experiment.id, posterior_version=0, fold_no=0, as_of=None, policies={}
            )
        learned = await self._learned(experiment, published)
        head = published.head
        return PoliciesView(
            experiment=experiment.id,
            posterior_version=head.pub_no,
            fold_no=head.fold_no,
            as_of=datetime.fromtimestamp(head.as_of_ms / 1000, UTC),
            policies={
                name: _view(each, experiment.arms[: head.arms], arms, limit)
                for name, each in learned.items()
                if policy in (None, name)
            },
        )

    async def _published(self, experiment: Experiment) -> Published | None:
        try:
            return await self._board.read(experiment.number, None)
        except ValueError as error:
            raise Unavailable(
                f"what is published cannot be read ({error}); workers make it good, or `pullarm republish`"
            ) from error

    async def _learned(self, experiment: Experiment, published: Published) -> dict[str, _Learned]:
        kept = self._kept.pop(experiment.number, None)
        if kept is None or kept[0] != published.head:
            # A second for ten thousand arms, of which others must not wait.
            kept = published.head, await asyncio.to_thread(_learn, published)
        self._kept[experiment.number] = kept
        for number in list(self._kept)[: -self._most]:
            del self._kept[number]
        return kept[1]


def _learn(published: Published) -> dict[str, _Learned]:
    experiment = published.experiment
    assert experiment is not None  # it was read whole
    active = np.array([arm.arm_no - 1 for arm in experiment.active()], dtype=np.int64)
    names = [each.name for each in experiment.spec.policies if each.weight > 0]
    return {name: _learn_one(published, experiment, name, active) for name in names}


def _learn_one(
    published: Published, experiment: Experiment, name: str, active: NDArray[np.int64]
) -> _Learned:
    # Imported here because numba takes a second, and a control plane may be up before anybody asks.
    from scipy import special

    from pullarm.policies.base import Offer, Policy
    from pullarm.policies.posterior import Posterior
    from pullarm.policies.registry import build, check

    posterior = Posterior.from_bytes(published.posteriors[POLICY_NUMBERS[name]])
    params = check(name, experiment.spec.params_of(name))
    serves, rewards = posterior.serves_micro / MICRO, posterior.rewards_micro / MICRO

    def chosen(policy: Policy, floor: float) -> Doubles:
        weights = np.full(posterior.n_arms, np.nan)
        if len(active):
            prepared = policy.prepare(posterior, grid=policy.plan_grid(posterior, None))
            own = prepared.weights(Offer.of(active))
            weights[active] = (1.0 - floor) * own + floor / len(active)
        return weights

    policy = build(name, params)
    prior = {each: float(params.get(each, _UNIFORM)) for each in ("prior_alpha", "prior_beta")}
    alpha, beta = prior["prior_alpha"] + rewards, prior["prior_beta"] + serves - rewards
    low, high = (special.betaincinv(alpha, beta, tail) for tail in _TAILS)
    return _Learned(
        params=params,
        serves=serves,
        rewards=rewards,
        prior=(prior["prior_alpha"], prior["prior_beta"]),
        mean=alpha / (alpha + beta),
        interval=(low, high),
        best=chosen(build("thompson", prior), 0.0),
        share=chosen(policy, policy.floor),
    )


def _view(
    learned: _Learned, arms: Sequence[Arm], wanted: Sequence[int] | None, limit: int
) -> PolicyPosterior:
    rows = [
        row
        for row, arm in enumerate(arms)
        if (arm.arm_no in wanted if wanted is not None else arm.status is not ArmStatus.RETIRED)
    ]
    rows.sort(key=lambda row: (-np.nan_to_num(learned.share[row]), row))
    return PolicyPosterior(
        params=learned.params,
        prior=learned.prior,
        total=len(rows),
        arms=tuple(_arm(learned, arms[row], row) for row in rows[:limit]),
    )


def _arm(learned: _Learned, arm: Arm, row: int) -> ArmPosterior:
    return ArmPosterior(
        arm_no=arm.arm_no,
        id=arm.arm_id,
        status=arm.status.value,
        serves=float(learned.serves[row]),
        rewards=float(learned.rewards[row]),
        mean=float(learned.mean[row]),
        interval=(float(learned.interval[0][row]), float(learned.interval[1][row])),
        best=_told(learned.best, row),
        share=_told(learned.share, row),
    )


def _told(values: Doubles, row: int) -> float | None:
    return None if np.isnan(values[row]) else float(values[row])
