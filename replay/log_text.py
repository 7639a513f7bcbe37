"""Columns of a log as text, whole columns at a time: lines of CSV and of JSON.

What a value looks like is what `msgspec.json` makes of it; in CSV, text and times stand without its quotes.
"""

from collections.abc import Callable, Iterator
from functools import cache

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

_ESCAPED_IN_JSON = r'["\\\x00-\x1f]'
_ENTRIES = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
_NOTHING = pa.array([0], pa.int32())
_ONE = pa.scalar(1, pa.int32())
_PIECE_ROWS = 2_000
_QUOTED_IN_CSV = r'[",\r\n]'
_AMONG_THEM = (b'"', b",", b"\r", b"\n")


def csv_head(table: pa.Schema) -> bytes:
    """The line that names the columns."""
    return _bytes(_line([_quoted_if_needed(pa.array([name])) for name in table.names]))


def csv_lines(table: pa.Table) -> Iterator[bytes]:
    """A line for each row, some thousand at a time."""
    cells = [_rendered(column.combine_chunks(), _cells) for column in table.columns]
    return _in_pieces(len(table), cells, _line)


def json_lines(table: pa.Table) -> Iterator[bytes]:
    """An object on a line for each row, some thousand at a time."""
    keys = [msgspec.json.encode(name).decode() for name in table.column_names]
    values = [_rendered(column.combine_chunks(), _json) for column in table.columns]

    def line(of_rows: list[pa.Array]) -> pa.StringArray:
        pieces: list[pa.Array | str] = []
        for key, value in zip(keys, of_rows, strict=True):
            pieces += [f"{',' if pieces else '{'}{key}:", value]
        return _row_by_row(*pieces, "}\n", null="null")

    return _in_pieces(len(table), values, line)


def _in_pieces(
    rows: int, columns: list[pa.Array], line: Callable[[list[pa.Array]], pa.StringArray]
) -> Iterator[bytes]:
    """So that only the cells of a page are all in memory, and not the page's text beside them."""
    for first in range(0, rows, _PIECE_ROWS):
        pieces = (column.slice(first, _PIECE_ROWS) for column in columns)
        yield _bytes(line([_spelt_out(piece) for piece in pieces]))


