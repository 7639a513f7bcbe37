"""Run buf the same way on every machine: `python -m tools.buf lint`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> int:
    """Run buf in the repository, this interpreter's own tools first on PATH, and return its status."""
    tools = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {
            "PATH": os.pathsep.join([str(tools), os.environ.get("PATH", os.defpath)]),
            # buf stops where its user configuration cannot be read, and nothing here may depend on it
            "HOME": home,
            "XDG_CONFIG_HOME": home,
            "XDG_CACHE_HOME": home,
        }
        command = [str(tools / "buf"), *arguments]
        return subprocess.run(command, check=False, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
