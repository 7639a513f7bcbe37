"""The flat columns of an exported log as Arrow has them, and as the Parquet file has them."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pullarm.domain.log_row import OF_KIND, OPTIONAL, OWN, of_kind

# Arrow's own allocator keeps what the largest page took: a quarter of what an export may have in memory.
pa.set_memory_pool(pa.system_memory_pool())

_MOMENT = pa.timestamp("ms", tz="UTC")
_TYPES: Mapping[str, pa.DataType] = {
    "decided_at": _MOMENT,
    **dict.fromkeys(("allocation_epoch", "config_no", "kernel", "slot", "arm_no"), pa.int32()),
    **dict.fromkeys(("pub_no", "bucket", "weight", "total"), pa.int64()),
    **dict.fromkeys(("propensity", "floor", "window_hours"), pa.float64()),
    "candidates": pa.list_(pa.string()),
    "candidate_nos": pa.list_(pa.int32()),
    "attributes": pa.map_(pa.string(), pa.string()),
    **dict.fromkeys(("voided", "excluded"), pa.bool_()),
}
_TYPES_OF_KIND: Mapping[str, pa.DataType] = {
    **dict.fromkeys(("credit", "booked"), pa.float64()),
    "count": pa.int64(),
    **dict.fromkeys(("first_at", "last_at", "received_at"), _MOMENT),
}


def plain(table: pa.Table, target: pa.Schema) -> pa.Table:
    """The columns as a schema has them, where some are dictionaries of their values."""
    columns = [_plain(column.combine_chunks()) for column in table.columns]
    return pa.table(columns, table.column_names).cast(target)


def plain_bytes(table: pa.Table) -> int:
    """How many bytes those would take, about."""
    return sum(_plain_bytes(column.combine_chunks()) for column in table.columns)


def _plain(column: pa.Array) -> pa.Array:
    kept = pa.types.is_dictionary(column.type)
    return column.dictionary.take(column.indices) if kept else column


def _plain_bytes(column: pa.Array) -> int:
    if pa.types.is_list(column.type):
        return 4 * len(column) + _plain_bytes(column.flatten())
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    if pa.types.is_string(column.type.value_type):
        lengths = pc.binary_length(column.dictionary).take(column.indices)
        return 4 * len(column) + int(pc.sum(lengths).as_py() or 0)
    return _plain_bytes(column.dictionary) * len(column) // max(len(column.dictionary), 1)


def schema(kinds: Sequence[str]) -> pa.Schema:
    """The columns of a log with rewards of these kinds, in their order."""
    own = [pa.field(name, _TYPES.get(name, pa.string()), name in OPTIONAL) for name in OWN]
    credits = [
        pa.field(of_kind(kind, name), _TYPES_OF_KIND[name]) for kind in kinds for name in OF_KIND
    ]
    return pa.schema([*own, *credits])
