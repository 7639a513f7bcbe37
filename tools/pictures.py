"""Draw the pictures of docs/concepts.md with the platform's own functions; `--check` only compares.

They are SVG files that follow the reader's light or dark theme.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import BUCKETS, MICRO, allocate
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.policies.base import Offer
from pullarm.policies.draw import integer_weights
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import build
from pullarm.statistics.delay import estimate
from pullarm.statistics.group_sequential import bounds, obrien_fleming

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
WIDTH = 720
HOUR_MS = 3_600_000
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.note { fill: #59636e } .axis { stroke: #818b98; fill: none }
.control { fill: #818b98 } .thompson { fill: #0969da } .egreedy { fill: #bf8700 } .ucb { fill: #8250df }
.good { stroke: #0969da } .bad { stroke: #cf222e } .line { fill: none; stroke-width: 2 }
.moved { stroke: #cf222e; stroke-width: 2 } .area { fill: #0969da; fill-opacity: .12 } .dash { stroke-dasharray: 5 4 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .note { fill: #9198a1 } .axis { stroke: #656c76 }
.control { fill: #656c76 } .thompson { fill: #4493f8 } .egreedy { fill: #d29922 } .ucb { fill: #ab7df8 }
.good { stroke: #4493f8 } .bad, .moved { stroke: #f85149 } .area { fill: #4493f8; fill-opacity: .2 }
}"""


class Svg:
    """A picture that is put together element by element."""

    def __init__(self, height: int, title: str) -> None:
        self._height, self._title = height, title
        self._parts: list[str] = []

    def text(self, x: float, y: float, said: str, *, kind: str = "", anchor: str = "start") -> None:
        named = f' class="{kind}"' if kind else ""
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        self._parts.append(f"<text {place}{named}>{escape(said)}</text>")

    def rect(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        size = f'width="{width:.1f}" height="{height:.1f}"'
        self._parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} class="{kind}"/>')

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        said = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline points="{said}" class="{kind}"/>')

    def area(self, points: Sequence[tuple[float, float]]) -> None:
        said = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polygon points="{said}" class="area"/>')

    def __str__(self) -> str:
        box = f'viewBox="0 0 {WIDTH} {self._height}" role="img"'
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" {box}>\n<title>{escape(self._title)}</title>'
        )
        return "\n".join([head, f"<style>{_STYLE}\n</style>", *self._parts, "</svg>\n"])


