"""Limits: as they are written on the command line, and whether figures keep them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from pullarm.domain.errors import InvalidInput, invalid

_LATENCIES = {"p50": "p50_ms", "p95": "p95_ms", "p99": "p99_ms", "p999": "p999_ms", "max": "max_ms"}
_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s)")
_UNIT_SUFFIX = re.compile("(?<!per)_(us|ms|s|mb)$")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a figure may be at most, or has to be at least; both bounds keep it."""

    figure: str
    """A key of the figures' JSON."""
    at_most: float = inf
    at_least: float = -inf
    times_echo: float = 0.0
    """Or so many times the echo's figure in the same run, where the machine itself is worse; 0: no such way out."""
    unit: str = ""

    def __str__(self) -> str:
        sign, bound = ("<=", self.at_most) if self.at_most < inf else (">=", self.at_least)
        echo = f" or {self.times_echo:g} x echo" if self.times_echo else ""
        return f"{sign} {_number(bound)}{_with(self.unit)}{echo}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise beside what was measured."""

    limit: Limit
    value: float | None
    echo: float | None = None
    """The echo's figure in the same run."""
    suite: str = ""
    """Whose promise it is; empty for one of the command line's."""

    @property
    def name(self) -> str:
        """The figure's name, as a reader knows it."""
        return _UNIT_SUFFIX.sub("", self.limit.figure).replace("_", " ")

    @property
    def kept(self) -> bool:
        """Whether the figure keeps the limit; one that is missing does not."""
        if self.value is None:
            return False
        within = self.limit.at_least <= self.value <= self.limit.at_most
        return within or self.value <= self.limit.times_echo * (self.echo or 0.0)

    @property
    def found(self) -> str:
        """The figure with its unit."""
        return "missing" if self.value is None else f"{_number(self.value)}{_with(self.limit.unit)}"

    def __str__(self) -> str:
        suite = f"{self.suite}: " if self.suite else ""
        return f"{suite}{self.name} is {self.found}, limit {self.limit}"

    def as_json(self) -> dict[str, object]:
        """The figure, the echo's, the limit, whether it is kept."""
        return {
            "suite": self.suite or None,
            "figure": self.limit.figure,
            "value": self.value,
            "echo": self.echo,
            "limit": str(self.limit),
            "kept": self.kept,
        }


def parse(text: str) -> list[Limit]:
    """Limits from text such as `p95=120ms,p99=10ms,throughput=5000,errors=0`; raises InvalidInput for `sla`.

    Latencies and errors are upper limits, throughput, in answers a second, is a lower one.
    """
    limits: dict[str, Limit] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals:
            raise _refused(f"{part!r} is no limit; write NAME=VALUE, such as p95=120ms")
        if name in limits:
            raise _refused(f"{name} is there twice")
        limits[name] = _limit(name, value)
    if not limits:
        raise _refused("it names no limit; write for example p95=120ms,p99=10ms,errors=0")
    return list(limits.values())


def checks(
    limits: Sequence[Limit],
    figures: Mapping[str, float | None],
    echo: Mapping[str, float | None] | None = None,
    *,
    suite: str = "",
) -> list[Check]:
    """Each limit beside the figure it is about, and the echo's."""
    return [
        Check(
            limit=one,
            value=figures.get(one.figure),
            echo=(echo or {}).get(one.figure),
            suite=suite,
        )
        for one in limits
    ]


def _limit(name: str, value: str) -> Limit:
    if name in _LATENCIES:
        matched = _DURATION.fullmatch(value)
        if matched is None:
            raise _refused(f"{name}={value}: give a number and us, ms or s, such as {name}=120ms")
        at_most = float(matched[1]) * _MS[matched[2]]
        return Limit(figure=_LATENCIES[name], at_most=at_most, unit="ms")
    if name not in ("throughput", "errors"):
        known = ", ".join([*_LATENCIES, "throughput", "errors"])
        raise _refused(f"there is no figure {name!r}; use one of {known}")
    if _NUMBER.fullmatch(value) is None:
        raise _refused(f"{name}={value}: give a number without a unit, such as {name}=0")
    if name == "errors":
        return Limit(figure="errors", at_most=float(value))
    return Limit(figure="rate", at_least=float(value), unit="/s")


def _refused(problem: str) -> InvalidInput:
    return invalid("--sla", problem)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"


def _with(unit: str) -> str:
    return f" {unit}" if unit else ""
