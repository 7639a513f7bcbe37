"""A Valkey cluster on this machine to rehearse with: primaries with a replica each, killed and started again."""

import asyncio
import json
import secrets
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli import process
from cli.process import Program, Urgency
from cli.state import write_private
from cli.valkey import binary
from pullarm.domain.errors import PullarmError, Unavailable
from pullarm.free_port import free_port
from pullarm.storage.redis import connect
from pullarm.storage.redis.connection import driver_errors

SLOTS = 16_384
PROMPT_MS, PATIENT_MS = 1_000, 60_000
"""For how long a node is silent before the others take it for dead: where it has a replica, and where it has none."""
_HOST = "127.0.0.1"
_PATIENCE_S = 60.0
_LOOK_S = 0.05


class NotFormed(PullarmError):
    """The nodes do not become the cluster they should be."""

    code = "not_formed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One server of the cluster."""

    name: str
    folder: Path
    port: int
    bus: int
    """The port on which nodes talk to each other."""
    password: str
    durable: bool
    timeout_ms: int

    @property
    def address(self) -> str:
        return f"{_HOST}:{self.port}"

    def configuration(self) -> str:
        return "\n".join(
            [
                f"port {self.port}",
                f"bind {_HOST}",
                "cluster-enabled yes",
                "cluster-config-file nodes.conf",
                f"cluster-port {self.bus}",
                f"cluster-node-timeout {self.timeout_ms}",
                # Where a primary is away, the others go on.
                "cluster-require-full-coverage no",
                "repl-diskless-sync-delay 0",
                f"dir {json.dumps(str(self.folder), ensure_ascii=False)}",
                f"requirepass {self.password}",
                f"masterauth {self.password}",
                "maxmemory 512mb",
                "maxmemory-policy noeviction",
                'save ""',
                f"appendonly {'yes' if self.durable else 'no'}",
                "appendfsync everysec",
                "",
            ]
        )

    def program(self) -> Program:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = self.folder / "valkey.conf"
        write_private(written, self.configuration())

        async def ready() -> bool:
            return bool(await self.ask("PING"))

        return Program(
            name=self.name,
            argv=(str(binary()), written.name),
            ready=ready,
            stage=1,
            folder=self.folder,
            urgency=Urgency.AWAITED,
        )

    async def ask(self, *words: str) -> Any:
        """What it answers; raises Unavailable."""
        async with connect(f"redis://:{self.password}@{self.address}", timeout_s=2.0) as redis:
            ask: Callable[..., Awaitable[Any]] = redis.execute_command
            with driver_errors():
                return await ask(*words)


