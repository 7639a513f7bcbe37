"""Programs that outlived a supervisor: each is noted in a file when it starts, and found again by it."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

GRACE_S = 8.0
PROC = Path("/proc/self/stat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A started program, recognisable even after its process id has been given to another."""

    pid: int
    born: str
    stop_signal: int


def birth(pid: int) -> str:
    """When a process was started, as the system tells it; empty once it has ended."""
    if not PROC.exists():  # macOS
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]  # proc_pid_stat(5): state and starttime


def note(path: Path, pid: int, stop_signal: signal.Signals) -> None:
    """Write down a program that has just been started."""
    known = Note(pid=pid, born=birth(pid), stop_signal=int(stop_signal))
    path.write_text(json.dumps(asdict(known)), encoding="utf-8")


def _alive(orphan: Note) -> bool:
    return orphan.born != "" and birth(orphan.pid) == orphan.born


def _end(orphan: Note) -> None:
    with suppress(ProcessLookupError):
        os.kill(orphan.pid, orphan.stop_signal)
        deadline = time.monotonic() + GRACE_S
        while _alive(orphan) and time.monotonic() < deadline:
            time.sleep(0.02)
        if _alive(orphan):
            os.killpg(orphan.pid, signal.SIGKILL)


def stop_all(folder: Path) -> list[str]:
    """End every noted program that still runs; only for who holds the lock. Returns their names."""
    ended = []
    for path in sorted(folder.glob("*.pid"), reverse=True):
        with suppress(ValueError, TypeError):  # a note cut off by a crash tells nothing
            orphan = Note(**json.loads(path.read_text(encoding="utf-8")))
            if _alive(orphan):
                _end(orphan)
                ended.append(path.stem)
        path.unlink()
    return ended
