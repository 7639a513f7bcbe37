"""`pullarm events`: the newest decisions of an experiment, and those that follow."""

import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from rich.console import Console
from rich.text import Text
from typer import Argument, Option

from cli.remote import DEFAULT_STATE, DEFAULT_URL, ControlPlane, ControlUrl, TokenState

_LOOK_EVERY_S = 1.0
_PAGE = 1_000
_REMEMBERED = 20_000
"""Decisions are folded in about the order in which they were made: the newest page is looked at again."""


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
        newest = control.events(experiment, limit=lines, **filters)["events"]
        _print(console, newest)
        printed = dict.fromkeys(event["uid"] for event in newest)
        try:
            while follow:
                time.sleep(_LOOK_EVERY_S)
                page = control.events(experiment, limit=_PAGE, **filters)["events"]
                oldest = min(printed, default="")
                fresh = [e for e in page if e["uid"] not in printed and e["uid"] > oldest]
                _print(console, fresh)
                printed |= dict.fromkeys(event["uid"] for event in fresh)
                for uid in sorted(printed)[:-_REMEMBERED]:
                    del printed[uid]
        except KeyboardInterrupt:
            return


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
