"""How quickly the control plane answers over a long history, and what an export of it takes."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

import httpx
import numpy as np

from benchmarks import history, machine
from benchmarks.compare import Report
from benchmarks.history import Past
from benchmarks.site import Site
from benchmarks.sla import Limit

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


@dataclass(kw_only=True)
class Measured:
    """What was measured."""

    decisions: int
    p95_ms: dict[str, float] = field(default_factory=dict)
    """By endpoint."""
    cpu_ms: dict[str, float] = field(default_factory=dict)
    """Likewise, a request: of the control plane and of PostgreSQL, whatever else that does meanwhile."""
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
        return "\n".join(
            f"{ms:8.1f} ms p95  {self.cpu_ms[name]:6.1f} ms CPU  {name}" for name, ms in by_time
        )

    def as_json(self) -> Mapping[str, object]:
        return asdict(self)


async def measure(site: Site, past: Past, report: Report) -> Measured:
    """On a platform with a past and no traffic."""
    measured = Measured(decisions=past.decisions)
    path = f"{site.http_url}/api/experiments/{past.experiment}"
    headers = {"Authorization": f"Bearer {site.token}"}
    async with httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as client:
        report("exporting")
        # First, because other answers bring the policies' compiled code into memory.
        share = min(1.0, EXPORTED / past.decisions)
        since = past.until - share * timedelta(days=history.DAYS)
        await _export(client, f"{path}/export", since, site.pids["control"], measured)
        report("asking")
        await history.published(client, path)
        for name, url in _endpoints(path):
            before = _cpu_s(site)
            took_ms = [await _took_ms(client, url) for _ in range(_ASKED)]
            measured.p95_ms[name] = float(np.percentile(took_ms, 95))
            measured.cpu_ms[name] = (_cpu_s(site) - before) * 1_000 / _ASKED
    return measured


def _cpu_s(site: Site) -> float:
    pids = (site.pids[name] for name in ("control", "postgres"))
    return machine.cpu_s(pids, children=True)


def _endpoints(path: str) -> Iterator[tuple[str, str]]:
    for name in (
        *("summary", "summary?policy=ucb", "summary?arm=arm-7"),
        *("timeseries?grain=hour", "timeseries?grain=day", "timeseries?arm=arm-7"),
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
