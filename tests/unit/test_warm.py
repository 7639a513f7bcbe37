"""Once warmed up, a process has nothing left to compile or load, however it is asked."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]


def _kernels() -> Iterator[tuple[str, int]]:
    """Every compiled function of the package and how many signatures it has."""
    for name, module in sorted(sys.modules.items()):
        if name.startswith("pullarm.policies.") and isinstance(module, ModuleType):
            for key, value in sorted(vars(module).items()):
                if getattr(getattr(value, "py_func", None), "__module__", None) == name:
                    yield f"{name}.{key}", len(value.signatures)


def _ask_in_every_way() -> None:
    from pullarm.policies import registry
    from pullarm.policies.control import Control
    from pullarm.policies.draw import choose
    from pullarm.policies.grid import Grid
    from pullarm.policies.posterior import Posterior
    from pullarm.policies.thompson import Thompson
    from pullarm.policies.ucb import Ucb

    rng = np.random.default_rng(1)
    vector = np.frombuffer(rng.integers(0, 10**8, 80).astype("<i8").tobytes(), dtype="<i8")
    pairs = np.sort(vector.reshape(-1, 2), axis=1)
    old = Posterior(serves_micro=pairs[:30, 1], rewards_micro=pairs[:30, 0])
    new = Posterior(serves_micro=pairs[:, 1], rewards_micro=pairs[:, 0] // 2)
    policies = [registry.build(name, {}) for name in ("control", "thompson", "egreedy", "ucb")]
    policies += [Control(mode="uniform"), Thompson(prior_alpha=2, floor=0), Ucb(exploration=1)]
    for policy in policies:
        planned = policy.plan_grid(new, policy.plan_grid(old, None))
        grid = planned and Grid.from_bytes(1, planned.to_bytes())
        ready = policy.prepare(new, grid=grid, previous=policy.prepare(old, grid=grid))
        rows = [3, 1, 1, 39]
        given: list[Any] = [
            rows,
            tuple(rows),
            range(40),
            np.array(rows),
            np.array(rows, dtype=np.int32),
            None,
        ]
        for candidates in given:
            for slots in (1, 2, 40):
                choose(policy, ready, candidates, slots=slots, uid=rng.bytes(16))


def main() -> None:
    """Print what has other signatures after the requests than after the warm-up."""
    from pullarm.policies.warm import warm_up

    warm_up()
    warm = dict(_kernels())
    assert len(warm) > 30
    _ask_in_every_way()
    print({name: (warm.get(name), n) for name, n in _kernels() if warm.get(name) != n})


def test_requests_find_every_kernel_loaded() -> None:
    asked = [sys.executable, "-c", "from tests.unit import test_warm; test_warm.main()"]
    ran = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert (ran.stdout.strip(), ran.stderr) == ("{}", "")
