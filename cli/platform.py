"""The whole platform under one supervisor: servers, migrations, serving, control and worker."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from cli import embedded, process
from cli.admin_token import admin_token
from cli.ports import claim
from cli.process import Program
from cli.remote import TOKEN
from cli.state import (
    State,
    close_sockets,
    decision_keys,
    locked,
    open_state,
    write_environment,
)
from cli.supervisor import StartFailed, Supervisor
from pullarm.clock import FileClock
from serving.settings import KEYS, KEYS_FILE

OWN_SERVERS = ("DATABASE_URL", "REDIS_URL", "QUEUE_REDIS_URL")
OWN_KEYS = (KEYS, KEYS_FILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to run a platform; a port of 0 means any free one, or none at all for the embedded servers."""

    state: Path = Path(".pullarm")
    serving: int = 2
    workers: int = 1
    host: str = "127.0.0.1"
    grpc_port: int = 50051
    http_port: int = 8000
    postgres_port: int = 0
    redis_port: int = 0
    metrics_port: int = 0
    """Of the first serving process; the next ones have the next ports."""
    simulated_from_ms: int | None = None
    """Where a clock of the platform's own begins, which somebody has to move; None: the machine's."""

    def claimed(self, kept: ExitStack) -> Self:
        """These settings with every port checked, or chosen and kept; raises ConfigurationError."""
        grpc_port = claim(self.host, self.grpc_port, "--grpc-port", kept)
        for port in filter(None, self.metrics_ports):
            claim(self.host, port, "--metrics-port", kept)
        http_port = claim(self.host, self.http_port, "--http-port", kept)
        if self.postgres_port:
            claim(self.host, self.postgres_port, "--postgres-port", kept)
        if self.redis_port:
            claim(self.host, self.redis_port, "--redis-port", kept)
        return replace(self, grpc_port=grpc_port, http_port=http_port)

    @property
    def metrics_ports(self) -> list[int]:
        """One for each serving process."""
        return [self.metrics_port and self.metrics_port + n for n in range(self.serving)]


