"""Pages of the ledger as columns of a log: what PostgreSQL packs is joined by column, never row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
from asyncpg import Record
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import ARM_BYTES, Reason, hash_of, pack_arms
from pullarm.domain.experiment import POLICY_NAMES
from pullarm.domain.log_row import OF_KIND, of_kind
from pullarm.storage.log_columns import schema
from pullarm.storage.postgres.packed import flattened, values
from pullarm.storage.postgres.packed_arrow import hexes, moments, texts

_TEXTS = {
    **dict.fromkeys(("unit", "request_id", "attributes"), pa.string()),
    "offered": pa.binary(),
}
_HASHED = b"#"
_NUMBERS = (
    *("allocation_epoch", "config_no", "pub_no", "kernel", "bucket"),
    *("assigned", "acting", "reason", "voided", "excluded"),
)
_POLICIES = 1 << 16
"""More than there are numbers of policies."""
_REASONS = {reason.value: reason.name for reason in Reason}


class Versions(Protocol):
    """What an experiment's decisions are read with."""

    @property
    def experiment(self) -> str:
        """Its id."""

    @property
    def arm_ids(self) -> Mapping[int, str]:
        """By arm number."""

    @property
    def window_hours(self) -> Mapping[int, float]:
        """By version."""

    def floor(self, config_no: int, acting: int) -> float | None:
        """What a policy spread equally."""

    def active(self, config_no: int) -> tuple[int, ...] | None:
        """The numbers of the arms that were active in a version; None where the ledger has no such version."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some decisions, at least one, and what their rewards came to: columns, packed."""

    decisions: Record
    credits: Record
    versions: Versions

    def table(self, kinds: Sequence[str]) -> pa.Table:
        """The rows of the log, one for each slot; `schema` has its columns."""
        slots, names = _Slots.of(self.decisions), _arm_names(self.versions)
        columns = {
            **_of_decisions(self.decisions, self.versions, names, slots),
            **slots.columns(names),
            **_credits(kinds, self.credits, values(self.decisions["uid"]), slots),
        }
        target = schema(kinds)
        fields = [_as(columns[field.name], field.type) for field in target]
        return pa.table(fields, target.names)


@dataclass(frozen=True, slots=True)
class _Slots:
    decision: NDArray[np.int64]  # (n_rows,)
    first_row: NDArray[np.int64]  # (n_decisions + 1,)
    arm_no: NDArray[np.int32]  # (n_rows,)
    weight: NDArray[np.int64]  # (n_rows,)
    total: NDArray[np.int64]  # (n_rows,)

    @classmethod
    def of(cls, packed: Record) -> "_Slots":
        counts = values(packed["slots"])
        arms, weights, totals = (
            flattened(packed[name], counts) for name in ("arms", "weights", "totals")
        )
        return cls(
            decision=np.repeat(np.arange(len(counts)), counts),
            first_row=np.concatenate([[0], np.cumsum(counts)]),
            arm_no=arms,
            weight=weights,
            total=totals,
        )

    def columns(self, names: pa.StringArray) -> dict[str, pa.Array]:
        rows = np.arange(len(self.decision))
        return {
            "slot": pa.array(rows - self.first_row[self.decision] + 1, pa.int32()),
            "arm_no": pa.array(self.arm_no),
            "arm_id": pa.DictionaryArray.from_arrays(_place(self.arm_no, names), names),
            "weight": pa.array(self.weight),
            "total": pa.array(self.total),
            "propensity": pa.array(self.weight / self.total),
        }


