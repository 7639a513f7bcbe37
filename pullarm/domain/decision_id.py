"""Signed decision ids: a reward names its decision without a look-up, and nobody can name one that was never made.

Format 1, base64url without padding: format, key number, experiment (u32), allocation epoch (varint), assigned,
acting, reason, learning slots, uid (16 bytes), unit hash (8 bytes), cohort (varint), number of arms and arm numbers
(varints), and a 16-byte keyed BLAKE2b over all of it, personalised with the deployment's id.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest

from pullarm.domain.decision import Token
from pullarm.domain.errors import ConfigurationError, InvalidInput, invalid

FORMAT = 1
MAX_CHARACTERS = 512
_MAC_BYTES = 16
_FORGED = "is not a decision id of this deployment; send the decision_id of a Select unchanged"


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
        if not all(0 <= number < 256 and len(key) == 32 for number, key in self.keys.items()):
            raise ConfigurationError("decision keys: each needs a number below 256 and 32 bytes")


def _put_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def encode(token: Token, ring: KeyRing) -> str:
    """Sign a decision's token."""
    out = bytearray((FORMAT, ring.sign))
    out += token.experiment.to_bytes(4, "big")
    _put_varint(out, token.allocation_epoch)
    out += bytes((token.assigned, token.acting, token.reason, token.learn_slots))
    out += token.uid
    out += token.unit_hash.to_bytes(8, "big", signed=True)
    _put_varint(out, token.cohort)
    _put_varint(out, len(token.arms))
    for arm in token.arms:
        _put_varint(out, arm)
    out += _mac(bytes(out), ring.keys[ring.sign], ring.deployment)
    return urlsafe_b64encode(out).rstrip(b"=").decode()


def decode(text: str, ring: KeyRing) -> Token:
    """Read a decision id; raises InvalidInput unless this deployment signed it."""
    if len(text) > MAX_CHARACTERS:
        raise invalid("decision_id", f"has {len(text)} characters; at most {MAX_CHARACTERS}")
    if not text:
        raise invalid("decision_id", "is empty; send the decision_id of a Select")
    payload = _verified(text, ring)
    try:
        return _parse(payload)
    except (IndexError, ValueError):  # signed by a version that writes another payload
        raise _forged() from None


def _forged() -> InvalidInput:
    return invalid("decision_id", _FORGED)


def _verified(text: str, ring: KeyRing) -> bytes:
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (Base64Error, ValueError):
        raise _forged() from None
    # Only the canonical spelling is accepted: base64 decoders ignore stray bits and characters.
    canonical = urlsafe_b64encode(data).rstrip(b"=").decode() == text
    key = ring.keys.get(data[1]) if len(data) > 2 + _MAC_BYTES else None
    if key is None or not canonical or data[0] != FORMAT:
        raise _forged()
    payload, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
    if not compare_digest(mac, _mac(payload, key, ring.deployment)):
        raise _forged()
    return payload


def _mac(payload: bytes, key: bytes, deployment: bytes) -> bytes:
    return blake2b(payload, key=key, digest_size=_MAC_BYTES, person=deployment).digest()


def _parse(data: bytes) -> Token:
    epoch, at = _varint(data, 6)
    assigned, acting, reason, learn_slots = data[at : at + 4]
    uid = data[at + 4 : at + 20]
    unit_hash = int.from_bytes(data[at + 20 : at + 28], "big", signed=True)
    cohort, at = _varint(data, at + 28)
    count, at = _varint(data, at)
    arms = []
    for _ in range(count):
        arm, at = _varint(data, at)
        arms.append(arm)
    return Token(
        uid=uid,
        experiment=int.from_bytes(data[2:6], "big"),
        allocation_epoch=epoch,
        assigned=assigned,
        acting=acting,
        reason=reason,
        learn_slots=learn_slots,
        unit_hash=unit_hash,
        cohort=cohort,
        arms=arms,
    )
