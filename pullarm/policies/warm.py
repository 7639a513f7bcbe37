"""Kernels compiled, or loaded from the cache, before the first request needs them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.policies import registry
from pullarm.policies.base import Policy
from pullarm.policies.control import Control
from pullarm.policies.draw import UID_BYTES, choose, choose_each
from pullarm.policies.posterior import Posterior


def every_policy() -> list[Policy]:
    """One of each that has kernels of its own."""
    return [*(registry.build(name, {}) for name in POLICY_NUMBERS), Control(mode="uniform")]


def warm_up(policies: Sequence[Policy] | None = None) -> None:
    """Run policies, all where none are given, once in every way they are asked, from planning to a slate.

    Half a minute when nothing is cached, half a second otherwise.
    """
    serves = np.array([0, 3, 40, 500], dtype=np.int64) * MICRO
    posterior = Posterior(serves_micro=serves, rewards_micro=serves // 4)
    later = Posterior(serves_micro=serves + MICRO, rewards_micro=serves // 4)
    for policy in policies or every_policy():
        grid = policy.plan_grid(posterior, None)
        prepared = policy.prepare(posterior, grid=grid)
        prepared = policy.prepare(later, grid=grid, previous=prepared)
        for candidates in ([2, 0, 1], None):
            for slots in (1, 2):
                choose(policy, prepared, candidates, slots=slots, uid=bytes(UID_BYTES))
        choose_each(policy, prepared, [np.array([2, 0, 1])], [bytes(UID_BYTES)])
