"""What the owner of an experiment and the upstream recommender do to a running platform."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.platform import OWN, Platform, Settings
from pullarm.client import Client, Selection
from pullarm.domain.errors import NotFound, Unavailable
from pullarm.tls import Trust

PATIENCE_S = 120.0
"""How long a test waits for what has to come in the end; nothing is said of how soon."""
CONNECTIONS = 24
"""All of them on one of two processes is a matter of 1 in 8 million."""
_numbers = count(1)


@asynccontextmanager
async def running(
    folder: Path,
    report: Callable[[str], None] = print,
    *,
    workers: int = 1,
    redis_url: str = "",
    given: Mapping[str, str] | None = None,
) -> AsyncIterator[Platform]:
    """A platform with servers and keys of its own, on free ports; with these variables."""
    settings = Settings(
        state=folder, workers=workers, redis_url=redis_url, grpc_port=0, http_port=0
    )
    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name in OWN:
                patch.delenv(name, raising=False)
            for name, value in (given or {}).items():
                patch.setenv(name, value)
            platform = await stack.enter_async_context(Platform(settings, report))
        yield platform


@asynccontextmanager
async def rest(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """A client of /api/experiments."""
    base = f"{platform.http_url}/api/experiments"
    async with http(platform, base) as client:
        yield client


def http(platform: Platform, base: str = "") -> httpx.AsyncClient:
    """A client of the control plane, with the platform's token."""
    return httpx.AsyncClient(
        base_url=base or platform.http_url,
        headers={"Authorization": f"Bearer {platform.token}"},
        verify=platform.trust.context() if platform.trust else True,
        trust_env=False,
        timeout=60,
    )


async def answered(call: Awaitable[httpx.Response]) -> dict[str, Any]:
    """The JSON of a call that has to succeed."""
    response = await call
    assert response.is_success, response.text
    content: dict[str, Any] = response.json()
    return content


async def caught_up(api: httpx.AsyncClient, experiment: str) -> dict[str, Any]:
    """The summary once it holds all that is folded."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            summary = await answered(api.get(f"/{experiment}/summary"))
            if not summary["data_cut"]["folds_behind"]:
                return summary
            await asyncio.sleep(0.1)


async def create(api: httpx.AsyncClient, **body: object) -> dict[str, Any]:
    """A draft; with two arms and a name of its own unless told otherwise."""
    named = {"name": f"End to end {next(_numbers)}", "arms": ["a", "b"]}
    whole = {name: value for name, value in (named | body).items() if value is not None}
    return await answered(api.post("", json=whole))


class Fleet:
    """Clients with a connection each, which the kernel spreads over the serving processes."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients = clients

    async def select(
        self, experiment: str, user: str, candidates: Sequence[str] = ()
    ) -> list[Selection | None]:
        """One answer for each connection; None where the experiment is unknown."""
        asked = (_asked(client, experiment, user, candidates) for client in self.clients)
        return list(await asyncio.gather(*asked))

    async def until(
        self,
        accept: Callable[[Selection], bool],
        experiment: str,
        *,
        user: str = "somebody",
        candidates: Sequence[str] = (),
    ) -> float:
        """How many seconds it takes until every connection's answer is one to accept."""
        started_s = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answers = await self.select(experiment, user, candidates)
                if all(answer is not None and accept(answer) for answer in answers):
                    return time.monotonic() - started_s
                await asyncio.sleep(0.02)

    async def until_reason(self, reason: str, experiment: str) -> float:
        """How many seconds it takes until every connection's answer has this reason."""
        return await self.until(lambda answer: answer.reason == reason, experiment)


async def _asked(
    client: Client, experiment: str, user: str, candidates: Sequence[str]
) -> Selection | None:
    try:
        return await client.select(experiment, user, candidates)
    except (NotFound, Unavailable):  # not known, or listed and not loaded yet
        return None


@asynccontextmanager
async def fleet(address: str, trust: Trust | None = None) -> AsyncIterator[Fleet]:
    """CONNECTIONS clients."""
    async with AsyncExitStack() as stack:
        clients = [Client(address, trust=trust, timeout_s=30) for _ in range(CONNECTIONS)]
        yield Fleet([await stack.enter_async_context(client) for client in clients])


async def launch(api: httpx.AsyncClient, asked: Fleet, **body: object) -> dict[str, Any]:
    """A running experiment that every serving process knows of."""
    draft = await create(api, **body)
    experiment = await answered(api.post(f"/{draft['id']}/start"))
    # No arm of it: no policy is asked, and the posterior stays as it is.
    known = {"NO_KNOWN_CANDIDATE", "NOT_IN_TRAFFIC", "NOT_IN_GROUP_SHARE"}
    await asked.until(lambda answer: answer.reason in known, draft["id"], candidates=["none"])
    return experiment


async def recommended(http: httpx.AsyncClient, experiment: str, user: str) -> dict[str, Any]:
    """What the example upstream recommends; it asks serving for a second, which may be too short on a busy machine."""
    asked: dict[str, str | int] = {"experiment_id": experiment, "user_id": user, "slots": 2}
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await http.get("/api/movies/recommendations", params=asked)
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                assert answer.is_success, answer.text
                found: dict[str, Any] = answer.json()
                return found


def connections(pid: int, port: int) -> set[str]:
    """Whom a process has established connections with, to a port of this machine."""
    held = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            held.add(os.readlink(descriptor))
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    established = [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]
    return {row[2] for row in established if f"socket:[{row[9]}]" in held}
