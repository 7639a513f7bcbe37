"""What is in a bandit log, as plain lists."""

from typing import Any

from replay.log import Candidates, LogBatch
from replay.log_table import LogSource


def columns_of(log: LogSource) -> dict[str, list[Any]]:
    """Everything there is, batch after batch; candidates as lists."""
    found: dict[str, list[Any]] = {}
    for each in log.batches():
        for name in LogBatch.__dataclass_fields__:
            values = getattr(each, name)
            if isinstance(values, Candidates):
                rows = list(zip(values.start[:-1].tolist(), values.start[1:].tolist(), strict=True))
                found.setdefault(name, []).extend(values.arm[i:j].tolist() for i, j in rows)
                if values.probability is not None:
                    shares = [values.probability[i:j].tolist() for i, j in rows]
                    found.setdefault("probability", []).extend(shares)
            elif values is not None:
                found.setdefault(name, []).extend(values.tolist())
    return found
