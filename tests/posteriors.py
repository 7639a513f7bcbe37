"""Posteriors of the classes that the policies are held against."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.policies.base import Policy, Prepared
from pullarm.policies.posterior import Posterior


def posterior(
    serves: Sequence[float] | NDArray[np.number], rewards: Sequence[float] | NDArray[np.number]
) -> Posterior:
    """A posterior from serves and rewards an arm, in units; millionths are the finest."""
    return Posterior(
        serves_micro=np.rint(np.asarray(serves) * MICRO).astype(np.int64),
        rewards_micro=np.rint(np.asarray(rewards) * MICRO).astype(np.int64),
    )


def prepared(policy: Policy, given: Posterior) -> Prepared:
    """`given` prepared on a grid planned for it."""
    return policy.prepare(given, grid=policy.plan_grid(given, None))


def drawn_posterior(
    rng: np.random.Generator, serves: NDArray[np.float64], rates: NDArray[np.float64]
) -> Posterior:
    """Rewards drawn binomially from true rates, (n_arms,) each."""
    return posterior(serves, rng.binomial(serves.astype(np.int64), rates))


def classes(rng: np.random.Generator, n_arms: int) -> dict[str, Posterior]:
    """One posterior of each class, `n_arms` arms each."""

    def drawn(serves: NDArray[np.float64] | float, rates: NDArray[np.float64] | float) -> Posterior:
        shape = (n_arms,)
        return drawn_posterior(
            rng, np.broadcast_to(serves, shape).astype(float), np.broadcast_to(rates, shape)
        )

    spread, anywhere = rng.uniform(0.02, 0.2, n_arms), rng.uniform(0.0, 1.0, n_arms)
    any_number = np.floor(10.0 ** rng.uniform(0.0, 6.0, n_arms))
    return {
        "flat": drawn(0.0, 0.1),
        "wide": drawn(rng.integers(0, 12, n_arms).astype(float), 0.3),
        "click rates": drawn(400.0, rng.beta(20.0, 380.0, n_arms)),
        "mature, spread": drawn(1e5, spread),
        "mature, anywhere": drawn(1e5, anywhere),
        "mature, tied": drawn(1e5, 0.1),
        "mature, no success": drawn(1e5, 0.0),
        "old, spread": drawn(1e6, spread),
        "old, tied": drawn(1e6, 0.1),
        "ten and a million": drawn(np.where(rng.random(n_arms) < 0.5, 10.0, 1e6), spread),
        "one to a million": drawn(any_number, anywhere),
    }
