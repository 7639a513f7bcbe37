"""A platform as the benchmarks see it, and what they wait for there."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Protocol

from benchmarks import machine
from pullarm.client import Client
from pullarm.domain.decision_id import decode
from pullarm.domain.errors import NotFound, PullarmError, Unavailable
from pullarm.storage.postgres import Database, PostgresLedger
from serving.settings import read_keys

_SEEN_WITHIN_S = 30.0
_LOOKS = 16
"""Connections that look for an experiment: the kernel spreads them over the serving processes."""
_FOLDED_WITHIN_S = 300.0
_LOOK_S = 0.5
_IDLE = 0.2
"""A worker that uses less of a core than this has nothing left to fold or publish."""
_NO_ARM = "no-arm"


class Site(Protocol):
    """A running platform."""

    @property
    def address(self) -> str:
        """Where serving listens, host:port."""

    @property
    def http_url(self) -> str:
        """Where the control plane answers."""

    @property
    def token(self) -> str:
        """An admin's."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What its processes are told."""

    @property
    def pids(self) -> Mapping[str, int]:
        """Its processes by name; those of serving are `serving-0` and on."""

    def like_serving(self, *command: str) -> Sequence[str]:
        """The command that runs another one with serving's claim to the processors."""

    async def launch(self, name: str, arms: Sequence[str]) -> str:
        """Start an experiment of all four policies with this closed catalogue; answers its id."""


class Host(Protocol):
    """Who starts what is measured, in folders of its own that are removed afterwards."""

    def platform(self, serving: int) -> AbstractAsyncContextManager[Site]:
        """A platform with so many serving processes."""

    def redis(self) -> AbstractAsyncContextManager[str]:
        """The address of an empty server."""


async def seen(address: str, experiment: str) -> None:
    """Return once every serving process has the experiment running; raises PullarmError where that takes too long."""
    deadline = time.monotonic() + _SEEN_WITHIN_S
    async with AsyncExitStack() as stack:
        for _ in range(_LOOKS):
            client = await stack.enter_async_context(Client(address, timeout_s=5))
            while not await _runs(client, experiment):
                if time.monotonic() > deadline:
                    raise PullarmError(f"serving does not see {experiment}; see the worker's log")
                await asyncio.sleep(0.05)


async def settled(site: Site, experiment: str) -> None:
    """Return once everything acknowledged so far is folded and published, so that only who is asked next is at work.

    The stream keeps its order: when a decision made now is in the ledger, so is what came before.
    What was spooled comes later; it is waited for by looking whether the worker is at work.
    """
    async with Client(site.address, timeout_s=10) as client:
        last = await client.select(experiment, "last", [_NO_ARM])
    uid = decode(last.decision_id, read_keys(site.environment)).uid
    deadline = time.monotonic() + _FOLDED_WITHIN_S
    async with Database(site.environment["DATABASE_URL"], max_connections=1) as database:
        ledger = PostgresLedger(database)
        while await ledger.missing([uid], []):
            if time.monotonic() > deadline:
                raise PullarmError(
                    f"not all is folded after {_FOLDED_WITHIN_S:.0f} s; see the worker's log"
                )
            await asyncio.sleep(0.1)
    while await _load(site.pids["worker"]) > _IDLE and time.monotonic() < deadline:
        pass


async def _load(pid: int) -> float:
    """How much of a core a process uses, looked at for _LOOK_S."""
    before = machine.cpu_s([pid])
    await asyncio.sleep(_LOOK_S)
    return (machine.cpu_s([pid]) - before) / _LOOK_S


async def _runs(client: Client, experiment: str) -> bool:
    try:
        # No arm of it, so that no policy is asked.
        found = await client.select(experiment, "first-look", [_NO_ARM])
    except (NotFound, Unavailable):
        return False
    return found.reason == "NO_KNOWN_CANDIDATE"
