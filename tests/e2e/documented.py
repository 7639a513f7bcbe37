"""What the documentation shows in fences, and how it is made to run here: other addresses, real ids, less of it."""

import re
import shlex
import subprocess
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main

from cli.main import build

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.name != "README.md"),
)
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_BENIGN = {
    "grep": 1,  # there is none
    ".venv/bin/pullarm replay evaluate": 2,  # so small a log cannot tell
    ".venv/bin/pullarm replay gate": 2,
}
"""Commands whose exit status answers a question, and the highest that is an answer."""
SHORTER = {
    " --follow": " --follow & sleep 2; kill $!",
    ".venv/bin/pullarm doctor": "until .venv/bin/pullarm doctor; do sleep 1; done",
    "pullarm ship front-page": "pullarm ship front-page --policy thompson",
    "--rate 500 --sla p95=120ms": "--rate 20 --duration 1 --sla errors=0",
    " --out runs/": " --seeds 2 --out runs/",
}
"""What would never end, or takes what a test has no time for: heard of every half a minute, judged after a week."""


@dataclass(frozen=True, slots=True)
class Block:
    """The inside of a fence."""

    language: str
    """Empty where it is no code: a picture, or what a command prints."""
    text: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """Of these languages, or of any, in order."""
    found = _FENCED.findall(page.read_text(encoding="utf-8"))
    all_of_them = [Block(language, textwrap.dedent(text)) for _, language, text in found]
    return [block for block in all_of_them if not languages or block.language in languages]


def made(page: Path) -> list[str]:
    """The `make` lines of a page without their comments."""
    lines = [line for block in blocks(page, "sh") for line in block.text.splitlines()]
    return [_bare(line) for line in lines if line.startswith("make ")]


def script(page: Path, given: Mapping[str, str]) -> str:
    """The shell's part of a page as one script, but for the `make` lines; `given` replaces what stands there."""
    lines = [line for block in blocks(page, "sh") for line in block.text.splitlines()]
    text = "\n".join(_answered(line) for line in lines if not line.startswith("make "))
    return replaced(text, SHORTER | dict(given))


def replaced(text: str, by: Mapping[str, str]) -> str:
    """Each text for its other, in order."""
    for old, new in by.items():
        text = text.replace(old, new)
    return text


def _bare(line: str) -> str:
    return re.sub(r"\s+#\s.*$", "", line)


def _answered(line: str) -> str:
    for command, highest in _BENIGN.items():
        if line.startswith(f"{command} "):
            return f"{_bare(line)} || test $? -le {highest}"
    return _bare(line)


def understood(line: str) -> str:
    """The command that a `make` line runs, whose arguments are parsed by itself; not run, which its own tests do."""
    words = shlex.split(line)
    shown = subprocess.run(
        ["make", "--no-print-directory", "-C", ROOT, "-n", *words[1:]],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
    ).stdout
    ran = shlex.split(shown.splitlines()[-1])
    assert ran[:2] == [".venv/bin/python", "-m"], shown
    if ran[2] == "cli":
        _parse(ran[3:])
    return ran[2] if ran[2] != "cli" else ran[3]


def _parse(words: list[str]) -> None:
    """Raises click's UsageError where the command would not take these arguments."""
    command: Any = typer.main.get_command(build(*words[:2]))
    while commands := getattr(command, "commands", None):
        command, words = commands[words[0]], words[1:]
    command.make_context(command.name, list(words))
