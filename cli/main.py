"""The `pullarm` command; a command's own module is imported only when it is the one called."""

import sys
from collections.abc import Callable
from importlib import import_module

import typer

from pullarm.domain.errors import PullarmError

COMMANDS = {
    "up": "Start PostgreSQL, Valkey, serving, control and a worker, until Ctrl-C.",
    "demo": "Start the platform and drive it as an upstream recommender would.",
    "launch": "Create an experiment and start it.",
    "status": "Show experiments and how their policies do.",
    "stop": "Stop an experiment for good.",
    "verify": "Recompute every posterior from the ledger; fails on a difference.",
    "rebuild": "Make posteriors anew from the ledger, with false rewards or whole stretches left out.",
    "explain": "Redo a decision bit for bit from the ledger, and show what it was made of.",
    "export": "Write an experiment's decisions with their rewards to a file.",
    "check-log": "Check an exported log for what an estimate needs of it; fails on a finding.",
    "republish": "Give serving everything anew: configurations, posteriors and halts, from PostgreSQL.",
    "retention": "Remove the decisions of days that are old enough; the posterior stays proved.",
    "backup": "Write the ledger as of one moment to a file, while everything runs.",
    "restore": "Put the ledger back to what a backup has, in a new life of its own.",
    "token": "Make, list and revoke tokens.",
    "bench": "Measure what the project promises, beside an echo server.",
    "soak": "Kill every part again and again under load, and prove that nothing acknowledged is lost.",
    "serve": "Run one serving process.",
    "control": "Run the control plane.",
    "work": "Run one worker.",
    "migrate": "Bring the database up to date.",
}
"""Every command with its line in the overview; cli/NAME.py, with _ for -, holds it as `command`."""


def _not_called() -> None:
    """Stands for a command in the overview, which needs its name and line only."""


def build(called: str | None) -> typer.Typer:
    """The application, with the full options of the command that is called."""
    app = typer.Typer(
        name="pullarm",
        help="A multi-armed-bandit experimentation platform.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, line in COMMANDS.items():
        function: Callable[..., None] = _not_called
        if name == called:
            command = import_module(f"cli.{name.replace('-', '_')}").command
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name)
                continue
            function = command
        app.command(name, help=None if name == called else line)(function)
    return app


def main() -> None:
    called = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        build(called)()
    except PullarmError as error:
        sys.exit(f"pullarm: {error}")


if __name__ == "__main__":
    main()
