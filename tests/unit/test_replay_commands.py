"""`pullarm replay load` and `window`: what they print, write and refuse."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import build
from pullarm.domain.errors import InvalidInput, PullarmError
from replay import movielens, window
from replay.errors import DatasetError
from replay.log_table import open_log
from replay.ratings_file import read_ratings
from replay.window import DAY_S
from tests.log_columns import columns_of
from tests.movielens_miniature import BUSY_START_S, USERS, write_miniature

LOG = "item,p,click,who\na,0.5,1,u\nb,0.25,0,v\n"
COLUMNS = (
    *("--column", "action=item", "--column", "propensity=p"),
    *("--column", "reward=click", "--column", "user=who"),
)


def run(*arguments: str | Path) -> str:
    """What a replay command prints; raises what it raises."""
    words = [str(each) for each in arguments]
    ended = CliRunner().invoke(build("replay", words[0]), ["replay", *words])
    if isinstance(ended.exception, PullarmError):
        raise ended.exception
    assert ended.exit_code == 0, ended.output
    return ended.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_miniature(tmp_path_factory.mktemp("movielens"), seed=3)


def log_file(folder: Path, text: str = LOG) -> Path:
    path = folder / "log.csv"
    path.write_text(text)
    return path


def test_movielens_is_loaded_and_its_counts_are_told(source: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(
        build("replay", "load"),
        ["replay", "load", "--movielens", str(source), "--out", str(tmp_path / "made")],
    )
    ratings = read_ratings(tmp_path / "made")
    assert len(ratings.people.user) == USERS
    assert f"ml-1m: ratings in {tmp_path / 'made' / 'ratings.parquet'}" in ended.stdout
    assert f"{len(ratings):,}" in ended.stdout
    assert "users.dat: " in ended.stdout
    assert "warning: not ml-1m as it was published" in ended.stderr


def test_a_log_is_loaded_and_told_as_json(tmp_path: Path) -> None:
    told = json.loads(
        run(
            "load",
            "--csv",
            log_file(tmp_path),
            *COLUMNS,
            "--every-arm",
            "--out",
            tmp_path,
            "--json",
        )
    )
    assert told["counts"] == {"used": 2, "arms": 2, "rows": 2, "out_of_order": 0}
    assert (told["kind"], told["offered"], told["users_known"]) == ("bandit log", "every", True)
    assert told["warning"] is None
    log = open_log(Path(told["written"]))
    assert log.head.sources[0].sha256 == told["sources"][0]["sha256"]
    assert columns_of(log)["reward"] == [1.0, 0.0]


def test_a_log_is_told_in_words(tmp_path: Path) -> None:
    told = run("load", "--csv", log_file(tmp_path), *COLUMNS, "--out", tmp_path)
    assert "candidates: unknown; users: known; chosen by: logged" in told


def test_a_log_out_of_order_is_warned_of(tmp_path: Path) -> None:
    text = "item,p,click,at\na,0.5,1,1000\nb,0.25,0,900\n"
    columns = (*COLUMNS[:-2], "--column", "time=at")
    told = run("load", "--csv", log_file(tmp_path, text), *columns, "--out", tmp_path, "--json")
    assert json.loads(told)["warning"].startswith("1 rows are earlier than the row before")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "source: give one of --movielens, --obd, --log, --vw, --csv, --parquet"),
        (("--obd", "a", "--vw", "b"), "--obd --vw: give one of"),
        (("--obd", "a", "--column", "action=b"), "--column: belongs to --csv or --parquet"),
        (("--vw", "a", "--every-arm"), "--every-arm: belongs to --csv or --parquet"),
        (("--vw", "a", "--kind", "click"), "--kind: belongs to --log"),
        (("--csv", "a", "--column", "action"), "'action' is not OURS=THEIRS"),
        (("--csv", "a", "--column", "action=b", "--column", "action=c"), "each of ours once"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem):
        run("load", *arguments, "--out", tmp_path)


def test_a_refused_file_leaves_nothing(tmp_path: Path) -> None:
    file = log_file(tmp_path, LOG.replace("0.25", "0"))
    with pytest.raises(DatasetError, match=r"log.csv, line 3: propensity must be above 0"):
        run("load", "--csv", file, *COLUMNS, "--out", tmp_path / "made")
    assert not (tmp_path / "made" / "log.parquet").exists()
    assert list((tmp_path / "made").iterdir()) == []


def windows(told: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(told)["windows"]
    return found


def test_the_window_is_the_same_from_either_folder(source: Path, tmp_path: Path) -> None:
    run("load", "--movielens", source, "--out", tmp_path)
    told = run("window", tmp_path, "--json")
    assert told == run("window", source, "--json")
    found = json.loads(told)
    assert abs(found["start"] - BUSY_START_S) < 2 * DAY_S
    assert (found["grid"], found["by"], found["days"]) == ("event", "ratings", 14)
    assert len(found["top"]["arms"]) == 50


def test_options_choose_the_window(source: Path) -> None:
    asked = ("--grid", "midnight", "--by", "users", "--days", "3", "--top", "5")
    found = json.loads(run("window", source, *asked, "--json"))
    best = window.busiest(movielens.load(source), days=3, by="users", grid="midnight")
    assert (found["start"], found["users"]) == (best.start_s, best.users)
    assert found["end_exclusive"] - found["start"] == 3 * DAY_S
    assert [arm["rank"] for arm in found["top"]["arms"]] == [1, 2, 3, 4, 5]


def test_all_windows_are_those_asked_for_one_by_one(source: Path) -> None:
    every = windows(run("window", source, "--all", "--json"))
    assert len(every) == 8
    for each in every:
        one = json.loads(
            run("window", source, "--grid", each["grid"], "--by", each["by"], "--json")
        )
        assert {name: one[name] for name in each} == each


def test_tables_for_people(source: Path, tmp_path: Path) -> None:
    told = run("window", source, "--top", "2", "--csv", tmp_path / "top.csv")
    assert "ml-1m: best 14 days" in told
    assert "the 2 movies rated most" in told
    rows = (tmp_path / "top.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "rank,movie,n,likes,users,like_rate,title"
    assert len(rows) == 3
    assert run("window", source, "--all").count(" users ") >= 4


def test_a_table_belongs_to_one_window(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--csv: takes the table of one window"):
        run("window", source, "--all", "--csv", tmp_path / "top.csv")
    with pytest.raises(InvalidInput, match=r"--csv: .* cannot be written"):
        run("window", source, "--csv", tmp_path)


def test_a_folder_without_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no MovieLens data"):
        run("window", tmp_path)


def test_every_command_is_in_the_overview() -> None:
    told = CliRunner().invoke(build("replay"), ["replay", "--help"]).stdout
    assert "load" in told
    assert "window" in told
    assert "replay" in CliRunner().invoke(build(), ["--help"]).stdout
