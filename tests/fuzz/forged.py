"""Forged decision ids: genuine ones, changed in every way a stranger could try without the key.

Source of the ways: what breaks MACs in practice is not the MAC but what is signed, how it is spelled, and what is
compared: so bytes are flipped, set, cut and put behind, one id's MAC is put on another's payload, fields that a reward
would gain by are moved (time, experiment, policy, arms), and the base64 is spelled in other ways.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.decision import Token
from pullarm.domain.decision_id import KeyRing, encode

ALPHABET = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=\n .", np.uint8
)
MAC_BYTES = 16
_FIELDS = slice(1, 40)
"""Key number to number of arms."""
_AT_ONCE = 8_192

Bytes = NDArray[np.uint8]  # (ids, bytes)


def genuine(ring: KeyRing, count: int, rng: np.random.Generator) -> list[Bytes]:
    """The bytes of signed ids of three lengths, as no caller can make them; (count, length) for each."""
    return [_signed(ring, count, arms, rng) for arms in (1, 2, 10)]


def _signed(ring: KeyRing, count: int, arms: int, rng: np.random.Generator) -> Bytes:
    ids = []
    for _ in range(count):
        token = Token(
            uid=rng.bytes(16),
            experiment=int(rng.integers(1, 1_000)),
            allocation_epoch=int(rng.integers(0, 10)),
            assigned=int(rng.integers(0, 5)),
            acting=int(rng.integers(0, 5)),
            reason=1,
            learn_slots=1,
            unit_hash=int(rng.integers(-(2**63), 2**63)),
            cohort=0,
            arms=[int(arm) for arm in rng.integers(1, 127, arms)],
        )
        ids.append(encode(token, ring))
    return np.frombuffer(b"".join(map(_data, ids)), np.uint8).reshape(count, -1)


def _data(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def forged(ring: KeyRing, count: int, rng: np.random.Generator) -> Iterator[list[str]]:
    """`count` texts, some thousands at a time, none of which the ring has signed."""
    sources = genuine(ring, 1_000, rng)
    known = {_text(row) for source in sources for row in source}
    made = 0
    while made < count:
        source = sources[rng.integers(len(sources))]
        rows = source[rng.integers(len(source), size=_AT_ONCE)].copy()
        changed = _WAYS[rng.integers(len(_WAYS))](rows, rng)
        fresh = [text for text in changed if text not in known][: count - made]
        made += len(fresh)
        yield fresh


def _flip(rows: Bytes, rng: np.random.Generator) -> list[str]:
    """One to eight bits anywhere."""
    for _ in range(rng.integers(1, 9)):
        places = rng.integers(rows.shape[1], size=len(rows))
        rows[np.arange(len(rows)), places] ^= (1 << rng.integers(8, size=len(rows))).astype(
            np.uint8
        )
    return texts(rows)


def _set(rows: Bytes, rng: np.random.Generator) -> list[str]:
    """Another value in one field, the MAC as it was."""
    places = rng.integers(_FIELDS.start, _FIELDS.stop, size=len(rows))
    rows[np.arange(len(rows)), places] += rng.integers(1, 256, size=len(rows)).astype(np.uint8)
    return texts(rows)


def _splice(rows: Bytes, rng: np.random.Generator) -> list[str]:
    """The MAC of another genuine id."""
    rows[:, -MAC_BYTES:] = np.roll(rows[:, -MAC_BYTES:], int(rng.integers(1, len(rows))), axis=0)
    return texts(rows)


def _guess(rows: Bytes, rng: np.random.Generator) -> list[str]:
    """A MAC out of the air, zeros and ones among them."""
    rows[:, -MAC_BYTES:] = rng.integers(256, size=(len(rows), MAC_BYTES), dtype=np.uint8)
    rows[0, -MAC_BYTES:], rows[1, -MAC_BYTES:] = 0, 255
    return texts(rows)


def _noise(rows: Bytes, rng: np.random.Generator) -> list[str]:
    """Nothing of ours but format and key number."""
    rows[:, 2:] = rng.integers(256, size=(len(rows), rows.shape[1] - 2), dtype=np.uint8)
    return texts(rows)


def _resize(rows: Bytes, rng: np.random.Generator) -> list[str]:
    """Bytes cut off or put behind, so that the MAC begins elsewhere."""
    cut = int(rng.integers(1, rows.shape[1]))
    tail = rng.integers(256, size=(len(rows), int(rng.integers(0, 20))), dtype=np.uint8)
    return texts(
        np.concatenate([rows[:, :cut] if rng.random() < 0.5 else rows[:, cut:], tail], axis=1)
    )


def _respell(rows: Bytes, rng: np.random.Generator) -> list[str]:
    """Another character in one place, of base64 in any spelling and beyond; or one put in."""
    spelled = texts(rows)
    places = rng.integers(len(spelled[0]) + 1, size=len(spelled))
    letters = ALPHABET[rng.integers(len(ALPHABET), size=len(spelled))]
    replaced = rng.integers(2, size=len(spelled))
    return [
        text[:place] + chr(letter) + text[place + drop :]
        for text, place, letter, drop in zip(spelled, places, letters, replaced, strict=True)
    ]


_WAYS = (_flip, _set, _splice, _guess, _noise, _resize, _respell)


def texts(rows: Bytes) -> list[str]:
    """As they are sent."""
    return [_text(row) for row in rows]


def _text(row: Bytes) -> str:
    return urlsafe_b64encode(row.tobytes()).rstrip(b"=").decode()
