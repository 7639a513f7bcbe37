"""Whom an experiment is for: conditions on the attributes that callers send, compiled once for each version.

An experiment is for a request that meets every condition of every attribute named. What an attribute is that the
request does not have: not in any list, and neither below nor above any number.
"""

import re
from collections.abc import Callable, Mapping, Sequence

Value = bool | float | list[str]
Targeting = Mapping[str, Mapping[str, Value]]
"""By attribute, then by operator; see OPERATORS."""
Test = Callable[[str | None], bool]
"""Whether the value of an attribute, None where it is missing, meets a condition."""

# Not what float() takes: it also reads "nan", " 1" and "1_000".
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)

LISTS: Mapping[str, Callable[[frozenset[str]], Test]] = {
    "in": lambda values: lambda value: value in values,
    "not_in": lambda values: lambda value: value not in values,
}
"""Operators on lists of values; a missing attribute is in none."""
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "at_least": lambda number, limit: number >= limit,
    "above": lambda number, limit: number > limit,
    "at_most": lambda number, limit: number <= limit,
    "below": lambda number, limit: number < limit,
}
"""Operators on a number; a value that is no decimal number meets none of them."""
EXISTS = "exists"
"""Whether the request has the attribute, be it empty."""
OPERATORS = (*LISTS, *COMPARISONS, EXISTS)


def compiled(targeting: Targeting) -> Callable[[Mapping[str, str]], bool]:
    """Whether a request's attributes meet all conditions."""
    tests = [
        (attribute, _test(operator, value))
        for attribute, conditions in targeting.items()
        for operator, value in conditions.items()
    ]

    def meets(attributes: Mapping[str, str]) -> bool:
        return all(test(attributes.get(attribute)) for attribute, test in tests)

    return meets


def _test(operator: str, value: Value) -> Test:
    """Raises ValueError for what no version of this code wrote."""
    if operator in LISTS and isinstance(value, Sequence):
        return LISTS[operator](frozenset(value))
    if operator in COMPARISONS and isinstance(value, int | float):
        return _comparison(COMPARISONS[operator], value)
    if operator == EXISTS and isinstance(value, bool):
        return lambda given: (given is not None) is value
    raise ValueError(f"targeting: {operator} {value!r} is no condition")


def _comparison(compare: Callable[[float, float], bool], limit: float) -> Test:
    def test(given: str | None) -> bool:
        return given is not None and bool(_NUMBER.fullmatch(given)) and compare(float(given), limit)

    return test
