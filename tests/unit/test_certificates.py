"""The certificates of a platform: whether its servers and its own clients accept each other is known beforehand."""

from pathlib import Path

import pytest

from cli.certificates import CERTIFICATES, settled
from pullarm.domain.errors import ConfigurationError
from pullarm.tls import Trust
from tests.tls import CA, FOLDER, OTHER_CA

SERVER = {
    "PULLARM_TLS_CERTIFICATE": str(FOLDER / "server.pem"),
    "PULLARM_TLS_KEY": str(FOLDER / "server.key"),
}
BELIEVED = {**SERVER, "PULLARM_SERVER_CA": str(CA)}
MUTUAL = {**BELIEVED, "PULLARM_TLS_CLIENT_CA": str(CA)}


def client(name: str) -> dict[str, str]:
    return {
        "PULLARM_CLIENT_CERTIFICATE": str(FOLDER / f"{name}.pem"),
        "PULLARM_CLIENT_KEY": str(FOLDER / f"{name}.key"),
    }


def test_without_a_certificate_nothing_is_left_of_what_the_user_believes_elsewhere() -> None:
    elsewhere = {"PULLARM_SERVER_CA": str(CA), "PULLARM_SERVER_NAME": "elsewhere.example"}
    assert settled(elsewhere, "127.0.0.1") == dict.fromkeys(CERTIFICATES, "")


def test_everybody_is_told_where_the_files_are_wherever_they_are_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(FOLDER)
    here = {name: Path(path).name for name, path in (MUTUAL | client("client")).items()}
    told = settled(here, "127.0.0.1")
    assert told == MUTUAL | client("client") | {"PULLARM_SERVER_NAME": "127.0.0.1"}


@pytest.mark.parametrize(
    ("host", "name"), [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1"), ("::", "localhost")]
)
def test_clients_ask_for_the_host_or_else_for_whom_the_certificate_is(host: str, name: str) -> None:
    assert settled(BELIEVED, host)["PULLARM_SERVER_NAME"] == name


def test_a_name_that_is_given_is_asked_for() -> None:
    given = {**BELIEVED, "PULLARM_SERVER_NAME": "localhost"}
    assert settled(given, "127.0.0.1")["PULLARM_SERVER_NAME"] == "localhost"


def test_who_has_a_certificate_for_any_name_says_which() -> None:
    """`wildcard` is for *.pullarm.example, and vouches for itself."""
    files = {
        "PULLARM_TLS_CERTIFICATE": str(FOLDER / "wildcard.pem"),
        "PULLARM_TLS_KEY": str(FOLDER / "wildcard.key"),
        "PULLARM_SERVER_CA": str(FOLDER / "wildcard.pem"),
    }
    with pytest.raises(
        ConfigurationError, match=r"is for \*\.pullarm\.example; say in PULLARM_SERVER"
    ):
        settled(files, "127.0.0.1")
    given = {**files, "PULLARM_SERVER_NAME": "bandits.pullarm.example"}
    assert settled(given, "127.0.0.1") == given | dict.fromkeys(
        ("PULLARM_TLS_CLIENT_CA", "PULLARM_CLIENT_CERTIFICATE", "PULLARM_CLIENT_KEY"), ""
    )


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://127.0.0.1:81", "https://pullarm.example:81"),
        ("https://[::1]:81/a?b=c", "https://pullarm.example:81/a?b=c"),
        ("https://10.0.0.1", "https://pullarm.example"),
    ],
)
def test_people_are_shown_the_name_on_the_certificate(url: str, told: str) -> None:
    assert Trust(name="pullarm.example").known_as(url) == told
    assert Trust().known_as(url) == url


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        (SERVER, "the system's authorities do not vouch for PULLARM_TLS_CERTIFICATE"),
        (
            {**SERVER, "PULLARM_SERVER_CA": str(OTHER_CA)},
            "PULLARM_SERVER_CA does not vouch for PULLARM_TLS_CERTIFICATE",
        ),
        (
            {**BELIEVED, "PULLARM_SERVER_NAME": "pullarm.example"},
            "PULLARM_SERVER_NAME is not among its names",
        ),
        (MUTUAL, r"PULLARM_TLS_CLIENT_CA lets nobody in .* PULLARM_CLIENT_CERTIFICATE"),
        (MUTUAL | client("stranger"), "PULLARM_TLS_CLIENT_CA lets nobody in whom it does not"),
        ({"PULLARM_TLS_KEY": str(CA)}, "PULLARM_TLS_CERTIFICATE is not set"),
    ],
)
def test_what_would_not_let_them_in_is_named(environment: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        settled(environment, "127.0.0.1")
