"""What holds for the repository as a whole: import walls, generated code, locks, house rules."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "pullarm",
    "serving",
    "control",
    "workers",
    "replay",
    "cli",
    "benchmarks",
    "tools",
    "tests",
)


def sources() -> list[Path]:
    """Every Python file written by hand."""
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return [path for path in found if not path.stem.endswith(("_pb2", "_pb2_grpc"))]


def run_tool(*arguments: str) -> str:
    """What a tool complains about; empty where all is well."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr or "it failed without a word"


@pytest.mark.parametrize(
    "tool",
    [
        ("tools.walls",),
        ("tools.generate", "--check"),
        ("tools.buf", "lint"),
        ("tools.buf", "breaking", "--against", "proto/baseline.binpb"),
    ],
    ids=" ".join,
)
def test_tool_finds_nothing(tool: tuple[str, ...]) -> None:
    assert run_tool(*tool) == ""


def imported(path: Path) -> set[str]:
    """The top-level packages a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def test_domain_needs_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"pullarm"}
    foreign = {
        f"{path.name} imports {name}"
        for path in (ROOT / "pullarm" / "domain").rglob("*.py")
        for name in imported(path) - allowed
    }
    assert foreign == set()


def test_files_stay_readable() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {str(path.relative_to(ROOT)) for path, lines in lengths.items() if lines > 350} == set()


def test_checks_are_not_switched_off_line_by_line() -> None:
    pattern = re.compile(r"#\s*(noqa|type:\s*ignore|pyright:)|mark\.(skip|xfail)")
    switched_off = {
        str(path.relative_to(ROOT))
        for path in sources()
        if path != Path(__file__) and pattern.search(path.read_text(encoding="utf-8"))
    }
    assert switched_off == set()


LOCKS = ["runtime.lock", "container.lock", "build.lock", "dev.lock"]
"""Each holds nothing that the last does not hold as well."""


@pytest.mark.parametrize("name", [*LOCKS, "uv.lock"])
def test_lock_is_hashed_throughout_and_names_no_host(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    pins = re.findall(r"^[\w.\-\[\]]+==\S+", text, re.MULTILINE)
    assert pins
    assert text.count(" \\\n    --hash=sha256:") >= len(pins)
    assert "://" not in text


def test_the_dashboards_lock_names_no_host_and_a_hash_of_everything() -> None:
    text = (ROOT / "web" / "package-lock.json").read_text(encoding="utf-8")
    pins = json.loads((ROOT / "web" / "package.json").read_text(encoding="utf-8"))
    locked = {name: each for name, each in json.loads(text)["packages"].items() if name}
    assert "://" not in text
    assert all(each["integrity"].startswith("sha512-") for each in locked.values())
    for kind in ("dependencies", "devDependencies", "optionalDependencies"):
        for name, version in pins[kind].items():
            assert locked[f"node_modules/{name}"]["version"] == version


def test_what_runs_is_what_was_tested() -> None:
    *made, dev = [
        dict(re.findall(r"^(\S+)==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in LOCKS
    ]
    assert all(each.items() <= dev.items() for each in made)
