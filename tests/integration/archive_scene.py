"""Days that are archived and removed, for tests."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from pullarm.domain.analysis import DecisionFilter
from pullarm.domain.experiment import Experiment
from pullarm.domain.log_row import LogRow
from pullarm.storage.postgres.export import PostgresExport
from replay.log_file import log_rows
from tests.integration.retention_scene import FIRST, RetentionScene
from tests.ledger_events import START_MS
from workers.archive import Archiving

KINDS = ["reward", "shown"]


async def exported(
    scene: RetentionScene, experiment: Experiment, kinds: Sequence[str] = KINDS
) -> list[LogRow]:
    pages = PostgresExport(scene.database).pages(experiment, kinds, DecisionFilter())
    return [row async for page in pages for row in log_rows(page)]


async def remove(scene: RetentionScene, root: Path, days: int) -> None:
    """Archive the first days, and remove them."""
    archiving = Archiving(scene.database, str(root))
    for day in (FIRST + timedelta(days=each) for each in range(days)):
        await scene.retention.seal(day, START_MS)
        archived = await archiving.keep(day)
        assert archived is not None
        await scene.retention.remove(day, START_MS, archived)


def held(root: Path) -> list[Path]:
    """What is there, whatever it is."""
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
