"""Where a loaded data set came from: the files by name, size and content."""

from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from replay.errors import DatasetError


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that a data set was read from."""

    name: str
    bytes: int
    sha256: str


def source_file(path: Path) -> SourceFile:
    """The file's identity; raises DatasetError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            digest = file_digest(stream, "sha256")
            return SourceFile(name=path.name, bytes=stream.tell(), sha256=digest.hexdigest())
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> DatasetError:
    """What to say of a file that cannot be opened."""
    return DatasetError(f"{path} cannot be read: {error.strerror or error}")
