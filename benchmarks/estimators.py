"""How long off-policy estimates of a long log take, and in how much memory.

The log is made as it is read, so that no disk is timed; what that takes is measured by itself and taken off.
"""

import resource
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.sla import Limit
from replay.evaluation import Settings, evaluate
from replay.log import BanditLog, LogBatch, LogHead, batch
from replay.targets import Uniform

ROWS = 10_000_000
USERS = 1_000_000
LIMITS = (
    Limit(figure="seconds", at_most=15, unit="s"),
    Limit(figure="peak_mb", at_most=500, unit="MB"),
)
_BATCH = 1 << 16
_PROPENSITIES = np.array([0.5, 0.3, 0.2])


def measure(*, seed: int, rows: int = ROWS) -> dict[str, float]:
    """Seconds of every estimator, interval and gate over so many rows, and this process's peak memory in 10^6 bytes."""
    started = time.perf_counter()
    made = sum(len(each) for each in _batches(rows, seed))
    making_s = time.perf_counter() - started
    head = LogHead(
        name="made",
        arms=("a", "b", "c"),
        policies=("logger",),
        rows=made,
        offered="every",
        users_known=True,
    )
    log = BanditLog(head, lambda: _batches(rows, seed))
    started = time.perf_counter()
    evaluation = evaluate(
        log, Uniform(), logged_by=["logger"], settings=Settings(seed=seed), done=lambda _: None
    )
    report = evaluation.report()
    seconds = time.perf_counter() - started - making_s
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds,
        "peak_mb": peak_kib * 1024 / 1e6,
        "rows": float(made),
        "estimates": float(len(report.estimates)),
    }


def _batches(rows: int, seed: int) -> Iterator[LogBatch]:
    rng = np.random.default_rng(seed)
    for first in range(0, rows, _BATCH):
        n = min(_BATCH, rows - first)
        action = rng.choice(3, size=n, p=_PROPENSITIES)
        yield batch(
            action=action,
            propensity=_PROPENSITIES[action],
            reward=rng.random(n) < 0.1,
            user=rng.integers(USERS, size=n),
        )
