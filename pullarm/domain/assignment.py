"""Who gets which policy: a salted hash, a stored table of buckets, and a gate of its own for the traffic share.

The table, not arithmetic on the hash, decides which policy a bucket has, so that a change of weights moves the smallest
number of buckets and every other unit keeps its policy.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

BUCKETS = 10_000
MICRO = 1_000_000
_TWO_64 = 1 << 64
_HASHES = Struct("<QQq")


class Unit(NamedTuple):
    """What one experiment sees of a user: three independent 64-bit hashes under the experiment's salt."""

    bucket: int
    gate: int
    hash: int


def unit_of(salt: bytes, user_id: str) -> Unit:
    """Hash a user for one experiment; `hash` is signed, as the ledger stores it."""
    hasher = _keyed(salt).copy()
    hasher.update(user_id.encode())
    for_bucket, gate, unit_hash = _HASHES.unpack(hasher.digest())
    # Past the constructor, which is Python's: a fifth of all this.
    return tuple.__new__(Unit, ((for_bucket * BUCKETS) >> 64, gate, unit_hash))


@lru_cache(maxsize=4_096)
def _keyed(salt: bytes) -> blake2b:
    # Taking in the key is half of the work.
    return blake2b(key=salt, digest_size=24)


def gate_limit(traffic_micro: int) -> int:
    """The first gate hash that is out of traffic, for a share in millionths."""
    return traffic_micro * _TWO_64 // MICRO


def _bucket_counts(weights: Mapping[int, float]) -> dict[int, int]:
    """Share the buckets by largest remainder; ties go to the smaller policy number."""
    total = sum(weights.values())
    exact = {policy: BUCKETS * weight / total for policy, weight in weights.items()}
    counts = {policy: int(share) for policy, share in exact.items()}
    by_remainder = sorted(exact, key=lambda policy: (counts[policy] - exact[policy], policy))
    for policy in by_remainder[: BUCKETS - sum(counts.values())]:
        counts[policy] += 1
    return counts


def allocate(weights: Mapping[int, float], previous: bytes | None = None) -> bytes:
    """The table of buckets for these weights: byte b is the policy number of bucket b.

    With a previous table, only the buckets move that a policy has too many of. Weights are positive and relative;
    policy numbers are 1 to 255.
    """
    wanted = _bucket_counts(weights)
    table = bytearray(previous or bytes(BUCKETS))
    kept = dict.fromkeys(wanted, 0)
    free: list[int] = []
    for bucket, policy in enumerate(table):
        if policy in kept and kept[policy] < wanted[policy]:
            kept[policy] += 1
        else:
            free.append(bucket)
    # Interleaved, so that a fresh table gives every policy buckets from the whole range.
    missing = {policy: wanted[policy] - kept[policy] for policy in sorted(wanted)}
    for bucket in free:
        policy = max(missing, key=lambda p: (missing[p] / wanted[p] if wanted[p] else 0, -p))
        table[bucket] = policy
        missing[policy] -= 1
    return bytes(table)
