"""Keep programs running: start them, wait until they are ready, restart them, stop them in order."""

import asyncio
import os
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from cli import orphans, process
from cli.process import Program
from pullarm.domain.errors import PullarmError

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 10.0
STABLE_S = 10.0  # a program that ran this long starts again with the first back-off
START_ATTEMPTS = 5
PROBE_EVERY_S = 0.02


class StartFailed(PullarmError):
    """A program of the platform did not start."""

    code = "start_failed"


class SupervisionFailed(PullarmError):
    """A program of the platform is no longer supervised."""

    code = "supervision_failed"


def _quiet(message: str) -> None:
    """The report of who does not want one."""


class _Watched:
    """One program under supervision."""

    def __init__(self, program: Program, log: Path, note: Path) -> None:
        self.program, self.log, self.note = program, log, note
        self.handle: Process | None = None
        self.exits = 0
        self.started_s = 0.0
        self.late = False

    @property
    def running(self) -> Process | None:
        return self.handle if self.handle is not None and self.handle.returncode is None else None

    async def spawn(self) -> Process:
        self.started_s = time.monotonic()
        self.handle = await process.spawn(self.program, self.log)
        return self.handle

    async def become_ready(self, handle: Process) -> bool:
        """Whether it became ready; one that ended or took too long (it is killed) did not."""
        deadline = time.monotonic() + self.program.ready_timeout_s
        while handle.returncode is None and time.monotonic() < deadline:
            if await process.is_ready(self.program):
                return True
            await asyncio.sleep(PROBE_EVERY_S)
        self.late = handle.returncode is None
        process.kill(handle)
        return False

    def backoff_s(self) -> float:
        if time.monotonic() - self.started_s > STABLE_S:
            self.exits = 0
        self.exits += 1
        return float(min(FIRST_BACKOFF_S * 2 ** (self.exits - 1), LONGEST_BACKOFF_S))

    def failure(self, code: int) -> StartFailed:
        late = f"was not ready within {self.program.ready_timeout_s:.0f} s"
        how = late if self.late else f"ended with status {code}, {self.exits} times in a row"
        return StartFailed(
            f"{self.program.name} {how}. Its last lines:\n"
            f"{process.tail(self.log)}\nThe whole log: {self.log}"
        )


class Supervisor:
    """The programs of one state folder; `start` adds to them, `stop` ends all of them."""

    def __init__(self, *, logs: Path, notes: Path, report: Callable[[str], None] = _quiet) -> None:
        self._logs, self._notes, self._report = logs, notes, report
        self._watched: list[_Watched] = []
        self._tasks: list[asyncio.Task[None]] = []

    def adopt(self) -> None:
        """Stop what a supervisor that was killed left running."""
        for name in orphans.stop_all(self._notes):
            self._say(f"{name} was still running without a supervisor; stopped it")

    def pids(self) -> dict[str, int]:
        """The process id of every program that is running."""
        handles = {each.program.name: each.running for each in self._watched}
        return {name: handle.pid for name, handle in handles.items() if handle is not None}

    async def start(self, *programs: Program) -> None:
        """Start programs side by side and return once all are ready; raises StartFailed."""
        added = [
            _Watched(one, self._logs / f"{one.name}.log", self._notes / f"{one.name}.pid")
            for one in programs
        ]
        self._watched += added
        try:
            async with asyncio.TaskGroup() as group:
                for each in added:
                    group.create_task(self._first_start(each))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        self._tasks += [
            asyncio.create_task(self._keep(each), name=each.program.name) for each in added
        ]

    async def retire(self, *names: str) -> None:
        """Stop some programs, which are not started again."""
        going = [each for each in self._watched if each.program.name in names]
        tasks = [task for task in self._tasks if task.get_name() in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = [task for task in self._tasks if task not in tasks]
        self._watched = [each for each in self._watched if each not in going]
        await asyncio.gather(*(self._stop_one(each) for each in going))

    async def watch(self) -> None:
        """Return never; raises SupervisionFailed once one of the programs started so far is left to itself."""
        dead, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        task = dead.pop()
        error = task.exception()
        raise SupervisionFailed(
            f"{task.get_name()} is no longer supervised, by a fault of Pullarm's: {error!r}"
        ) from error

    async def stop(self) -> None:
        """Stop every program, the last stage first; harmless when nothing runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        ordered = sorted(self._watched, key=lambda each: -each.program.stage)
        for _, stage in groupby(ordered, key=lambda each: each.program.stage):
            await asyncio.gather(*(self._stop_one(each) for each in stage))
        self._watched.clear()

    def kill(self) -> None:
        """Kill every program at once, for somebody who will not wait for `stop`."""
        for each in self._watched:
            if each.running is not None:
                process.kill(each.running)

    async def _first_start(self, each: _Watched) -> None:
        while True:
            try:
                handle = await self._spawn(each)
            except OSError as error:
                raise StartFailed(f"{each.program.name} cannot be started: {error}") from error
            if await each.become_ready(handle):
                self._say(f"{each.program.name} is ready (pid {handle.pid})")
                return
            delay_s = each.backoff_s()
            if each.late or each.exits >= START_ATTEMPTS:
                raise each.failure(await handle.wait())
            await asyncio.sleep(delay_s)

    async def _keep(self, each: _Watched) -> None:
        """Start a program again whenever it ends."""
        while each.handle is not None:
            code = await each.handle.wait()
            delay_s = each.backoff_s()
            self._say(f"{each.program.name} ended with status {code}; again in {delay_s:.1f} s")
            await asyncio.sleep(delay_s)
            handle = await self._respawn(each)
            if await each.become_ready(handle):
                self._say(f"{each.program.name} is ready again (pid {handle.pid})")

    async def _respawn(self, each: _Watched) -> Process:
        """Try until it starts: a full disk or a log folder that was removed may be mended."""
        while True:
            try:
                return await self._spawn(each)
            except OSError as error:
                delay_s = each.backoff_s()
                again = f"again in {delay_s:.1f} s"
                self._say(f"{each.program.name} cannot be started ({error}); {again}")
                await asyncio.sleep(delay_s)

    async def _spawn(self, each: _Watched) -> Process:
        handle = await each.spawn()
        try:
            orphans.note(each.note, handle.pid, each.program.stop_signal)
        except OSError as error:  # only who comes after a supervisor that was killed needs the note
            self._say(f"{each.program.name} runs, but {each.note} cannot be written ({error})")
        return handle

    async def _stop_one(self, each: _Watched) -> None:
        if each.handle is not None:
            await process.stop(each.program, each.handle)
            self._say(f"{each.program.name} stopped (status {each.handle.returncode})")
        with suppress(OSError):
            each.note.unlink(missing_ok=True)

    def _say(self, message: str) -> None:
        with suppress(OSError, ValueError):  # a closed terminal must not end the supervision
            self._report(message)
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {message}\n"
        with suppress(OSError):
            log = process.open_log(self._logs / "supervisor.log")
            with os.fdopen(log, "w", encoding="utf-8") as file:
                file.write(line)
