"""Lists of experiments: what they show, in which order, and pages that neither repeat nor leave out."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from control.listing import Wish, page, read_states
from pullarm.domain.errors import InvalidInput
from pullarm.domain.experiment import Experiment, State
from tests.builders import experiment

STATES = [State.DRAFT, State.RUNNING, State.STOPPED, State.ARCHIVED, State.RUNNING]
NAMES = ["Front page", "checkout", "Search", "Old front", "front again"]


def made(number: int) -> Experiment:
    one = experiment(number=number + 1, state=STATES[number])
    created_at = one.created_at + timedelta(hours=number)
    spec = replace(one.spec, name=NAMES[number], notes="winter" if number == 2 else "")
    return replace(one, spec=spec, created_at=created_at, updated_at=created_at, arms=())


ALL = [made(number) for number in range(5)]


def wish(**asked: Any) -> Wish:
    plain = Wish(states=(), search="", sort="-created", after="", limit=100)
    return replace(plain, **asked)


def names(asked: Wish) -> list[str]:
    return [each.spec.name for each in page(ALL, asked)[0]]


def test_archived_ones_are_shown_to_who_asks() -> None:
    assert names(wish()) == ["front again", "Search", "checkout", "Front page"]
    assert names(wish(states=read_states("archived"))) == ["Old front"]
    assert names(wish(states=read_states("running,draft"))) == [
        *("front again", "checkout", "Front page"),
    ]
    assert len(names(wish(states=read_states("all")))) == 5


def test_search_looks_at_all_words_whatever_their_case() -> None:
    assert names(wish(search="FRONT")) == ["front again", "Front page"]
    assert names(wish(search="winter")) == names(wish(search="exp_3")) == ["Search"]
    assert names(wish(search="nothing")) == []


def test_orders() -> None:
    assert names(wish(sort="name")) == ["checkout", "front again", "Front page", "Search"]
    assert names(wish(sort="-state"))[0] == "Search"
    assert names(wish(sort="updated")) == names(wish(sort="-updated"))[::-1]


@pytest.mark.parametrize("sort", ["created", "-created", "name", "-state"])
def test_pages_are_the_list(sort: str) -> None:
    found, after = list[str](), ""
    while True:
        shown, following = page(ALL, wish(sort=sort, limit=3, after=after))
        found += [each.spec.name for each in shown]
        if following is None:
            break
        after = following
    assert found == names(wish(sort=sort))


def test_a_page_goes_on_behind_one_that_is_no_longer_asked_for() -> None:
    assert names(wish(after="exp_4")) == ["Search", "checkout", "Front page"]


def test_what_is_not_known_is_told() -> None:
    with pytest.raises(InvalidInput, match="state: must be all, or of draft, "):
        read_states("running,gone")
    with pytest.raises(InvalidInput, match="after: there is no experiment"):
        page(ALL, wish(after="exp_9"))
