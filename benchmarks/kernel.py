"""Thompson's decision beside numpy's sampling and, where it is installed, MABWiser's.

All run in the same process, in turn, so that whatever else the machine does hits all of them;
the median round counts. What one call does, and what it leaves to be logged:

- ours: `choose`. It arranges the candidates, integrates P(best) of each, mixes in the floor, makes
  integers of the weights and draws. It logs the drawn arm's exact probability; so it does for a
  caller who names no candidates, where `prepare` has done all but the draw.
- numpy: `rng.beta(alpha, beta).argmax()` on arrays made ready before. It logs no probability.
- MABWiser: `MAB.predict()` of its Thompson sampling, after `fit`, over all its arms. It logs no
  probability.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np

from pullarm.domain.assignment import MICRO
from pullarm.policies.base import Offer
from pullarm.policies.draw import choose
from pullarm.policies.posterior import Posterior
from pullarm.policies.thompson import Thompson

# (arms in the catalogue, candidates of the decision)
SIZES = ((10, 10), (100, 100), (1000, 1000), (10_000, 10_000), (1000, 100))
_MABWISER = "mabwiser"
_ROUND_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Medians over the rounds, in microseconds a decision."""

    arms: int
    candidates: int
    weights_us: float
    """P(best) of each candidate alone."""
    decision_us: float
    """Ours; the drawn arm's exact probability is logged."""
    catalogue_us: float
    """Ours where the caller names no candidates, so that all arms are offered."""
    numpy_us: float
    """numpy's; nothing is logged."""
    mabwiser_us: float | None
    """MABWiser's; nothing is logged. None where it is not installed."""

    @property
    def ratio(self) -> float:
        """Our whole decision over numpy's sampling."""
        return self.decision_us / self.numpy_us

    def as_dict(self) -> dict[str, float]:
        """The fields that were measured, and the ratio."""
        measured = {name: value for name, value in asdict(self).items() if value is not None}
        return {**measured, "ratio": self.ratio}


def measure(*, rounds: int, seed: int = 1) -> list[Timing]:
    """Time every size of SIZES on click-rate posteriors of 100 to 5,000 serves."""
    rng = np.random.default_rng(seed)
    return [_timing(rng, arms, candidates, rounds) for arms, candidates in SIZES]


def table(timings: list[Timing]) -> str:
    """Timings as aligned text."""
    heads = (
        "arms",
        "candidates",
        "weights",
        "ours",
        "none named",
        "numpy",
        "MABWiser",
        "ours/numpy",
    )
    lines = ["microseconds a decision", "".join(head.rjust(12) for head in heads)]
    for timing in timings:
        cells = (
            f"{timing.arms:,}",
            f"{timing.candidates:,}",
            f"{timing.weights_us:.1f}",
            f"{timing.decision_us:.1f}",
            f"{timing.catalogue_us:.1f}",
            f"{timing.numpy_us:.1f}",
            "-" if timing.mabwiser_us is None else f"{timing.mabwiser_us:.1f}",
            f"{timing.ratio:.2f}",
        )
        lines.append("".join(cell.rjust(12) for cell in cells))
    lines.append("weights: P(best) of each candidate alone, a part of ours")
    lines.append("ours: exact P(best), floor and draw; the drawn arm's exact probability is logged")
    lines.append("none named: ours, for a caller who offers all arms; logs the same")
    lines.append("numpy: one beta draw an arm and argmax; no probability is logged")
    lines.append("MABWiser: predict of its Thompson sampling (- if not installed); none is logged")
    return "\n".join(lines)


def _timing(rng: np.random.Generator, arms: int, candidates: int, rounds: int) -> Timing:
    serves = rng.integers(100, 5000, arms)
    rewards = rng.binomial(serves, rng.beta(10.0, 90.0, arms))
    posterior = Posterior(serves_micro=serves * MICRO, rewards_micro=rewards * MICRO)
    policy = Thompson()
    prepared = policy.prepare(posterior, grid=policy.plan_grid(posterior, None))
    rows = rng.choice(arms, candidates, replace=False)
    asked, uid = rows.tolist(), rng.bytes(16)
    alpha, beta = 1.0 + rewards[rows], 1.0 + (serves - rewards)[rows]
    offer = Offer.of(rows)
    calls: list[Callable[[], object]] = [
        lambda: prepared.weights(offer),
        lambda: choose(policy, prepared, asked, slots=1, uid=uid),
        lambda: choose(policy, prepared, None, slots=1, uid=uid),
        lambda: rng.beta(alpha, beta).argmax(),
    ]
    if find_spec(_MABWISER):
        calls.append(_mabwiser(len(rows)))
    weights, decision, catalogue, sampled, *predicted = _medians(calls, rounds)
    return Timing(
        arms=arms,
        candidates=candidates,
        weights_us=weights,
        decision_us=decision,
        catalogue_us=catalogue,
        numpy_us=sampled,
        mabwiser_us=predicted[0] if predicted else None,
    )


def _mabwiser(n_arms: int) -> Callable[[], object]:
    """Its prediction, fitted to two outcomes an arm: its time does not depend on how many."""
    mab: Any = import_module("mabwiser.mab")
    bandit = mab.MAB(list(range(n_arms)), mab.LearningPolicy.ThompsonSampling(), seed=1)
    bandit.fit(np.repeat(np.arange(n_arms), 2), np.tile([0, 1], n_arms))
    predict: Callable[[], object] = bandit.predict
    return predict


def _medians(calls: list[Callable[[], object]], rounds: int) -> list[float]:
    """Microseconds a call, each the median of rounds taken in turn."""
    repeats = [max(1, int(_ROUND_S / _elapsed(call, 5) * 5)) for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for taken, call, repeat in zip(times, calls, repeats, strict=True):
            taken.append(_elapsed(call, repeat) / repeat * 1e6)
    return [median(taken) for taken in times]


def _elapsed(call: Callable[[], object], repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        call()
    return time.perf_counter() - start
