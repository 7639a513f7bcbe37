"""Vowpal Wabbit's contextual-bandit JSON, plain and dsjson."""

import json
from pathlib import Path
from typing import Any

import pytest

from replay.errors import DatasetError
from replay.readers.vw import VwReader
from tests.log_columns import columns_of

ACTIONS = [{"_tag": "tea", "i": {"id": "tea"}}, {"j": {"b": 1, "a": 2}}, {"_tag": "milk"}]
DSJSON: dict[str, Any] = {
    "_label_cost": -1.0,
    "_label_probability": 0.7,
    "_label_Action": 2,
    "_labelIndex": 1,
    "Timestamp": "2021-02-04T16:31:29.2460000Z",
    "Version": "1",
    "EventId": "e1",
    "a": [2, 3, 1],
    "c": {"User": {"age": 3}, "_multi": ACTIONS},
    "p": [0.7, 0.2, 0.1],
}
PLAIN: dict[str, Any] = {
    "User": {"age": 3},
    "_multi": ACTIONS,
    "_labelIndex": 2,
    "_label_Action": 3,
    "_label_Cost": 0.25,
    "_label_Probability": 0.5,
}
DANGLING = {"RewardValue": 1.0, "EventId": "e9"}


def write(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "log.json"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_dsjson(tmp_path: Path) -> None:
    turned = {"j": {"a": 2, "b": 1}}  # the same features in another order
    second = DSJSON | {
        "_labelIndex": 0,
        "_label_probability": 0.5,
        "_label_cost": 0,
        "a": [1, 2],
        "p": [0.5, 0.5],
        "c": {"_multi": [turned, {"_tag": "tea"}]},
    }
    reader = VwReader(write(tmp_path, DSJSON, DANGLING, second))
    found = columns_of(reader)
    head = reader.head
    features = '{"j":{"a":2,"b":1}}'
    assert set(head.arms) == {"tea", "milk", features}
    named = [[head.arms[arm] for arm in row] for row in found["candidates"]]
    assert named == [["tea", features, "milk"], [features, "tea"]]
    assert [head.arms[action] for action in found["action"]] == [features, features]
    assert found["probability"] == [[0.1, 0.7, 0.2], [0.5, 0.5]]
    assert found["propensity"] == [0.7, 0.5]
    assert found["reward"] == [1.0, 0.0]
    assert found["time_us"][0] == 1_612_456_289_246_000
    assert found["context"][0] != 0 == found["context"][1]
    assert (head.rows, head.offered, head.users_known) == (2, "listed", False)
    assert head.counts == {"lines": 3, "no_context": 1, "no_label": 0, "out_of_order": 0}


def test_plain_json(tmp_path: Path) -> None:
    unlabelled = {"User": {"age": 4}, "_multi": ACTIONS}
    reader = VwReader(write(tmp_path, PLAIN, unlabelled, PLAIN | {"User": {"age": 4}}))
    found = columns_of(reader)
    assert [reader.head.arms[action] for action in found["action"]] == ["milk", "milk"]
    assert found["reward"] == [-0.25, -0.25]
    assert found["propensity"] == [0.5, 0.5]
    assert found["context"][0] != found["context"][1]
    assert not {"time_us", "probability"} & found.keys()
    assert reader.head.counts["no_label"] == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"_labelIndex": 3}, "_labelIndex 3 of 3 actions"),
        ({"_label_probability": 0}, "propensity must be above 0"),
        ({"_label_probability": 0.6}, "propensity must be the probability of the action"),
        ({"p": [0.7, 0.2, 0.3]}, "the probabilities' sum must be 1"),
        ({"a": [2, 3, 3]}, "a and p must name each of the 3 actions once"),
        ({"Timestamp": "2021-02-04T16:31:29"}, "has no zone"),
        ({"c": {"_multi": 7}}, "is no decision of a contextual bandit"),
        ({"pdrop": 0.5}, "pdrop is 0.5, before it was 0.0"),
        ({"p": None, "a": None}, "is no decision of a contextual bandit"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DatasetError, match=problem) as caught:
        columns_of(VwReader(write(tmp_path, DSJSON, DSJSON | change)))
    assert f"{tmp_path / 'log.json'}, line 2: " in str(caught.value)


def test_formats_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 2: has not the same fields as the lines before"):
        columns_of(VwReader(write(tmp_path, DSJSON, PLAIN)))


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, DSJSON, DSJSON)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DatasetError, match="line 2: has no line end, so the file looks cut off"):
        columns_of(VwReader(path))


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.vw").write_text("1:2:0.4 | a b c\n")
    with pytest.raises(DatasetError, match="line 1: is no decision of a contextual bandit"):
        columns_of(VwReader(tmp_path / "log.vw"))
