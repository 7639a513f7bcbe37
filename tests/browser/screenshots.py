"""Pictures of every page, light and dark, wide and on a phone, from a seeded demo: `make screenshots`."""

import argparse
import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, ViewportSize

from pullarm.domain.access import Role
from tests.browser import browsing
from tests.browser.browsing import PHONE, WIDE
from tests.browser.routes import ROUTES, Route
from tests.browser.stage import Stage, staged
from tests.e2e.upstream import answered
from tests.state_folders import temporary_state
from tools.chromium import launched

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "screenshots"
README = {("experiment", "light"), ("experiment", "dark")}
"""Kept in the repository: what one sees first of the page."""
DAYS = 9.0
DECISIONS = 30_000
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_PATIENCE_S = 900
SIZES: dict[str, ViewportSize] = {"wide": WIDE, "phone": PHONE}


async def picture(
    browser: Browser, stage: Stage, route: Route, folder: Path, *, keep: bool
) -> None:
    """One page in both themes and sizes, whole; where it is to be kept, also for the README."""
    for size, viewport in SIZES.items():
        for theme in THEMES:
            async with browsing.visitor(
                browser, stage, color_scheme=theme, viewport=viewport
            ) as visitor:
                if route.logged_in:
                    await visitor.log_in(Role.ADMIN)
                await route.open(visitor)
                path = folder / f"{route.name}-{theme}-{size}.png"
                await visitor.page.screenshot(path=path, full_page=True)
                print(path)
                if keep and size == "wide" and (route.name, theme) in README:
                    kept = ROOT / "docs" / "pictures" / f"{route.name}-{theme}.png"
                    await visitor.page.screenshot(path=kept)


async def _up_to_date(stage: Stage) -> None:
    """Wait until workers have checked and judged what the demo's past left to them."""
    path = f"/api/experiments/{stage.experiment}"
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            checks = (await answered(stage.api.get(f"{path}/guardrails")))["guardrails"]
            next_at = (await answered(stage.api.get(f"{path}/decisions")))["next_at"]
            judged = next_at is None or datetime.fromisoformat(next_at) > datetime.now(UTC)
            if judged and checks and checks["worker_lag"]["verdict"] == "pass":
                return
            await asyncio.sleep(1)


async def run(decisions: int, folder: Path, *, keep: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with temporary_state() as state:
        async with (
            staged(state, days=DAYS, decisions=decisions) as stage,
            launched() as browser,
        ):
            await _up_to_date(stage)
            for route in ROUTES:
                await picture(browser, stage, route, folder, keep=keep)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=DECISIONS, help="of the demo before")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pictures go")
    parser.add_argument("--keep", action="store_true", help="renew those of the README as well")
    options = parser.parse_args()
    asyncio.run(run(options.decisions, options.folder, keep=options.keep))


if __name__ == "__main__":
    main()
