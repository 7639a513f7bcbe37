"""The reports in a folder: each a folder of its own, with what `pullarm replay run` and `report` wrote."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pullarm.domain.errors import NotFound

RESULTS = "results.json"
PAGE = "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What is told of a report in a list."""

    id: str
    """The name of its folder."""
    title: str
    way: str
    runs: int
    policies: tuple[str, ...]
    made_at: datetime


class Reports:
    """Reads the folder anew whenever it is asked; None for no folder, which has no reports."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def all(self) -> list[ReplayReport]:
        """Those that can be read, newest first."""
        return sorted(self._found(), key=lambda report: (-report.made_at.timestamp(), report.id))

    def page(self, report_id: str) -> str:
        """A report's HTML; raises NotFound."""
        # Looked for among those that are there: an id is a name, and never a path.
        if self._folder is not None and any(each.id == report_id for each in self._found()):
            return (self._folder / report_id / PAGE).read_text(encoding="utf-8")
        raise NotFound(f"there is no replay report {report_id[:80]!r}")

    def _found(self) -> Iterator[ReplayReport]:
        if self._folder is None or not self._folder.is_dir():
            return
        for folder in self._folder.iterdir():
            try:
                said = msgspec.json.decode((folder / RESULTS).read_bytes(), type=_Results)
                made = (folder / PAGE).stat().st_mtime
            except (OSError, msgspec.DecodeError):
                continue  # no report, or one that is being made
            yield ReplayReport(
                id=folder.name,
                title=said.data,
                way=said.way,
                runs=said.runs,
                policies=tuple(said.policies),
                made_at=datetime.fromtimestamp(made, UTC),
            )


class _Results(msgspec.Struct):
    """What a list needs of `replay.run_file.Results`."""

    way: str
    data: str
    runs: int
    policies: dict[str, object]
