"""`pullarm erase`: take a user out of an experiment's ledger."""

from typing import Annotated

from typer import Argument, Option

from cli.remote import DEFAULT_STATE, DEFAULT_URL, ControlPlane, ControlUrl, TokenState


def command(
    experiment: Annotated[str, Argument(help="Its id or key.")],
    user: Annotated[str, Argument(help="The user's id, as callers send it.")],
    note: Annotated[str, Option(help="Why, for the audit trail; not who.")] = "",
    control_url: ControlUrl = DEFAULT_URL,
    state: TokenState = DEFAULT_STATE,
) -> None:
    """Replace who a user was in an experiment's ledger; what came of them stays. For good, and for admins.

    Erase again once what is on its way has come. Backups, and entries set aside, are not reached.
    """
    with ControlPlane.found(control_url, state) as control:
        erased = control.erase(experiment, user, note)
    print(
        f"{erased['decisions']} decisions and {erased['rewards']} rewards are {erased['known_as']}'s now"
        + (", who is given nothing to look at any more" if erased["forced"] else "")
    )
    if days := erased["archived_days"]:
        print(
            f"workers take them out of the files of {days} removed days within the hour, `pullarm archive erase` now"
        )
