"""`pullarm replay evaluate` and `pullarm replay gate` on small logs."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import build
from pullarm.domain.errors import InvalidInput
from replay.errors import DatasetError
from replay.log_table import write_log
from tests.bandit_logs import bandit_log


def _called(command: str, *arguments: str) -> Result:
    return CliRunner().invoke(build("replay", command), ["replay", command, *arguments])


def _json(result: Result) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(result.stdout)
    return told


@pytest.fixture(name="log", scope="module")
def _log(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("log")
    write_log(folder, bandit_log(control=3_000))
    return str(folder)


@pytest.fixture(name="short", scope="module")
def _short(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("short")
    write_log(folder, bandit_log(300))
    return str(folder)


def test_evaluate_tells_estimates_and_weights(log: str) -> None:
    ended = _called("evaluate", log, "--policy", "uniform", "--json")
    assert ended.exit_code == 0, ended.output
    told = _json(ended)
    assert told["estimable"]
    assert told["logged_by"] == ["random"]  # not control, which supports nobody
    assert told["findings"]["rounds"] == 6_000
    lower, upper = told["estimates"]["dr"]["normal"]
    assert lower < 0.3 < upper
    again = _called("evaluate", log, "--policy", "uniform", "--json")
    assert again.stdout == ended.stdout
    table = _called("evaluate", log, "--policy", "uniform")
    assert table.exit_code == 0
    for said in ("snips", "mean weight", "calibration", "Bernstein"):
        assert said in table.stdout


def test_evaluate_of_a_learned_policy(log: str, tmp_path: Path) -> None:
    posterior = tmp_path / "posterior.json"
    posterior.write_text('{"c": {"serves": 10, "rewards": 8}, "a": {"serves": 10, "rewards": 1}}')
    asked = ("--policy", "egreedy", "--posterior", str(posterior), "--param", "epsilon=0.15")
    told = _json(_called("evaluate", log, *asked, "--json"))
    best = 0.05 * (0.1 + 0.3) + 0.9 * 0.5
    assert told["estimates"]["snips"]["value"] == pytest.approx(best, abs=0.04)
    learned = json.loads(posterior.read_text())
    for said in ({"arms": learned}, {"policies": {"egreedy": learned, "ucb": {}}}):
        posterior.write_text(json.dumps([{"version": 0, **said}]))
        assert _json(_called("evaluate", log, *asked, "--json")) == told


def test_no_number_where_the_log_cannot_tell(short: str) -> None:
    ended = _called("evaluate", short, "--policy", "uniform", "--json")
    assert ended.exit_code == 2
    told = _json(ended)
    assert (told["estimable"], told["estimates"], told["bounds"]) == (False, {}, {})
    assert told["findings"]["reasons"]
    table = _called("evaluate", short, "--policy", "uniform")
    assert table.exit_code == 2
    assert "not estimable: 300 rounds are worth" in table.stdout.replace("\n", " ")
    assert "snips" not in table.stdout


def test_gate_is_an_exit_status(log: str, short: str, tmp_path: Path) -> None:
    posterior = tmp_path / "posterior.json"
    posterior.write_text('{"c": {"serves": 10, "rewards": 8}}')
    good = _called("gate", log, "--policy", "egreedy", "--posterior", str(posterior), "--json")
    assert good.exit_code == 0, good.output
    told = _json(good)
    assert told["passes"]
    assert told["value"] > told["control"]
    assert told["bounds"][0] >= 0.0
    posterior.write_text('{"a": {"serves": 10, "rewards": 8}}')
    bad = _called("gate", log, "--policy", "egreedy", "--posterior", str(posterior))
    assert bad.exit_code == 1
    assert "does not pass" in bad.stdout
    assert _called("gate", short, "--policy", "uniform", "--json").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--policy", "best"], "--policy: 'best'"),
        (["--policy", "thompson"], "--posterior: is needed"),
        (["--policy", "uniform", "--param", "floor=1"], "--param: is not for uniform"),
        (["--policy", "uniform", "--posterior", "x"], "--posterior: is not for uniform"),
        (["--policy", "ucb", "--posterior", "nowhere.json"], "cannot be read"),
        (["--policy", "column"], "column `target`"),
        (["--policy", "uniform", "--logged-by", "nobody"], "'nobody'"),
    ],
)
def test_what_is_wrong_is_named(log: str, arguments: list[str], problem: str) -> None:
    for command in ("evaluate", "gate"):
        error = _called(command, log, *arguments).exception
        assert isinstance(error, InvalidInput | DatasetError)
        assert problem in str(error)


@pytest.mark.parametrize(
    ("said", "param", "problem"),
    [
        ("{", "floor=0.1", "--posterior"),
        ('{"a": {"serves": 1}}', "floor=0.1", "rewards"),
        ('{"d": {"serves": 1, "rewards": 1}}', "floor=0.1", "not in the log"),
        ('[{"version": 7, "policies": {"ucb": {}}}]', "floor=0.1", "version 7 has nothing that"),
        ("{}", "floor", "NAME=VALUE"),
        ("{}", "heat=3", "heat"),
    ],
)
def test_what_is_wrong_with_a_posterior_is_named(
    log: str, tmp_path: Path, said: str, param: str, problem: str
) -> None:
    file = tmp_path / "posterior.json"
    file.write_text(said)
    asked = ("--policy", "thompson", "--posterior", str(file), "--param", param)
    error = _called("evaluate", log, *asked).exception
    assert isinstance(error, InvalidInput | DatasetError)
    assert problem in str(error)
