"""What is installed is what the lock says: every package in its version, every file with its hash. Needs no network."""

import base64
import hashlib
import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements" / "dev.lock"
_OURS = "pullarm"
_MADE_HERE = (".pyc", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""Written by whoever installs, or runs, a package."""


def name_of(text: str) -> str:
    """As packages are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", text).lower()


def locked(text: str) -> dict[str, list[str]]:
    """Versions by name: several, where they differ between versions of Python."""
    pins = re.findall(r"^([\w.\-]+)(?:\[[^]]*\])?==([^\s;]+)", text, re.MULTILINE)
    found: dict[str, list[str]] = {}
    for name, version in pins:
        found.setdefault(name_of(name), []).append(version)
    return found


def findings(found: Distribution, versions: dict[str, list[str]]) -> list[str]:
    """What is wrong with an installed package."""
    name = name_of(found.metadata["Name"])
    wanted = versions.get(name, ["none"])
    if found.version not in wanted:
        return [f"{name} {found.version} is installed; the lock has {' or '.join(wanted)}"]
    return [f"{name}: {path} is not what was installed" for path in changed(found)]


def changed(found: Distribution) -> list[str]:
    """Files that are missing, or whose content is not that of their RECORD."""
    listed = [each for each in found.files or () if not each.name.endswith(_MADE_HERE)]
    return [
        str(each)
        for each in listed
        if each.hash is not None and not _holds(Path(str(each.locate())), each.hash.value)
    ]


def _holds(path: Path, wanted: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == wanted


def main() -> None:
    versions = locked(LOCK.read_text(encoding="utf-8"))
    installed = [each for each in distributions() if name_of(each.metadata["Name"]) != _OURS]
    told = [line for each in installed for line in findings(each, versions)]
    print("\n".join(told) or f"{len(installed)} packages are those of {LOCK.name}, file by file")
    sys.exit(1 if told else 0)


if __name__ == "__main__":
    main()
