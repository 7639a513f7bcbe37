"""The parameters of a policy: their defaults, their ranges, and one check that names every fault."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

Value = float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A parameter that is a finite number in [low, high]."""

    default: float
    low: float
    high: float

    def problem(self, value: object) -> str | None:
        """Say what is wrong with `value`, or None."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"must be a number, not {value!r}"
        if not math.isfinite(value) or not self.low <= value <= self.high:
            return f"must be between {self.low:g} and {self.high:g}, not {value!r}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A parameter that is one of a few words."""

    default: str
    allowed: tuple[str, ...]

    def problem(self, value: object) -> str | None:
        """Say what is wrong with `value`, or None."""
        if value not in self.allowed:
            return f"must be one of {', '.join(self.allowed)}, not {value!r}"
        return None


Specification = Mapping[str, Number | Word]

_PRIOR = Number(default=1.0, low=0.5, high=1e6)
_FLOOR = Number(default=0.05, low=0.0, high=1.0)

SPECIFICATIONS: Mapping[str, Specification] = {
    "control": {"mode": Word(default="caller", allowed=("caller", "uniform"))},
    "thompson": {"prior_alpha": _PRIOR, "prior_beta": _PRIOR, "floor": _FLOOR},
    "egreedy": {
        "prior_alpha": _PRIOR,
        "prior_beta": _PRIOR,
        "epsilon": Number(default=0.1, low=0.0, high=1.0),
    },
    "ucb": {"exploration": Number(default=2.0, low=0.0, high=100.0), "floor": _FLOOR},
}


def defaults(name: str) -> dict[str, Value]:
    """The parameters that policy `name` has unless told otherwise."""
    return {key: parameter.default for key, parameter in _specification(name).items()}


def complete(name: str, given: Mapping[str, Value]) -> dict[str, Value]:
    """All parameters of policy `name`: those given, and defaults for the rest.

    Raises:
        ValueError: for an unknown policy, unknown parameters and values out of range; the
            message lists every problem at once.
    """
    known = _specification(name)
    problems = [
        f"{name}.{key} is unknown; its parameters are {', '.join(known)}"
        for key in given
        if key not in known
    ]
    for key, parameter in known.items():
        if key in given and (problem := parameter.problem(given[key])):
            problems.append(f"{name}.{key} {problem}")
    if problems:
        raise ValueError("; ".join(problems))
    values = defaults(name)
    for key, value in given.items():
        values[key] = value if isinstance(value, str) else float(value)
    return values


def _specification(name: str) -> Specification:
    if name not in SPECIFICATIONS:
        raise ValueError(
            f"policy {name!r} is unknown; the policies are {', '.join(SPECIFICATIONS)}"
        )
    return SPECIFICATIONS[name]
