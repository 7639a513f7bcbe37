from pathlib import Path

import pytest

from control.settings import Settings
from pullarm.domain.errors import ConfigurationError

SERVERS = {"DATABASE_URL": "postgresql://u:secret@h/d", "REDIS_URL": "redis://:secret@h"}


def test_defaults() -> None:
    unset = {"PULLARM_HTTP_ADDRESS": "", "PULLARM_CLOCK": "", "PULLARM_PROCESS": ""}
    settings = Settings.from_environment(SERVERS | unset)
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.clock, settings.process, settings.ready_file) == ("system", "control", None)
    assert "secret" not in repr(settings)


def test_everything_is_read() -> None:
    own = {"PULLARM_HTTP_ADDRESS": "[::1]:0", "PULLARM_READY_FILE": "x/ready"}
    settings = Settings.from_environment(SERVERS | own)
    assert (settings.host, settings.port) == ("::1", 0)
    assert settings.ready_file == Path("x/ready")


@pytest.mark.parametrize("address", ["8000", "localhost", "h:port", "h:99999", ":8000", "[::1"])
def test_a_bad_address_is_named(address: str) -> None:
    with pytest.raises(ConfigurationError, match="PULLARM_HTTP_ADDRESS"):
        Settings.from_environment(SERVERS | {"PULLARM_HTTP_ADDRESS": address})


@pytest.mark.parametrize("name", SERVERS)
def test_a_missing_server_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_environment({**SERVERS, name: ""})