def _as(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """As this type; what comes again and again stays a dictionary of its values."""
    return column if pa.types.is_dictionary(column.type) else column.cast(kind)


def _named(numbers: NDArray[Any], names: Mapping[int, str]) -> pa.DictionaryArray:
    """The name of each number, null where it has none."""
    found, places = np.unique(numbers, return_inverse=True)
    named = pa.array([names.get(int(n)) for n in found], pa.string())
    return pa.DictionaryArray.from_arrays(places.astype(np.int32), named)


def _arm_names(versions: Versions) -> pa.StringArray:
    """By arm number; null for 0, and where there is no such arm."""
    names = versions.arm_ids
    return pa.array([names.get(n) for n in range(max(names, default=0) + 1)], pa.string())


def _place(numbers: NDArray[Any], names: pa.StringArray) -> pa.Array:
    """Of each arm number among the names."""
    return pa.array(np.where(numbers < len(names), numbers, 0), pa.int32())


def _of_decisions(
    packed: Record, versions: Versions, names: pa.StringArray, slots: _Slots
) -> dict[str, pa.Array]:
    numbers = {name: values(packed[name]) for name in _NUMBERS}
    texts_of = {
        name: texts(packed[name], values(packed[f"{name}_bytes"]), kind)
        for name, kind in _TEXTS.items()
    }
    columns = {
        "decision_uid": hexes(values(packed["uid"])),
        "decided_at": moments(values(packed["decided_at"])),
        "experiment": _named(np.zeros(packed["count"], np.int64), {0: versions.experiment}),
        **{name: pa.array(found) for name, found in numbers.items()},
        "unit": texts_of["unit"],
        "request_id": texts_of["request_id"],
        "attributes": _attributes(texts_of["attributes"]),
        "assigned": _named(numbers["assigned"], POLICY_NAMES),
        "acting": _named(numbers["acting"], POLICY_NAMES),
        "reason": _named(numbers["reason"], _REASONS),
        **_of_versions(numbers["config_no"].astype(np.int64), numbers["acting"], versions),
        **_offered(texts_of["offered"], versions, names),
    }
    if len(slots.decision) == packed["count"]:
        return columns
    places = pa.array(slots.decision)
    return {name: column.take(places) for name, column in columns.items()}


def _of_versions(
    config_no: NDArray[Any], acting: NDArray[Any], versions: Versions
) -> dict[str, pa.Array]:
    pairs, places = np.unique(config_no * _POLICIES + acting, return_inverse=True)
    by_pair = [divmod(int(pair), _POLICIES) for pair in pairs]
    found = {
        "floor": [versions.floor(*pair) for pair in by_pair],
        "window_hours": [versions.window_hours.get(version) for version, _ in by_pair],
    }
    rows = places.astype(np.int32)
    return {
        name: pa.DictionaryArray.from_arrays(rows, pa.array(distinct, pa.float64()))
        for name, distinct in found.items()
    }


def _offered(offered: pa.Array, versions: Versions, names: pa.StringArray) -> dict[str, pa.Array]:
    """Candidates by name and number, null where they are not known; and their hash."""
    each = offered.dictionary_encode()
    packed, hashes = [], []
    for text in each.dictionary.to_pylist():
        arms, hashed = _candidates(text, versions)
        packed.append(arms)
        hashes.append(hashed)
    counts = [0 if arms is None else len(arms) // ARM_BYTES for arms in packed]
    numbers = np.frombuffer(b"".join(filter(None, packed)), "<u4").astype(np.int32)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    unknown = pa.array([arms is None for arms in packed], pa.bool_())
    named = pa.DictionaryArray.from_arrays(_place(numbers, names), names)
    numbered = pa.array(numbers).dictionary_encode()
    found = {
        "candidates": pa.ListArray.from_arrays(offsets, named, mask=unknown),
        "candidate_nos": pa.ListArray.from_arrays(offsets, numbered, mask=unknown),
        "candidates_hash": pa.array(hashes, pa.string()),
    }
    return {
        name: pa.DictionaryArray.from_arrays(each.indices, distinct)
        for name, distinct in found.items()
    }


def _candidates(offered: bytes, versions: Versions) -> tuple[bytes | None, str]:
    """Packed, None where they are not known; and their hash, empty where that is not known either.

    What is no packed numbers has a byte more than they could have, which says what it is.
    """
    if len(offered) % ARM_BYTES == 0:
        return offered, _hash_text(offered)
    if offered[:1] == _HASHED:
        return None, offered[1:].hex()
    active = versions.active(int.from_bytes(offered[1:], "big"))
    return (None, "") if active is None else (pack_arms(active), _hash_text(pack_arms(active)))


@lru_cache(maxsize=8192)  # the same candidates are offered again and again
def _hash_text(packed: bytes) -> str:
    return f"{hash_of(packed) % 2**64:016x}"


def _attributes(objects: pa.Array) -> pa.Array:
    each = objects.dictionary_encode()
    decoder = msgspec.json.Decoder(dict[str, str])
    found = [list(decoder.decode(text).items()) for text in each.dictionary.to_pylist()]
    maps = pa.array(found, pa.map_(pa.string(), pa.string()))
    return pa.DictionaryArray.from_arrays(each.indices, maps)


def _credits(
    kinds: Sequence[str], credits: Record, uids: NDArray[np.bytes_], slots: _Slots
) -> dict[str, pa.Array]:
    """The columns of each kind, null where a slot had no such reward."""
    target, n_rows = schema(kinds), len(slots.decision)
    names = [of_kind(kind, name) for kind in kinds for name in OF_KIND]
    if not credits["count"]:
        return {name: pa.nulls(n_rows, target.field(name).type) for name in names}
    rows, came = _rows_of(values(credits["uid"]), values(credits["slot"]), uids, slots)
    kind_of = np.array(credits["kind"])[came]
    worth = {
        **{name: pa.array(values(credits[name]) / MICRO) for name in ("credit", "booked")},
        "count": pa.array(values(credits["counted"])),
        **{name: moments(values(credits[name])) for name in ("first_at", "last_at", "received_at")},
    }
    columns: dict[str, pa.Array] = {}
    for kind in kinds:
        (of,) = np.nonzero(kind_of == kind)
        index = np.full(n_rows, -1, np.int32)
        index[rows[of]] = np.arange(len(of))
        found, places = pa.array(index, mask=index < 0), pa.array(came[of])
        for name, each in worth.items():
            column = of_kind(kind, name)
            found_values = each.take(places).cast(target.field(column).type, safe=False)
            columns[column] = pa.DictionaryArray.from_arrays(found, found_values)
    return columns


def _rows_of(
    came: NDArray[np.bytes_], slot: NDArray[np.int16], uids: NDArray[np.bytes_], slots: _Slots
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the log that credits belong to, and which credits those are; others are of no decision here."""
    place = np.minimum(np.searchsorted(uids, came), len(uids) - 1)
    first, end = slots.first_row[place], slots.first_row[place + 1]
    rows = first + slot - 1
    (found,) = np.nonzero((uids[place] == came) & (rows >= first) & (rows < end))
    return rows[found], found
