"""Users of this machine: who runs a command, and as whom PostgreSQL runs where that is root, which it refuses to be."""

import getpass
import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cli.process import Account
from pullarm.domain.errors import ConfigurationError

VARIABLE = "PULLARM_POSTGRES_USER"


def user() -> str:
    """Who runs this command, for the audit trail."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # nobody by this number, and nothing in the environment
        return str(os.getuid())


def service_account() -> Account | None:
    """None for an ordinary user, whose own account serves; else `nobody` or who the variable names."""
    if os.geteuid() != 0:
        return None
    name = os.environ.get(VARIABLE, "nobody")
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ConfigurationError(
            f"PostgreSQL refuses to run as root, and there is no user {name!r}; "
            f"name an unprivileged one in {VARIABLE}, or run Pullarm as an ordinary user"
        ) from None
    if entry.pw_uid == 0:
        raise ConfigurationError(f"{VARIABLE}={name}: PostgreSQL refuses to run as root")
    return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)


def give(path: Path, account: Account | None) -> None:
    """Hand a file or an empty folder over to the account."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def run_as(
    account: Account | None, argv: Sequence[str | Path], *, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a short program as the account, from a folder everybody may enter."""
    return subprocess.run(
        [str(each) for each in argv],
        check=False,
        cwd="/",
        input=text,
        capture_output=True,
        text=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
