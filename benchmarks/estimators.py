"""How long off-policy estimates of a long log take, and in how much memory.

The log is made as it is read, so that no disk is timed; what that takes is measured by itself and taken off.
"""

import resource
import time
from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.sla import Limit
from replay.evaluating import evaluate
from replay.evaluation import Settings
from replay.log import BanditLog, LogBatch, LogHead, batch
from replay.log_table import BATCH_ROWS, PART_ROWS
from replay.targets import Uniform

ROWS = 10_000_000
USERS = 1_000_000
LIMITS = (
    Limit(figure="estimators seconds", at_most=15, unit="s"),
    Limit(figure="estimators peak_mb", at_most=500, unit="MB"),
)
_PROPENSITIES = np.array([0.5, 0.3, 0.2])


def measure(*, seed: int, rows: int = ROWS) -> dict[str, float]:
    """Seconds of every estimator, interval and gate over so many rows, and this process's peak memory in 10^6 bytes."""
    started = time.perf_counter()
    log = _log(rows, seed)
    made = sum(len(each) for each in log.batches())
    making_s = time.perf_counter() - started
    started = time.perf_counter()
    evaluation = evaluate(
        log, Uniform(), logged_by=["logger"], settings=Settings(seed=seed), done=lambda _: None
    )
    report = evaluation.report()
    seconds = time.perf_counter() - started - making_s
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "estimators seconds": seconds,
        "estimators peak_mb": peak_kib * 1024 / 1e6,
        "estimators rows": float(made),
        "estimators estimates": float(len(report.estimates)),
    }


def _log(rows: int, seed: int) -> BanditLog:
    head = LogHead(
        name="made",
        arms=("a", "b", "c"),
        policies=("logger",),
        rows=rows,
        offered="every",
        users_known=True,
    )
    firsts = range(0, rows, PART_ROWS)
    parts = [partial(_part, first, min(first + PART_ROWS, rows), seed) for first in firsts]
    return BanditLog(head, parts)


def _part(first: int, end: int, seed: int) -> Iterator[LogBatch]:
    rng = np.random.default_rng((seed, first))
    for start in range(first, end, BATCH_ROWS):
        n = min(BATCH_ROWS, end - start)
        action = rng.choice(3, size=n, p=_PROPENSITIES)
        yield batch(
            action=action,
            propensity=_PROPENSITIES[action],
            reward=rng.random(n) < 0.1,
            user=rng.integers(USERS, size=n),
        )
