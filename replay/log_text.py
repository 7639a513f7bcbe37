"""Columns of a log as text, whole columns at a time: lines of CSV and of JSON.

What a value looks like is what `msgspec.json` makes of it; in CSV, text and times stand without its quotes.
"""

from collections.abc import Callable

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

_ESCAPED_IN_JSON = r'["\\\x00-\x1f]'
_ENTRIES = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
_QUOTED_IN_CSV = r'[",\r\n]'


def csv_head(table: pa.Schema) -> bytes:
    """The line that names the columns."""
    return _joined([_quoted_if_needed(pa.array([name])) for name in table.names])


def csv_lines(table: pa.Table) -> bytes:
    """A line for each row."""
    return _joined([_cells(column.combine_chunks()) for column in table.columns])


def json_lines(table: pa.Table) -> bytes:
    """An object on a line for each row."""
    if not len(table):
        return b""
    pieces: list[pa.Array | str] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        key = msgspec.json.encode(name).decode()
        pieces += [f"{',' if pieces else '{'}{key}:", _json(column.combine_chunks())]
    lines = pc.binary_join_element_wise(
        *pieces, "}\n", "", null_handling="replace", null_replacement="null"
    )
    return _bytes(lines)


def _joined(cells: list[pa.Array]) -> bytes:
    *others, last = cells
    ended = pc.binary_join_element_wise(
        last, "\r\n", "", null_handling="replace", null_replacement=""
    )
    return _bytes(
        pc.binary_join_element_wise(
            *others, ended, ",", null_handling="replace", null_replacement=""
        )
    )


def _bytes(texts: pa.StringArray) -> bytes:
    """All of an array without nulls, one after the other."""
    whole = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), "")
    return bytes(whole[0].as_buffer())


def _cells(column: pa.Array) -> pa.Array:
    """As in JSON, without the quotes around text and times, and in those of CSV where it must be."""
    if pa.types.is_string(column.type):
        return _by_value(column, _quoted_if_needed)
    if pa.types.is_timestamp(column.type):
        return _times(column)
    texts = _json(column)
    return _quoted_if_needed(texts) if pa.types.is_nested(column.type) else texts


def _quoted_if_needed(cells: pa.Array) -> pa.Array:
    quoting = pc.match_substring_regex(cells, _QUOTED_IN_CSV)
    if not pc.any(quoting).as_py():
        return cells
    doubled = pc.replace_substring(cells, '"', '""')
    return pc.if_else(quoting, pc.binary_join_element_wise('"', doubled, '"', ""), cells)


def _json(column: pa.Array) -> pa.Array:
    """Each value as JSON has it; null stays null."""
    kind = column.type
    if pa.types.is_string(kind):
        return _by_value(column, _quoted)
    if pa.types.is_timestamp(kind):
        return pc.binary_join_element_wise('"', _times(column), '"', "")
    if pa.types.is_floating(kind):
        return _by_value(column, _floats)
    if pa.types.is_map(kind):
        return _objects(column)
    if pa.types.is_list(kind):
        values = pc.fill_null(_json(column.flatten()), "null")
        return _within("[", column, values, "]")
    return column.cast(pa.string())


def _by_value(column: pa.Array, render: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Each distinct value once: names of arms and policies come again and again."""
    each = column.dictionary_encode()
    return render(each.dictionary).take(each.indices)


def _quoted(texts: pa.Array) -> pa.Array:
    plain = pc.binary_join_element_wise('"', texts, '"', "")
    escaping = pc.match_substring_regex(texts, _ESCAPED_IN_JSON)
    if not pc.any(escaping).as_py():
        return plain
    escaped = [msgspec.json.encode(text).decode() for text in texts.filter(escaping).to_pylist()]
    return pc.replace_with_mask(plain, escaping, pa.array(escaped, pa.string()))


def _times(moments: pa.Array) -> pa.Array:
    """To the microsecond, or to the second where it is a whole one."""
    naive = moments.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).cast(pa.timestamp("us"))
    text = pc.replace_substring(naive.cast(pa.string()), " ", "T", max_replacements=1)
    return pc.binary_join_element_wise(pc.replace_substring(text, ".000000", ""), "Z", "")


def _floats(numbers: pa.Array) -> pa.Array:
    """The shortest decimal that reads back the same, which Arrow writes in another way."""
    known = numbers.drop_null()
    texts = msgspec.json.encode(known.to_numpy().tolist()).decode()[1:-1].split(",")
    found = pa.array(texts if len(known) else [], pa.string())
    if not numbers.null_count:
        return found
    places = pc.subtract(pc.cumulative_sum(numbers.is_valid().cast(pa.int64())), 1)
    return found.take(pc.if_else(numbers.is_valid(), places, None))


def _objects(maps: pa.MapArray) -> pa.Array:
    lists = maps.cast(_ENTRIES)
    keys, values = map(_json, lists.flatten().flatten())
    return _within("{", lists, pc.binary_join_element_wise(keys, values, ":"), "}")


def _within(before: str, lists: pa.ListArray, values: pa.Array, after: str) -> pa.Array:
    """The values of each list, between commas and these; null stays null."""
    counts = pc.fill_null(pc.list_value_length(lists), 0)
    ends = pc.cumulative_sum(counts)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends.cast(pa.int32())])
    texts = pa.ListArray.from_arrays(offsets, values, mask=lists.is_null())
    return pc.binary_join_element_wise(before, pc.binary_join(texts, ","), after, "")
