"""Many simulations at once."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Given = TypeVar("Given")
Found = TypeVar("Found")


def at_once(function: Callable[[Given], Found], values: Sequence[Given]) -> list[Found]:
    """What a function makes of each value, by as many processes as there are processors."""
    # Read by a process when it loads numpy: BLAS's threads, which wait by spinning, take several times the work.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(function, values, chunksize=20))
