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
from urllib.parse import urlsplit

from cli import embedded, process
from cli.admin_token import admin_token
from cli.certificates import CERTIFICATES, settled
from cli.ports import claim
from cli.process import Program
from cli.remote import TOKEN, control_url
from cli.state import (
    State,
    close_sockets,
    decision_keys,
    locked,
    open_state,
    password,
    write_environment,
)
from cli.supervisor import StartFailed, Supervisor
from control.settings import READ_URL, REPLAYS
from pullarm.clock import FileClock
from pullarm.environment import ARCHIVE, NO_ARCHIVE
from pullarm.storage.postgres.roles import CONTROL, WORKERS, let_in, make_roles
from pullarm.storage.redis.cluster import is_cluster
from pullarm.tls import Trust
from pullarm.watching import ADDRESS
from serving.settings import KEYS, KEYS_FILE

OWN_SERVERS = ("DATABASE_URL", READ_URL, "REDIS_URL", "QUEUE_REDIS_URL")
OWN_KEYS = (KEYS, KEYS_FILE)
OWN = (*OWN_SERVERS, *OWN_KEYS, *CERTIFICATES)
"""What a user may bring along, and what a platform does without that shall depend on nothing of the user's."""


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
    redis_url: str = ""
    """A server or cluster to use; "": what the environment names, or the embedded one."""
    metrics_port: int = 0
    """Of the first serving process; the next ones, then the workers, have the next ports."""
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
        """One for each serving process, then one for each worker."""
        count = self.serving + self.workers
        return [self.metrics_port and self.metrics_port + n for n in range(count)]


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
        self._addresses_of: dict[str, str] = {}
        self._certificates: dict[str, str] = {}
        self._report = report
        self._resources = ExitStack()
        self._state: State | None = None
        self._supervisor: Supervisor | None = None

    @property
    def grpc_address(self) -> str:
        return f"{_literal(self.settings.host)}:{self.settings.grpc_port}"

    @property
    def http_url(self) -> str:
        return control_url(self.environment)

    @property
    def page_url(self) -> str:
        """The same under the name on the certificate, for people and their browsers."""
        return self.trust.known_as(self.http_url) if self.trust else self.http_url

    @property
    def trust(self) -> Trust | None:
        """What clients of the platform go by; None where it has no TLS."""
        return Trust.from_environment(self.environment)

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
        self._certificates = settled(os.environ, self.settings.host)
        self.settings = self.settings.claimed(self._resources)
        self.environment = await self._addresses(state, supervisor) | self._own(state)
        await self._migrate(state)
        self._addresses_of = await self._roles(state)
        self.token = await admin_token(state, self.environment["DATABASE_URL"], self._report)
        write_environment(state, self.environment | {TOKEN: self.token})
        await supervisor.start(*self._programs(state))

    async def _addresses(self, state: State, supervisor: Supervisor) -> dict[str, str]:
        """The user's own servers where the environment names them, else the embedded ones.

        Where the user's is a cluster, the embedded one has arq's queue, which cannot be in a cluster.
        """
        own = given(OWN_SERVERS)
        if self.settings.redis_url:
            own["REDIS_URL"] = self.settings.redis_url
        server = "QUEUE_REDIS_URL" if is_cluster(own.get("REDIS_URL", "")) else "REDIS_URL"
        wanted = embedded.Wanted(
            postgres="DATABASE_URL" not in own,
            valkey=server not in own,
            host=self.settings.host,
            postgres_port=self.settings.postgres_port,
            redis_port=self.settings.redis_port,
        )
        addresses = await embedded.start(supervisor, state, wanted) | own
        if wanted.postgres:  # which no standby follows
            addresses[READ_URL] = ""
        addresses.setdefault("QUEUE_REDIS_URL", addresses["REDIS_URL"])
        return addresses

    async def _roles(self, state: State) -> dict[str, str]:
        """What the embedded PostgreSQL is reached at by commands that need not own it; own servers have one user."""
        if given(["DATABASE_URL"]):
            return {}
        owner = urlsplit(self.environment["DATABASE_URL"])
        await make_roles(owner.geturl())
        addresses = {"serve": ""}
        for command, role in (("work", WORKERS), ("control", CONTROL)):
            secret = password(state, command)
            await let_in(owner.geturl(), role, secret)
            place = owner.netloc.rpartition("@")[2]
            addresses[command] = owner._replace(netloc=f"{role}:{secret}@{place}").geturl()
        return addresses

    def _own(self, state: State) -> dict[str, str]:
        keys = given(OWN_KEYS) or {KEYS_FILE: str(decision_keys(state))}
        replays = given((REPLAYS,)) or {REPLAYS: str(state.folder / "replays")}
        archive = {name: _anywhere(where) for name, where in given((ARCHIVE,)).items()}
        return (
            keys
            | replays
            | archive
            | self._certificates
            | {
                "PULLARM_GRPC_ADDRESS": self.grpc_address,
                "PULLARM_HTTP_ADDRESS": f"{_literal(self.settings.host)}:{self.settings.http_port}",
                "PULLARM_SPOOL": str(state.folder / "spool"),
                "PULLARM_CLOCK": "system" if self.clock is None else f"file:{state.clock}",
            }
        )

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
        where = [
            {ADDRESS: f"{_literal(self.settings.host)}:{port}"}
            for port in self.settings.metrics_ports
        ]
        count = self.settings.serving
        serving = [
            replace(
                self._program(state, f"serving-{n}", "serve", 2, **address),
                urgency=process.Urgency.AWAITED,
            )
            for n, address in enumerate(where[:count])
        ]
        control = self._program(state, "control", "control", 3)
        workers = [
            replace(
                self._program(state, f"worker-{n}" if n else "worker", "work", 4, **address),
                urgency=process.Urgency.BEHIND_THE_SCENES,
            )
            for n, address in enumerate(where[count:])
        ]
        return [*serving, control, *workers]

    def _program(
        self, state: State, name: str, command: str, stage: int, **environment: str
    ) -> Program:
        own = {"DATABASE_URL": self._addresses_of[command]} if command in self._addresses_of else {}
        return own_program(
            state.run, name, command, stage, os.environ | self.environment | own | environment
        )

    async def _stop(self) -> None:
        self.stopping = True
        if self._supervisor is not None:
            await self._supervisor.stop()
        if self._state is not None:
            self._state.environment.unlink(missing_ok=True)
            close_sockets(self._state)
        self._resources.close()


