"""The Open Bandit Dataset: one campaign under one logging policy, from the folder with its two CSV files.

Source: Y. Saito, S. Aihara, M. Matsutani, Y. Narita, Open Bandit Dataset and Pipeline, arXiv 2008.07146. Each row is
one item shown at one of three positions (our slots), chosen among all items with the stated propensity. Users are not
named, so every row is a user of its own; rows with the same hashed features of the user share a context.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from replay.errors import DatasetError
from replay.log import LogBatch, LogHead, batch
from replay.readers.columns import Rows, csv_rows
from replay.readers.faults import OutOfOrder, refuse_faults
from replay.readers.labels import hashed_column
from replay.sources import SourceFile, source_file

_ITEMS = "item_context.csv"
_FEATURES = tuple(f"user_feature_{number}" for number in range(4))
_POSITIONS = 3


class ObdReader:
    """Reads PATH/policy/campaign, which holds campaign.csv and item_context.csv."""

    def __init__(self, folder: Path) -> None:
        """Raises DatasetError where the folder is another one, or the list of items is not sound."""
        folder = folder.resolve()
        self._file, self._list = _campaign(folder), folder / _ITEMS
        if not self._file.exists() or not self._list.exists():
            inside = sorted(
                {p for each in folder.rglob(_ITEMS) if _campaign(p := each.parent).exists()}
            )
            named = f"; name one of {', '.join(map(str, inside))}" if inside else ""
            raise DatasetError(f"{folder} does not hold {folder.name}.csv and {_ITEMS}{named}")
        self._policy = folder.parent.name
        self._name = f"obd {folder.name}, {self._policy}"
        self._arms = self._items()
        self._order = OutOfOrder()
        self._rows = self._clicks = 0
        self._sources: tuple[SourceFile, ...] = ()

    @property
    def head(self) -> LogHead:
        return LogHead(
            name=self._name,
            arms=self._arms,
            policies=(self._policy,),
            rows=self._rows,
            offered="every",
            users_known=False,
            sources=self._sources,
            counts={
                "rows": self._rows,
                "clicks": self._clicks,
                "items": len(self._arms),
                "out_of_order": self._order.rows,
            },
        )

    def batches(self) -> Iterator[LogBatch]:
        import pyarrow as pa

        self._sources = (source_file(self._file), source_file(self._list))
        types = {
            "timestamp": pa.timestamp("us", "UTC"),
            "item_id": pa.int64(),
            "position": pa.int64(),
            "click": pa.int64(),
            "propensity_score": pa.float64(),
            **dict.fromkeys(_FEATURES, pa.string()),
        }
        for rows in csv_rows(self._file, types):
            made = self._batch(rows)
            self._rows += len(made)
            self._clicks += int(made.reward.sum())
            yield made

    def _batch(self, rows: Rows) -> LogBatch:
        columns = rows.columns
        limits = {"item_id": (0, len(self._arms) - 1), "position": (1, _POSITIONS), "click": (0, 1)}
        for name, (least, most) in limits.items():
            found = columns[name].to_numpy()
            outside = (found < least) | (found > most)
            if outside.any():
                index = int(np.argmax(outside))
                raise DatasetError(
                    f"{self._place(rows, index)}: expected {name} from {least} to {most}, found {found[index]}"
                )
        made = batch(
            first_row=rows.first - 1,
            action=columns["item_id"],
            propensity=columns["propensity_score"],
            reward=columns["click"],
            slot=columns["position"],
            context=hashed_column([columns[name] for name in _FEATURES]),
            time_us=columns["timestamp"].to_numpy().astype("datetime64[us]").astype(np.int64),
        )
        refuse_faults(made, lambda index: self._place(rows, index))
        self._order.count(made)
        return made

    def _place(self, rows: Rows, index: int) -> str:
        return f"{self._file}, line {rows.first + index + 1}"

    def _items(self) -> tuple[str, ...]:
        import pyarrow as pa

        found: list[int] = []
        for rows in csv_rows(self._list, {"item_id": pa.int64()}):
            found += rows.columns["item_id"].to_pylist()
        if sorted(found) != list(range(len(found))):
            raise DatasetError(f"{self._list}: expected items 0, 1, 2 and so on, each once")
        return tuple(map(str, sorted(found)))


def _campaign(folder: Path) -> Path:
    return folder / f"{folder.name}.csv"
