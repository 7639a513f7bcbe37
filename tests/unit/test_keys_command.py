"""What `pullarm keys` says of a file that it cannot change."""

from pathlib import Path

import pytest

from cli import keys
from pullarm.domain.errors import ConfigurationError
from pullarm.domain.key_rotation import Keys
from serving.settings import KEYS, KEYS_FILE, keys_in


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KEYS, KEYS_FILE):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{}", "needs JSON with deployment, sign and keys"),
        ('{"deployment": "00"}', "'sign' is missing"),
        (None, "is not set and .* has no decision_keys.json"),
    ],
)
def test_what_is_wrong_with_the_file_is_told(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / "decision_keys.json").write_text(content)
    with pytest.raises(ConfigurationError, match=problem):
        keys.add(tmp_path)


def test_keys_of_the_environment_are_not_rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS, '{"keys": "secret"}')
    with pytest.raises(ConfigurationError, match="put them into a file") as refused:
        keys.add(tmp_path)
    assert "secret" not in str(refused.value)


def test_a_key_is_added_to_the_file_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "elsewhere.json"
    before = Keys.made()
    path.write_text(before.text())
    path.chmod(0o600)
    monkeypatch.setenv(KEYS_FILE, str(path))
    keys.add(tmp_path / "nowhere")
    assert capsys.readouterr().out == "2\n"
    after = keys_in(path).ring
    assert (after.sign, after.keys[1]) == (1, before.ring.keys[1])
    assert after.keys.keys() == {1, 2}
    assert path.stat().st_mode & 0o777 == 0o600
