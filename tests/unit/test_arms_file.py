from pathlib import Path

import pytest

from cli.arms_file import read_arms
from pullarm.domain.errors import InvalidInput


@pytest.mark.parametrize(
    ("name", "text", "arms"),
    [
        ("a.json", '["a", {"id": "b", "label": "B"}]', ["a", {"id": "b", "label": "B"}]),
        ("a.json", '\ufeff{"arms": ["a"]}', ["a"]),
        ("a.txt", "a\r\n\n  b \n", ["a", "b"]),
        ("a.csv", 'label,id\n"B, b",b\n', [{"id": "b", "label": "B, b"}]),
        ("a.CSV", "a,A\nb\n", [{"id": "a", "label": "A"}, {"id": "b"}]),
    ],
)
def test_arms_are_read(tmp_path: Path, name: str, text: str, arms: list[object]) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_arms(path) == arms


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.xlsx", b"", "use a file that ends in .json, .csv, .txt"),
        ("a.json", b"{", "cannot be read"),
        ("a.json", b'{"arm": []}', "must hold a list"),
        ("a.json", b"[]", "holds no arms"),
        ("a.csv", b"id,label\n", "holds no arms"),
        ("a.csv", b'"a', "cannot be read"),
        ("a.txt", b"\xff\xfe\xfa", "cannot be read"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=problem) as caught:
        read_arms(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.txt cannot be read"):
        read_arms(tmp_path / "none.txt")
