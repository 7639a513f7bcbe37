"""`pullarm ship`: everybody gets the policy that won."""

import sys
from typing import Annotated

from typer import Argument, Option

from cli.remote import DEFAULT_STATE, DEFAULT_URL, ControlPlane, ControlUrl, TokenState


def command(
    experiment: Annotated[str, Argument(help="Its id or key.")],
    policy: Annotated[
        str | None, Option(help="Ship this one, whatever the verdict says; else the one it names.")
    ] = None,
    note: Annotated[str, Option(help="Why, for the audit trail.")] = "",
    control_url: ControlUrl = DEFAULT_URL,
    state: TokenState = DEFAULT_STATE,
) -> None:
    """Give everybody whom an experiment is for the policy that its verdict says to ship; it goes on learning."""
    with ControlPlane.found(control_url, state) as control:
        shipped = control.ship(experiment, policy, note)
    print(f"{shipped['id']} is {shipped['state']}: everybody gets {shipped['default_policy']}")
    for warning in shipped["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
