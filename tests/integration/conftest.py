"""The scene of all that has to do with days that are removed; other files have scenes of their own by that name."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pullarm.storage.postgres import Database
from tests.integration.retention_scene import RetentionScene


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[RetentionScene]:
    """A ledger of several days."""
    async with Database(database_url) as database:
        yield RetentionScene(database)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where an archive may come to be."""
    return tmp_path / "archive"
