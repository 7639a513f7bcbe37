"""What `pullarm rebuild` refuses before it looks at any database, and what it says of what it did."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli.main import build
from cli.rebuild_report import TableReport
from pullarm.domain.errors import ConfigurationError, InvalidInput
from pullarm.domain.rebuild import PastRebuild
from tests.builders import experiment, rebuilt_from

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--until", TOMORROW, "--yes"], "--until: .* is in the future"),
        (["--until", "yesterday", "--yes"], "--until: 'yesterday' is no ISO time"),
        (["--exclude-window", "2026-08-02", "2026-08-01", "--yes"], "ends before it begins"),
        (["--exclude-window", "2026-08-02T00:00Z", "2026-08-02", "--yes"], "ends before it begins"),
        (["--exclude-source", "bot"], "--yes: is needed with --json or without a terminal"),
        (["--restore", "1", "--until", "2026-08-01", "--yes"], "--restore: takes no condition"),
        (["--list", "--restore", "1"], "--list: takes no condition"),
    ],
)
def test_bad_input_is_told_before_anything_is_done(arguments: list[str], problem: str) -> None:
    ended = CliRunner().invoke(build("rebuild"), ["rebuild", "front-page", *arguments])
    assert isinstance(ended.exception, InvalidInput)
    assert ended.exc_info is not None
    with pytest.raises(InvalidInput, match=problem):
        raise ended.exception


def test_ledger_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    arguments = ["rebuild", "front-page", "--dry-run", "--state", str(tmp_path)]
    ended = CliRunner().invoke(build("rebuild"), arguments)
    assert isinstance(ended.exception, ConfigurationError)


def _printed() -> tuple[TableReport, StringIO]:
    out = StringIO()
    return TableReport(Console(file=out, width=200)), out


def test_table_says_what_changed_and_what_has_no_weight() -> None:
    """A posterior so damaged that no policy takes it is shown all the same; what did not change is not."""
    report, out = _printed()
    before = {(2, 1): (2, 5_000_000), (3, 2): (4, 0), (2, 0): (1, 0)}
    after = {(2, 1): (2, 1_000_000), (3, 2): (4, 0)}
    rebuilt = replace(rebuilt_from(before, after), rebuild_no=4, fold_no=9, credits=3)
    report.changes(experiment("thompson", "egreedy"), rebuilt, done=False)
    _, damaged, unlisted, said = out.getvalue().splitlines()
    assert unlisted.split() == [
        *("thompson", "0", "1", "->", "0", "0", "1"),
        *("2", "->", "1", "0.333333", "->", "0.5", "-"),
    ]
    assert "5 -> 1" in damaged
    assert damaged.split()[-3:-1] == ["-", "->"]
    assert said == (
        "rebuild 4 of exp_7 key-7: would change 2 arms of policies and 3 credits, as of fold 9"
    )


def test_list_says_what_each_rebuild_left_out() -> None:
    report, out = _printed()
    one = PastRebuild(
        rebuild_no=1,
        fold_no=5,
        at=NOW,
        actor="somebody",
        note="a bot",
        source="bot",
        from_at=NOW,
        to_at=NOW + timedelta(hours=1),
        folds=(2, 4),
        restored=None,
        lifted_fold=6,
    )
    nothing = one._replace(source=None, from_at=None, to_at=None, folds=None, lifted_fold=None)
    rebuilds = [one, nothing._replace(restored=1), nothing]
    report.past(experiment(), rebuilds)
    title, _, first, second, third = out.getvalue().splitlines()
    assert title == "rebuilds of exp_7 key-7: 3"
    assert (
        "rewards of source 'bot', from 2026-08-01T12:00:00Z to 2026-08-01T13:00:00Z, "
        "brought by folds 2 to 4" in first
    )
    assert "restored at fold 6" in first
    assert "restored rebuild 1" in second
    assert "repaired" in third
