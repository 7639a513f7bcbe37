"""Where the work of a command is done, as asked for in its words."""

import os
from typing import Annotated, Literal

from typer import Option

from replay.engines.base import Engine
from replay.engines.local import ALONE, Processes
from replay.engines.ray_cluster import RayCluster

EngineName = Literal["local", "ray"]
EngineOption = Annotated[
    EngineName,
    Option(
        "--engine",
        help="ray: on the cluster at RAY_ADDRESS, or one of this machine's own. The results are the same.",
    ),
]
WorkersOption = Annotated[
    int | None,
    Option("--workers", min=1, max=256, help="Processes of this machine; one a core if not given."),
]


def engine_for(name: EngineName, workers: int | None, *, pieces: int) -> Engine:
    """The engine `name` for so many pieces of work."""
    workers = min(workers or os.cpu_count() or 1, pieces)
    if name == "ray":
        return RayCluster(workers=workers, address=os.environ.get("RAY_ADDRESS") or None)
    return Processes(workers) if workers > 1 else ALONE
