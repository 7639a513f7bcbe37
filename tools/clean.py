"""Remove what `make` set up and what running left behind: .venv, .tools, .pullarm and caches.

Run with whatever `python3` is, so it needs nothing but the standard library, not even the package's own modules.
"""

import fcntl
import os
import shutil
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = (
    ".venv",
    ".tools",
    os.path.join("web", "vendor"),
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
)


def remove_state(folder: str) -> None:
    """Delete a platform's state, with the part of it that root keeps elsewhere, unless it runs."""
    if not os.path.isdir(folder):
        return
    with open(os.path.join(folder, "lock"), "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(f"a platform is running on {folder}; stop it first (Ctrl-C where it runs)")
        elsewhere = os.path.join(folder, "relocated")
        if os.path.exists(elsewhere):
            with open(elsewhere, encoding="utf-8") as file:
                shutil.rmtree(file.read().strip(), ignore_errors=True)
        shutil.rmtree(folder)


def main() -> None:
    remove_state(os.path.join(ROOT, ".pullarm"))
    for name in FOLDERS:
        shutil.rmtree(os.path.join(ROOT, name), ignore_errors=True)
    for folder, names, _ in os.walk(ROOT):
        if "__pycache__" in names:
            shutil.rmtree(os.path.join(folder, "__pycache__"))
        names[:] = [name for name in names if not name.startswith(".") and name != "__pycache__"]


if __name__ == "__main__":
    main()
