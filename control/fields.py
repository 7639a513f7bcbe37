"""Reading untrusted JSON: every problem is noted under its field's path, and reading goes on."""

import math
import reprlib
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice
from typing import TypeVar

from pullarm.domain.errors import InvalidInput, Problem

T = TypeVar("T")

MAX_PROBLEMS = 50
_MAX_UNKNOWN = 20
_LARGEST = 2**53  # up to here every integer is a double
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Moments that can be meant; a length of time may be added to them."""
_EXAMPLE = reprlib.Repr()
_EXAMPLE.maxstring = _EXAMPLE.maxother = 60


def shown(value: object) -> str:
    """A value as an error message quotes it: never long, whatever it is."""
    if isinstance(value, int) and abs(value) > _LARGEST:
        return "a huge number"  # Python refuses to print the very large ones
    return _EXAMPLE.repr(value)


NO_MOMENT = f"must be between {EARLIEST:%Y} and {LATEST:%Y}"


def in_utc(moment: datetime) -> datetime | None:
    """The moment in UTC, which it is in where it names no zone; None outside of [EARLIEST, LATEST)."""
    try:
        found = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        return None
    return found if EARLIEST <= found < LATEST else None


def is_control(character: str, allowed: str = "") -> bool:
    """Whether a character has no place in a name: control characters and lone surrogates."""
    return unicodedata.category(character) in ("Cc", "Cs") and character not in allowed


class Problems:
    """What is wrong with one document."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def note(self, field: str, detail: str) -> None:
        """Remember one problem."""
        self.found.append(Problem(field, detail))

    def raise_if_any(self) -> None:
        """Raises InvalidInput with all of them, or with the first and how many more there are."""
        more = len(self.found) - MAX_PROBLEMS
        if more > 0:
            self.found[MAX_PROBLEMS:] = [Problem("more", f"{more} more problems")]
        if self.found:
            raise InvalidInput(*self.found)


class Fields:
    """One JSON object; null counts as not given."""

    def __init__(self, raw: Mapping[str, object], problems: Problems, path: str = "") -> None:
        self._raw = {name: value for name, value in raw.items() if value is not None}
        self._problems = problems
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def path(self, name: str) -> str:
        """The field's name as problems call it."""
        return f"{self._path}.{name}" if self._path else name

    def note(self, name: str, detail: str) -> None:
        """Remember a problem with one field."""
        self._problems.note(self.path(name), detail)

    def raw(self, name: str) -> object:
        """The value as it came, None where it is not given."""
        return self._raw.get(name)

    def given(self) -> list[tuple[str, object]]:
        """Every field as it came."""
        return list(self._raw.items())

    def with_value(self, name: str, value: object) -> "Fields":
        """The same object with another value in one field."""
        return Fields({**self._raw, name: value}, self._problems, self._path)

    def only(self, known: Collection[str]) -> None:
        """Note every field that is not known, with the one that was probably meant."""
        for name in islice((name for name in self._raw if name not in known), _MAX_UNKNOWN):
            close = get_close_matches(name[:60], known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            self.note("".join(c for c in name[:60] if not is_control(c)), f"is unknown; {hint}")

    def text(
        self, name: str, default: str, *, limit_bytes: int, empty: bool = False, lines: bool = False
    ) -> str:
        """Text of at most limit_bytes in UTF-8 without control characters; `lines` allows line breaks and tabs."""
        value = self._raw.get(name, default)
        if not isinstance(value, str):
            self.note(name, f"must be text, not {shown(value)}")
        elif not empty and not value.strip():
            self.note(name, "must not be empty")
        elif any(is_control(c, "\n\r\t" if lines else "") for c in value):
            self.note(name, "must not contain control characters")
        elif (size := len(value.encode())) > limit_bytes:
            self.note(name, f"is {size} bytes long; the limit is {limit_bytes}")
        else:
            return value
        return default

    def number(self, name: str, default: float, low: float, high: float, hint: str = "") -> float:
        """A finite number in [low, high]."""
        value = self._raw.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.note(name, f"must be a number, not {shown(value)}")
        elif not low <= value <= high or not math.isfinite(value):
            beyond = hint or f"must be between {low:g} and {high:g}"
            self.note(name, f"{beyond}; got {shown(value)}")
        else:
            return float(value)
        return default

    def positive(self, name: str, default: float, high: float) -> float:
        """A finite number in (0, high]."""
        value = self.number(name, default, 0.0, high, f"must be above 0 and at most {high:g}")
        if value == 0:
            self.note(name, f"must be above 0 and at most {high:g}; got 0")
        return value

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        value = self._raw.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
            self.note(name, f"must be a whole number, not {shown(value)}")
        elif low <= value <= high:
            return int(value)
        else:
            self.note(name, f"must be between {low} and {high}; got {shown(value)}")
        return default

    def flag(self, name: str, default: bool) -> bool:  # default: as the others have theirs
        """true or false."""
        value = self._raw.get(name, default)
        if isinstance(value, bool):
            return value
        self.note(name, f"must be true or false, not {shown(value)}")
        return default

    def moment(self, name: str, default: datetime | None) -> datetime | None:
        """A moment of ISO 8601 in [EARLIEST, LATEST), in UTC where it names no zone."""
        if name not in self._raw:
            return default
        value = self._raw[name]
        try:
            read = in_utc(datetime.fromisoformat(value if isinstance(value, str) else ""))
        except ValueError:
            self.note(name, f"must be a moment such as 2026-03-01T09:00:00Z; got {shown(value)}")
            return default
        if read is None:
            self.note(name, f"{NO_MOMENT}; got {shown(value)}")
        return read or default

    def choice(self, name: str, default: T, options: Mapping[str, T]) -> T:
        """One of a few words."""
        if name not in self._raw:
            return default
        value = self._raw[name]
        if isinstance(value, str) and value in options:
            return options[value]
        self.note(name, f"must be one of {', '.join(options)}; got {shown(value)}")
        return default

    def nested(self, name: str) -> "Fields":
        """The object a field holds; empty where it is not given or something else."""
        value = self._raw.get(name, {})
        if not isinstance(value, Mapping):
            self.note(name, f"must be an object, not {shown(value)}")
            value = {}
        return Fields(value, self._problems, self.path(name))

    def entries(self, name: str, limit: int, shorthand: str) -> Iterator["Fields"]:
        """The objects of a list of at most `limit`; text stands for an object with only the field `shorthand`."""
        value = self._raw.get(name, [])
        if not isinstance(value, list):
            self.note(name, f"must be a list, not {shown(value)}")
        elif len(value) > limit:
            self.note(name, f"has {len(value)} entries; the limit is {limit}")
        else:
            for index, entry in enumerate(value):
                raw = {shorthand: entry} if isinstance(entry, str) else entry
                if isinstance(raw, Mapping):
                    yield Fields(raw, self._problems, self.path(f"{name}[{index}]"))
                else:
                    self.note(f"{name}[{index}]", f"must be text or an object, not {shown(raw)}")
