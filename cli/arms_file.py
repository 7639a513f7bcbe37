"""Arms from a file: JSON, CSV or one id a line."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from control.arm_list import from_csv
from pullarm.domain.errors import invalid

Arms = list[object]


def read_arms(path: Path) -> Arms:
    """Ids, or objects, as the REST API takes them; raises InvalidInput that names the file."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise invalid("--arms", f"{path}: use a file that ends in {', '.join(_READERS)}")
    try:
        arms = reader(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, csv.Error) as error:
        raise invalid("--arms", f"{path} cannot be read: {error}") from error
    if not isinstance(arms, list):
        raise invalid(
            "--arms", f'{path} must hold a list of ids, or of objects {{"id", "label", ...}}'
        )
    if not arms:
        raise invalid("--arms", f"{path} holds no arms")
    return arms


def _from_json(text: str) -> object:
    content = json.loads(text)
    return content.get("arms") if isinstance(content, dict) else content


def _from_lines(text: str) -> Arms:
    return [line.strip() for line in text.splitlines() if line.strip()]


_READERS: Mapping[str, Callable[[str], object]] = {
    ".json": _from_json,
    ".csv": from_csv,
    ".txt": _from_lines,
}
