"""Generate pullarm/v1 from proto/ with buf; `--check` only compares and fails on a difference."""

import argparse
import sys
import tempfile
from pathlib import Path

from tools import buf

GENERATED = Path("pullarm", "v1")
PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def contents(root: Path) -> dict[Path, bytes]:
    """Every generated file below `root`, keyed by its path from there."""
    folder = root / GENERATED
    found = [path for pattern in PATTERNS for path in folder.glob(pattern)]
    return {path.relative_to(root): path.read_bytes() for path in sorted(found)}


def generate() -> dict[Path, bytes]:
    """What proto/ generates now, made in a folder of its own; empty where buf fails."""
    with tempfile.TemporaryDirectory() as folder:
        status = buf.run("generate", "--output", folder)
        return contents(Path(folder)) if status == 0 else {}


def write(fresh: dict[Path, bytes], stale: dict[Path, bytes]) -> None:
    """Make the tree hold exactly the fresh files."""
    for path in stale.keys() - fresh.keys():
        (buf.ROOT / path).unlink()
    for path, data in fresh.items():
        (buf.ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (buf.ROOT / path).write_bytes(data)


def differences(fresh: dict[Path, bytes], present: dict[Path, bytes]) -> list[str]:
    """The files that are missing, left over or changed, by name."""
    paths = sorted(fresh.keys() | present.keys())
    return [str(path) for path in paths if fresh.get(path) != present.get(path)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only, change nothing")
    check = parser.parse_args().check
    fresh, present = generate(), contents(buf.ROOT)
    if not fresh:
        return 1  # buf has said why
    if not check:
        write(fresh, present)
        return 0
    different = differences(fresh, present)
    for name in different:
        print(f"{name} is not what proto/ generates; run `make generate`", file=sys.stderr)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
