"""How quickly the control plane answers over a long history, and what an export of it takes."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np

from benchmarks import history, machine
from benchmarks.compare import Report
from benchmarks.site import Site
from benchmarks.sla import Limit
from pullarm.domain.errors import PullarmError
from pullarm.storage.postgres import Database

EXPORTED = 1_000_000
LIMITS = (
    Limit(figure="slowest p95_ms", at_most=200, unit="ms"),
    Limit(figure="export rows_per_s", at_least=100_000, unit="/s"),
    Limit(figure="export resident_mb", at_most=200, unit="MB"),
)
_ASKED = 40
"""Times that each is asked."""
_PAUSE_S = 0.03  # a token may ask 50 times a second
_LOOK_S = 0.05
_PUBLISHED_WITHIN_S = 120.0


@dataclass(kw_only=True)
class Measured:
    """What was measured."""

    decisions: int
    p95_ms: dict[str, float] = field(default_factory=dict)
    """By endpoint."""
    rows_per_s: float = 0.0
    """Of a CSV export."""
    resident_mb: float = 0.0
    """Most that the control plane had in memory meanwhile."""

    def figures(self) -> Mapping[str, float | None]:
        """By name, with the slowest endpoint for all."""
        return {
            "slowest p95_ms": max(self.p95_ms.values()),
            "export rows_per_s": self.rows_per_s,
            "export resident_mb": self.resident_mb,
        }

    def table(self) -> str:
        """A line for each endpoint, the slowest first."""
        by_time = sorted(self.p95_ms.items(), key=lambda each: -each[1])
        return "\n".join(f"{ms:8.1f} ms p95  {name}" for name, ms in by_time)

    def as_json(self) -> Mapping[str, object]:
        return asdict(self)


async def measure(site: Site, decisions: int, report: Report) -> Measured:
    """On a platform of its own."""
    now = datetime.now(UTC)
    report(f"writing {decisions:,} decisions of two weeks")
    async with Database(site.environment["DATABASE_URL"]) as database:
        experiment = await history.write(database, decisions, until=now)
    measured = Measured(decisions=decisions)
    path = f"{site.http_url}/api/experiments/{experiment.id}"
    headers = {"Authorization": f"Bearer {site.token}"}
    async with httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as client:
        report("exporting")
        # First, because other answers bring the policies' compiled code into memory.
        share = min(1.0, EXPORTED / decisions)
        since = now - share * timedelta(days=history.DAYS)
        await _export(client, f"{path}/export", since, site.pids["control"], measured)
        report("asking")
        await _published(client, path)
        for name, url in _endpoints(path):
            took_ms = [await _took_ms(client, url) for _ in range(_ASKED)]
            measured.p95_ms[name] = float(np.percentile(took_ms, 95))
    return measured


def _endpoints(path: str) -> Iterator[tuple[str, str]]:
    for name in (
        *("summary", "timeseries", "timeseries?grain=day", "timeseries?arm=arm-7"),
        *("arms", "cohorts", "latency", "allocation", "regret", "policies", "epochs"),
        *("events?limit=100", "events?bucket=17", "events?arm=arm-7&policy=ucb"),
    ):
        yield name, f"{path}/{name}"
    yield "system", f"{path.partition('/api/')[0]}/api/system"


async def _took_ms(client: httpx.AsyncClient, url: str) -> float:
    await asyncio.sleep(_PAUSE_S)
    began = time.perf_counter()
    (await client.get(url)).raise_for_status()
    return (time.perf_counter() - began) * 1_000


async def _published(client: httpx.AsyncClient, path: str) -> None:
    deadline = time.monotonic() + _PUBLISHED_WITHIN_S
    while not (await client.get(f"{path}/policies")).json()["posterior_version"]:
        if time.monotonic() > deadline:
            raise PullarmError("the history is not published; see the worker's log")
        await asyncio.sleep(0.5)


async def _export(
    client: httpx.AsyncClient, url: str, since: datetime, pid: int, measured: Measured
) -> None:
    watching = asyncio.create_task(_watch(pid, measured))
    rows, began = -1, time.perf_counter()  # the first line names the columns
    try:
        async with client.stream("GET", url, params={"since": since.isoformat()}) as answer:
            answer.raise_for_status()
            async for piece in answer.aiter_raw():
                rows += piece.count(b"\n")
    finally:
        watching.cancel()
    measured.rows_per_s = rows / (time.perf_counter() - began)


async def _watch(pid: int, measured: Measured) -> None:
    while True:
        measured.resident_mb = max(measured.resident_mb, machine.resident_mb(pid))
        await asyncio.sleep(_LOOK_S)
