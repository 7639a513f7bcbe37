"""Kernels compiled, or loaded from numba's cache, before the first request needs them."""

from __future__ import annotations

import numpy as np

from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.policies import registry
from pullarm.policies.draw import UID_BYTES, choose
from pullarm.policies.posterior import Posterior


def warm_up() -> None:
    """Run every policy once, from planning to a slate.

    Seconds when nothing is cached, half a second otherwise.
    """
    serves = np.array([0, 3, 40, 500], dtype=np.int64) * MICRO
    posterior = Posterior(serves_micro=serves, rewards_micro=serves // 4)
    later = Posterior(serves_micro=serves + MICRO, rewards_micro=serves // 4)
    for name in POLICY_NUMBERS:
        policy = registry.build(name, {})
        grid = policy.plan_grid(posterior, None)
        prepared = policy.prepare(posterior, grid=grid)
        prepared = policy.prepare(later, grid=grid, previous=prepared)
        choose(policy, prepared, [2, 0, 1], slots=2, uid=bytes(UID_BYTES))
