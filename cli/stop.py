"""`pullarm stop`: end an experiment for good."""

import sys
from typing import Annotated

from typer import Argument, Option

from cli.remote import DEFAULT_STATE, DEFAULT_URL, ControlPlane, ControlUrl, TokenState


def command(
    experiment: Annotated[str, Argument(help="Its id or key.")],
    note: Annotated[str, Option(help="Why, for the audit trail.")] = "",
    control_url: ControlUrl = DEFAULT_URL,
    state: TokenState = DEFAULT_STATE,
) -> None:
    """Stop an experiment for good; its users get control's choice from then on."""
    with ControlPlane.found(control_url, state) as control:
        stopped = control.stop(experiment, note)
    print(f"{stopped['id']} is {stopped['state']} since {stopped['end_at']}")
    for warning in stopped["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