def _rendered(column: pa.Array, render: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Text of the column; what is a dictionary of its values stays one."""
    if not pa.types.is_dictionary(column.type):
        return render(column)
    return pa.DictionaryArray.from_arrays(column.indices, render(column.dictionary))


def _spelt_out(column: pa.Array) -> pa.Array:
    kept = pa.types.is_dictionary(column.type)
    return column.dictionary.take(column.indices) if kept else column


def _line(cells: list[pa.Array]) -> pa.StringArray:
    *others, last = cells
    return _row_by_row(*others, _row_by_row(last, "\r\n", null=""), between=",", null="")


def _row_by_row(*pieces: pa.Array | str, between: str = "", null: str | None = None) -> pa.Array:
    """The pieces of each row in one; where one is null that stands for it, else the whole is null."""
    given = (_scalar(each) if isinstance(each, str) else each for each in (*pieces, between))
    if null is None:
        return pc.binary_join_element_wise(*given)
    return pc.binary_join_element_wise(*given, null_handling="replace", null_replacement=null)


@cache  # Arrow looks for pandas whenever it is to find out a value's type, which takes as long as a thousand rows
def _scalar(text: str) -> pa.StringScalar:
    return pa.scalar(text)


def _bytes(texts: pa.StringArray) -> bytes:
    """All of a whole array without nulls, one after the other: as they are in memory."""
    _, _, data = texts.buffers()
    return b"" if data is None else data.to_pybytes()


def _cells(column: pa.Array) -> pa.Array:
    """As in JSON, without the quotes around text and times, and in those of CSV where it must be."""
    if pa.types.is_string(column.type):
        return _quoted_if_needed(column)
    if pa.types.is_timestamp(column.type):
        return _times(column)
    if pa.types.is_map(column.type):
        return _quoted_if_needed(_json(column))
    return _list_cells(column) if pa.types.is_list(column.type) else _json(column)


def _list_cells(lists: pa.ListArray) -> pa.Array:
    """What has to be quoted are lists of several values, and of text."""
    doubled = _of_values(lists, lambda values: pc.replace_substring(_json(values), '"', '""'))
    cells = _within("[", lists, doubled, "]")
    quoting = pc.or_(pc.greater(pc.list_value_length(lists), _ONE), pc.match_substring(cells, '"'))
    return pc.if_else(quoting, _row_by_row('"', cells, '"'), cells)


def _quoted_if_needed(cells: pa.Array) -> pa.Array:
    _, _, data = cells.buffers()
    whole = b"" if data is None else data.to_pybytes()
    if not any(each in whole for each in _AMONG_THEM):
        return cells
    quoting = pc.match_substring_regex(cells, _QUOTED_IN_CSV)
    doubled = pc.replace_substring(cells, '"', '""')
    return pc.if_else(quoting, _row_by_row('"', doubled, '"'), cells)


def _json(column: pa.Array) -> pa.Array:
    """Each value as JSON has it; null stays null."""
    if not pa.types.is_dictionary(column.type):
        return _json_of(column)
    values = column.dictionary
    texts = _quoted(values) if pa.types.is_string(values.type) else _json_of(values)
    return texts.take(column.indices)


def _json_of(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_string(kind):
        return _by_value(column, _quoted)
    if pa.types.is_timestamp(kind):
        return _row_by_row('"', _times(column), '"')
    if pa.types.is_floating(kind):
        return _by_value(column, _floats)
    if pa.types.is_map(kind):
        return _objects(column)
    if pa.types.is_list(kind):
        return _within("[", column, _of_values(column, _json), "]")
    return column.cast(pa.string())


def _of_values(lists: pa.ListArray, render: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """The values of all lists, one after the other, as JSON; each distinct one once, where they are a dictionary."""
    values = lists.flatten()
    if not pa.types.is_dictionary(values.type):
        return pc.fill_null(render(values), "null")
    return pc.fill_null(render(values.dictionary).take(values.indices), "null")


def _by_value(column: pa.Array, render: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Each distinct value once: names and numbers come again and again."""
    each = column.dictionary_encode()
    return render(each.dictionary).take(each.indices)


def _quoted(texts: pa.Array) -> pa.Array:
    plain = _row_by_row('"', texts, '"')
    escaping = pc.match_substring_regex(texts, _ESCAPED_IN_JSON)
    if not pc.any(escaping).as_py():
        return plain
    escaped = [msgspec.json.encode(text).decode() for text in texts.filter(escaping).to_pylist()]
    return pc.replace_with_mask(plain, escaping, pa.array(escaped, pa.string()))


def _times(moments: pa.Array) -> pa.Array:
    """To the microsecond, or to the second where it is a whole one."""
    naive = moments.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).cast(pa.timestamp("us"))
    text = pc.replace_substring(naive.cast(pa.string()), " ", "T", max_replacements=1)
    return _row_by_row(pc.replace_substring(text, ".000000", ""), "Z")


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
    return _within("{", lists, _row_by_row(keys, values, between=":"), "}")


def _within(before: str, lists: pa.ListArray, values: pa.Array, after: str) -> pa.Array:
    """The values of each list, between commas and these; null stays null."""
    counts = pc.fill_null(pc.list_value_length(lists), 0)
    ends = pc.cumulative_sum(counts)
    offsets = pa.concat_arrays([_NOTHING, ends.cast(pa.int32())])
    texts = pa.ListArray.from_arrays(offsets, values, mask=lists.is_null())
    return _row_by_row(before, pc.binary_join(texts, _scalar(",")), after)
