"""Lists of arms from JSON and CSV: what can be read of them, and every problem at once."""

import csv

import pytest

from control.arm_list import from_csv, read_list
from pullarm.domain.arms import Stated
from pullarm.domain.assignment import MICRO
from pullarm.domain.errors import InvalidInput
from pullarm.domain.experiment import ArmStatus


def problems_of(body: object) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refused:
        read_list(body)
    return {problem.field: problem.detail for problem in refused.value.problems}


def test_everything_that_can_be_stated_is_read() -> None:
    whole = {
        "id": "a",
        "label": "A",
        "payload_hash": "3f",
        "prior_serves": 12.5,
        "prior_rewards": 2,
        "status": "paused",
    }
    assert read_list([whole, "b", {"id": "c", "label": None}]) == (
        Stated(
            arm_id="a",
            label="A",
            payload_hash="3f",
            prior_serves_micro=12_500_000,
            prior_rewards_micro=2 * MICRO,
            status=ArmStatus.PAUSED,
        ),
        Stated(arm_id="b"),
        Stated(arm_id="c"),
    )
    assert read_list("b") == read_list({"id": "b"}) == (Stated(arm_id="b"),)


def test_every_problem_is_told() -> None:
    found = problems_of(
        [
            {"id": "a", "prior_serves": 1, "prior_rewards": 2},
            {"id": "a", "prior_serves": -1},
            {"id": "b", "prior_serves": 1e7, "status": "stopped"},
            {"id": "c", "prior_rewards": 1},
            {"id": "d" * 129, "payload_hash": "x" * 129, "weight": 3},
            {"label": "nameless"},
            7,
        ]
    )
    assert found == {
        "arms[0].prior_rewards": "is 2, more than prior_serves, 1",
        "arms[1].prior_serves": "must be between 0 and 1e+06; got -1",
        "arms[1].id": "'a' is listed twice",
        "arms[2].prior_serves": "must be between 0 and 1e+06; got 10000000.0",
        "arms[2].status": "must be one of active, paused, retired; got 'stopped'",
        "arms[3].prior_rewards": "is 1, more than prior_serves, 0",
        "arms[4].weight": "is unknown; known are id, label, payload_hash, prior_serves, prior_rewards, status",
        "arms[4].id": "is 129 bytes long; the limit is 128",
        "arms[4].payload_hash": "is 129 bytes long; the limit is 128",
        "arms[5].id": "must not be empty",
        "arms[6]": "must be text or an object, not 7",
    }


@pytest.mark.parametrize("body", [[], None, 3, {}, [[]], ["a"] * 10_001], ids=repr)
def test_what_lists_no_arms_is_refused(body: object) -> None:
    assert problems_of(body)


def test_csv_is_read_as_json_would_be() -> None:
    text = (
        "Title, id ,prior_serves,prior_rewards,payload_hash,status,label\r\n"
        'Sunset,"a,b",200, 9.5 ,3f1c,paused,"The ""sun"""\r\n\r\n'
        "Forest,c,,,,,\r\n"
        "Harbour,d,many,,,,\r\n"
    )
    read = from_csv(text)
    assert read == [
        {
            "id": "a,b",
            "label": 'The "sun"',
            "payload_hash": "3f1c",
            "prior_serves": 200.0,
            "prior_rewards": 9.5,
            "status": "paused",
        },
        {"id": "c"},
        {"id": "d", "prior_serves": "many"},
    ]
    assert problems_of(read) == {"arms[2].prior_serves": "must be a number, not 'many'"}
    assert from_csv("a,A\nb\n") == [{"id": "a", "label": "A"}, {"id": "b"}]
    with pytest.raises(csv.Error):
        from_csv('"a')
