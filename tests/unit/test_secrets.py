"""Secrets come from variables or files, and are in nothing that is told."""

import logging
from pathlib import Path

import pytest

from pullarm.domain.errors import ConfigurationError
from pullarm.secrets import FROM_FILES, Mask, Masked, read_files

TOKEN = "pullarm_" + "t" * 43
PASSWORD = 'hunter2"22/x'
ENVIRONMENT = {
    "DATABASE_URL": "postgresql://user:hunter2%2222%2Fx@h/d",
    "REDIS_URL": "redis://:short@h",
    "PULLARM_TOKEN": "a token of another kind",
    "PULLARM_ALERT_WEBHOOK": "https://hooks.example/services/T0/B0/XYZ",
    "OTEL_EXPORTER_OTLP_HEADERS": "tenant=t1, authorization=Basic%20c2VjcmV0",
    "PULLARM_DECISION_KEYS": '{"keys": {"1": "%s"}}' % ("ab" * 32),
}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ENVIRONMENT["DATABASE_URL"], "postgresql://user:***@h/d"),
        (f"no such password: {PASSWORD}", "no such password: ***"),
        ('{"error": "hunter2\\"22/x"}', '{"error": "***"}'),
        ("redis://:short@h, in short", "redis://:***@h, in short"),
        ("https://other:one@h/", "https://other:***@h/"),
        ("a token of another kind.", "***."),
        (f"Bearer {TOKEN}", "Bearer pullarm_***"),
        ("POST /services/T0/B0/XYZ", "POST ***"),
        ("key " + "ab" * 32, "key ***"),
        ("refused: Basic c2VjcmV0 of t1", "refused: *** of t1"),
        ("redis://:not/quoted@h", "redis://:***@h"),
        ("http://h:8000/a", "http://h:8000/a"),
        ("nothing secret: user@h", "nothing secret: user@h"),
    ],
)
def test_what_is_secret_is_hidden(text: str, told: str) -> None:
    assert Mask(ENVIRONMENT)(text) == told


def test_nothing_is_hidden_where_there_is_nothing() -> None:
    assert (
        Mask({"DATABASE_URL": "", "REDIS_URL": "redis://[::1"})("anything at all")
        == "anything at all"
    )


def test_lines_of_a_log_and_their_tracebacks_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    logger, handler = logging.getLogger("test_secrets"), logging.StreamHandler()
    handler.setFormatter(Masked(logging.Formatter("%(levelname)s %(message)s"), Mask(ENVIRONMENT)))
    logger.addHandler(handler)
    logger.propagate = False
    try:
        raise ValueError(PASSWORD)
    except ValueError:
        logger.exception("cannot reach %s", ENVIRONMENT["DATABASE_URL"])
    told = capsys.readouterr().err
    assert told.startswith("ERROR cannot reach postgresql://user:***@h/d\nTraceback")
    assert "hunter2" not in told


@pytest.mark.parametrize("name", FROM_FILES)
def test_a_secret_comes_from_a_file_where_the_variable_is_not_set(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "secret"
    path.write_text("redis://:secret@h\n")
    named = {f"{name}_FILE": str(path)}
    assert read_files(named | {name: ""}) == {name: "redis://:secret@h"}
    assert read_files(named | {name: "its own"}) == {}
    assert read_files({}) == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file"), (b"", "is empty"), (b" \n", "is empty"), (b"\xff", "is no text")],
)
def test_a_file_without_a_secret_is_named(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"REDIS_URL_FILE: .*secret.*{problem}"):
        read_files({"REDIS_URL_FILE": str(path)})
