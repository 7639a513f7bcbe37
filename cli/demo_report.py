"""What the demo shows: progress while it runs, a table and one line of JSON at the end."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.tally import Tally
from pullarm.domain.numerals import numeral
from pullarm.domain.summary import PolicyFigures

_EVERY_S = 0.5
_PLAIN_EVERY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The account of a run."""

    tally: Tally
    lost: int
    """Acknowledged decisions and rewards that are not in the ledger."""
    differences: list[str]
    policies: Mapping[str, PolicyFigures]

    @property
    def sound(self) -> bool:
        """Nothing lost, everything answered, and the posterior is the fold of the ledger."""
        return not (self.lost or self.differences or self.tally.failures)

    def as_json(self) -> dict[str, object]:
        """What a script reads."""
        return {
            "decisions": self.tally.decisions,
            "rewards": len(self.tally.rewarded_ids),
            "lost": self.lost,
            "verify": f"{len(self.differences)} differences" if self.differences else "clean",
            "policies": {
                name: {
                    "users": figures.users,
                    "serves": figures.serves,
                    "rewards": figures.rewards,
                    "rate": figures.rate,
                }
                for name, figures in self.policies.items()
            },
            "select_ms": self.tally.percentiles_ms(),
        }


def tell(console: Console, message: str) -> None:
    """Print as it stands: names and paths may hold what rich takes for markup, and a broken line cannot be copied."""
    console.print(Text(message), soft_wrap=True)


@asynccontextmanager
async def progress(console: Console, tally: Tally) -> AsyncIterator[None]:
    """Show the tally while the block runs: a live table on a terminal, a line now and then elsewhere."""
    task = asyncio.create_task(
        _live(console, tally) if console.is_terminal else _plain(console, tally)
    )
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _live(console: Console, tally: Tally) -> None:
    pace = _Pace(tally)
    with Live(console=console, refresh_per_second=4) as live:
        while True:
            live.update(_running(tally, pace.per_second()))
            await asyncio.sleep(_EVERY_S)


async def _plain(console: Console, tally: Tally) -> None:
    pace = _Pace(tally)
    while True:
        await asyncio.sleep(_PLAIN_EVERY_S)
        rates = "  ".join(
            f"{name} {policy.rate:.3f}" for name, policy in sorted(tally.policies.items())
        )
        tell(
            console,
            f"{tally.decisions:>8} decisions  {pace.per_second():>6.0f}/s  "
            f"p95 {tally.percentiles_ms()['p95']:.1f} ms  {rates}",
        )


class _Pace:
    """Decisions a second since it was last asked."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._count = tally.decisions
        self._at = time.monotonic()

    def per_second(self) -> float:
        count, at = self._tally.decisions, time.monotonic()
        rate = (count - self._count) / max(at - self._at, 1e-9)
        self._count, self._at = count, at
        return rate


def _running(tally: Tally, per_second: float) -> Table:
    ms = tally.percentiles_ms()
    table = Table(
        title=f"{tally.decisions:,} decisions, {per_second:,.0f}/s, "
        f"Select p50 {ms['p50']:.1f} ms, p95 {ms['p95']:.1f} ms"
    )
    for column in ("policy", "serves", "rewards", "rate so far"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for name, policy in sorted(tally.policies.items()):
        table.add_row(name, f"{policy.serves:,}", f"{policy.rewards:,}", f"{policy.rate:.4f}")
    return table


def show(console: Console, outcome: Outcome) -> None:
    """The final table: what each policy earned beside what a random choice would have."""
    offered = outcome.tally.offered.get() or 0.0
    table = Table(title="What the ledger says")
    for column in ("policy", "users", "serves", "rewards", "rate", "s.e.", "above random choice"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for name, figures in outcome.policies.items():
        rate, error = figures.rate or 0.0, figures.standard_error or 0.0
        above = f"{numeral((rate - offered) / error, '+.1f')} s.e." if error else ""
        table.add_row(
            name,
            f"{figures.users:,}",
            f"{figures.serves:,}",
            f"{figures.rewards:,}",
            f"{rate:.4f}",
            f"{error:.4f}",
            above,
        )
    console.print(table)
    tell(console, f"A random choice among the offered candidates would earn {offered:.4f}.")
    if outcome.tally.failures:
        tell(console, f"{outcome.tally.failures} calls failed; the last: {outcome.tally.problem}")
