"""Cohorts: what decisions are told apart by, beside their policy: the value of one attribute of their request.

Every value that is told apart has a number of its own in its experiment, which no other value is ever given, whatever
the experiment goes by later. All else is cohort 0: no value, one without a number, an experiment without cohorts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pullarm.domain.errors import invalid

OTHER = 0
"""The number of what is told apart by nothing."""
MAX_VALUES = 200
"""Of one attribute: an answer lists them all."""
MAX_NUMBERS = 1_000
"""Of one experiment, those of attributes that it does not go by any more included: a configuration has them all."""

Seen = tuple[str, str]
"""An attribute and its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortRule:
    """What an experiment goes by."""

    attribute: str
    """Of `Select`."""
    values: tuple[str, ...] = ()
    """The only ones that are told apart; where there are none, those that are seen first."""
    max_values: int = 50
    """How many are at most told apart of those that are seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """One value that has a number."""

    cohort_no: int
    """From 1, never reused."""
    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class CohortTable:
    """An experiment's cohorts as its requests are looked up in them."""

    attribute: str = ""
    """Empty where the experiment has no cohorts: no request has an attribute without a name."""
    numbers: Mapping[str, int] = field(default_factory=dict)
    """By value."""
    room: int = 0
    """How many more values may get a number once they are seen."""

    def number(self, attributes: Mapping[str, str]) -> int:
        """The cohort of a request with these attributes."""
        return self.numbers.get(attributes.get(self.attribute, ""), OTHER)

    def new(self, attributes: Mapping[str, str]) -> str:
        """The attribute whose value, which has no number, is to get one; empty where there is none, or no room."""
        return self.attribute if self.room and attributes.get(self.attribute) else ""


def table(rule: CohortRule | None, known: Sequence[Cohort]) -> CohortTable:
    """What the rule makes of the numbers there are."""
    if rule is None:
        return CohortTable()
    there = {each.value: each.cohort_no for each in known if each.attribute == rule.attribute}
    if rule.values:
        numbers = {value: there[value] for value in rule.values if value in there}
        return CohortTable(rule.attribute, numbers)
    room = min(rule.max_values - len(there), MAX_NUMBERS - len(known))
    return CohortTable(rule.attribute, there, max(0, room))


def declared(rule: CohortRule | None, known: Sequence[Cohort]) -> tuple[Cohort, ...]:
    """All cohorts once the values that a rule lists have numbers. Raises InvalidInput where these run out."""
    listed = [(rule.attribute, value) for value in rule.values] if rule else []
    after = (*known, *_numbered(known, listed))
    if len(after) > max(MAX_NUMBERS, len(known)):
        raise invalid(
            "cohorts.values",
            f"would be {len(after)} with all that the experiment ever had; the limit is {MAX_NUMBERS}, so go on "
            "with a new experiment",
        )
    return after


def first_seen(
    seen: Iterable[Seen], rule: CohortRule | None, known: Sequence[Cohort]
) -> tuple[Cohort, ...]:
    """The cohorts that values which were seen become, in their order, as far as there is room."""
    now = table(rule, known)
    return _numbered(known, [each for each in seen if each[0] == now.attribute])[: now.room]


def _numbered(known: Sequence[Cohort], wanted: Iterable[Seen]) -> tuple[Cohort, ...]:
    there = {(each.attribute, each.value) for each in known}
    fresh = [each for each in dict.fromkeys(wanted) if each not in there]
    return tuple(
        Cohort(cohort_no=number, attribute=attribute, value=value)
        for number, (attribute, value) in enumerate(fresh, len(known) + 1)
    )
