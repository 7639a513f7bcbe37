"""How soon pages are there is measured of what a user sees; nothing is said of how soon."""

from datetime import UTC, datetime

import pytest

from benchmarks import pages
from benchmarks.history import Past
from tests.browser.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_load_ends_when_all_is_painted_and_a_scroll_at_the_last_arm(stage: Stage) -> None:
    past = Past(experiment=stage.experiment, decisions=1, until=datetime.now(UTC))
    found = await pages.measure(stage.url, stage.platform.token, past, lambda _: None, loads=1)
    for loads in (found.front, found.experiment):
        assert 0 < loads.painted_ms[0] < loads.complete_ms[0]
    # Every module, the charts' library, and each panel's figures.
    assert found.experiment.requests[0] > found.front.requests[0] + 40
    assert found.experiment.kb[0] > found.front.kb[0] + 300
    assert found.figures()["arms longest_task_ms"] == found.longest_task_ms[0] >= 0
