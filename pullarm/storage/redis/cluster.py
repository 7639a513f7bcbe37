"""Where a key is: on the one server there is, or on the primary of a cluster that has it now.

Each primary has an ordinary client of its own, so that scripts, transactions and lines are the same here and there; all
that a cluster adds is who has what. The driver's own cluster client has no transactions, no connection that could be
made a line, and drops all its connections when one node fails (docs/decisions/0035).
"""

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping
from operator import itemgetter
from typing import Any, Self, TypeVar
from urllib.parse import SplitResult, urlsplit

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError

from pullarm.domain.errors import Unavailable
from pullarm.secrets import no_address
from pullarm.storage.redis.connection import AWAY, NOT_NOW, client_of, connect, driver_errors

_LOOK_S = 2.0
"""How long a node may take to tell who has which key."""
_T = TypeVar("_T")

_Slots = list[tuple[int, int, Redis]]
"""Who has which: the first and the last slot of a range, and the client of its primary; ranges in order.

While a primary is replaced this is asked for again and again, and what comes is kept until the garbage collector looks:
with an entry for each of 16,384 slots that would be a megabyte each time.
"""


class Cluster:
    """The nodes of one cluster; they are connected to when they are first needed.

    Where a key turns out to be elsewhere, or its primary does not answer, who has what is asked anew; until a replica
    is promoted its keys are away.
    """

    def __init__(self, address: SplitResult, *, timeout_s: float) -> None:
        """Of redis+cluster://[[USER]:PASSWORD@]HOST:PORT[,HOST:PORT...]; some nodes are enough to find all."""
        self._address = address
        self._timeout_s = timeout_s
        credentials, at, hosts = address.netloc.rpartition("@")
        self._credentials = credentials + at
        self._nodes: dict[str, Redis] = {}
        """By HOST:PORT."""
        self._homes: _Slots = []
        self._sound = False
        self._looking = asyncio.Lock()
        for each in hosts.split(","):
            self._node(each)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        for node in self._nodes.values():
            await node.aclose()

    def doubt(self) -> None:
        """Somebody did not find what should be there: ask who has what before the next command."""
        self._sound = False

    async def home(self, key: str) -> Redis:
        """The client of the primary that has this key; raises Unavailable."""
        if not self._sound:
            await self._look()
        slot = key_slot(key.encode())
        before = bisect_right(self._homes, slot, key=itemgetter(0))
        if before:
            _, last, home = self._homes[before - 1]
            if slot <= last:
                return home
        self.doubt()
        raise Unavailable(f"Redis is away: no primary of the cluster has the slot of {key}")

    async def primaries(self) -> Mapping[str, Redis]:
        """By HOST:PORT; raises Unavailable."""
        if not self._sound:
            await self._look()
        homes = {home for *_, home in self._homes}
        return {name: each for name, each in self._nodes.items() if each in homes}

    async def _look(self) -> None:
        async with self._looking:
            if self._sound:  # somebody else has looked meanwhile
                return
            asking = [asyncio.create_task(self._ask(name)) for name in tuple(self._nodes)]
            problem: Exception | None = None
            try:
                for answer in asyncio.as_completed(asking):
                    try:
                        self._homes = await answer
                    except (Unavailable, TimeoutError) as error:
                        problem = error
                    else:
                        self._sound = True
                        return
            finally:
                for task in asking:
                    task.cancel()
                await asyncio.gather(*asking, return_exceptions=True)
            raise Unavailable(
                "Redis is away: no node of the cluster tells who has which key"
            ) from problem

    async def _ask(self, name: str) -> _Slots:
        """Who has which slot, as one node sees it; raises Unavailable, also where it is cut off from the others."""
        ask: Callable[[str], Awaitable[Any]] = self._nodes[name].execute_command
        async with asyncio.timeout(_LOOK_S):
            with driver_errors():
                state: Mapping[str, str] = await ask("CLUSTER INFO")
                slots: list[Any] = await ask("CLUSTER SLOTS")
        if state["cluster_state"] != "ok":
            raise Unavailable(f"Redis is away: {name} does not see the cluster whole")
        homes: _Slots = []
        for first, last, (host, port, *_), *_ in slots:
            # No host: the one that it was reached at.
            where = f"{_literal(host.decode())}:{port}" if host else _with_port(name, port)
            homes.append((first, last, self._node(where)))
        return sorted(homes, key=itemgetter(0))

    def _node(self, name: str) -> Redis:
        if name not in self._nodes:
            scheme = self._address.scheme.partition("+")[0]
            url = self._address._replace(scheme=scheme, netloc=self._credentials + name)
            self._nodes[name] = client_of(url.geturl(), self._timeout_s)
        return self._nodes[name]


Client = Redis | Cluster
"""One server, or a cluster."""


def is_cluster(url: str) -> bool:
    """Whether this address is that of a cluster."""
    return url.partition("://")[0] in ("redis+cluster", "rediss+cluster")


def reach(url: str, *, timeout_s: float = 5.0) -> Client:
    """A client of one server, or of a cluster at redis+cluster:// or rediss+cluster://."""
    if not is_cluster(url):
        return connect(url, timeout_s=timeout_s)
    try:
        return Cluster(urlsplit(url), timeout_s=timeout_s)
    except (ValueError, RedisError):
        example = "redis+cluster://:PASSWORD@HOST:6379,HOST:6379"
        raise no_address("REDIS_URL", example) from None


async def home(client: Client, key: str) -> Redis:
    """The client of the server that has a key; raises Unavailable."""
    return client if isinstance(client, Redis) else await client.home(key)


async def primaries(client: Client) -> Mapping[str, Redis]:
    """The servers that have keys, by what they are called beside each other; raises Unavailable."""
    return {"": client} if isinstance(client, Redis) else await client.primaries()


def doubt(client: Client) -> None:
    """Say that a server was away, or did not have what it should have."""
    if isinstance(client, Cluster):
        client.doubt()


async def on(client: Client, key: str, do: Callable[[Redis], Awaitable[_T]]) -> _T:
    """Do something on the server that has a key; raises Unavailable.

    It is done once more where the key has moved meanwhile, so that it must not matter whether it is done twice.
    """
    with driver_errors():
        first = await home(client, key)
        try:
            return await do(first)
        except (*AWAY, ResponseError) as error:
            if isinstance(client, Redis) or not _elsewhere(error):
                raise
            client.doubt()
            second = await client.home(key)
            if second is first:
                raise
        return await do(second)


def _elsewhere(error: Exception) -> bool:
    """Whether another server may be able to do it."""
    return isinstance(error, AWAY) or str(error).startswith(NOT_NOW)


def _literal(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _with_port(name: str, port: int) -> str:
    return f"{name.rpartition(':')[0]}:{port}"
