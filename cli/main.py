"""The `pullarm` command; a command's own module is imported only when it is the one called."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from keyword import iskeyword

import typer

from pullarm.domain.errors import PullarmError
from pullarm.secrets import Mask, read_files

COMMANDS = {
    "up": "Start PostgreSQL, Valkey, serving, control and a worker, until Ctrl-C.",
    "demo": "Start the platform and drive it as an upstream recommender would.",
    "doctor": "Check what has to be right before a launch, and say what to mend.",
    "launch": "Create an experiment and start it.",
    "status": "Show experiments and how their policies do.",
    "events": "Print an experiment's decisions with what came of them, and follow them.",
    "try": "Ask a policy what it would choose: no platform, nothing logged.",
    "decide": "Judge an experiment now, or make an earlier verdict again from the ledger.",
    "ship": "Give everybody the policy that an experiment's verdict says to ship.",
    "stop": "Stop an experiment for good.",
    "erase": "Replace who a user was in an experiment's ledger, for good.",
    "audit": "Show who changed what, when and from where.",
    "guardrails": "Show what an experiment's guardrails say, and its rollbacks.",
    "rollback": "Give everybody control within a second, even without the control plane.",
    "resume": "Let an experiment that was rolled back go on.",
    "verify": "Recompute every posterior from the ledger; fails on a difference.",
    "give-up": "Wait no more for a serving process that was killed and whose spool is gone.",
    "rebuild": "Make posteriors anew from the ledger, with false rewards or whole stretches left out.",
    "explain": "Redo a decision bit for bit from the ledger, and show what it was made of.",
    "export": "Write an experiment's decisions with their rewards to a file.",
    "check-log": "Check an exported log for what an estimate needs of it; fails on a finding.",
    "replay": "What a policy would have earned: data sets, windows, offline evaluation.",
    "republish": "Give serving everything anew: configurations, posteriors and halts, from PostgreSQL.",
    "archive": "List, check and rewrite the files of days that retention removed.",
    "retention": "Remove the decisions of days that are old enough; the posterior stays proved.",
    "backup": "Write the ledger as of one moment to a file, while everything runs.",
    "restore": "Put the ledger back to what a backup has, in a new life of its own.",
    "token": "Make, list and revoke tokens.",
    "keys": "Rotate the keys that decision ids are signed with, while everything runs.",
    "bench": "Measure what the project promises, beside an echo server.",
    "capacity": "Say how many processes and how large servers a load needs, from measured unit costs.",
    "soak": "Kill every part again and again under load, and prove that nothing acknowledged is lost.",
    "drill": "Rehearse an upgrade or a disaster, on a platform made for it.",
    "serve": "Run one serving process.",
    "control": "Run the control plane.",
    "work": "Run one worker.",
    "migrate": "Bring the database up to date.",
}
"""Every command with its line in the overview; cli/NAME.py, with _ for - and after a keyword, holds it as `command`.

Or cli/NAME/__init__.py has COMMANDS of its own, to be called behind it, of which again only the one called is imported.
"""


def _not_called() -> None:
    """Stands for a command in the overview, which needs its name and line only."""


def build(*called: str) -> typer.Typer:
    """The application, with the full options of the command that is called, named by one word or two."""
    return _group(
        "pullarm", "A multi-armed-bandit experimentation platform.", "cli", COMMANDS, called
    )


def _group(
    name: str, line: str, package: str, commands: Mapping[str, str], called: Sequence[str]
) -> typer.Typer:
    app = typer.Typer(
        name=name,
        help=line,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for each, said in commands.items():
        function: Callable[..., None] = _not_called
        if called[:1] == (each,):
            path = f"{package}.{each.replace('-', '_')}{'_' * iskeyword(each)}"
            module = import_module(path)
            below = getattr(module, "COMMANDS", None)
            command = _group(each, said, path, below, called[1:]) if below else module.command
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=each)
                continue
            function = command
        app.command(each, help=said if function is _not_called else None)(function)
    return app


def main() -> None:
    """Run the command that is called; nothing that it says of an error has a secret in it."""
    mask = Mask(os.environ)
    try:
        os.environ.update(read_files(os.environ))
        mask = Mask(os.environ)
        sys.excepthook = lambda *error: print(mask.trace(*error), end="", file=sys.stderr)
        build(*sys.argv[1:3])()
    except PullarmError as error:
        sys.exit(mask(f"pullarm: {error}"))


if __name__ == "__main__":
    main()
