"""`pullarm keys`: rotate the keys of decision ids in their file, which serving reads again when it changes."""

import asyncio
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table
from typer import Argument, Option, Typer

from cli.state import DECISION_KEYS, read_environment, write_private
from cli.verify import database_url, platform_clock
from pullarm.domain.errors import ConfigurationError
from pullarm.storage.postgres import Database, PostgresExperiments
from pullarm.storage.postgres.times import at
from serving.process import KEYS_EVERY_S
from serving.settings import KEYS, KEYS_FILE, keys_in

SETTLED_S = 6 * KEYS_EVERY_S
"""After so long every serving process of this machine has read the file."""

Number = Annotated[int, Argument(help="The key's, as listed.")]
StateFolder = Annotated[
    Path,
    Option("--state", help=f"State folder of `pullarm up`, where {KEYS_FILE} is not set."),
]
DEFAULT_STATE = Path(".pullarm")

command = Typer(
    help="Rotate the keys that decision ids are signed with, while everything runs: add, sign, and later retire.",
    no_args_is_help=True,
)


@command.command("list")
def show(state: StateFolder = DEFAULT_STATE) -> None:
    """List keys by number; what they are is never shown."""
    keys = keys_in(_file(state))
    table = Table("key", "use", "added", "signed until", box=None)
    for number in sorted(keys.ring.keys):
        signed = keys.signed(number)
        moments = (signed.added_at, signed.until)
        table.add_row(
            str(number),
            "signs" if number == keys.ring.sign else "verifies",
            *("-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}" for moment in moments),
        )
    Console(markup=False).print(table)


@command.command()
def add(state: StateFolder = DEFAULT_STATE) -> None:
    """Add a new key, which verifies and does not sign yet; prints its number."""
    with _changed(state) as change:
        change.keys, number = change.keys.add(at(platform_clock(state)()))
    print(number)


@command.command()
def sign(number: Number, state: StateFolder = DEFAULT_STATE) -> None:
    """Sign with this key from now on; those before still verify.

    Waits until the serving processes of this machine have read the file. With others, copy the file there first:
    `pullarm_decision_key` among their metrics says which keys a process has.
    """
    with _changed(state) as change:
        changed = change.keys.sign(number, at(platform_clock(state)()))
        age_s = time.time() - change.path.stat().st_mtime
        time.sleep(min(max(0.0, SETTLED_S - age_s), SETTLED_S))
        change.keys = changed
    print(f"decision ids are signed with key {number}")


@command.command()
def retire(
    number: Number,
    now: Annotated[
        bool,
        Option(
            "--now",
            help="At once, as it is known to others: rewards of what it signed are refused.",
        ),
    ] = False,
    state: StateFolder = DEFAULT_STATE,
) -> None:
    """Remove a key once no reward counts any more for a decision that it signed.

    That is after the longest attribution window of any experiment, and an hour of grace.
    """
    with _changed(state) as change:
        window = None if now else asyncio.run(_longest_window(database_url(state)))
        change.keys = change.keys.retire(number, at(platform_clock(state)()), window)
    print(f"key {number} is retired")


async def _longest_window(dsn: str) -> timedelta:
    async with Database(dsn, max_connections=1) as database:
        experiments = await PostgresExperiments(database).all()
    return timedelta(
        hours=max((each.spec.reward.window_hours for each in experiments), default=0.0)
    )


class _Change:
    """The keys in a file, to be replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys = keys_in(path)


@contextmanager
def _changed(state: Path) -> Iterator[_Change]:
    """What the block leaves in `keys` is written, and nobody else writes meanwhile."""
    path = _file(state)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # a lock of the file's own would go when it is replaced
        change, owner = _Change(path), path.stat()
        yield change
        try:
            write_private(path, change.keys.text())
            if os.geteuid() == 0:  # whoever reads it goes on doing so
                os.chown(path, owner.st_uid, owner.st_gid)
        except OSError as error:
            raise ConfigurationError(
                f"{KEYS_FILE} {path}: cannot be written ({error.strerror}); change it where it comes from"
            ) from error
    finally:
        os.close(folder)


def _file(state: Path) -> Path:
    """Where the keys are; raises ConfigurationError where they are in no file."""
    if os.environ.get(KEYS):
        raise ConfigurationError(
            f"{KEYS} holds the keys, and an environment does not change while a process runs; "
            f"put them into a file that {KEYS_FILE} names"
        )
    own = os.environ.get(KEYS_FILE) or read_environment(state).get(KEYS_FILE)
    path = Path(own) if own else state / DECISION_KEYS
    if not path.exists():
        raise ConfigurationError(
            f"{KEYS_FILE} is not set and {state} has no {DECISION_KEYS}; set it, or name the folder with --state"
        )
    return path.resolve()
