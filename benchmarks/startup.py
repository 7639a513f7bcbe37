"""A serving process from its start on: memory, readiness, and whether its first answers are as fast as the rest."""

import asyncio
import os
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks import machine, traffic, wire
from benchmarks.compare import Report
from benchmarks.echo import free_address
from benchmarks.site import Site, seen
from benchmarks.sla import Limit
from benchmarks.traffic import Traffic
from pullarm.domain.errors import PullarmError

EXPERIMENTS = 20
ARMS = 1_000
CANDIDATES = 100
FIRST, NEXT = 100, 1_000
_READY_WITHIN_S = 60.0
LIMITS = (
    Limit(figure="resident_mb", at_most=400, unit="MB"),
    Limit(figure="ready_s", at_most=5, unit="s"),
    Limit(figure="first / next", at_most=1.5),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What one start came to."""

    resident_mb: float
    """After all its answers."""
    ready_s: float
    """From the start of the process until it touched its ready file."""
    first_p95_ms: float
    """Of the first FIRST answers, one after the other."""
    next_p95_ms: float
    """Of the NEXT after those."""

    def figures(self) -> dict[str, float | None]:
        """The fields, and the first answers over the next."""
        return {**asdict(self), "first / next": self.first_p95_ms / self.next_p95_ms}


async def measure(site: Site, report: Report) -> Started:
    """Start a serving process of our own beside the platform's, on its Redis."""
    names = traffic.arm_names(ARMS)
    experiments = []
    for number in range(EXPERIMENTS):
        report(f"starting experiment {number + 1} of {EXPERIMENTS}")
        experiments.append(await site.launch(f"startup {number}", names))
    await seen(site.address, experiments[-1])
    asked = Traffic(mode="select", experiments=tuple(experiments), arms=ARMS, candidates=CANDIDATES)
    requests = traffic.selections(asked, 1)
    report("starting a serving process")
    with (
        tempfile.TemporaryDirectory(prefix="pullarm-bench-") as folder,
        free_address(site.address) as address,
    ):
        ready_file = Path(folder) / "ready"
        environment = {
            **os.environ,
            **site.environment,
            "PULLARM_METRICS_ADDRESS": "127.0.0.1:0",
            "PULLARM_GRPC_ADDRESS": address,
            "PULLARM_READY_FILE": str(ready_file),
            "PULLARM_PROCESS": "serving-bench",
        }
        began = time.perf_counter()
        async with _serving(environment) as process:
            while not ready_file.exists():
                if process.returncode is not None or time.perf_counter() - began > _READY_WITHIN_S:
                    raise PullarmError(
                        "the serving process does not become ready; see `pullarm up`"
                    )
                await asyncio.sleep(0.005)
            ready_s = time.perf_counter() - began
            took_ms = await asyncio.to_thread(_latencies_ms, address, requests[: FIRST + NEXT])
            resident_mb = machine.resident_mb(process.pid)
    return Started(
        resident_mb=resident_mb,
        ready_s=ready_s,
        first_p95_ms=float(np.percentile(took_ms[:FIRST], 95)),
        next_p95_ms=float(np.percentile(took_ms[FIRST:], 95)),
    )


@asynccontextmanager
async def _serving(environment: dict[str, str]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "cli", "serve"),
        env=environment,
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _latencies_ms(address: str, requests: tuple[bytes, ...]) -> list[float]:
    """One call after the other on one connection."""
    took_ms = []
    with closing(wire.connect(address)) as server:
        for request in requests:
            sent = time.perf_counter()
            wire.ask(server, traffic.SELECT, request)
            took_ms.append((time.perf_counter() - sent) * 1_000)
    return took_ms
