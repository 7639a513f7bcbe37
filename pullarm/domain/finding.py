"""What a check of the platform found, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

_MIB = 1024 * 1024


class Standing(StrEnum):
    """What one finding means for a launch."""

    OK = "ok"
    WARNING = "warning"
    """It may be meant so; know of it."""
    PROBLEM = "problem"
    """Mend it first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    check: str
    standing: Standing
    found: str
    mend: str = ""
    """Empty where nothing is to be done."""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Standing.OK, found)


def warning(check: str, found: str, mend: str) -> Finding:
    """Something to know of."""
    return Finding(check, Standing.WARNING, found, mend)


def problem(check: str, found: str, mend: str) -> Finding:
    """Something to mend."""
    return Finding(check, Standing.PROBLEM, found, mend)


def in_bytes(size: int) -> str:
    """In units that people read."""
    return (
        f"{size / _MIB:,.0f} MiB" if size < 10 * 1024 * _MIB else f"{size / 1024 / _MIB:,.0f} GiB"
    )
