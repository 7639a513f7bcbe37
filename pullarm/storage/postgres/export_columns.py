"""Pages of the ledger as columns of a log: what PostgreSQL copies out is joined by column, never row by row."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from asyncpg import Record
from numpy.typing import NDArray
from pyarrow import csv

from pullarm.domain.decision import ARM_BYTES, Reason, hash_of, pack_arms
from pullarm.domain.experiment import POLICY_NAMES
from pullarm.domain.log_row import OF_KIND, of_kind
from pullarm.storage.log_columns import schema

_TYPES = {
    **dict.fromkeys(("decision_uid", "unit", "offered", "attributes", "request_id"), pa.string()),
    **dict.fromkeys(("arms", "weights", "totals"), pa.string()),
    "decided_at": pa.timestamp("us", tz="UTC"),
    **dict.fromkeys(("allocation_epoch", "config_no", "kernel"), pa.int32()),
    **dict.fromkeys(("pub_no", "bucket"), pa.int64()),
    **dict.fromkeys(("assigned", "acting", "reason"), pa.int16()),
    **dict.fromkeys(("voided", "excluded"), pa.bool_()),
}
"""Of what is copied out, in its order by name."""
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


@dataclass(frozen=True)
class Page:
    """Decisions as they were copied out, with the header, and one row for each."""

    decisions: pa.Table

    @classmethod
    def read(cls, copied: bytes) -> "Page":
        """Parse PostgreSQL's CSV."""
        options = csv.ConvertOptions(
            column_types=_TYPES,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
        )
        parse = csv.ParseOptions(newlines_in_values=True)
        read = csv.ReadOptions(use_threads=False, block_size=len(copied) + 1)
        source = pa.py_buffer(copied)
        table = csv.read_csv(
            source, read_options=read, parse_options=parse, convert_options=options
        )
        return cls(table.combine_chunks())

    @cached_property
    def uids(self) -> list[str]:
        """32 hex digits of each decision, in order."""
        uids: list[str] = self.decisions["decision_uid"].to_pylist()
        return uids

    @property
    def newest(self) -> int:
        """The newest version."""
        newest: int = pc.max(self.decisions["config_no"]).as_py()
        return newest

    def table(
        self, versions: Versions, kinds: Sequence[str], credits: Iterable[Record]
    ) -> pa.Table:
        """The rows of the log, one for each slot; `schema` has its columns."""
        slots = _Slots.of(self.decisions)
        columns = {**_of_decisions(self.decisions, versions, slots), **slots.columns(versions)}
        columns |= _credits(kinds, credits, self.uids, slots)
        target = schema(kinds)
        return pa.table([columns[name] for name in target.names], target.names).cast(target)


@dataclass(frozen=True, slots=True)
class _Slots:
    decision: NDArray[np.int64]  # (n_rows,)
    first_row: NDArray[np.int64]  # (n_decisions + 1,)
    arm_no: NDArray[np.int64]  # (n_rows,)
    weight: NDArray[np.int64]  # (n_rows,)
    total: NDArray[np.int64]  # (n_rows,)

    @classmethod
    def of(cls, decisions: pa.Table) -> "_Slots":
        arms = _split(decisions["arms"])
        counts = pc.list_value_length(arms).to_numpy(zero_copy_only=False)
        return cls(
            decision=np.repeat(np.arange(len(counts)), counts),
            first_row=np.concatenate([[0], np.cumsum(counts)]),
            arm_no=_numbers(arms),
            weight=_numbers(_split(decisions["weights"])),
            total=_numbers(_split(decisions["totals"])),
        )

    def columns(self, versions: Versions) -> dict[str, pa.Array]:
        rows = np.arange(len(self.decision))
        return {
            "slot": pa.array(rows - self.first_row[self.decision] + 1, pa.int32()),
            "arm_no": pa.array(self.arm_no, pa.int32()),
            "arm_id": _named(self.arm_no, versions.arm_ids),
            "weight": pa.array(self.weight),
            "total": pa.array(self.total),
            "propensity": pa.array(self.weight / self.total),
        }


def _split(lists: pa.ChunkedArray) -> pa.ListArray:
    """PostgreSQL's `{1,2}` as a list of text."""
    return pc.split_pattern(pc.utf8_trim(lists.combine_chunks(), "{}"), ",")


