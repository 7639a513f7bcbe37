"""The embedded PostgreSQL: its cluster, its program and its address."""

import asyncio
import os
import shutil
import signal
import struct
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from cli.account import give, run_as
from cli.postgres_home import Home
from cli.process import Program, Urgency
from cli.state import State, password
from cli.supervisor import StartFailed

USER = "pullarm"
DATABASE = "pullarm"
PROTOCOL_3 = 196608


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """One PostgreSQL on a Unix socket, and on a TCP port where one is asked for."""

    state: State
    home: Home = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    """0: no TCP."""
    durable: bool = True
    """Off, a crash of the machine may corrupt the data: for tests."""

    @property
    def sockets(self) -> Path:
        return self.state.sockets / "postgres"

    @property
    def _port(self) -> int:
        return self.port or 5432  # names the socket even where nobody listens on TCP

    @property
    def url(self) -> str:
        """Its address through the socket, with the password."""
        secret = password(self.state, "postgres")
        return f"postgresql://{USER}:{secret}@/{DATABASE}?host={quote(str(self.sockets))}&port={self._port}"

    def initialise(self) -> None:
        """Make the cluster and its database once; a run cut off half-way starts afresh."""
        data = self.home.data
        if (data / "PG_VERSION").exists():
            return
        fresh = data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        give(fresh, self.home.account)
        self._initdb(fresh)
        create = f"CREATE DATABASE {DATABASE};\n"
        self._run("postgres", "--single", "-D", fresh, "postgres", text=create)
        fresh.rename(data)

    def _initdb(self, folder: Path) -> None:
        secret = self.home.folder / "postgres.initdb"
        secret.touch(mode=0o600)
        secret.write_text(password(self.state, "postgres"), encoding="utf-8")
        give(secret, self.home.account)
        try:
            self._run(
                *("initdb", "-D", folder, "-U", USER, f"--pwfile={secret}"),
                *("--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                "--sync-method=syncfs" if self.durable else "--no-sync",
            )
        finally:
            secret.unlink()

    def _run(self, program: str, *arguments: str | Path, text: str = "") -> None:
        done = run_as(self.home.account, [self.home.binaries / program, *arguments], text=text)
        if done.returncode != 0:
            raise StartFailed(
                f"PostgreSQL's {program} failed:\n{done.stdout}{done.stderr}".rstrip()
            )

    def _settings(self) -> dict[str, str]:
        """Given at every start, so that a newer Pullarm's settings reach an older cluster."""
        return {
            "listen_addresses": self.host if self.port else "",
            "port": str(self._port),
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "jit": "off",
            # a restore, or whoever asks for all decisions, locks sixteen relations for each stored day
            "max_locks_per_transaction": "256",
            # after a crash: one call instead of an fsync of every file
            "recovery_init_sync_method": "syncfs",
            **({} if self.durable else {"fsync": "off", "full_page_writes": "off"}),
        }

    async def answers(self) -> bool:
        """Whether it lets clients in: recovery over, it asks a new connection for its password."""
        reader, writer = await asyncio.open_unix_connection(
            str(self.sockets / f".s.PGSQL.{self._port}")
        )
        try:
            names = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
            writer.write(struct.pack("!ii", len(names) + 8, PROTOCOL_3) + names)
            return await reader.readexactly(1) == b"R"
        finally:
            writer.close()

    def program(self) -> Program:
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        give(self.sockets, self.home.account)
        settings = [f"--{name}={value}" for name, value in self._settings().items()]
        return Program(
            name="postgres",
            argv=(str(self.home.binaries / "postgres"), "-D", str(self.home.data), *settings),
            ready=self.answers,
            stage=0,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            folder=Path("/"),
            account=self.home.account,
            stop_signal=signal.SIGINT,  # fast shutdown: sessions are ended, nothing is lost
            death_signal=signal.SIGINT,
            grace_s=30,
            urgency=Urgency.BEHIND_THE_SCENES,
        )