def own_program(
    run: Path, name: str, command: str, stage: int, environment: Mapping[str, str]
) -> Program:
    """One of our own processes, which touches its ready file, in `run`, once it can do its work."""
    ready_file = run / f"{name}.ready"

    async def ready() -> bool:
        return ready_file.exists()

    return Program(
        name=name,
        argv=command_line(command),
        ready=ready,
        stage=stage,
        env={**environment, "PULLARM_PROCESS": name, "PULLARM_READY_FILE": str(ready_file)},
        prepare=lambda: ready_file.unlink(missing_ok=True),
        ready_timeout_s=120,  # the first start compiles the kernels
    )


def given(names: Iterable[str]) -> dict[str, str]:
    """What the caller's own environment says of these variables."""
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _anywhere(archive: str) -> str:
    """The setting for commands that are called in another folder."""
    apart = archive == NO_ARCHIVE or urlsplit(archive).scheme
    return archive if apart else str(Path(archive).absolute())


def command_line(*arguments: str) -> tuple[str, ...]:
    """The `pullarm` command with these arguments."""
    # -P: a folder named `cli` where the user happens to stand must not be taken for ours
    return (sys.executable, "-P", "-m", "cli", *arguments)


def _literal(host: str) -> str:
    return f"[{host}]" if ":" in host else host
