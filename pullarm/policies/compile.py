"""How kernels are compiled: cached on disk, and never with reassociating floating point.

numba notices a change in a kernel's own file only, so a kernel calls compiled functions of
its own file and no others: an edit elsewhere would leave stale code in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile for the hot path.

    It keeps the interpreter's lock: a kernel of microseconds that lets go of it may wait a
    whole switch interval (5 ms) behind a background thread to get it back.
    """
    return cast(Function, numba.njit(cache=True)(function))


def background_kernel(function: Function) -> Function:
    """Compile for milliseconds of work off the event loop; it releases the interpreter's lock."""
    return cast(Function, numba.njit(cache=True, nogil=True)(function))
