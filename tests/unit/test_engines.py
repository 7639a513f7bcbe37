"""Engines of this machine; Ray's is tested with what it is for (tests/integration/test_ray.py)."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from pullarm.domain.errors import Unavailable
from replay.engines.base import Engine, in_order
from replay.engines.local import ALONE, Processes


def slow_first(shared: str, item: int) -> str:
    time.sleep(0.2 if item == 0 else 0.0)
    return f"{shared} {item}"


def die(_: None, item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


@pytest.mark.parametrize("engine", [ALONE, Processes(2)], ids=["alone", "processes"])
def test_results_come_in_the_order_of_the_items(engine: Engine) -> None:
    with engine.team("item") as team:
        assert list(team.map(slow_first, range(9))) == [f"item {number}" for number in range(9)]


def test_a_process_that_is_killed_is_told() -> None:
    with Processes(1).team(None) as team, pytest.raises(Unavailable, match="process was killed"):
        list(team.map(die, [1, 2]))


def test_no_more_is_under_way_than_may_be() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for item in range(6):
            begun.append(item)
            yield item

    results = in_order(items(), ahead=2, start=lambda item: item, wait=lambda item: item)
    assert [(next(results), len(begun)) for _ in range(3)] == [(0, 2), (1, 3), (2, 4)]
    assert list(results) == [3, 4, 5]


def test_alone_an_item_is_asked_for_when_the_result_before_it_was_taken() -> None:
    """On which evaluations rely that hand on what they learnt."""
    handed = [0]
    with ALONE.team(10) as team:
        for result in team.map(_plus, (handed[-1] for _ in range(3))):
            handed.append(result)
    assert handed == [0, 10, 20, 30]


def _plus(shared: int, item: int) -> int:
    return shared + item
