"""What `pullarm bench` refuses before anything starts."""

import pytest
from typer.testing import CliRunner

from cli.main import build
from pullarm.domain.errors import InvalidInput


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("--only speed", "'speed' is none of select-10"),
        ("--only mix --rate 5", "suites have loads and limits of their own"),
        ("--mode reads", "'reads' is none of select, batch, reward, mix"),
        ("--mode select --reward-rate 5", "needs --mode mix"),
        ("--saturate --rate 5", "a closed loop has no rate"),
        ("--experiment a --rate 5", "give --target"),
        ("--duration 0", "--duration"),
    ],
)
def test_a_combination_that_makes_no_sense_is_refused(arguments: str, problem: str) -> None:
    ended = CliRunner().invoke(build("bench"), ["bench", *arguments.split()], terminal_width=200)
    assert ended.exit_code == 2
    assert problem in ended.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("--sla p95=fast", "--sla: p95=fast: give a number and us, ms or s"),
        ("--keep a/b", "--keep: 'a/b' is no name"),
    ],
)
def test_a_malformed_value_is_refused(arguments: str, problem: str) -> None:
    ended = CliRunner().invoke(build("bench"), ["bench", *arguments.split()])
    assert isinstance(ended.exception, InvalidInput)
    assert problem in str(ended.exception)
