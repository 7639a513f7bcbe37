"""`pullarm launch`: make an experiment and start it."""

from pathlib import Path
from typing import Annotated

from typer import Option

from cli.arms_file import read_arms
from cli.remote import (
    DEFAULT_STATE,
    DEFAULT_URL,
    ControlPlane,
    ControlUrl,
    RequestRefused,
    TokenState,
)


def command(
    name: Annotated[str, Option(help="What it is called.")],
    duration: Annotated[float, Option(help="How long it is to run, in days.")] = 14.0,
    traffic: Annotated[float, Option(help="Share of the users, 0 to 1: 0.8 means 80 %.")] = 1.0,
    policies: Annotated[
        str, Option(help="Policies with equal shares, separated by commas.")
    ] = "thompson,egreedy,ucb,control",
    arms: Annotated[
        Path | None,
        Option(help="File of arms (.json, .csv or .txt); none: candidates become arms."),
    ] = None,
    notes: Annotated[str, Option(help="Whatever is worth remembering.")] = "",
    control_url: ControlUrl = DEFAULT_URL,
    state: TokenState = DEFAULT_STATE,
) -> None:
    """Create an experiment and start it."""
    body: dict[str, object] = {
        "name": name,
        "duration_days": duration,
        "traffic_pct": traffic,
        "policies": policies,
        "notes": notes,
    }
    if arms is not None:
        body["arms"] = read_arms(arms)
    with ControlPlane.found(control_url, state) as control:
        created = control.create(body)
        try:
            experiment = control.start(created["id"])
        except RequestRefused as error:
            raise RequestRefused(
                f"{created['id']} was created, but not started: {error}"
            ) from error
        print(
            f"{experiment['id']} is {experiment['state']} (key {experiment['key']})\n"
            f"  page     {control.page(experiment['id'])}\n"
            f"  summary  {control.url}/api/experiments/{experiment['id']}/summary"
        )
