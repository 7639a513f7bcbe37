"""Write the lock files in requirements/ from pyproject.toml, hashed and without any host's name."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
COMPILE = ["pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header"]


def compile_lock(name: str, *arguments: str, text: str | None = None) -> None:
    """Resolve into requirements/NAME; versions already in that file are kept where they still fit."""
    uv = str(ROOT / ".tools" / "bin" / "uv")
    command = [uv, *COMPILE, "--python-version", "3.11", "--output-file", f"requirements/{name}"]
    subprocess.run([*command, *arguments], check=True, cwd=ROOT, input=text, text=True)


def main(options: list[str]) -> None:
    compile_lock(
        "dev.lock",
        *options,
        "--extra",
        "embedded",
        "--extra",
        "bench",
        "--extra",
        "ray",
        "--extra",
        "otel",
        "--group",
        "dev",
        "pyproject.toml",
    )
    # starts from the developers' lock, so that what runs is what was tested
    shutil.copyfile(LOCKS / "dev.lock", LOCKS / "runtime.lock")
    compile_lock("runtime.lock", "--extra", "embedded", "pyproject.toml")
    # deploy/Dockerfile: what its image holds, and what makes the wheel and the dashboard's libraries
    shutil.copyfile(LOCKS / "runtime.lock", LOCKS / "container.lock")
    compile_lock("container.lock", "--extra", "otel", "pyproject.toml")
    shutil.copyfile(LOCKS / "dev.lock", LOCKS / "build.lock")
    compile_lock("build.lock", "--no-annotate", "-", text="hatchling\nnodejs-wheel-binaries\n")
    compile_lock("uv.lock", *options, "--no-annotate", "-", text="uv\n")


if __name__ == "__main__":
    main(sys.argv[1:])