def _numbers(lists: pa.ListArray) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = lists.flatten().cast(pa.int64()).to_numpy()
    return numbers


def _named(numbers: NDArray[Any], names: Mapping[int, str]) -> pa.Array:
    """The name of each number, null where it has none."""
    found, places = np.unique(numbers, return_inverse=True)
    return pa.array([names.get(int(n)) for n in found], pa.string()).take(pa.array(places))


def _of_decisions(
    decisions: pa.Table, versions: Versions, slots: _Slots
) -> dict[str, pa.Array | pa.ChunkedArray]:
    config_no, assigned, acting, reason = (
        decisions[name].to_numpy().astype(np.int64)
        for name in ("config_no", "assigned", "acting", "reason")
    )
    kept = (
        *("decision_uid", "decided_at", "allocation_epoch", "config_no", "pub_no", "kernel"),
        *("unit", "bucket", "request_id", "voided", "excluded"),
    )
    columns = {
        **{name: decisions[name] for name in kept},
        "experiment": pa.repeat(versions.experiment, len(decisions)),
        "assigned": _named(assigned, POLICY_NAMES),
        "acting": _named(acting, POLICY_NAMES),
        "reason": _named(reason, _REASONS),
        **_of_versions(config_no, acting, versions),
        **_offered(decisions["offered"].combine_chunks(), versions),
        "attributes": _attributes(decisions["attributes"].combine_chunks()),
    }
    if len(slots.decision) == len(decisions):
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
    rows = pa.array(places)
    return {name: pa.array(values, pa.float64()).take(rows) for name, values in found.items()}


def _offered(offered: pa.Array, versions: Versions) -> dict[str, pa.Array]:
    """Candidates by name and number, null where they are not known; and their hash."""
    each = offered.dictionary_encode()
    packed, hashes = [], []
    for text in each.dictionary.to_pylist():
        arms = _packed(text, versions)
        packed.append(arms)
        hashed = "" if arms is None else f"{hash_of(arms) % 2**64:016x}"
        hashes.append(text[1:] if text[:1] == "#" else hashed)
    counts = [0 if arms is None else len(arms) // ARM_BYTES for arms in packed]
    numbers = np.frombuffer(b"".join(filter(None, packed)), "<u4").astype(np.int32)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    unknown = pa.array([arms is None for arms in packed])
    return {
        name: pa.ListArray.from_arrays(offsets, values, mask=unknown).take(each.indices)
        for name, values in (
            ("candidates", _named(numbers, versions.arm_ids)),
            ("candidate_nos", pa.array(numbers)),
        )
    } | {"candidates_hash": pa.array(hashes, pa.string()).take(each.indices)}


def _packed(offered: str, versions: Versions) -> bytes | None:
    if offered[:1] == "#":
        return None
    if offered[:1] == "*":
        active = versions.active(int(offered[1:]))
        return None if active is None else pack_arms(active)
    return bytes.fromhex(offered)


def _attributes(texts: pa.Array) -> pa.Array:
    each = texts.dictionary_encode()
    decoder = msgspec.json.Decoder(dict[str, str])
    found = [list(decoder.decode(text).items()) for text in each.dictionary.to_pylist()]
    return pa.array(found, pa.map_(pa.string(), pa.string())).take(each.indices)


def _credits(
    kinds: Sequence[str], credits: Iterable[Record], uids: Sequence[str], slots: _Slots
) -> dict[str, pa.Array]:
    """The columns of each kind, null where a slot had no such reward."""
    places = {uid: place for place, uid in enumerate(uids)}
    by_kind: dict[str, list[tuple[int, Record]]] = {kind: [] for kind in kinds}
    for credit in credits:
        decision = places[credit["uid"].hex]
        first, end = slots.first_row[decision : decision + 2].tolist()
        row = first + credit["slot"] - 1
        if credit["kind"] in by_kind and first <= row < end:
            by_kind[credit["kind"]].append((row, credit))
    target, columns = schema(kinds), {}
    for kind, came in by_kind.items():
        index = np.full(len(slots.decision), -1)
        index[[row for row, _ in came]] = np.arange(len(came))
        found = pa.array(index, mask=index < 0)
        for name in OF_KIND:
            column = of_kind(kind, name)
            values = [credit[name] for _, credit in came]
            columns[column] = pa.array(values, target.field(column).type).take(found)
    return columns
