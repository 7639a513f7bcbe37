"""One supervised program: what it is, how it starts, whether it is ready, and how it stops."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launcher.py")
LOG_LIMIT_BYTES = 20_000_000


class Urgency(Enum):
    """Who goes first where processors are short: requests; learning, which lags a little then, catches up.

    A niceness, where the system grants it, and for how many microseconds a program keeps a processor that others want:
    the fewer, the sooner it is let in. 0 leaves that to the system, and 100 is the least there is.
    """

    AWAITED = (-5, 100)
    """Callers wait for it."""
    USUAL = (0, 0)
    BEHIND_THE_SCENES = (5, 0)
    """Nobody waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The system user a program runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What the supervisor needs to know of one program."""

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]
    stage: int
    """Stages stop from the highest to the lowest; programs of one stage stop together."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    prepare: Callable[[], None] | None = None
    """Called before every start."""
    folder: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends when the supervisor dies without stopping anything."""
    grace_s: float = 10.0
    urgency: Urgency = Urgency.USUAL
    ready_timeout_s: float = 60.0


def open_log(path: Path) -> int:
    """A descriptor that appends to a log; one grown beyond its limit is put aside as NAME.1 first."""
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def launched(
    argv: Sequence[str],
    *,
    death_signal: signal.Signals = signal.SIGKILL,
    urgency: Urgency = Urgency.USUAL,
    account: Account | None = None,
) -> list[str]:
    """The command that becomes the program `argv`; to be run by this very process, in a session of its own."""
    identity = f"{account.uid}:{account.gid}" if account else "-"
    numbers = (int(death_signal), os.getpid(), *urgency.value)
    return [sys.executable, "-I", "-S", str(LAUNCHER), *map(str, numbers), identity, *argv]


async def spawn(program: Program, log: Path) -> Process:
    """Start a program in a session of its own, so that Ctrl-C reaches it only through its supervisor."""
    if program.prepare is not None:
        program.prepare()
    descriptor = open_log(log)
    try:
        return await asyncio.create_subprocess_exec(
            *launched(
                program.argv,
                death_signal=program.death_signal,
                urgency=program.urgency,
                account=program.account,
            ),
            stdin=DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=dict(program.env),
            cwd=program.folder,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


async def is_ready(program: Program) -> bool:
    """Probe a program once; a refused or broken connection means not yet."""
    try:
        async with asyncio.timeout(2):
            return await program.ready()
    except (OSError, EOFError, TimeoutError):
        return False


def kill(handle: Process) -> None:
    """Kill a program and whatever it started itself."""
    with suppress(ProcessLookupError):
        os.killpg(handle.pid, signal.SIGKILL)


async def stop(program: Program, handle: Process) -> None:
    """Ask a program to stop, and kill it when its grace has passed."""
    if handle.returncode is None:
        with suppress(ProcessLookupError):
            handle.send_signal(program.stop_signal)
    try:
        await asyncio.wait_for(handle.wait(), program.grace_s)
    except TimeoutError:
        kill(handle)
        await handle.wait()


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, for an error message."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (its log is empty)"
