"""`pullarm try` is the policy's own code, and refuses what it cannot read by name."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import build
from pullarm.domain.errors import InvalidInput

UID = "00000000000000000000000000000001"


def tried(*arguments: str) -> dict[str, Any]:
    run = CliRunner().invoke(
        build("try"), ["try", *arguments, "--json", "--uid", UID], catch_exceptions=False
    )
    assert run.exit_code == 0, run.output
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_the_best_arm_by_far_is_chosen_but_for_the_floor() -> None:
    found = tried(
        "egreedy", "--arms", "a,b", "--posterior", "a=1/100,b=90/100", "--params", "epsilon=0.2"
    )
    assert [each["propensity"] for each in found["candidates"]] == pytest.approx([0.1, 0.9])
    assert found["chosen"] in (["a"], ["b"])
    # The same uid draws the same.
    assert (
        tried("egreedy", "--arms", "a,b")["chosen"] == tried("egreedy", "--arms", "a,b")["chosen"]
    )


def test_every_slot_is_filled_once() -> None:
    found = tried("thompson", "--arms", "a,b,c", "--slots", "3")
    assert sorted(found["chosen"]) == ["a", "b", "c"]
    assert sum(each["propensity"] for each in found["candidates"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["best", "--arms", "a"], "POLICY"),
        (["ucb", "--arms", "a,,b"], "--arms"),
        (["ucb", "--arms", "a,a"], "--arms"),
        (["ucb", "--arms", "a", "--posterior", "b=1/2"], "--posterior"),
        (["ucb", "--arms", "a", "--posterior", "a=3/2"], "--posterior"),
        (["ucb", "--arms", "a", "--posterior", "a"], "--posterior"),
        (["egreedy", "--arms", "a", "--params", "epsilon=7"], "--params"),
    ],
)
def test_what_cannot_be_read_is_named(arguments: list[str], named: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        tried(*arguments)
    assert [each.field for each in refused.value.problems] == [named]
