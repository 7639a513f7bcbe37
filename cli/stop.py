"""`pullarm stop`: end an experiment for good."""

import sys
from typing import Annotated

from typer import Argument

from cli.remote import DEFAULT_URL, ControlPlane, ControlUrl


def command(
    experiment: Annotated[str, Argument(help="Its id or key.")],
    control_url: ControlUrl = DEFAULT_URL,
) -> None:
    """Stop an experiment for good; its users get control's choice from then on."""
    with ControlPlane(control_url) as control:
        stopped = control.stop(experiment)
    print(f"{stopped['id']} is {stopped['state']} since {stopped['end_at']}")
    for warning in stopped["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
