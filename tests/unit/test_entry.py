"""What every process reads before it runs."""

import pytest

from cli import entry
from pullarm.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("value", "level"), [("", "INFO"), ("debug", "DEBUG"), ("Warning", "WARNING")]
)
def test_log_level_is_read_in_either_case(value: str, level: str) -> None:
    assert entry.log_level({"PULLARM_LOG_LEVEL": value}) == level
    assert entry.log_level({}) == "INFO"


def test_a_level_that_there_is_not_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PULLARM_LOG_LEVEL", "loud")
    started: list[str] = []

    async def process(settings: str) -> None:
        """Had it been made, that nobody awaits it would be a warning, and an error here."""
        started.append(settings)

    with pytest.raises(ConfigurationError, match=r"PULLARM_LOG_LEVEL='loud': use one of DEBUG, "):
        entry.run(process, "settings")
    assert started == []
