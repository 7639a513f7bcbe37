"""The keys of decision ids over time: how one follows another without a reward being refused.

A new key is added, and every serving process verifies with it; then ids are signed with it; then the one before is
retired, once no reward can count any more for a decision that it signed.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Self

from pullarm.domain.decision import GRACE_MS, SKEW_MS
from pullarm.domain.decision_id import KEY_BYTES, NUMBERS, KeyRing
from pullarm.domain.errors import ConfigurationError, Conflict, invalid

MOST_KEYS = 16
"""More are a sign that none is ever retired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Since when a key is there, and when ids were last signed with it."""

    added_at: datetime | None = None
    """None: from the beginning, or put there by hand."""
    until: datetime | None = None
    """None: it signs, or never did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A ring and its past, as a file of JSON has them."""

    ring: KeyRing
    past: Mapping[int, Signed] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ConfigurationError for what is no ring, without a word of what is in it."""
        try:
            raw = json.loads(text)
            ring = KeyRing(
                deployment=bytes.fromhex(raw["deployment"]),
                sign=int(raw["sign"]),
                keys={int(number): bytes.fromhex(key) for number, key in raw["keys"].items()},
            )
            past = {int(number): _signed(each) for number, each in raw.get("past", {}).items()}
        except KeyError as error:
            raise ConfigurationError(
                f"needs JSON with deployment, sign and keys; {error} is missing"
            ) from None
        except (TypeError, ValueError, AttributeError):
            # What is wrong would be told by quoting it.
            raise ConfigurationError(
                'needs JSON with deployment, sign and keys: {"deployment": HEX, "sign": NUMBER, "keys": {NUMBER: HEX}}'
            ) from None
        return cls(ring=ring, past=past)

    @classmethod
    def made(cls) -> Self:
        """Those of a new deployment."""
        keys = {1: secrets.token_bytes(KEY_BYTES)}
        return cls(ring=KeyRing(deployment=secrets.token_bytes(16), sign=1, keys=keys))

    def text(self) -> str:
        """What `parse` reads."""
        whole = {
            "deployment": self.ring.deployment.hex(),
            "sign": self.ring.sign,
            "keys": {number: key.hex() for number, key in sorted(self.ring.keys.items())},
            "past": {number: _told(each) for number, each in sorted(self.past.items())},
        }
        return json.dumps(whole, indent=2) + "\n"

    def signed(self, number: int) -> Signed:
        """When a key was added, and signed last; raises InvalidInput for one that is not there."""
        if number not in self.ring.keys:
            there = ", ".join(map(str, sorted(self.ring.keys)))
            raise invalid("number", f"{number} is no key; there are {there}")
        return self.past.get(number, Signed())

    def add(self, at: datetime) -> tuple[Self, int]:
        """With a new key, which signs nothing yet; and its number. Raises Conflict where there are too many."""
        if len(self.ring.keys) >= MOST_KEYS:
            raise Conflict(f"there are {MOST_KEYS} keys already; retire one first")
        after = count(
            max(self.ring.keys) + 1
        )  # a retired one's is given again only in the end, which does no harm
        number = next(n % NUMBERS for n in after if n % NUMBERS not in self.ring.keys)
        keys = {**self.ring.keys, number: secrets.token_bytes(KEY_BYTES)}
        past = {**self.past, number: Signed(added_at=at)}
        return replace(self, ring=replace(self.ring, keys=keys), past=past), number

    def sign(self, number: int, at: datetime) -> Self:
        """With ids signed by this key from now on."""
        new, old = self.signed(number), self.signed(self.ring.sign)
        if number == self.ring.sign:
            raise Conflict(f"key {number} signs already")
        past = {
            **self.past,
            self.ring.sign: replace(old, until=at),
            number: replace(new, until=None),
        }
        return replace(self, ring=replace(self.ring, sign=number), past=past)

    def retire(self, number: int, at: datetime, window: timedelta | None) -> Self:
        """Without a key.

        Args:
            window: the longest attribution window of any experiment; None: at once, whatever is still to come.
        """
        signed = self.signed(number)
        if number == self.ring.sign:
            raise Conflict(f"key {number} signs; let another one sign first")
        if window is not None and signed.until is not None:
            free_at = free_from(signed.until, window)
            if at < free_at:
                raise Conflict(
                    f"key {number} signed until {_shown(signed.until)}: rewards of its decisions count until "
                    f"{_shown(free_at)}; wait for that, or retire it at once (--now) and have them refused"
                )
        keys = {n: key for n, key in self.ring.keys.items() if n != number}
        past = {n: each for n, each in self.past.items() if n != number}
        return replace(self, ring=replace(self.ring, keys=keys), past=past)


def free_from(until: datetime, window: timedelta) -> datetime:
    """When no reward counts any more for a decision made before: window, grace, and clocks that differ.

    How long events lay in a spool does not matter: rewards are judged before they come there.
    """
    return until + window + timedelta(milliseconds=GRACE_MS + SKEW_MS)


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _signed(raw: Mapping[str, str | None]) -> Signed:
    added, until = (raw.get(name) for name in ("added_at", "signed_until"))
    return Signed(
        added_at=None if added is None else datetime.fromisoformat(added),
        until=None if until is None else datetime.fromisoformat(until),
    )


def _told(signed: Signed) -> dict[str, str | None]:
    moments = {"added_at": signed.added_at, "signed_until": signed.until}
    return {
        name: None if at is None else at.isoformat(timespec="seconds")
        for name, at in moments.items()
    }
