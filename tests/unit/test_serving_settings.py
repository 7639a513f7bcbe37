import json
from pathlib import Path

import pytest

from pullarm.domain.errors import ConfigurationError
from serving.settings import Settings

KEYS = {"deployment": "ab" * 16, "sign": 2, "keys": {"1": "cd" * 32, "2": "ef" * 32}}
INLINE = {"REDIS_URL": "redis://:secret@h", "PULLARM_DECISION_KEYS": json.dumps(KEYS)}
OPTIONAL = ("PULLARM_GRPC_ADDRESS", "PULLARM_CLOCK", "PULLARM_PROCESS", "PULLARM_READY_FILE")


@pytest.fixture
def keys_file(tmp_path: Path) -> dict[str, str]:
    """The variable that names a file with keys, whose deployment is another one."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(KEYS | {"deployment": "01" * 16}))
    return {"PULLARM_DECISION_KEYS_FILE": str(path)}


@pytest.mark.parametrize("unset", [{}, dict.fromkeys(OPTIONAL, "")], ids=["unset", "empty"])
def test_defaults(unset: dict[str, str]) -> None:
    settings = Settings.from_environment(INLINE | unset)
    assert settings.grpc_address == "127.0.0.1:50051"
    assert (settings.clock, settings.process, settings.ready_file) == ("system", "serving", None)
    assert not settings.keep_awake
    assert "secret" not in repr(settings)
    assert "ef" * 32 not in repr(settings)


def test_keys_come_from_the_variable_before_the_file(keys_file: dict[str, str]) -> None:
    for environment in (INLINE, keys_file | INLINE):
        ring = Settings.from_environment(environment).keys
        assert ring.deployment == bytes.fromhex("ab" * 16)
        assert (ring.sign, ring.keys[2]) == (2, bytes.fromhex("ef" * 32))


def test_keys_come_from_the_file_where_the_variable_is_empty(keys_file: dict[str, str]) -> None:
    environment = INLINE | keys_file | {"PULLARM_DECISION_KEYS": ""}
    assert Settings.from_environment(environment).keys.deployment == bytes.fromhex("01" * 16)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"deployment": "x"}', "\xff"])
def test_keys_that_cannot_be_read_are_named_with_their_variable(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"^PULLARM_DECISION_KEYS_FILE .*keys.json: "):
        Settings.from_environment(
            {"REDIS_URL": "redis://h", "PULLARM_DECISION_KEYS_FILE": str(path)}
        )
    with pytest.raises(
        ConfigurationError, match=r"^PULLARM_DECISION_KEYS(: needs JSON|_FILE is not)"
    ):
        Settings.from_environment(INLINE | {"PULLARM_DECISION_KEYS": content})


@pytest.mark.parametrize("name", ["REDIS_URL", "PULLARM_DECISION_KEYS_FILE"])
def test_a_missing_variable_is_named(keys_file: dict[str, str], name: str) -> None:
    environment = {"REDIS_URL": "redis://h", **keys_file, name: ""}
    with pytest.raises(ConfigurationError, match=f"{name} is not set"):
        Settings.from_environment(environment)


def test_other_machines_are_let_in_with_tokens_and_tls_or_by_the_flag(tmp_path: Path) -> None:
    wide = {**INLINE, "PULLARM_GRPC_ADDRESS": "0.0.0.0:50051"}
    tokens = {"PULLARM_REQUIRE_TOKENS": "1"}
    files = {"PULLARM_TLS_CERTIFICATE": tmp_path / "c", "PULLARM_TLS_KEY": tmp_path / "k"}
    tls = {name: str(path) for name, path in files.items()}
    for path in files.values():
        path.touch()
    for given, lacking in (
        ({}, "TLS and PULLARM_REQUIRE_TOKENS=1"),
        (tokens, "TLS;"),
        (tls, "PULLARM_REQUIRE_TOKENS=1;"),
    ):
        with pytest.raises(ConfigurationError, match=f"to other machines, without {lacking}"):
            Settings.from_environment(wide | given)
    assert Settings.from_environment(wide | tokens | tls).require_tokens
    assert not Settings.from_environment(wide | {"PULLARM_EXPOSE": "1"}).require_tokens


@pytest.mark.parametrize(
    ("url", "given", "expected"),
    [
        ("redis://h", {}, 0),
        ("redis+cluster://h:1,i:2", {}, 1),
        ("rediss+cluster://h:1", {"PULLARM_REPLICAS": "0"}, 0),
        ("redis://h", {"PULLARM_REPLICAS": "2"}, 2),
    ],
)
def test_replicas_that_must_have_an_event(url: str, given: dict[str, str], expected: int) -> None:
    assert Settings.from_environment(INLINE | {"REDIS_URL": url} | given).replicas == expected


@pytest.mark.parametrize("text", ["-1", "6", "0.5", "all"])
def test_replicas_that_cannot_be_are_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="PULLARM_REPLICAS is"):
        Settings.from_environment(INLINE | {"PULLARM_REPLICAS": text})
