"""Which token the commands show to whom."""

from pathlib import Path

import pytest

from cli.remote import TOKEN, find_token


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
