"""Packed columns are read as PostgreSQL has them: real values of every type, sent by a real server."""

from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from pullarm.storage.postgres.database import Connection, Database
from pullarm.storage.postgres.packed import columns, flattened, values
from pullarm.storage.postgres.packed_arrow import hexes, moments, texts


async def packed(connection: Connection, column: str, rows: str) -> bytes:
    sent: bytes = await connection.fetchval(f"SELECT {column} FROM {rows}")
    return sent


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bigint", [-(2**63), -1, 0, 2**63 - 1]),
        ("integer", [-(2**31), -1, 0, 2**31 - 1]),
        ("smallint", [-(2**15), -1, 0, 2**15 - 1]),
        ("float8", [-1e308, -0.1, 0.0, 5e-324]),
        ("boolean", [True, False, True]),
        ("uuid", [UUID(int=0), UUID(int=256), UUID(int=2**128 - 1)]),  # NUL last, and first
    ],
)
async def test_numbers(database_url: str, kind: str, expected: list[object]) -> None:
    async with Database(database_url) as database, database.connection() as connection:
        sent = await connection.fetchval(
            f"SELECT array_send(array_agg(it)) FROM unnest($1::{kind}[]) AS it", expected
        )
    found = values(sent)
    if kind == "uuid":
        assert hexes(found).to_pylist() == [UUID(str(each)).hex for each in expected]
    else:
        assert found.tolist() == expected


async def test_null_among_numbers_is_an_error(database_url: str) -> None:
    async with Database(database_url) as database, database.connection() as connection:
        sent = await packed(connection, "array_send(array_agg(it))", "unnest('{1,NULL}'::int[]) it")
    with pytest.raises(ValueError, match="nulls"):
        values(sent)


async def test_columns_of_no_rows_are_empty(database_url: str) -> None:
    asked = (
        "SELECT array_send(array_agg(it)) AS it, array_send(array_agg(-it)) AS less "
        "FROM generate_series(1, $1::int) AS it"
    )
    async with Database(database_url) as database, database.connection() as connection:
        some, none = [columns(await connection.fetchrow(asked, rows)) for rows in (2, 0)]
    assert {name: column.tolist() for name, column in some.items()} == {
        "it": [1, 2],
        "less": [-1, -2],
    }
    assert {name: column.tolist() for name, column in none.items()} == {"it": [], "less": []}


@pytest.mark.parametrize("kind", ["integer", "bigint"])
async def test_arrays_of_several_lengths(database_url: str, kind: str) -> None:
    arrays = ["{1}", "{-2,2147483647}", "{4}", "{-5,6,7}"]
    async with Database(database_url) as database, database.connection() as connection:
        ((sent, counts),) = await connection.fetch(
            "SELECT string_agg(array_send(it), ''), array_send(array_agg(cardinality(it))) "
            f"FROM (SELECT text::{kind}[] AS it FROM unnest($1::text[]) AS text) AS given",
            arrays,
        )
    assert flattened(sent, values(counts)).tolist() == [1, -2, 2**31 - 1, 4, -5, 6, 7]


async def test_texts_moments(database_url: str) -> None:
    async with Database(database_url) as database, database.connection() as connection:
        ((sent, lengths),) = await connection.fetch(
            "SELECT string_agg(it, ''), array_send(array_agg(octet_length(it))) "
            "FROM (SELECT textsend(text) AS it FROM unnest($1::text[]) AS text) AS given",
            written := ["", "ü€", "a,b", ""],
        )
        times = await packed(
            connection,
            "array_send(array_agg(it))",
            "unnest('{-infinity,1970-01-01 00:00:00.000001Z}'::timestamptz[]) it",
        )
    assert texts(sent, values(lengths), pa.string()).to_pylist() == written
    assert moments(values(times)).cast(pa.int64()).to_pylist() == [None, 1]
    assert values(times).dtype == np.int64
