"""Results that are kept: one JSON file a run, and a line for each in the table of their README."""

import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pullarm.domain.errors import invalid

FOLDER = Path(__file__).with_name("results")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_TITLE = """# Results

Runs of `pullarm bench --keep NAME`, the newest last. Each file has every figure, the settings and the machine.

| date | name | result | machine |
|---|---|---|---|
"""


def checked(name: str) -> str:
    """The name of a result; raises InvalidInput unless it can be part of a file's name."""
    if _NAME.fullmatch(name) is None:
        raise invalid(
            "--keep", f"{name!r} is no name; use up to 41 small letters, digits and hyphens"
        )
    return name


def keep(
    content: Mapping[str, Any], *, name: str, result: str, machine: str, today: date, folder: Path
) -> Path:
    """Write the file and its line; a result of the same day and name is replaced."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{today.isoformat()}-{checked(name)}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else _TITLE
    link = f"[{name}]({path.name})"
    lines = [line for line in text.splitlines() if link not in line]
    lines.append(f"| {today.isoformat()} | {link} | {result} | {machine} |")
    readme.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
