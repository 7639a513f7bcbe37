"""A platform with a demo's past, for browsers to look at."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.driver import Driver, History
from cli.platform import OWN, Platform, Settings
from cli.tally import Tally
from pullarm.clock import system_clock
from pullarm.domain.access import Role
from replay import synthetic
from tests.e2e import upstream
from tests.e2e.upstream import answered

MS_PER_DAY = 86_400_000
SEED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The running platform and what is on it."""

    platform: Platform
    api: httpx.AsyncClient
    """Of an admin, at the control plane's root."""
    experiment: str
    """The demo's, with a past and running."""
    other: str
    """One as old, that nobody visits."""
    driver: Driver
    tally: Tally
    secrets: dict[Role, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The dashboard's."""
        return self.platform.http_url

    async def secret(self, role: Role) -> str:
        """A token of a role."""
        if role not in self.secrets:
            body = {"name": f"The {role}", "role": role}
            made = await answered(self.api.post("/api/tokens", json=body))
            self.secrets[role] = made["token"]
        return self.secrets[role]

    @asynccontextmanager
    async def traffic(self, per_second: float = 50.0) -> AsyncIterator[None]:
        """The demo's simulated users go on visiting."""
        task = asyncio.create_task(self.driver.live(None, per_second))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def staged(folder: Path, *, days: float, decisions: int) -> AsyncIterator[Stage]:
    """A platform whose demo has run for so many days, and whose clock goes with the machine's from then on."""
    start_ms = system_clock() - round(days * MS_PER_DAY)
    settings = Settings(
        state=folder, serving=1, grpc_port=0, http_port=0, simulated_from_ms=start_ms
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in OWN:
            patch.delenv(name, raising=False)
        async with Platform(settings) as platform, upstream.http(platform) as api:
            stage = await _demo(platform, api)
            clock = platform.clock
            assert clock is not None
            history = History(
                clock=clock,
                start_ms=start_ms,
                end_ms=system_clock(),
                decisions=decisions,
                seed=SEED,
            )
            await stage.driver.history(history)
            following = asyncio.create_task(_follow(platform))
            try:
                async with upstream.rest(platform) as experiments:
                    await upstream.caught_up(experiments, stage.experiment)
                yield stage
            finally:
                following.cancel()


async def _demo(platform: Platform, api: httpx.AsyncClient) -> Stage:
    """The demo's experiment, started and known to serving."""
    traffic = synthetic.Visits(seed=SEED)
    async with upstream.fleet(platform.grpc_address) as fleet, upstream.rest(platform) as rest:
        body: dict[str, Any] = {
            "name": "Front page",
            "notes": traffic.label,
            "duration_days": 28,
            "arms": [{"id": arm.id, "label": arm.label} for arm in traffic.arms],
        }
        launched = (await upstream.launch(rest, fleet, **body))["id"]
        other = (await upstream.launch(rest, fleet, name="Search page", duration_days=28))["id"]
    tally = Tally(accountable=False)
    driver = Driver(platform.grpc_address, launched, traffic, tally)
    return Stage(
        platform=platform, api=api, experiment=launched, other=other, driver=driver, tally=tally
    )


async def _follow(platform: Platform) -> None:
    clock = platform.clock
    while clock is not None:
        clock.set(system_clock())
        await asyncio.sleep(0.05)
