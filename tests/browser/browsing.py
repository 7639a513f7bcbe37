"""A person at the dashboard: pages that are watched for anything a browser complains about."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    ViewportSize,
    expect,
)

from pullarm.domain.access import Role
from tests.browser.stage import Stage

PATIENCE_MS = 60_000
"""How long something may take that has to come in the end; nothing is said of how soon."""
WIDE = ViewportSize(width=1440, height=900)
PHONE = ViewportSize(width=390, height=844)


def panel(page: Page, heading: str) -> Locator:
    """A panel of a page."""
    return page.get_by_role("region", name=heading, exact=True)


def state(page: Page, word: str) -> Locator:
    """That an experiment is in a state, as its head says it: the first place on its page."""
    return page.get_by_text(word, exact=True).first


def dialog(page: Page, heading: str) -> Locator:
    """What has to be dealt with first; its content is slotted, and so not within the element of that role."""
    return page.locator("pa-dialog").filter(has=page.get_by_role("dialog", name=heading))


@dataclass
class Complaints:
    """What a browser complained about; `expected` are patterns of what a test brings about itself."""

    heard: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Listen to a page: console, errors nobody caught, requests without an answer, answers that are no success."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.heard.append(f"uncaught: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def _console(self, message: ConsoleMessage) -> None:
        # That a resource failed to load is heard as its request or response, with more to say.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.heard.append(f"console {message.type}: {message.text}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # by leaving the page, or by its own choice
            self.heard.append(f"no answer: {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.heard.append(f"{response.status}: {response.request.method} {response.url}")

    @property
    def unexpected(self) -> list[str]:
        """All but what was expected."""
        return [
            each
            for each in self.heard
            if not any(re.search(pattern, each) for pattern in self.expected)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody with a browser window, logged in or not."""

    stage: Stage
    url: str
    """Of the dashboard as this browser knows it."""
    context: BrowserContext
    page: Page
    complaints: Complaints

    async def log_in(self, role: Role) -> None:
        """As the log-in page would."""
        await self.show(await self.stage.secret(role))

    async def show(self, token: str) -> None:
        """Log in with a token."""
        answer = await self.context.request.post(
            "/api/session",
            data={"token": token},
            headers={"Origin": self.url},
        )
        assert answer.ok, await answer.text()

    async def go(self, path: str) -> None:
        """Open an address of the dashboard."""
        await self.page.goto(path)

    def expect_trouble(self, *patterns: str) -> None:
        """The test itself brings about what the browser will complain of."""
        self.complaints.expected += patterns


@asynccontextmanager
async def visitor(
    browser: Browser, stage: Stage, *, url: str | None = None, **options: Any
) -> AsyncIterator[Visitor]:
    """A new window on the dashboard; fails where anything was complained about that was not expected."""
    expect.set_options(timeout=PATIENCE_MS)
    url = url or stage.url
    context = await browser.new_context(
        base_url=url, **{"viewport": WIDE, "reduced_motion": "reduce"} | options
    )
    context.set_default_timeout(PATIENCE_MS)
    try:
        complaints = Complaints()
        page = await context.new_page()
        complaints.watch(page)
        yield Visitor(stage=stage, url=url, context=context, page=page, complaints=complaints)
        assert not complaints.unexpected, "\n".join(complaints.unexpected)
    finally:
        await context.close()