def assignment() -> Svg:
    """The buckets before and after a change of weights."""
    names = {number: name for name, number in POLICY_NUMBERS.items()}
    before = allocate(dict.fromkeys(names, 1.0))
    after = allocate({**dict.fromkeys(names, 1.0), POLICY_NUMBERS["thompson"]: 2.0}, before)
    first = next(n for n in range(BUCKETS) if before[n] != after[n])
    moved = sum(old != new for old, new in zip(before, after, strict=True))
    picture = Svg(
        205, "Buckets and the policies that they have, before and after a change of weights"
    )
    picture.text(
        0, 16, "user id and salt -> one of 10,000 buckets -> the policy that the bucket has"
    )
    shown = 60
    for row, (table, said) in enumerate(
        ((before, "weights 1 : 1 : 1 : 1"), (after, "thompson's weight is 2 now"))
    ):
        top = 40 + row * 62
        picture.text(
            0, top + 10, f"{said}; {shown} buckets around the first that moves", kind="note"
        )
        for place, bucket in enumerate(range(first - shown // 2, first + shown // 2)):
            kind = names[table[bucket]] + (" moved" if table[bucket] != before[bucket] else "")
            picture.rect(place * 12 + 1, top + 18, 10, 18, kind)
    for place, name in enumerate(POLICY_NUMBERS):
        picture.rect(place * 110, 166, 12, 12, name)
        picture.text(place * 110 + 18, 177, name)
    share = f"{moved:,} of {BUCKETS:,} buckets moved (outlined); everybody else keeps the policy"
    picture.text(0, 200, share, kind="note")
    return picture


def propensity() -> Svg:
    """What Thompson sampling believes, and the probability that it is drawn with."""
    sums = {"a": (40, 3), "b": (50, 9), "c": (45, 4), "d": (200, 24)}
    serves, rewards = np.array(list(sums.values()), dtype=np.int64).T * MICRO
    posterior = Posterior(serves_micro=serves, rewards_micro=rewards)
    policy = build("thompson", {})
    prepared = policy.prepare(posterior, grid=policy.plan_grid(posterior, None))
    weights = prepared.weights(Offer.of(range(len(sums))))
    integers = integer_weights(weights, policy.floor)
    drawn = [int(each) / int(integers.sum()) for each in integers]
    picture = Svg(214, "The probability that an arm is the best, and that with which it is drawn")
    picture.text(
        0, 16, "posterior -> P(best) -> floor -> integer weights -> one draw, logged as it was made"
    )
    picture.text(150, 40, "P(best)", kind="note")
    picture.text(430, 40, f"propensity, with a floor of {policy.floor:g}", kind="note")
    for row, (name, (n, s)) in enumerate(sums.items()):
        top = 52 + row * 36
        picture.text(0, top + 15, f"{name}: {s} of {n}")
        for left, value in ((150, float(weights[row])), (430, drawn[row])):
            picture.rect(left, top, 220 * value, 20, "thompson")
            picture.text(left + 220 * value + 6, top + 15, f"{value:.4f}")
    note = f"b: {int(integers[1])} / {int(integers.sum())}, two integers: exact, not an estimate"
    picture.text(0, 204, note, kind="note")
    return picture


def maturity() -> Svg:
    """The share of rewards that have come by a decision's age, as seen and as it is."""
    random, now_ms = np.random.default_rng(7), 24 * HOUR_MS
    decided = np.sort(random.integers(0, now_ms, 4_000))
    received = decided + random.exponential(5 * HOUR_MS, 4_000).astype(np.int64)
    came = received <= now_ms
    delays = estimate(decided[came], received[came], now_ms)
    assert delays is not None  # there are thousands of rewards
    seen = np.sort(received[came] - decided[came])
    ages = np.linspace(0, 24, 97)
    plain = np.searchsorted(seen, ages * HOUR_MS, "right") / len(seen)
    index = np.searchsorted(delays.seen_ms, ages * HOUR_MS, "right") - 1
    fair = np.where(index < 0, 0.0, delays.reached[np.maximum(index, 0)])
    picture = Svg(266, "How much of a decision's reward has come by its age")
    picture.text(
        0, 16, "rewards that have come, by the age of their decision, on an experiment's first day"
    )

    def curve(shares: NDArray[np.float64]) -> list[tuple[float, float]]:
        return [(40 + 27 * age, 220 - 180 * share) for age, share in zip(ages, shares, strict=True)]

    picture.area([*curve(fair), (688, 40), (40, 40)])
    picture.line(curve(plain), "line bad dash")
    picture.line(curve(fair), "line good")
    picture.line([(40, 40), (40, 220), (700, 220)], "axis")
    for hour in range(0, 25, 6):
        picture.text(40 + 27 * hour, 236, f"{hour} h", kind="note", anchor="middle")
    picture.text(34, 45, "all", kind="note", anchor="end")
    picture.text(290, 110, "dashed: of the rewards seen so far, which are the quick ones")
    picture.text(290, 134, "line: estimated for all; what is shaded is still to come")
    picture.text(0, 256, "A decision is mature once its window and an hour are over.", kind="note")
    return picture


def looks() -> Svg:
    """Daily looks at an experiment without any effect: a fixed limit, and bounds that share alpha."""
    days = np.arange(7, 15)
    information = days / 14
    limits = bounds(information, obrien_fleming(information, 0.025))
    z = _unlucky(limits)
    picture = Svg(282, "Daily looks at z, a fixed limit and the bounds")
    picture.text(0, 16, "z of a policy without any effect, looked at daily from day 7 to day 14")

    def place(values: NDArray[np.float64]) -> list[tuple[float, float]]:
        return [(60 + 80 * n, 235 - 55 * float(value)) for n, value in enumerate(values)]

    picture.line([(40, 40), (40, 235), (700, 235)], "axis")
    picture.line(place(np.full(8, 1.96)), "line bad dash")
    picture.line(place(limits), "line good")
    picture.line(place(z), "line axis")
    for (x, y), value, day in zip(place(z), z, days, strict=True):
        kind = "egreedy" if value > 1.96 else "control"
        picture.rect(x - 4, y - 4, 8, 8, kind)
        picture.text(x, 252, f"day {day}", kind="note", anchor="middle")
    picture.text(180, 62, f"bounds: {limits[0]:.2f} on day 7, {limits[-1]:.2f} on day 14")
    picture.text(625, 122, "1.96", kind="note")
    said = "Above 1.96 on some day, and never above the bounds: looking daily ships nothing here."
    picture.text(0, 274, said, kind="note")
    return picture


def _unlucky(limits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first of the paths without an effect, (8,), that a fixed limit would stop and the bounds do not."""
    for seed in range(1_000):
        steps = np.random.default_rng(seed).standard_normal(14)
        z = (np.cumsum(steps) / np.sqrt(np.arange(1, 15)))[6:]
        if (z > 1.96).any() and z[-1] < 1.5 and (z < limits).all() and (z > 0).all():
            return np.asarray(z)
    raise AssertionError("one path in ten is such a one")


PICTURES: Mapping[str, Callable[[], Svg]] = {
    "assignment": assignment,
    "propensity": propensity,
    "maturity": maturity,
    "looks": looks,
}


def drawn() -> dict[Path, str]:
    """Every picture by its file."""
    return {FOLDER / f"{name}.svg": str(draw()) for name, draw in PICTURES.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only, change nothing")
    check = parser.parse_args().check
    FOLDER.mkdir(exist_ok=True)
    stale = [
        path for path, text in drawn().items() if not path.exists() or path.read_text() != text
    ]
    for path, text in drawn().items():
        if check and path in stale:
            print(f"{path.name} is not what tools/pictures.py draws", file=sys.stderr)
        elif not check:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
