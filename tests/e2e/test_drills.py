"""The drills in their short form."""

import pytest

from cli.drill.disaster import recovered
from cli.drill.release import before_the_newest_migration
from cli.drill.upgrade import upgraded

pytestmark = pytest.mark.timeout(900)


async def test_an_older_version_is_replaced_under_load() -> None:
    older = before_the_newest_migration()
    outcome = await upgraded(older, print, seconds=2, rate=50, seed=3)
    assert outcome.sound, outcome.as_json()
    assert outcome.as_json()["decisions"]


async def test_everything_destroyed_is_brought_back() -> None:
    outcome = await recovered(print, decisions=400, rate=200, seed=3)
    assert outcome.sound, outcome.as_json()
    assert outcome.lost > 0  # what was decided after the backup, or there was nothing to test
    assert set(outcome.took_s) == {"backup", "restore", "up", "away", "republish", "verify"}
