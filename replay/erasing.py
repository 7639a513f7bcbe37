"""Rows of archived files without a user: as `pullarm.storage.postgres.erasure` leaves decisions and rewards."""

from collections.abc import Sequence
from hashlib import sha256
from re import fullmatch

import pyarrow as pa
import pyarrow.compute as pc

from pullarm.domain.archive import PendingErasure
from pullarm.domain.assignment import unit_of


def named(rows: pa.RecordBatch, erasures: Sequence[PendingErasure]) -> Sequence[PendingErasure]:
    """Those of an experiment's erased users who are in these rows, by name or by hash."""
    units = pc.unique(rows["unit"]).drop_null().to_pylist()
    salts = {erasure.salt for erasure in erasures}
    there = {unit_of(salt, unit).hash for salt in salts for unit in units}
    if "unit_hash" in rows.schema.names:
        there.update(pc.unique(rows["unit_hash"]).to_pylist())
    return [erasure for erasure in erasures if erasure.unit_hash in there]


def without(rows: pa.RecordBatch, erasure: PendingErasure) -> pa.RecordBatch:
    """The rows, in which something else stands for the user."""
    gone, instead = _theirs(rows, erasure), erasure.instead
    for place, field in enumerate(rows.schema):
        column = rows[field.name]
        match field.name:
            case "unit" | "bucket" as name:
                told = pc.and_(gone, column.is_valid())
                put = pc.if_else(told, pa.scalar(getattr(instead, name), field.type), column)
            case "unit_hash":
                put = pc.if_else(_hashed(rows, erasure), instead.unit_hash, column)
            case "attributes":
                kept = zip(column.to_pylist(), gone.to_pylist(), strict=True)
                put = pa.array([[] if left_out else value for value, left_out in kept], field.type)
            case "request_id" | "reward_id":
                ids = zip(column.to_pylist(), gone.to_pylist(), strict=True)
                hidden = [hashed_id(instead.secret, i) if left_out else i for i, left_out in ids]
                put = pa.array(hidden, field.type)
            case _:
                continue
        rows = rows.set_column(place, field, put)
    return rows


def hashed_id(secret: bytes, text: str) -> str:
    """As PostgreSQL's function of this name: what stands for the id of an erased user's request or reward."""
    if not text or fullmatch(r"erased-[0-9a-f]{32}", text):
        return text
    return f"erased-{sha256(secret + text.encode()).hexdigest()[:32]}"


def _theirs(rows: pa.RecordBatch, erasure: PendingErasure) -> pa.BooleanArray:
    """Which rows are the user's: by name, and where only their hash is known, by that."""
    each = rows["unit"].dictionary_encode()
    known = [
        unit is not None and unit_of(erasure.salt, unit).hash == erasure.unit_hash
        for unit in each.dictionary.to_pylist()
    ]
    found = pa.array(known, pa.bool_()).take(each.indices).fill_null(False)
    return pc.or_(found, _hashed(rows, erasure)) if "unit_hash" in rows.schema.names else found


def _hashed(rows: pa.RecordBatch, erasure: PendingErasure) -> pa.BooleanArray:
    return pc.equal(rows["unit_hash"], erasure.unit_hash).fill_null(False)
