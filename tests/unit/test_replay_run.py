"""`pullarm replay run` and `report`: what they print, write and refuse."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from cli.main import build
from pullarm.domain.errors import InvalidInput
from pullarm.domain.numerals import numeral
from replay.errors import DatasetError
from replay.log import LogHead, batch, in_memory
from replay.log_table import write_log
from tests.movielens_miniature import write_miniature


def called(command: str, *arguments: str | Path) -> Result:
    words = [str(each) for each in arguments]
    return CliRunner().invoke(build("replay", command), ["replay", command, *words])


@pytest.fixture(name="movielens", scope="module")
def _movielens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_miniature(tmp_path_factory.mktemp("movielens"), seed=3)


def test_truth_is_run_told_and_made_again_by_its_own_arguments(
    movielens: Path, tmp_path: Path
) -> None:
    asked = ["--policy", "ucb:exploration=0.5", "--policy", "control", "--seeds", "3"]
    asked += ["--every", "50", "--every", "500", "--delay-min", "30", "--visits", "1000"]
    ended = called("run", movielens, "--out", tmp_path / "a", *asked, "--workers", "1")
    assert ended.exit_code == 0, ended.output
    for said in ("ucb:exploration=0.5", "less control", "every 500 decisions", "30 min late"):
        assert said in ended.stdout
    results = json.loads((tmp_path / "a" / "results.json").read_bytes())
    assert (results["way"], results["events"], results["runs"]) == ("truth", 1000, 3)
    assert results["policies"]["ucb:exploration=0.5"]["floor"] == 0.05
    assert [each["name"] for each in results["sources"]] == [
        *("ratings.dat", "movies.dat", "users.dat")
    ]
    assert pq.read_table(tmp_path / "a" / "runs.parquet").num_rows == 2 * 2 * 3
    curves = pq.read_table(tmp_path / "a" / "curves.parquet").to_pylist()
    assert len(curves) == 100 * 2 * 2 * 3
    assert curves[99]["decisions"] == 1000
    again = called(
        "run", movielens, "--out", tmp_path / "b", *results["arguments"], "--workers", "2", "--json"
    )
    assert json.loads(again.stdout) == results
    for name in ("results.json", "runs.parquet", "curves.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_rejection_takes_ratings_and_logs(movielens: Path, tmp_path: Path) -> None:
    asked = ("--way", "rejection", "--policy", "egreedy", "--seeds", "1", "--whole", "--top", "20")
    ended = called("run", movielens, "--out", tmp_path / "a", *asked, "--workers", "1")
    assert ended.exit_code == 0, ended.output
    head = LogHead(
        name="made",
        arms=("a", "b"),
        policies=("random",),
        rows=400,
        offered="every",
        users_known=False,
    )
    row = batch(action=[0, 1] * 200, propensity=[0.5] * 400, reward=[0, 1] * 200)
    write_log(tmp_path / "log", in_memory(head, [row]))
    ended = called(
        *("run", tmp_path / "log", "--out", tmp_path / "b", "--way", "rejection", "--seeds", "2"),
        *("--every", "10", "--policy", "egreedy", "--json"),
    )
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout)
    assert told["arms"] == [
        {"id": "a", "label": "a", "rate": 0.0},
        {"id": "b", "label": "b", "rate": 1.0},
    ]
    assert told["under"][0]["policies"]["egreedy"]["rate"]["value"] > 0.8
    refused = called("run", tmp_path / "log", "--out", tmp_path / "c")
    assert isinstance(refused.exception, InvalidInput)
    assert "truth needs ratings" in str(refused.exception)


def test_a_logger_leaves_logs_that_evaluate_reads(movielens: Path, tmp_path: Path) -> None:
    ended = called(
        *("run", movielens, "--out", tmp_path, "--way", "logger", "--seeds", "1", "--workers", "1"),
        *("--policy", "thompson", "--policy", "control:mode=uniform", "--visits", "8000"),
    )
    assert ended.exit_code == 0, ended.output
    folder = tmp_path / "logs" / "control:mode=uniform"
    told = called("evaluate", folder, "--policy", "uniform", "--json", "--draws", "10")
    assert told.exit_code == 0, told.output
    findings = json.loads(told.stdout)["findings"]
    assert (findings["rounds"], findings["max_weight"]) == (8000, 1.0)
    posteriors = tmp_path / "logs" / "thompson" / "posteriors.json"
    asked = ("--policy", "thompson", "--posterior", posteriors, "--json", "--draws", "10")
    told = called("evaluate", folder, *asked)  # as learnt at that moment, on the other's rows
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["estimates"]["dr"]["value"] > 0.5


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--policy", "best"), "best"),
        (("--policy", "ucb:floor=7"), "floor"),
        (("--policy", "ucb", "--policy", "ucb"), "given twice"),
    ],
)
def test_what_cannot_be_run_is_refused(
    movielens: Path, tmp_path: Path, asked: tuple[str, ...], said: str
) -> None:
    ended = called("run", movielens, "--out", tmp_path, *asked)
    assert isinstance(ended.exception, InvalidInput)
    assert said in str(ended.exception)
    assert not (tmp_path / "results.json").exists()


class _Page(HTMLParser):
    """What is in a page: its tags with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_report_is_one_page_that_loads_nothing(movielens: Path, tmp_path: Path) -> None:
    asked = ["--seeds", "4", "--visits", "3000", "--way", "logger", "--policy", "control"]
    asked += ["--policy", "control:mode=uniform"]
    ran = called("run", movielens, "--out", tmp_path, *asked, "--workers", "1")
    assert ran.exit_code == 0, ran.output
    results = json.loads((tmp_path / "results.json").read_bytes())
    log = tmp_path / "logs" / "control:mode=uniform"
    for name in ("uniform", "control"):
        told = called("evaluate", log, "--policy", name, "--json", "--draws", "10")
        (tmp_path / f"{name}.json").write_text(told.stdout)
    evaluations = ("--evaluation", tmp_path / "uniform.json", "--evaluation")
    ended = called("report", tmp_path, *evaluations, tmp_path / "control.json")
    assert ended.exit_code == 0, ended.output
    text = (tmp_path / "report.html").read_text()
    page = _Page(text)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert "http" not in text
    assert "url(" not in text
    charts = [attributes for tag, attributes in page.tags if tag == "svg"]
    # Difference, rate, regret, stability; the estimates of one policy, and the weights of both.
    assert len(charts) == 4 + 1 + 2
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    words = "".join(page.words)
    told = results["under"][0]["policies"]["control:mode=uniform"]
    assert f"{100 * told['rate']['value']:.2f} %" in words
    assert f"{numeral(100 * told['less_control']['value'], '+.2f')} ±" in words
    assert "Not estimable: 3,000 rounds are worth" in words  # control on a uniform log
    assert " ".join(results["arguments"][:4]) in words
    assert results["sources"][0]["sha256"] in words
    assert "prefers-color-scheme: dark" in text


def test_what_cannot_be_reported_is_told(movielens: Path, tmp_path: Path) -> None:
    ended = called("report", tmp_path)
    assert isinstance(ended.exception, DatasetError)
    assert "results.json cannot be read" in str(ended.exception)
