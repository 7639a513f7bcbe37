"""Make .venv hold exactly the locked packages and this checkout, from python3 and pip alone.

Run by the Makefile with whatever `python3` is; it therefore keeps to syntax that old Pythons can
read, looks for a newer one itself and needs nothing but the standard library.
"""

import fcntl
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = os.path.join(ROOT, ".tools")
VENV = os.path.join(ROOT, ".venv")
UV = os.path.join(TOOLS, "bin", "uv")
UV_LOCK = os.path.join(ROOT, "requirements", "uv.lock")
DEV_LOCK = os.path.join(ROOT, "requirements", "dev.lock")
OLDEST = (3, 11)
CANDIDATES = ("python3.11", "python3.12", "python3.13", "python3.14")


def prints(command: "list[str]") -> str:
    """What a command prints, or an empty string where it fails or does not exist."""
    try:
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.decode().strip()


def new_enough(python: str) -> bool:
    return prints([python, "-c", "import sys; print(sys.version_info >= %r)" % (OLDEST,)]) == "True"


def choose_python() -> str:
    """This interpreter, or the first on PATH that is new enough and has pip."""
    found = [path for path in map(shutil.which, CANDIDATES) if path is not None]
    usable = [path for path in [sys.executable, *found] if new_enough(path)]
    if not usable:
        sys.exit(
            "Pullarm needs Python 3.11 or newer, and python3 is %d.%d (%s).\n"
            "Install a newer one, or name it: make PYTHON=/path/to/python3.11"
            % (sys.version_info[0], sys.version_info[1], sys.executable)
        )
    for path in usable:
        if prints([path, "-m", "pip", "--version"]):
            return path
    sys.exit(
        "Pullarm's set-up needs pip, and %s has none.\n"
        "Install it (Debian and Ubuntu: apt install python3-pip; elsewhere: python3 -m ensurepip),\n"
        "or name a Python that has it: make PYTHON=/path/to/python3" % usable[0]
    )


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def run(command: "list[str]", environment: "dict[str, str]") -> None:
    """Run one step, its output shown; a step that fails ends the set-up with its command named."""
    status = subprocess.run(command, check=False, cwd=ROOT, env=environment).returncode
    if status != 0:
        sys.exit("set-up failed (status %d): %s" % (status, " ".join(command)))


def install_uv(python: str) -> None:
    """Put the locked uv into .tools; --target works where Debian forbids a plain pip install."""
    marker = os.path.join(TOOLS, "uv.lock")
    wanted = read(UV_LOCK)
    if read(marker) == wanted and prints([UV, "--version"]):
        return
    options = ["--quiet", "--no-input", "--no-cache-dir", "--disable-pip-version-check"]
    command = [python, "-m", "pip", "install", *options, "--upgrade", "--target", TOOLS]
    # pip would warn about running as root, which --target makes harmless
    environment = dict(os.environ, PIP_ROOT_USER_ACTION="ignore")
    run([*command, "--require-hashes", "--requirement", UV_LOCK], environment)
    write(marker, wanted)


def writable(folder: str) -> bool:
    """Whether files can be made in a folder, which is created where it is missing."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def pip_settings(python: str) -> "dict[str, str]":
    """What pip is configured with, its environment before its files, keyed by option."""
    settings = {}
    listed = prints([python, "-m", "pip", "config", "list"])
    # `pip config get` does not find every setting that `list` shows (pip 23.0)
    for line in sorted(listed.splitlines(), key=lambda text: text.startswith(":env:")):
        key, _, value = line.partition("=")
        settings[key.rpartition(".")[2]] = value.strip("'\"")
    return settings


def uv_environment(python: str) -> "dict[str, str]":
    """The caller's environment with a cache uv can write to, and pip's mirror and certificates."""
    environment = dict(os.environ, UV_PYTHON_DOWNLOADS="never", UV_NO_PROGRESS="1")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if "UV_CACHE_DIR" not in environment and not writable(os.path.join(base, "uv")):
        environment["UV_CACHE_DIR"] = os.path.join(TOOLS, "cache")
    settings = pip_settings(python)
    for option, variable in (("index-url", "UV_DEFAULT_INDEX"), ("cert", "SSL_CERT_FILE")):
        if option in settings:
            environment.setdefault(variable, settings[option])
    return environment


def make_venv(python: str, environment: "dict[str, str]") -> None:
    """Create .venv anew unless it was made for this very folder: its scripts hold absolute paths."""
    marker = os.path.join(VENV, ".made-for")
    inside = os.path.join(VENV, "bin", "python")
    if read(marker) == ROOT and new_enough(inside):
        return
    run([UV, "venv", "--quiet", "--clear", "--python", python, VENV], environment)
    write(marker, ROOT)


def vendor() -> None:
    """Fetch the dashboard's libraries; all else works without them, and the dashboard says what it lacks."""
    command = [os.path.join(VENV, "bin", "python"), "-m", "tools.vendor"]
    if subprocess.run(command, check=False, cwd=ROOT).returncode != 0:
        print("set-up goes on without the dashboard: `make vendor` tries again", file=sys.stderr)


def compile_kernels() -> None:
    """Once, here; whoever finds them not compiled does it again."""
    print("compiling kernels", file=sys.stderr)
    command = [os.path.join(VENV, "bin", "python"), "-m", "tools.kernels"]
    if subprocess.run(command, check=False, cwd=ROOT).returncode != 0:
        print("set-up goes on; the first start will take longer", file=sys.stderr)


def main() -> None:
    python = choose_python()
    os.makedirs(TOOLS, exist_ok=True)
    with open(os.path.join(TOOLS, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once must not write the same files
        print("setting up .venv with %s" % python, file=sys.stderr)
        install_uv(python)
        environment = uv_environment(python)
        make_venv(python, environment)
        pip = [UV, "pip", "--quiet"]
        inside = ["--python", os.path.join(VENV, "bin", "python")]
        run([*pip, "sync", *inside, "--require-hashes", DEV_LOCK], environment)
        editable = ["--no-deps", "--no-build-isolation", "--editable", ROOT]
        run([*pip, "install", *inside, *editable], environment)
        vendor()
        compile_kernels()


if __name__ == "__main__":
    main()
