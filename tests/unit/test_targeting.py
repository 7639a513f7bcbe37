"""Conditions on attributes mean what the documentation says, of every operator and of what is missing."""

import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.drafts import read_change, read_draft
from pullarm.domain.targeting import Targeting, Value, compiled
from tests.unit.test_drafts import NOW, problems

NUMBERS = ["0", "-3", "+2.5", "1e3", ".5", "7.", "18", "17.999"]
NO_NUMBERS = ["", "eighteen", "nan", "inf", " 18", "1_8", "0x12", "1e9999", "٣", "18\n"]
MEANING: dict[str, Callable[[float, float], bool]] = {
    "at_least": operator.ge,
    "above": operator.gt,
    "at_most": operator.le,
    "below": operator.lt,
}


def meets(conditions: dict[str, Value], attributes: dict[str, str]) -> bool:
    return compiled({"x": conditions})(attributes)


@pytest.mark.parametrize("name", MEANING)
@pytest.mark.parametrize("given_value", NUMBERS)
def test_numbers_are_compared_as_numbers(name: str, given_value: str) -> None:
    for limit in (-3.0, 0.0, 18.0, 1000.0):
        expected = MEANING[name](float(given_value), limit)
        assert meets({name: limit}, {"x": given_value}) is expected


@pytest.mark.parametrize("name", MEANING)
@pytest.mark.parametrize("given_value", NO_NUMBERS)
def test_what_is_no_number_meets_no_comparison(name: str, given_value: str) -> None:
    assert not any(meets({name: limit}, {"x": given_value}) for limit in (-1e15, 0.0, 18.0, 1e15))


@pytest.mark.parametrize(
    ("conditions", "met"),
    [
        ({"in": ["a", ""]}, False),
        ({"not_in": ["a", ""]}, True),
        ({"at_least": -1e15}, False),
        ({"at_most": 1e15}, False),
        ({"exists": True}, False),
        ({"exists": False}, True),
    ],
)
def test_missing_attribute(conditions: dict[str, Value], met: bool) -> None:
    assert meets(conditions, {"y": "a"}) is met


def test_empty_value_is_there() -> None:
    assert meets({"exists": True}, {"x": ""})
    assert not meets({"exists": False}, {"x": ""})
    assert meets({"in": [""]}, {"x": ""})


values = st.sampled_from(["DE", "AT", "CH", "17", "18", "65", ""])


@given(st.dictionaries(st.sampled_from(["country", "age", "beta"]), values))
def test_all_conditions_of_all_attributes_are_to_be_met(attributes: dict[str, str]) -> None:
    targeting: Targeting = {
        "country": {"in": ["DE", "AT"]},
        "age": {"at_least": 18, "below": 65, "not_in": ["18"]},
        "beta": {"exists": False},
    }
    age = attributes.get("age", "")
    expected = (
        attributes.get("country") in ("DE", "AT")
        and age.isdigit()
        and 18 < int(age) < 65
        and "beta" not in attributes
    )
    assert compiled(targeting)(attributes) is expected


def test_nothing_is_everybody() -> None:
    assert compiled({})({})


@pytest.mark.parametrize(
    "condition", [{"like": ["a"]}, {"in": 3.0}, {"below": ["a"]}, {"exists": 1.0}]
)
def test_what_no_version_wrote_is_refused(condition: dict[str, Value]) -> None:
    with pytest.raises(ValueError, match="is no condition"):
        compiled({"x": condition})


def test_targeting_is_read_replaced_and_reset() -> None:
    body = {"country": {"in": ["DE", "AT", "DE"]}, "age": {"at_least": 18, "below": 65.5}}
    spec = read_draft({"name": "t", "targeting": body}, NOW).spec
    assert spec.targeting == {
        "country": {"in": ["DE", "AT"]},
        "age": {"at_least": 18.0, "below": 65.5},
    }
    other = read_change({"targeting": {"bot": {"exists": False}}}, spec, NOW)
    assert other.targeting == {"bot": {"exists": False}}
    assert read_change({"targeting": None}, other, NOW).targeting == {}
    assert read_change({"notes": "n"}, other, NOW).targeting == other.targeting


def test_every_problem_of_targeting_is_named() -> None:
    found = problems(
        lambda: read_draft(
            {
                "name": "t",
                "targeting": {
                    "a": {"in": []},
                    "b": {"not_in": ["x", 3, "y" * 129, "\x00"]},
                    "c": {"above": "18"},
                    "d": {"exists": "yes"},
                    "e": {},
                    "f": {"exists": False, "in": ["x"]},
                    "g": {"matches": "x"},
                    "h": 3,
                    "": {"exists": True},
                    "\x00": {"exists": True},
                },
            },
            NOW,
        )
    )
    assert {
        "targeting.a.in",
        "targeting.b.not_in[1]",
        "targeting.b.not_in[2]",
        "targeting.b.not_in[3]",
        "targeting.c.above",
        "targeting.d.exists",
        "targeting.e",
        "targeting.f.exists",
        "targeting.g.matches",
        "targeting.h",
        "targeting",
    } <= found.keys()
    assert "text, as attributes are" in found["targeting.b.not_in[1]"]
