from pathlib import Path

import pytest

from pullarm.domain.errors import ConfigurationError
from workers.settings import Settings

SERVERS = {"DATABASE_URL": "postgresql://u:secret@h/d", "REDIS_URL": "redis://:secret@h"}
OPTIONAL = (
    *("QUEUE_REDIS_URL", "PULLARM_CLOCK", "PULLARM_PROCESS", "PULLARM_READY_FILE"),
    "PULLARM_RETENTION_DAYS",
)


@pytest.mark.parametrize("unset", [{}, dict.fromkeys(OPTIONAL, "")], ids=["unset", "empty"])
def test_defaults(unset: dict[str, str]) -> None:
    settings = Settings.from_environment(SERVERS | unset)
    assert settings.queue_redis_url == settings.redis_url == SERVERS["REDIS_URL"]
    assert (settings.clock, settings.process, settings.ready_file) == ("system", "worker", None)
    assert settings.retention_days is None
    assert "secret" not in repr(settings)


def test_everything_is_read() -> None:
    own = ("redis://queue", "file:x/clock", "worker-7", "x/ready", "90")
    settings = Settings.from_environment(SERVERS | dict(zip(OPTIONAL, own, strict=True)))
    assert (settings.queue_redis_url, settings.clock, settings.process) == own[:3]
    assert (settings.ready_file, settings.retention_days) == (Path("x/ready"), 90)


def test_a_cluster_has_no_room_for_the_queue() -> None:
    cluster = SERVERS | {"REDIS_URL": "redis+cluster://:secret@h:1"}
    with pytest.raises(ConfigurationError, match="QUEUE_REDIS_URL is not set"):
        Settings.from_environment(cluster)
    given = Settings.from_environment(cluster | {"QUEUE_REDIS_URL": "redis://queue"})
    assert given.queue_redis_url == "redis://queue"


@pytest.mark.parametrize("name", SERVERS)
def test_a_missing_server_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is not set"):
        Settings.from_environment({**SERVERS, name: ""})


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "ninety", "1e3"])
def test_days_that_are_none_are_named(days: str) -> None:
    with pytest.raises(ConfigurationError, match=r"PULLARM_RETENTION_DAYS=.* is no number of days"):
        Settings.from_environment(SERVERS | {"PULLARM_RETENTION_DAYS": days})