class Platform:
    """`async with Platform(settings) as platform:` runs it for as long as the block lasts."""

    def __init__(self, settings: Settings, report: Callable[[str], None] = print) -> None:
        self.settings = settings
        self.environment: dict[str, str] = {}
        """What every process is told, over and above the caller's own environment."""
        self.clock: FileClock | None = None
        """The simulated clock, where there is one."""
        self.token = ""
        """An admin's; not in the environment of the processes, which need none."""
        self.stopping = False
        self._report = report
        self._resources = ExitStack()
        self._state: State | None = None
        self._supervisor: Supervisor | None = None

    @property
    def grpc_address(self) -> str:
        return f"{_literal(self.settings.host)}:{self.settings.grpc_port}"

    @property
    def http_url(self) -> str:
        return f"http://{_literal(self.settings.host)}:{self.settings.http_port}"

    @property
    def pids(self) -> Mapping[str, int]:
        """The running processes by name."""
        return self._supervisor.pids() if self._supervisor else {}

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def watch(self) -> None:
        """Return never; raises SupervisionFailed once a program is left to itself. For a platform that is up."""
        if self._supervisor is not None:
            await self._supervisor.watch()

    def kill(self) -> None:
        """Kill every process at once; leaving the block afterwards is quick."""
        if self._supervisor is not None:
            self._supervisor.kill()

    async def _start(self) -> None:
        state = open_state(self.settings.state)
        self._resources.enter_context(locked(state))
        supervisor = Supervisor(logs=state.logs, notes=state.run, report=self._report)
        self._state, self._supervisor = state, supervisor
        await asyncio.to_thread(supervisor.adopt)
        if self.settings.simulated_from_ms is not None:  # now that no other platform reads it
            self.clock = FileClock.create(state.clock, self.settings.simulated_from_ms)
        self.settings = self.settings.claimed(self._resources)
        self.environment = await self._addresses(state, supervisor) | self._own(state)
        await self._migrate(state)
        self.token = await admin_token(state, self.environment["DATABASE_URL"], self._report)
        write_environment(state, self.environment | {TOKEN: self.token})
        await supervisor.start(*self._programs(state))

    async def _addresses(self, state: State, supervisor: Supervisor) -> dict[str, str]:
        """The user's own servers where the environment names them, else the embedded ones."""
        own = given(OWN_SERVERS)
        wanted = embedded.Wanted(
            postgres="DATABASE_URL" not in own,
            valkey="REDIS_URL" not in own,
            host=self.settings.host,
            postgres_port=self.settings.postgres_port,
            redis_port=self.settings.redis_port,
        )
        addresses = await embedded.start(supervisor, state, wanted) | own
        addresses.setdefault("QUEUE_REDIS_URL", addresses["REDIS_URL"])
        return addresses

    def _own(self, state: State) -> dict[str, str]:
        keys = given(OWN_KEYS) or {KEYS_FILE: str(decision_keys(state))}
        return keys | {
            "PULLARM_GRPC_ADDRESS": self.grpc_address,
            "PULLARM_HTTP_ADDRESS": f"{_literal(self.settings.host)}:{self.settings.http_port}",
            # Reached from this machine alone, by commands that are told http:// addresses.
            "PULLARM_TLS_CERTIFICATE": "",
            "PULLARM_TLS_KEY": "",
            "PULLARM_SPOOL": str(state.folder / "spool"),
            "PULLARM_CLOCK": "system" if self.clock is None else f"file:{state.clock}",
        }

    async def _migrate(self, state: State) -> None:
        log = state.logs / "migrate.log"
        handle = await process.spawn(self._program(state, "migrate", "migrate", 2), log)
        try:
            status = await handle.wait()
        finally:
            process.kill(handle)
        if status != 0:
            raise StartFailed(f"the database could not be brought up to date:\n{process.tail(log)}")

    def _programs(self, state: State) -> list[Program]:
        serving = [
            replace(
                self._program(
                    state,
                    f"serving-{n}",
                    "serve",
                    2,
                    PULLARM_METRICS_ADDRESS=f"{_literal(self.settings.host)}:{port}",
                ),
                slice_us=process.PROMPT_US,
            )
            for n, port in enumerate(self.settings.metrics_ports)
        ]
        control = self._program(state, "control", "control", 3)
        workers = [
            replace(self._program(state, name, "work", 4), nice=process.BEHIND_THE_SCENES)
            for name in ("worker", *(f"worker-{n}" for n in range(1, self.settings.workers)))
        ]
        return [*serving, control, *workers]

    def _program(
        self, state: State, name: str, command: str, stage: int, **environment: str
    ) -> Program:
        """One of our own processes, which touches its ready file once it can do its work."""
        ready_file = state.run / f"{name}.ready"

        async def ready() -> bool:
            return ready_file.exists()

        own = {"PULLARM_PROCESS": name, "PULLARM_READY_FILE": str(ready_file)}
        return Program(
            name=name,
            argv=_command(command),
            ready=ready,
            stage=stage,
            env=os.environ | self.environment | own | environment,
            prepare=lambda: ready_file.unlink(missing_ok=True),
            ready_timeout_s=120,  # the first start compiles the kernels
        )

    async def _stop(self) -> None:
        self.stopping = True
        if self._supervisor is not None:
            await self._supervisor.stop()
        if self._state is not None:
            self._state.environment.unlink(missing_ok=True)
            close_sockets(self._state)
        self._resources.close()


def given(names: Iterable[str]) -> dict[str, str]:
    """What the caller's own environment says of these variables."""
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _command(name: str) -> tuple[str, ...]:
    # -P: a folder named `cli` where the user happens to stand must not be taken for ours
    return (sys.executable, "-P", "-m", "cli", name)


def _literal(host: str) -> str:
    return f"[{host}]" if ":" in host else host
