"""Rows of an exported log for tests: sound ones, to be spoilt one field at a time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pyarrow as pa

from pullarm.domain.decision import hash_of, make_uid, pack_arms
from pullarm.domain.log_row import OF_KIND, OWN, KindCredit, LogRow, of_kind
from pullarm.storage.log_columns import schema

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def slate(random: Random, slots: int = 2, at: datetime = START) -> list[LogRow]:
    """One sound decision among four arms and a candidate that is none; its first slot was rewarded."""
    uid = make_uid(round(at.timestamp() * 1000), random.randbytes(10))
    numbers: Sequence[int] = (3, 1, 0, 4, 2)
    came = KindCredit(
        credit=0.5,
        booked=0.5,
        count=2,
        first_at=at + timedelta(seconds=1),
        last_at=at + timedelta(hours=24),
        received_at=at + timedelta(hours=25),
    )
    return [
        LogRow(
            decision_uid=uid.hex(),
            decided_at=at,
            experiment="exp_log",
            allocation_epoch=1,
            config_no=2,
            pub_no=3,
            kernel=2,
            unit='user "ä", 1',
            bucket=17,
            assigned="thompson",
            acting="thompson",
            reason="ASSIGNED",
            slot=slot,
            arm_no=slot,
            arm_id=f"arm-{slot}",
            weight=(weight := random.randrange(1 << 30, 1 << 31)),
            total=1 << 32,
            propensity=weight / (1 << 32),
            floor=0.05,
            candidates=tuple(f"arm-{number}" if number else None for number in numbers),
            candidate_nos=tuple(numbers),
            candidates_hash=f"{hash_of(pack_arms(numbers)) % 2**64:016x}",
            attributes={"country": "de", "note": 'says "null",\nand more'},
            request_id="",
            voided=False,
            excluded=False,
            window_hours=24.0,
            rewards={"click": came} if slot == 1 else {},
        )
        for slot in range(1, slots + 1)
    ]


def page(rows: Sequence[LogRow], kinds: Sequence[str]) -> pa.Table:
    """Rows as a page of an export has them, by column."""
    flat = []
    for row in rows:
        columns = {name: getattr(row, name) for name in OWN}
        columns["attributes"] = list(row.attributes.items())
        for kind in kinds:
            came = row.rewards.get(kind)
            columns |= {of_kind(kind, name): getattr(came, name, None) for name in OF_KIND}
        flat.append(columns)
    return pa.Table.from_pylist(flat, schema=schema(kinds))


def dictionaries(table: pa.Table) -> pa.Table:
    """The same, but that every column is a dictionary of its values, and so are values within lists."""
    columns = [_dictionary(column.combine_chunks()) for column in table.columns]
    return pa.table(columns, table.column_names)


def _dictionary(column: pa.Array) -> pa.DictionaryArray:
    values, places = column, pa.array(range(len(column)), pa.int32())
    if pa.types.is_list(column.type):
        within = column.flatten().dictionary_encode()
        values = pa.ListArray.from_arrays(column.offsets, within, mask=column.is_null())
    return pa.DictionaryArray.from_arrays(places, values)
