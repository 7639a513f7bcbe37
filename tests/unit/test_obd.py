"""The Open Bandit Dataset's files: a generated miniature, and the user's own sample where there is one."""

import json
from pathlib import Path

import pytest

from replay.errors import DatasetError
from replay.log_table import open_log, write_log
from replay.readers.obd import ObdReader
from tests.log_columns import columns_of
from tests.movielens_data import real_folder

HEAD = (
    ",timestamp,item_id,position,click,propensity_score,"
    "user_feature_0,user_feature_1,user_feature_2,user_feature_3,user-item_affinity_0"
)
ROWS = (
    "0,2019-11-24 00:00:34.762830+00:00,2,3,0,0.25,u,v,w,x,0.0",
    "1,2019-11-24 00:00:35+00:00,0,1,1,0.5,u,v,w,y,0.0",
    "2,2019-11-24 00:00:36.5+00:00,1,2,0,0.25,u,v,w,x,1.0",
)


def campaign(folder: Path, rows: tuple[str, ...] = ROWS, items: str = "0,0\n1,1\n2,2\n") -> Path:
    made = folder / "random" / "men"
    made.mkdir(parents=True)
    (made / "men.csv").write_text("\n".join((HEAD, *rows)) + "\n")
    (made / "item_context.csv").write_text(f",item_id\n{items}")
    return made


def test_every_row_becomes_a_slot_of_a_user_of_its_own(tmp_path: Path) -> None:
    reader = ObdReader(campaign(tmp_path))
    found = columns_of(reader)
    assert found["action"] == [2, 0, 1]
    assert found["slot"] == [3, 1, 2]
    assert found["reward"] == [0.0, 1.0, 0.0]
    assert found["propensity"] == [0.25, 0.5, 0.25]
    assert found["user"] == [0, 1, 2]
    assert found["time_us"] == [1574553634762830, 1574553635000000, 1574553636500000]
    assert found["context"][0] == found["context"][2] != found["context"][1]
    head = reader.head
    assert (head.name, head.arms, head.policies) == (
        "obd men, random",
        ("0", "1", "2"),
        ("random",),
    )
    assert (head.offered, head.users_known) == ("every", False)
    assert head.counts == {"rows": 3, "clicks": 1, "items": 3, "out_of_order": 0}
    assert [each.name for each in head.sources] == ["men.csv", "item_context.csv"]


def test_rows_that_go_back_in_time_are_counted(tmp_path: Path) -> None:
    reader = ObdReader(campaign(tmp_path, (ROWS[1], ROWS[0], ROWS[2], ROWS[0])))
    list(reader.batches())
    assert reader.head.counts["out_of_order"] == 2


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            "1,2019-11-24 00:00:35+00:00,3,1,1,0.5,u,v,w,y,0",
            "expected item_id from 0 to 2, found 3",
        ),
        (
            "1,2019-11-24 00:00:35+00:00,0,4,1,0.5,u,v,w,y,0",
            "expected position from 1 to 3, found 4",
        ),
        ("1,2019-11-24 00:00:35+00:00,0,1,2,0.5,u,v,w,y,0", "expected click from 0 to 1, found 2"),
        ("1,2019-11-24 00:00:35+00:00,0,1,1,0,u,v,w,y,0", "propensity must be above 0"),
        ("1,2019-11-24 00:00:35+00:00,0,1,1,nan,u,v,w,y,0", "propensity"),
        ("1,2019-11-24 00:00:35+00:00,0,1,1,,u,v,w,y,0", "propensity_score is empty"),
        ("1,2019-11-24 00:00:35+00:00,0,x,1,0.5,u,v,w,y,0", "invalid value 'x'"),
        ("1,yesterday,0,1,1,0.5,u,v,w,y,0", "invalid value 'yesterday'"),
        ("1,2019-11-24 00:00:35+00:00,0,1,1", "Expected 11 columns, got 5"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, row: str, problem: str) -> None:
    folder = campaign(tmp_path, (ROWS[0], row, ROWS[2]))
    with pytest.raises(DatasetError, match=problem) as caught:
        list(ObdReader(folder).batches())
    assert str(folder / "men.csv") in str(caught.value)
    assert "line 3" in str(caught.value)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    folder = campaign(tmp_path)
    raw = (folder / "men.csv").read_bytes()
    (folder / "men.csv").write_bytes(raw[:-2])
    with pytest.raises(DatasetError, match=r"men.csv: its last line has no end, .* cut off"):
        list(ObdReader(folder).batches())
    (folder / "men.csv").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"men.csv is empty"):
        list(ObdReader(folder).batches())


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    folder = campaign(tmp_path)
    text = (folder / "men.csv").read_text().replace("propensity_score", "pscore")
    (folder / "men.csv").write_text(text)
    with pytest.raises(DatasetError, match=r"men.csv: .*'propensity_score' is not there"):
        list(ObdReader(folder).batches())


@pytest.mark.parametrize("items", ["0,0\n1,2\n", "0,0\n1,1\n2,1\n"])
def test_an_unsound_list_of_items_is_refused(tmp_path: Path, items: str) -> None:
    with pytest.raises(DatasetError, match="expected items 0, 1, 2 and so on, each once"):
        ObdReader(campaign(tmp_path, items=items))


def test_the_folder_above_names_those_inside(tmp_path: Path) -> None:
    folder = campaign(tmp_path)
    with pytest.raises(DatasetError, match=r"does not hold .* name one of") as caught:
        ObdReader(tmp_path)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("policy", ["random", "bts"])
def test_counts_equal_the_reference_of_the_data_at_hand(tmp_path: Path, policy: str) -> None:
    root = real_folder("obd")
    if root is None:
        folder = campaign(tmp_path)
        facts = {"n_rounds": 3, "n_actions": 3, "clicks": 1, "position_counts": [1, 1, 1]}
        pscore_min = 0.25
    else:
        folder = root / policy / "all"
        other = {"random": "bts", "bts": "random"}[policy]
        runs = json.loads((root / "reference" / "reference_all.json").read_bytes())["runs"]
        facts = runs[f"all:{policy}->{other}"]["facts"]
        pscore_min = facts["pscore_min"]
    write_log(tmp_path / "out", ObdReader(folder))
    log = open_log(tmp_path / "out")
    found = columns_of(log)
    assert log.head.rows == facts["n_rounds"] == len(found["action"])
    assert len(log.head.arms) == facts["n_actions"]
    assert sum(found["reward"]) == facts["clicks"] == log.head.counts["clicks"]
    assert [found["slot"].count(slot) for slot in (1, 2, 3)] == facts["position_counts"]
    assert min(found["propensity"]) == pscore_min
