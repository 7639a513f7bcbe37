"""Thompson's weights and draw beside numpy's sampling, which logs no propensity.

Both run in the same process, in turn, so that whatever else the machine does hits both; the
median round counts. One decision of ours is `choose`: arranging the candidates, P(best) of each,
integers, draw. One of numpy's is `rng.beta(alpha, beta).argmax()` on arrays made ready before.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np

from pullarm.domain.assignment import MICRO
from pullarm.policies.base import Offer
from pullarm.policies.draw import choose
from pullarm.policies.posterior import Posterior
from pullarm.policies.thompson import Thompson

# (arms in the catalogue, candidates of the decision)
SIZES = ((10, 10), (100, 100), (1000, 1000), (1000, 100), (10_000, 100))
_ROUND_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Medians over the rounds, in microseconds a decision."""

    arms: int
    candidates: int
    weights_us: float
    decision_us: float
    numpy_us: float

    @property
    def ratio(self) -> float:
        """Our whole decision over numpy's sampling."""
        return self.decision_us / self.numpy_us

    def as_dict(self) -> dict[str, float]:
        """The fields and the ratio."""
        return {**asdict(self), "ratio": self.ratio}


def measure(*, rounds: int, seed: int = 1) -> list[Timing]:
    """Time every size of SIZES on click-rate posteriors of 100 to 5,000 serves."""
    rng = np.random.default_rng(seed)
    return [_timing(rng, arms, candidates, rounds) for arms, candidates in SIZES]


def table(timings: list[Timing]) -> str:
    """Timings as aligned text."""
    heads = ("arms", "candidates", "weights us", "decision us", "numpy us", "ours / numpy")
    lines = ["".join(head.rjust(14) for head in heads)]
    for timing in timings:
        cells = (
            f"{timing.arms:,}",
            f"{timing.candidates:,}",
            f"{timing.weights_us:.1f}",
            f"{timing.decision_us:.1f}",
            f"{timing.numpy_us:.1f}",
            f"{timing.ratio:.2f}",
        )
        lines.append("".join(cell.rjust(14) for cell in cells))
    lines.append("numpy: one beta draw an arm and argmax; it logs no propensity")
    return "\n".join(lines)


def _timing(rng: np.random.Generator, arms: int, candidates: int, rounds: int) -> Timing:
    serves = rng.integers(100, 5000, arms)
    rewards = rng.binomial(serves, rng.beta(10.0, 90.0, arms))
    posterior = Posterior(serves_micro=serves * MICRO, rewards_micro=rewards * MICRO)
    policy = Thompson()
    prepared = policy.prepare(posterior, grid=policy.plan_grid(posterior, None))
    rows = rng.choice(arms, candidates, replace=False)
    asked, offer, uid = rows.tolist(), Offer.of(rows), rng.bytes(16)
    alpha, beta = 1.0 + rewards[rows], 1.0 + (serves - rewards)[rows]
    weights, decision, sampled = _medians(
        (
            lambda: prepared.weights(offer),
            lambda: choose(policy, prepared, asked, slots=1, uid=uid),
            lambda: rng.beta(alpha, beta).argmax(),
        ),
        rounds,
    )
    return Timing(
        arms=arms,
        candidates=candidates,
        weights_us=weights,
        decision_us=decision,
        numpy_us=sampled,
    )


def _medians(calls: tuple[Callable[[], object], ...], rounds: int) -> list[float]:
    """Microseconds a call, each the median of rounds taken in turn."""
    repeats = [max(1, int(_ROUND_S / _elapsed(call, 20) * 20)) for call in calls]
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
