"""PostgreSQL's own pg_dump, pg_restore and psql: those that come with the embedded server, or the machine's."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from cli.postgres_home import installed
from pullarm.domain.errors import ConfigurationError, PullarmError

_CHUNK = 1024 * 1024


class ToolFailed(PullarmError):
    """One of PostgreSQL's programs failed."""

    code = "tool_failed"


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of one version, for one database."""

    folder: Path
    url: str

    def argv(self, program: str, *arguments: str | Path) -> list[str]:
        """A command line that needs no database."""
        return [str(self.folder / program), *map(str, arguments)]

    def connected(self, program: str, *arguments: str | Path) -> list[str]:
        """One with the database's address; the password goes another way, where `ps` does not show it."""
        parts = urlsplit(self.url)
        user, _, host = parts.netloc.rpartition("@")
        name = user.partition(":")[0]
        address = parts._replace(netloc=f"{name}@{host}" if name else host).geturl()
        return self.argv(program, "--no-password", "--dbname", address, *arguments)

    def run(self, argv: Sequence[str]) -> str:
        """Run a program to its end; answers its output, raises ToolFailed with what it complains of."""
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, env=self.environment
        )
        _check(argv, done.returncode, done.stderr)
        return done.stdout

    def feed(
        self,
        source: Sequence[str],
        sink: Sequence[str],
        *,
        before: str,
        mend: Callable[[bytes], bytes],
        after: str,
    ) -> None:
        """Run two programs, what the first one writes going to the second, between two pieces of text.

        The first chunk goes through `mend`. `after` is sent only where the first program succeeds, so that a COMMIT in
        it is never sent for a part. Raises ToolFailed for either.
        """
        environment = self.environment
        with tempfile.TemporaryFile() as read_said, tempfile.TemporaryFile() as wrote_said:
            with (
                suppress(BrokenPipeError),  # the second has ended, and says why
                subprocess.Popen(
                    source, stdout=subprocess.PIPE, stderr=read_said, env=environment
                ) as reading,
                subprocess.Popen(
                    sink,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=wrote_said,
                    env=environment,
                ) as writing,
            ):
                assert reading.stdout is not None  # asked for above
                assert writing.stdin is not None
                writing.stdin.write(before.encode())
                writing.stdin.write(mend(reading.stdout.read(_CHUNK)))
                shutil.copyfileobj(reading.stdout, writing.stdin, _CHUNK)
                if reading.wait() == 0:
                    writing.stdin.write(after.encode())
            _check(sink, writing.returncode, _said(wrote_said))
            _check(source, reading.returncode, _said(read_said))

    @property
    def environment(self) -> dict[str, str]:
        password = urlsplit(self.url).password
        return os.environ | ({"PGPASSWORD": unquote(password)} if password else {})


def find_tools(url: str) -> Tools:
    """The newest there are: older ones refuse a newer server. Raises ConfigurationError where there are none."""
    folders = {Path(found).parent for found in (shutil.which("pg_dump"),) if found}
    with suppress(ConfigurationError):
        folders.add(installed())
    complete = [f for f in folders if all((f / p).exists() for p in ("pg_restore", "psql"))]
    if not complete:
        raise ConfigurationError(
            "pg_dump, pg_restore and psql are not here: "
            "install PostgreSQL's client programs, or pullarm[embedded]"
        )
    return Tools(max(complete, key=_version), url)


def _version(folder: Path) -> tuple[int, ...]:
    said = subprocess.run(
        [folder / "pg_dump", "--version"], check=False, capture_output=True, text=True
    ).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()


def _check(argv: Sequence[str], status: int, complaints: str) -> None:
    if status != 0:
        said = complaints.strip() or "it says nothing"
        raise ToolFailed(f"{Path(argv[0]).name} failed with status {status}: {said}")


def _said(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    return complaints.read(_CHUNK).decode(errors="replace")
