"""`pullarm resume`: let an experiment that was rolled back go on."""

import sys
from typing import Annotated

from typer import Argument

from cli.remote import DEFAULT_STATE, DEFAULT_URL, ControlPlane, ControlUrl, TokenState


def command(
    experiment: Annotated[str, Argument(help="Its id or key.")],
    control_url: ControlUrl = DEFAULT_URL,
    state: TokenState = DEFAULT_STATE,
) -> None:
    """Let an experiment go on, in a new guard epoch: what spoke for the rollback is not held against it again."""
    with ControlPlane.found(control_url, state) as control:
        resumed = control.resume(experiment)
    print(f"{resumed['id']} is {resumed['state']}, guard epoch {resumed['guard_epoch']}")
    for warning in resumed["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
