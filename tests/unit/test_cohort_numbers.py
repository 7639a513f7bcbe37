"""Values of an attribute have numbers of their own, whatever an experiment goes by, and all else is cohort 0."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullarm.domain.cohorts import (
    MAX_NUMBERS,
    OTHER,
    Cohort,
    CohortRule,
    CohortTable,
    Seen,
    declared,
    first_seen,
    table,
)
from pullarm.domain.errors import InvalidInput

COUNTRY = CohortRule(attribute="country")
LISTED = CohortRule(attribute="country", values=("fr", "de"))


def numbered(*seen: Seen) -> tuple[Cohort, ...]:
    return tuple(
        Cohort(cohort_no=number, attribute=attribute, value=value)
        for number, (attribute, value) in enumerate(seen, start=1)
    )


def countries(*values: str) -> list[Seen]:
    return [("country", value) for value in values]


def test_what_is_listed_has_numbers_in_its_order_and_nothing_else_gets_one() -> None:
    known = declared(LISTED, ())
    assert known == numbered(*countries("fr", "de"))
    assert table(LISTED, known) == CohortTable("country", {"fr": 1, "de": 2}, room=0)
    assert first_seen(countries("it"), LISTED, known) == ()


def test_what_is_listed_later_keeps_the_numbers_it_had() -> None:
    known = declared(LISTED, numbered(*countries("it", "de")))
    assert known == numbered(*countries("it", "de", "fr"))
    assert table(LISTED, known).numbers == {"de": 2, "fr": 3}


def test_values_are_found_in_their_order_up_to_the_limit() -> None:
    rule = CohortRule(attribute="country", max_values=3)
    known = first_seen(countries("b", "a", "b"), rule, ())
    assert known == numbered(*countries("b", "a"))
    assert table(rule, known).room == 1
    more = first_seen(countries("a", "d", "c"), rule, known)
    assert more == (Cohort(cohort_no=3, attribute="country", value="d"),)
    assert table(rule, known + more).room == 0


def test_another_attribute_goes_by_numbers_of_its_own_and_the_first_by_those_it_had() -> None:
    known = declared(CohortRule(attribute="device", values=("de",)), numbered(*countries("de")))
    assert known == numbered(("country", "de"), ("device", "de"))
    assert table(COUNTRY, known).numbers == {"de": 1}
    assert table(CohortRule(attribute="device"), known).numbers == {"de": 2}
    assert first_seen([("country", "fr")], CohortRule(attribute="device"), known) == ()


def test_numbers_run_out() -> None:
    known = numbered(*((f"a{n // 200}", f"{n}") for n in range(MAX_NUMBERS - 1)))
    assert table(COUNTRY, known).room == 1
    assert len(first_seen(countries("de", "fr"), COUNTRY, known)) == 1
    with pytest.raises(InvalidInput, match=r"cohorts\.values: would be 1001 .* limit is 1000"):
        declared(LISTED, known)


def test_requests_are_looked_up() -> None:
    found = table(COUNTRY, numbered(*countries("de")))
    assert found.number({"country": "de", "device": "tv"}) == 1
    assert [found.number(a) for a in ({}, {"country": ""}, {"country": "fr"})] == [OTHER] * 3
    assert [found.new(a) for a in ({}, {"country": ""}, {"country": "fr"})] == ["", "", "country"]
    nothing = table(None, numbered(*countries("de")))
    assert (nothing.number({"country": "de"}), nothing.new({"country": "de"})) == (OTHER, "")


RULES = st.none() | st.builds(
    CohortRule,
    attribute=st.sampled_from("ab"),
    values=st.lists(st.sampled_from("vwxyz"), max_size=3, unique=True).map(tuple),
    max_values=st.integers(1, 4),
)
SEEN = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("vwxyz")), max_size=6)


@given(history=st.lists(st.tuples(RULES, SEEN), max_size=6))
def test_no_number_is_ever_given_to_another(
    history: list[tuple[CohortRule | None, list[Seen]]],
) -> None:
    known: tuple[Cohort, ...] = ()
    for rule, seen in history:
        after = declared(rule, known)
        after += first_seen(seen, rule, after)
        assert after[: len(known)] == known
        assert [cohort.cohort_no for cohort in after] == list(range(1, len(after) + 1))
        assert len({(cohort.attribute, cohort.value) for cohort in after}) == len(after)
        now = table(rule, after)
        if rule and rule.values:
            assert set(now.numbers) == set(rule.values)
        assert all(
            (after[number - 1].attribute, after[number - 1].value) == (now.attribute, value)
            for value, number in now.numbers.items()
        )
        known = after
