"""What a rebuild means for the policies: each arm that changed, with what its policy made of it before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import POLICY_NAMES, Experiment
from pullarm.domain.publication import warmed
from pullarm.domain.rebuild import Rebuilt, Sums, Weighed
from pullarm.policies.base import Offer
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import build, check

Warm = Weighed
"""With the arms' pseudo-counts: as published."""


class Belief(NamedTuple):
    """What a policy makes of an arm's serves and rewards."""

    alpha: float | None
    """Of the Beta posterior; None for a policy without a prior."""
    beta: float | None
    mean: float | None
    """Expected reward; None for an arm never served by a policy without a prior."""


def belief(params: Mapping[str, float | str], serves: float, rewards: float) -> Belief:
    """From an arm's serves and summed credits, under a policy's complete parameters."""
    if "prior_alpha" not in params:
        return Belief(None, None, rewards / serves if serves else None)
    alpha = float(params["prior_alpha"]) + rewards
    beta = float(params["prior_beta"]) + serves - rewards
    return Belief(alpha, beta, alpha / (alpha + beta))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmFigures:
    """One arm under one policy."""

    serves: int
    rewards: float
    """Both as the ledger has them."""
    belief: Belief
    """As published: under the weights of hours, and with the arm's pseudo-counts."""
    weight: float | None
    """The probability that the policy chooses it where all active arms are offered; None where it is not among them, or
    that cannot be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmChange:
    """One arm under one policy, before and after a rebuild."""

    policy: str
    arm_no: int
    arm_id: str | None
    """None for an unlisted candidate."""
    before: ArmFigures
    after: ArmFigures


def arm_changes(experiment: Experiment, rebuilt: Rebuilt) -> list[ArmChange]:
    """The arms that a rebuild changed, by policy and arm number."""
    names = {arm.arm_no: arm.arm_id for arm in experiment.arms}
    policies = {policy for policy, _ in rebuilt.changed}
    warm_before = _warm(experiment, rebuilt.weighed_before)
    warm_after = _warm(experiment, rebuilt.weighed_after)
    before = {policy: _weights(experiment, policy, warm_before) for policy in policies}
    after = {policy: _weights(experiment, policy, warm_after) for policy in policies}
    return [
        ArmChange(
            policy=POLICY_NAMES[policy],
            arm_no=arm,
            arm_id=names.get(arm),
            before=_figures(experiment, (policy, arm), rebuilt.before, warm_before, before[policy]),
            after=_figures(experiment, (policy, arm), rebuilt.after, warm_after, after[policy]),
        )
        for policy, arm in rebuilt.changed
    ]


def _warm(experiment: Experiment, weighed: Weighed) -> Warm:
    cells = [(*cell, *sums) for cell, sums in weighed.items()]
    return {(policy, arm): (n, s) for policy, arm, n, s in warmed(cells, experiment.arms)}


def _figures(
    experiment: Experiment,
    cell: tuple[int, int],
    sums: Sums,
    warm: Warm,
    weights: Mapping[int, float],
) -> ArmFigures:
    serves, rewards_micro = sums.get(cell, (0, 0))
    believed = [micro / MICRO for micro in warm.get(cell, (0, 0))]
    name = POLICY_NAMES[cell[0]]
    params = check(name, experiment.spec.params_of(name))
    return ArmFigures(
        serves=serves,
        rewards=rewards_micro / MICRO,
        belief=belief(params, *believed),
        weight=weights.get(cell[1]),
    )


def _weights(experiment: Experiment, number: int, warm: Warm) -> dict[int, float]:
    """By number of the active arms; empty where a posterior was so damaged that no policy takes it."""
    arms = [arm.arm_no for arm in experiment.active()]
    if not arms:
        return {}
    found = np.array([warm.get((number, arm), (0, 0)) for arm in arms], dtype=np.int64)
    try:
        posterior = Posterior(serves_micro=found[:, 0], rewards_micro=found[:, 1])
    except ValueError:
        return {}
    name = POLICY_NAMES[number]
    policy = build(name, experiment.spec.params_of(name))
    prepared = policy.prepare(posterior, grid=policy.plan_grid(posterior, None))
    own: NDArray[np.float64] = prepared.weights(Offer.of(np.arange(len(arms))))
    weights = (1.0 - policy.floor) * own + policy.floor / len(arms)
    return dict(zip(arms, weights.tolist(), strict=True))
