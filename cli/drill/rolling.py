"""A platform whose processes are of one version and then, part by part, of another; the servers stay."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from cli import embedded
from cli.drill.release import Release
from cli.drill.timed import timed
from cli.platform import command_line, own_program
from cli.ports import claim
from cli.process import Program
from cli.remote import control_url
from cli.state import close_sockets, decision_keys, locked, open_state
from cli.supervisor import StartFailed, Supervisor
from serving.settings import KEYS_FILE

HOST = "127.0.0.1"
SERVING = ("serving-0", "serving-1")
_COMMANDS = {"serving": "serve", "control": "control", "worker": "work"}
_STAGES = {"serving": 2, "control": 3, "worker": 4}


class Rolling:
    """Two serving processes, a control plane and a worker, each to be replaced by another version's."""

    def __init__(self, supervisor: Supervisor, run: Path, environment: dict[str, str]) -> None:
        self.environment = environment
        self.token = ""
        """An admin's."""
        self.generation = 0
        self._supervisor = supervisor
        self._run = run

    @property
    def grpc_address(self) -> str:
        return self.environment["PULLARM_GRPC_ADDRESS"]

    @property
    def http_url(self) -> str:
        return control_url(self.environment)

    async def start(self, release: Release) -> None:
        """All of this version, on servers that have nothing yet."""
        await self._told(release, "migrate")
        names = ("worker", *SERVING, "control")
        await self._supervisor.start(*(self._program(release, name) for name in names))
        created = ("token", "create", "--name", "drill", "--role", "admin")
        self.token = (await self._told(release, *created)).split()[0]

    async def replace(self, release: Release) -> dict[str, float]:
        """Put another version in the place of what runs; how many seconds each part took.

        The order is the runbook's: the database first, with which the older version goes on; workers before serving,
        because they have to understand what it says; of both, a process is ready before the one that it replaces goes.
        """
        self.generation += 1
        took: dict[str, float] = {}
        with timed(took, "migrate"):
            await self._told(release, "migrate")
        for part, names in (("workers", ("worker",)), ("serving", SERVING)):
            with timed(took, part):
                for name in names:
                    await self._supervisor.start(self._program(release, name))
                    await self._supervisor.retire(_nth(name, self.generation - 1))
        with timed(took, "control"):  # its port is taken until the older one has gone
            await self._supervisor.retire(_nth("control", self.generation - 1))
            await self._supervisor.start(self._program(release, "control"))
        return took

    def _program(self, release: Release, name: str) -> Program:
        part = name.partition("-")[0]
        environment = {
            **self.environment,
            **release.environment,
            "PULLARM_METRICS_ADDRESS": f"{HOST}:0",
        }
        named = _nth(name, self.generation)
        return own_program(self._run, named, _COMMANDS[part], _STAGES[part], environment)

    async def _told(self, release: Release, *arguments: str) -> str:
        """What a command of that version prints; raises StartFailed with its complaint."""
        done = await asyncio.to_thread(
            subprocess.run,
            command_line(*arguments),
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | self.environment | dict(release.environment),
        )
        if done.returncode != 0:
            raise StartFailed(f"{release.name}: {' '.join(arguments)} failed:\n{done.stderr}")
        return done.stdout


@asynccontextmanager
async def rolling(folder: Path, report: Callable[[str], None]) -> AsyncIterator[Rolling]:
    """One with embedded servers and no processes yet, in a state folder of its own."""
    state = open_state(folder)
    with locked(state), ExitStack() as kept:
        supervisor = Supervisor(logs=state.logs, notes=state.run, report=report)
        try:
            environment = await embedded.start(supervisor, state, embedded.Wanted()) | {
                KEYS_FILE: str(decision_keys(state)),
                "PULLARM_GRPC_ADDRESS": f"{HOST}:{claim(HOST, 0, '', kept)}",
                "PULLARM_HTTP_ADDRESS": f"{HOST}:{claim(HOST, 0, '', kept)}",
                "PULLARM_SPOOL": str(state.folder / "spool"),
            }
            yield Rolling(supervisor, state.run, environment)
        finally:
            await supervisor.stop()
            close_sockets(state)


def _nth(name: str, generation: int) -> str:
    return f"{name}.{generation}" if generation else name
