"""How soon the dashboard's pages are there, in a real browser with nothing in its cache, over a long history."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import httpx
import numpy as np

from benchmarks import history
from benchmarks.compare import Report
from benchmarks.history import Past
from benchmarks.sla import Limit
from pullarm.domain.errors import ConfigurationError, PullarmError

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Request

LIMITS = (
    Limit(figure="list painted_ms", at_most=400, unit="ms"),
    Limit(figure="list interactive_ms", at_most=1_500, unit="ms"),
    Limit(figure="experiment complete_ms", at_most=2_500, unit="ms"),
    Limit(figure="arms longest_task_ms", at_most=50, unit="ms"),
)
_LOADS = 7
_PATIENCE_MS = 60_000
_LIVE = "eventsource"
"""A request that has no end."""

# All of these are evaluated by the debugger: what the pages' own policy refuses stays refused.
_AT_REST = """
() => new Promise((done) => {
  const busy = (root) =>
    root.querySelector(':not(:defined), [aria-busy="true"]') !== null ||
    [...root.querySelectorAll("*")].some((each) => each.shadowRoot && busy(each.shadowRoot));
  const rest = () => requestIdleCallback(() => done(performance.now()), { timeout: 5000 });
  const look = () => (busy(document) ? setTimeout(look, 10) : requestAnimationFrame(rest));
  look();
})
"""
_PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
_KB = "() => performance.getEntriesByType('resource').reduce((sum, each) => sum + each.transferSize, 0) / 1024"
_SCROLL = """
(box, pixels) => new Promise((done) => {
  let longest = 0;
  const heard = (tasks) => tasks.forEach(({ duration }) => (longest = Math.max(longest, duration)));
  const watch = new PerformanceObserver((list) => heard(list.getEntries()));
  const end = () => {
    heard(watch.takeRecords());
    const { ariaRowIndex: last } = [...box.querySelectorAll("[aria-rowindex]")].at(-1);
    done({ longest, last, rows: box.querySelector("table").ariaRowCount });
  };
  const frame = () => {
    const before = box.scrollTop;
    box.scrollTop += pixels;
    if (box.scrollTop === before) setTimeout(end, 100);
    else requestAnimationFrame(frame);
  };
  watch.observe({ type: "longtask" });
  requestAnimationFrame(frame);
})
"""
_PIXELS = 200
"""A frame: some four rows and a half, as a quick turn of a wheel does."""


@dataclass(kw_only=True)
class Loads:
    """Loads of one page, in milliseconds since its address was asked for."""

    painted_ms: list[float] = field(default_factory=list)
    """First contentful paint."""
    complete_ms: list[float] = field(default_factory=list)
    """All figures are there, the charts too, and the page has nothing left to do: it answers whoever uses it."""
    requests: list[int] = field(default_factory=list)
    kb: list[float] = field(default_factory=list)
    """Over the wire."""

    def line(self) -> str:
        """Medians, and the slowest."""
        painted, complete = np.median(self.painted_ms), np.median(self.complete_ms)
        return (
            f"{painted:7.0f} ms painted {complete:7.0f} ms complete (slowest {max(self.complete_ms):.0f}), "
            f"{np.median(self.requests):.0f} requests, {np.median(self.kb):.0f} kB"
        )


@dataclass(kw_only=True)
class Measured:
    """What was measured."""

    decisions: int
    front: Loads = field(default_factory=Loads)
    experiment: Loads = field(default_factory=Loads)
    longest_task_ms: list[float] = field(default_factory=list)
    """While the table of arms is scrolled from end to end, of each load; 0: none took 50 ms."""

    def figures(self) -> Mapping[str, float | None]:
        """Medians of the loads."""
        return {
            "list painted_ms": float(np.median(self.front.painted_ms)),
            "list interactive_ms": float(np.median(self.front.complete_ms)),
            "experiment complete_ms": float(np.median(self.experiment.complete_ms)),
            "arms longest_task_ms": float(np.median(self.longest_task_ms)),
        }

    def table(self) -> str:
        """A line for each page."""
        return f"{self.front.line()}  list\n{self.experiment.line()}  experiment"

    def as_json(self) -> Mapping[str, object]:
        return asdict(self)


async def measure(
    url: str, token: str, past: Past, report: Report, *, loads: int = _LOADS
) -> Measured:
    """Of a control plane with a past and no traffic; `token`: an admin's.

    Raises ConfigurationError where there is no browser to measure with.
    """
    try:
        from tools import chromium
    except ImportError as error:
        raise ConfigurationError("pages are measured in a checkout: make bench") from error
    measured = Measured(decisions=past.decisions)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as client:
        await history.published(client, f"{url}/api/experiments/{past.experiment}")
    report("loading pages")
    async with chromium.launched() as browser:
        for _ in range(loads):
            async with _window(browser, url, token) as page:
                await _load(page, "/", measured.front)
            async with _window(browser, url, token) as page:
                await _load(page, f"/experiments/{past.experiment}", measured.experiment)
                measured.longest_task_ms.append(await _scroll(page))
    return measured


@asynccontextmanager
async def _window(browser: Browser, url: str, token: str) -> AsyncIterator[Page]:
    """Of somebody who is logged in and whose browser knows nothing of us yet."""
    context = await browser.new_context(base_url=url, viewport={"width": 1440, "height": 900})
    try:
        context.set_default_timeout(_PATIENCE_MS)
        await context.request.post("/api/session", data={"token": token}, headers={"Origin": url})
        yield await context.new_page()
    finally:
        await context.close()


async def _load(page: Page, path: str, loads: Loads) -> None:
    asked: list[Request] = []
    waiting: set[Request] = set()

    def begun(request: Request) -> None:
        asked.append(request)
        if request.resource_type != _LIVE:
            waiting.add(request)

    def ended(request: Request) -> None:
        waiting.discard(request)

    page.on("request", begun)
    page.on("requestfinished", ended)
    page.on("requestfailed", ended)
    await page.goto(path, wait_until="commit")
    async with asyncio.timeout(_PATIENCE_MS / 1_000):
        complete_ms = await page.evaluate(_AT_REST)
        while waiting:
            complete_ms = await page.evaluate(_AT_REST)
    loads.complete_ms.append(complete_ms)
    loads.painted_ms.append(await page.evaluate(_PAINTED))
    loads.kb.append(await page.evaluate(_KB))
    loads.requests.append(len(asked))


async def _scroll(page: Page) -> float:
    """The longest task in milliseconds while the table of arms is scrolled to its end; raises PullarmError."""
    arms = page.get_by_role("region", name="Arms", exact=True)
    box = arms.get_by_role("group", name=re.compile("scrollable$"))
    await box.scroll_into_view_if_needed()
    found = await box.evaluate(_SCROLL, _PIXELS)
    if found["last"] != found["rows"]:
        raise PullarmError(f"the table of arms ended at row {found['last']} of {found['rows']}")
    return float(found["longest"])
