"""Signed decision ids: a reward names its decision without a look-up, and nobody can name one that was never made.

Format 1, base64url without padding, big-endian: format, key number, experiment (u32), allocation epoch (u32), assigned,
acting, reason, learning slots, uid (16 bytes), unit hash (i64), cohort (u16), number of arms; then the arm numbers
(varints), and a 16-byte keyed BLAKE2b over all of it, personalised with the deployment's id.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from struct import Struct
from struct import error as struct_error

from pullarm.domain import varint
from pullarm.domain.decision import RewardStatus, Token
from pullarm.domain.errors import ConfigurationError, InvalidInput, invalid

FORMAT = 1
MAX_CHARACTERS = 512
KEY_BYTES = 32
NUMBERS = 256
"""A key's number is a byte of the id."""
_MAC_BYTES = 16
_FIELDS = Struct(">BBIIBBBB16sqHB")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_NOT_OURS = "is not a decision id of this deployment; send the decision_id of a Select unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """The keys that decision ids are verified with, and the one they are signed with.

    Rotation: add the new key everywhere, then sign with it, then retire the old one once no reward for its decisions
    can arrive any more.
    """

    deployment: bytes
    sign: int
    keys: Mapping[int, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.deployment) != 16:
            raise ConfigurationError("decision keys: deployment must be 16 bytes of hex")
        if self.sign not in self.keys:
            raise ConfigurationError(f"decision keys: key {self.sign} to sign with is not there")
        if not all(0 <= n < NUMBERS and len(key) == KEY_BYTES for n, key in self.keys.items()):
            raise ConfigurationError(
                f"decision keys: each needs a number below {NUMBERS} and {KEY_BYTES} bytes"
            )


def sign(token: Token, ring: KeyRing) -> bytes:
    """The decision's id, ASCII."""
    uid, experiment, epoch, assigned, acting, reason, learn_slots, unit_hash, cohort, arms = token
    payload = _FIELDS.pack(
        FORMAT,
        ring.sign,
        experiment,
        epoch,
        assigned,
        acting,
        reason,
        learn_slots,
        uid,
        unit_hash,
        cohort,
        len(arms),
    )
    for arm in arms:
        payload += varint.write(arm)
    signed = payload + _mac(payload, ring.keys[ring.sign], ring.deployment)
    return b2a_base64(signed, newline=False).translate(_URL_SAFE, b"=")


def encode(token: Token, ring: KeyRing) -> str:
    """The decision's id."""
    return sign(token, ring).decode()


def decode(text: str, ring: KeyRing) -> Token:
    """Read a decision id; raises InvalidInput unless this deployment signed it.

    What is no id at all is MALFORMED_ID, an id that none of our keys signed FORGED_ID.
    """
    payload = _verified(text, ring)
    try:
        return _parse(payload)
    except (
        IndexError,
        ValueError,
        struct_error,
    ):  # signed by a version that writes another payload
        raise _malformed() from None


def uid_of(text: str) -> bytes:
    """The uid that an id names, whoever signed it: enough to look its decision up, and for nothing else.

    Raises InvalidInput for what is no id.
    """
    uid: bytes = _FIELDS.unpack_from(_bytes(text))[8]
    return uid


def _malformed(detail: str = _NOT_OURS) -> InvalidInput:
    return invalid("decision_id", detail).counted_as(RewardStatus.MALFORMED_ID)


def _forged() -> InvalidInput:
    return invalid("decision_id", _NOT_OURS).counted_as(RewardStatus.FORGED_ID)


def _bytes(text: str) -> bytes:
    """All of an id; raises InvalidInput unless it is spelled as ours are."""
    if len(text) > MAX_CHARACTERS:
        raise _malformed(f"has {len(text)} characters; at most {MAX_CHARACTERS}")
    if not text:
        raise _malformed("is empty; send the decision_id of a Select")
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (Base64Error, ValueError):
        raise _malformed() from None
    # Only the canonical spelling is accepted: base64 decoders ignore stray bits and characters.
    canonical = urlsafe_b64encode(data).rstrip(b"=").decode() == text
    if not canonical or len(data) < _FIELDS.size + _MAC_BYTES or data[0] != FORMAT:
        raise _malformed()
    return data


def _verified(text: str, ring: KeyRing) -> bytes:
    data = _bytes(text)
    key = ring.keys.get(data[1])
    payload, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
    if key is None or not compare_digest(mac, _mac(payload, key, ring.deployment)):
        raise _forged()
    return payload


def _mac(payload: bytes, key: bytes, deployment: bytes) -> bytes:
    hasher = _keyed(key, deployment).copy()
    hasher.update(payload)
    return hasher.digest()


@lru_cache(maxsize=256)
def _keyed(key: bytes, deployment: bytes) -> blake2b:
    # Taking in the key is half of the work.
    return blake2b(key=key, digest_size=_MAC_BYTES, person=deployment)


def _parse(data: bytes) -> Token:
    _, _, experiment, epoch, assigned, acting, reason, learn_slots, *rest = _FIELDS.unpack_from(
        data
    )
    uid, unit_hash, cohort, count = rest
    arms, at = [], _FIELDS.size
    for _ in range(count):
        arm, at = varint.read(data, at)
        arms.append(arm)
    return Token(
        uid=uid,
        experiment=experiment,
        allocation_epoch=epoch,
        assigned=assigned,
        acting=acting,
        reason=reason,
        learn_slots=learn_slots,
        unit_hash=unit_hash,
        cohort=cohort,
        arms=arms,
    )
