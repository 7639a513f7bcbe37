"""Which token the commands show to whom."""

from pathlib import Path

import pytest

from cli.remote import TOKEN, ControlPlane, control_url, find_token
from cli.state import State, write_environment
from tests.tls import CA, FOLDER


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(TOKEN, raising=False)
    (tmp_path / "admin.token").write_text("kept\n")
    return tmp_path


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:1", "[::1]:8000"])
def test_the_folders_token_is_for_this_machine(state: Path, host: str) -> None:
    assert find_token(f"http://{host}", state) == "kept"
    assert find_token(f"http://{host}", state / "nothing") == ""


@pytest.mark.parametrize("url", ["https://control.example", "http://127.0.0.1@evil.example:80"])
def test_the_folders_token_goes_nowhere_else(state: Path, url: str) -> None:
    assert find_token(url, state) == ""


def test_the_environments_goes_wherever_it_is_sent(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, "given")
    for url in ("http://127.0.0.1:8000", "https://control.example"):
        assert find_token(url, state) == "given"


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("", "http://127.0.0.1:8000"),
        ("10.0.0.1:81", "http://10.0.0.1:81"),
        ("0.0.0.0:81", "http://127.0.0.1:81"),
        ("[::]:81", "http://[::1]:81"),
    ],
)
def test_where_a_control_plane_is_follows_from_where_it_listens(address: str, url: str) -> None:
    assert control_url({"PULLARM_HTTP_ADDRESS": address}) == url


def test_the_folders_platform_is_asked_where_and_as_what_it_answers(state: Path) -> None:
    """Its address and what its certificate is believed by; people are shown the name on that."""
    settings = {
        "PULLARM_HTTP_ADDRESS": "127.0.0.1:81",
        "PULLARM_TLS_CERTIFICATE": str(FOLDER / "server.pem"),
        "PULLARM_SERVER_CA": str(CA),
        "PULLARM_SERVER_NAME": "pullarm.example",
    }
    write_environment(State(folder=state), settings)
    assert find_token("", state) == "kept"
    with ControlPlane.found("", state) as control:
        assert control.page("exp_1") == "https://pullarm.example:81/experiments/exp_1"
    for url in ("http://elsewhere.example:80", "http://127.0.0.1:82"):
        with ControlPlane.found(url, state) as control:
            assert control.page("exp_1") == f"{url}/experiments/exp_1"
