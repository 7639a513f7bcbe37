"""The folder of replay reports: what counts as one, and in what order they are told."""

import os
from pathlib import Path

import msgspec
import pytest

from pullarm.domain.errors import NotFound
from replay.reports import PAGE, RESULTS, Reports


def made(folder: Path, at_s: float, *policies: str) -> None:
    folder.mkdir()
    said = {
        "way": "truth",
        "data": folder.name.title(),
        "runs": 3,
        "policies": {policy: {} for policy in policies},
    }
    (folder / RESULTS).write_bytes(msgspec.json.encode(said))
    (folder / PAGE).write_text(f"<p>{folder.name}</p>")
    os.utime(folder / PAGE, (at_s, at_s))


def test_reports_are_told_newest_first(tmp_path: Path) -> None:
    for name, at_s in (("old", 1e9), ("new", 1.5e9), ("also new", 1.5e9)):
        made(tmp_path / name, at_s, "thompson", "control")
    found = Reports(tmp_path).all()
    assert [each.id for each in found] == ["also new", "new", "old"]
    assert (found[2].title, found[2].way, found[2].runs) == ("Old", "truth", 3)
    assert found[2].policies == ("thompson", "control")
    assert found[2].made_at.timestamp() == 1e9
    assert Reports(tmp_path).page("new") == "<p>new</p>"


def test_what_is_no_report_is_left_out(tmp_path: Path) -> None:
    for name in ("sound", "unfinished", "damaged"):
        made(tmp_path / name, 1e9, "control")
    (tmp_path / "unfinished" / PAGE).unlink()
    (tmp_path / "damaged" / RESULTS).write_text("{")
    (tmp_path / "file").write_text("")
    assert [each.id for each in Reports(tmp_path).all()] == ["sound"]
    for folder in (None, tmp_path / "nowhere"):
        assert Reports(folder).all() == []


@pytest.mark.parametrize("report_id", ["nothing", "..", "../reports/a", "a/../a", ".", ""])
def test_an_id_is_a_name_and_no_path(tmp_path: Path, report_id: str) -> None:
    made(tmp_path / "a", 1e9, "control")
    (tmp_path / PAGE).write_text("not to be read")
    with pytest.raises(NotFound, match="no replay report"):
        Reports(tmp_path).page(report_id)
