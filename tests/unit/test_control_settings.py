from pathlib import Path

import pytest

from control.settings import Settings
from pullarm.domain.errors import ConfigurationError
from pullarm.tls import Trust

SERVERS = {"DATABASE_URL": "postgresql://u:secret@h/d", "REDIS_URL": "redis://:secret@h"}


def test_defaults() -> None:
    unset = {"PULLARM_HTTP_ADDRESS": "", "PULLARM_CLOCK": "", "PULLARM_PROCESS": ""}
    settings = Settings.from_environment(SERVERS | unset)
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.clock, settings.process, settings.ready_file) == ("system", "control", None)
    assert "secret" not in repr(settings)


def test_everything_is_read() -> None:
    own = {"PULLARM_HTTP_ADDRESS": "[::1]:0", "PULLARM_READY_FILE": "x/ready"}
    standby = {"DATABASE_READ_URL": "postgresql://u:secret@standby/d"}
    settings = Settings.from_environment(SERVERS | own | standby)
    assert settings.read_url == standby["DATABASE_READ_URL"]
    assert "secret" not in repr(settings)
    assert (settings.host, settings.port) == ("::1", 0)
    assert settings.ready_file == Path("x/ready")


@pytest.mark.parametrize(
    ("text", "expected"), [("", True), ("True", True), ("0", False), ("false", False)]
)
def test_the_dashboard_is_on_unless_turned_off(text: str, expected: bool) -> None:
    settings = Settings.from_environment(SERVERS | {"BANDIT_DASHBOARD_ENABLED": text})
    assert settings.dashboard is expected


@pytest.mark.parametrize("address", ["8000", "localhost", "h:port", "h:99999", ":8000", "[::1"])
def test_a_bad_address_is_named(address: str) -> None:
    with pytest.raises(ConfigurationError, match="PULLARM_HTTP_ADDRESS"):
        Settings.from_environment(SERVERS | {"PULLARM_HTTP_ADDRESS": address})


@pytest.mark.parametrize("name", SERVERS)
def test_a_missing_server_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_environment({**SERVERS, name: ""})


@pytest.mark.parametrize(
    "address", ["0.0.0.0:8000", "[::]:8000", "10.0.0.1:80", "control.example:80"]
)
def test_other_machines_are_let_in_with_tls_or_by_the_flag(tmp_path: Path, address: str) -> None:
    wide = {**SERVERS, "PULLARM_HTTP_ADDRESS": address}
    with pytest.raises(ConfigurationError, match=r"open to other machines, without TLS;.*EXPOSE=1"):
        Settings.from_environment(wide)
    assert Settings.from_environment({**wide, "PULLARM_EXPOSE": "1"}).port
    files = {"PULLARM_TLS_CERTIFICATE": tmp_path / "c", "PULLARM_TLS_KEY": tmp_path / "k"}
    for path in files.values():
        path.touch()
    tls = Settings.from_environment(
        {**wide, **{name: str(path) for name, path in files.items()}}
    ).tls
    assert tls == (tmp_path / "c", tmp_path / "k", None)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1"])
def test_this_machine_is_always_let_in(address: str) -> None:
    assert Settings.from_environment({**SERVERS, "PULLARM_HTTP_ADDRESS": address}).port == 1


@pytest.mark.parametrize("name", ["PULLARM_TLS_CERTIFICATE", "PULLARM_TLS_KEY"])
def test_half_of_tls_is_none(tmp_path: Path, name: str) -> None:
    other = {"PULLARM_TLS_CERTIFICATE", "PULLARM_TLS_KEY"} - {name}
    with pytest.raises(ConfigurationError, match=f"{other.pop()} is not set"):
        Settings.from_environment({**SERVERS, name: str(tmp_path / "file")})


def test_whom_the_upstream_trusts_must_be_there_to_be_read(tmp_path: Path) -> None:
    path = tmp_path / "authority.pem"
    given = {**SERVERS, "PULLARM_SERVER_CA": str(path)}
    with pytest.raises(ConfigurationError, match=r"PULLARM_SERVER_CA: .* cannot be read"):
        Settings.from_environment(given)
    path.touch()
    assert Settings.from_environment(given).upstream_trust == Trust(server_ca=path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PULLARM_REQUESTS_PER_ADDRESS", "-1"),
        ("PULLARM_REQUESTS_PER_TOKEN", "many"),
        ("PULLARM_MAX_BODY_MIB", "0"),
        ("PULLARM_SESSION_HOURS", "nan"),
        ("PULLARM_EXPOSE", "yes"),
        ("BANDIT_DASHBOARD_ENABLED", "off"),
    ],
)
def test_a_limit_out_of_its_range_is_named(name: str, value: str) -> None:
    address = "0.0.0.0:1" if name == "PULLARM_EXPOSE" else ""
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_environment({**SERVERS, "PULLARM_HTTP_ADDRESS": address, name: value})
