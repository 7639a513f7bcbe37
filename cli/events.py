"""`pullarm events`: the newest decisions of an experiment, and those that follow."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from rich.console import Console
from rich.text import Text
from typer import Argument, Option

from cli.remote import DEFAULT_STATE, DEFAULT_URL, ControlPlane, ControlUrl, TokenState

_LOOK_EVERY_S = 1.0
_PAGE = 1_000
_AGAIN_MS = 5_000
"""Decisions are folded in about the order in which they were made: those so much older than the newest are looked at
again. What comes later still, from a spool, is not told."""

_Event = Mapping[str, Any]


def command(
    experiment: Annotated[str, Argument(help="An id or key.")],
    follow: Annotated[
        bool, Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    lines: Annotated[int, Option("-n", min=1, max=_PAGE, help="How many to begin with.")] = 20,
    policy: Annotated[str | None, Option(help="Of one policy only.")] = None,
    arm: Annotated[str | None, Option(help="Of one arm only, by id.")] = None,
    control_url: ControlUrl = DEFAULT_URL,
    state: TokenState = DEFAULT_STATE,
) -> None:
    """Print decisions, the oldest first, with what came of them so far."""
    console = Console()
    filters = {"policy": policy, "arm": arm}
    with ControlPlane.found(control_url, state) as control:
        log = Following(partial(control.events, experiment), filters)
        _print(console, log.newest(lines))
        try:
            while follow:
                time.sleep(_LOOK_EVERY_S)
                _print(console, log.fresh())
        except KeyboardInterrupt:
            return


class Following:
    """An experiment's decisions as they come to the ledger."""

    def __init__(
        self, page: Callable[..., Mapping[str, Any]], filters: Mapping[str, object]
    ) -> None:
        """`page` answers the route `events`, with the parameters it is given."""
        self._page = page
        self._filters = filters
        self._since_ms = 0
        self._first = ""
        """The uid that it begins with."""
        self._told: set[str] = set()

    def newest(self, number: int) -> list[_Event]:
        """At most so many of those that fit, newest first."""
        self._since_ms = self._upto_ms() - _AGAIN_MS
        found: list[_Event] = self._page(limit=number, **self._filters)["events"]
        self._told = {event["uid"] for event in found}
        self._first = min(self._told, default="")
        return found

    def fresh(self) -> list[_Event]:
        """All that have come since, newest first, however many."""
        upto_ms = self._upto_ms()
        found = list(self._walk())
        fresh = [e for e in found if e["uid"] not in self._told and e["uid"] > self._first]
        self._told = {event["uid"] for event in found}
        self._since_ms = max(self._since_ms, upto_ms - _AGAIN_MS)
        return fresh

    def _walk(self) -> Iterator[_Event]:
        since, cursor = None, None
        if self._since_ms > 0:
            since = datetime.fromtimestamp(self._since_ms / 1_000, UTC).isoformat()
        while True:
            page = self._page(limit=_PAGE, since=since, cursor=cursor, **self._filters)
            yield from page["events"]
            cursor = page["next"]
            if cursor is None:
                return

    def _upto_ms(self) -> int:
        """When the newest decision was made that was looked at, fitting or not; 0 where there is none."""
        page = self._page(limit=1)
        uid = page["events"][0]["uid"] if page["events"] else page["next"]
        return int(uid[:12], 16) if uid else 0  # it begins with its time


def _print(console: Console, newest_first: Iterable[Mapping[str, Any]]) -> None:
    for event in reversed(list(newest_first)):
        slots = ", ".join(
            f"{slot['id'] or '-'} ({slot['propensity']:.1%}){_earned(slot['rewards'])}"
            for slot in event["slots"]
        )
        why = event["assigned"] if event["reason"] == "ASSIGNED" else event["reason"]
        # As Text, because a name may hold what rich takes for markup.
        line = f"{event['decided_at']} {event['uid']} {event['unit']} {why}: {slots or '-'}"
        console.print(Text(line), soft_wrap=True)


def _earned(rewards: Mapping[str, float]) -> str:
    return "".join(f" {kind} {worth:g}" for kind, worth in rewards.items())