class Nodes:
    """The nodes of one cluster; the first half are primaries in the beginning, each followed by one of the second."""

    def __init__(self, nodes: list[Node], *, primaries: int) -> None:
        self._nodes = {node.address: node for node in nodes}
        self._all, self._primaries = nodes, primaries
        self._running: dict[str, Process] = {}

    @property
    def url(self) -> str:
        """Of the cluster, for REDIS_URL."""
        return f"redis+cluster://:{self._all[0].password}@{','.join(self._nodes)}"

    @property
    def parts(self) -> list[int]:
        """A slot of each primary, the first that it has in the beginning."""
        return [n * SLOTS // self._primaries for n in range(self._primaries)]

    @property
    def addresses(self) -> list[str]:
        """Of all nodes."""
        return list(self._nodes)

    def pid(self, address: str) -> int:
        """The process id of a node that runs."""
        return self._running[address].pid

    async def ask(self, address: str, *words: str) -> Any:
        """What a node answers; raises Unavailable."""
        return await self._nodes[address].ask(*words)

    async def start(self, address: str) -> None:
        """Start a node, and wait until it answers."""
        node = self._nodes[address]
        program = node.program()
        self._running[address] = await process.spawn(program, node.folder / "log")
        await _until(program.ready, f"{node.name} to answer")

    async def kill(self, address: str) -> None:
        """Kill a node with signal 9."""
        handle = self._running.pop(address)
        process.kill(handle)
        await handle.wait()

    async def stop(self) -> None:
        """Kill all that run."""
        for address in list(self._running):
            await self.kill(address)

    async def form(self) -> None:
        """Make them one cluster; returns once every replica has what its primary has."""
        first, *others = self._all
        ends = [*self.parts[1:], SLOTS]
        for n, node in enumerate(self._all[: self._primaries]):
            await node.ask("CLUSTER ADDSLOTSRANGE", str(self.parts[n]), str(ends[n] - 1))
            await node.ask("CLUSTER SET-CONFIG-EPOCH", str(n + 1))
        for node in others:
            await first.ask("CLUSTER MEET", _HOST, str(node.port), str(node.bus))
        await _until(self._acquainted, "nodes that know each other")
        for primary, replica in zip(self._all, self._all[self._primaries :], strict=False):
            await replica.ask("CLUSTER REPLICATE", (await primary.ask("CLUSTER MYID")).decode())
        await self.whole()

    async def whole(self) -> None:
        """Wait until all nodes see all of them, and each primary has a replica that follows it."""
        await _until(self._whole, "a whole cluster")

    async def replace(self, slot: int) -> str:
        """Kill the primary of a slot, and once its replica is promoted start it again as a replica; says which it was.

        Returns once every primary has a replica that follows it.
        """
        address = await self.primary(slot)

        async def promoted() -> bool:
            return await self.primary(slot) != address

        await self.kill(address)
        await _until(promoted, f"a replica in the place of {address}")
        await self.start(address)
        await self.whole()
        return address

    async def primary(self, slot: int) -> str:
        """The address of the primary of a slot, as somebody sees it who is up."""
        for address in list(self._running):  # others may start and kill some meanwhile
            try:
                slots = await self.ask(address, "CLUSTER SLOTS")
            except Unavailable:
                continue
            return next(
                f"{_HOST}:{port}"
                for first, last, (_, port, *_), *_ in slots
                if first <= slot <= last
            )
        raise Unavailable("no node of the cluster answers")

    async def _acquainted(self) -> bool:
        told = [await node.ask("CLUSTER INFO") for node in self._all]
        return all(int(each["cluster_known_nodes"]) == len(self._all) for each in told)

    async def _whole(self) -> bool:
        """Whether all see all slots served, and each primary has a replica, if there are any."""
        for node in self._all:
            seen = (await node.ask("CLUSTER NODES")).values()
            if (await node.ask("CLUSTER INFO"))["cluster_state"] != "ok":
                return False
            if len(seen) != len(self._all) or any("fail" in each["flags"] for each in seen):
                return False
            role, *rest = await node.ask("ROLE")
            follows = rest[2] == b"connected" if role == b"slave" else bool(rest[1])
            if not follows and len(self._all) > self._primaries:
                return False
        return True


async def _until(condition: Callable[[], Awaitable[bool]], awaited: str) -> None:
    """Wait for it; a node that does not answer is none that it could be true of."""
    began = time.monotonic()
    while True:
        with suppress(Unavailable):
            if await condition():
                return
        if time.monotonic() - began > _PATIENCE_S:
            raise NotFormed(f"waited {_PATIENCE_S:.0f} s in vain for {awaited}")
        await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def cluster(
    folder: Path, *, primaries: int = 3, replicas: bool = True, durable: bool = True
) -> AsyncIterator[Nodes]:
    """A cluster in a folder of its own, on free ports, for as long as the block lasts."""
    async with AsyncExitStack() as stack:
        password = secrets.token_hex(16)
        nodes = [
            Node(
                name=f"node-{n}",
                folder=folder / f"node-{n}",
                port=stack.enter_context(free_port(_HOST)),
                bus=stack.enter_context(free_port(_HOST)),
                password=password,
                durable=durable,
                timeout_ms=PROMPT_MS if replicas else PATIENT_MS,
            )
            for n in range(primaries * (1 + replicas))
        ]
        found = Nodes(nodes, primaries=primaries)
        stack.push_async_callback(found.stop)
        await asyncio.gather(*map(found.start, found.addresses))
        await found.form()
        yield found
