"""How kernels are compiled and cached: never with reassociating floating point, and never stale.

numba's own cache notices a change in a kernel's own file only. Ours is addressed by content: a
kernel's stamp is a digest of its bytecode, its compiler options and everything it refers to,
down to the stamps of the kernels it calls. The stamp is part of the names of the cache's files,
so that processes of different versions can share a folder and neither sees the other's code. It
is taken from what Python has loaded, not from source files that may have changed since.
"""

from __future__ import annotations

import builtins
import dis
import hashlib
import logging
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import caching, config

Function = TypeVar("Function", bound=Callable[..., object])

_log = logging.getLogger(__name__)
_settings: dict[str, Any] = vars(config)
_stamps: dict[Callable[..., object], str] = {}
_VERSIONS = " ".join(version(name) for name in ("numba", "llvmlite", "numpy"))
_OWN = __name__.partition(".")[0]


def kernel(function: Function) -> Function:
    """Compile as a part of other kernels; the kernels and constants it uses stand above it."""
    _stamps[function] = _stamp(function, "")
    return cast(Function, numba.njit(function))


def request_kernel(function: Function) -> Function:
    """Compile, and cache, what a request calls.

    It keeps the interpreter's lock: a kernel of microseconds that lets go of it may wait a
    whole switch interval (5 ms) behind a background thread to get it back.
    """
    return _cached(function, nogil=False)


def background_kernel(function: Function) -> Function:
    """Compile, and cache, work off the event loop; it releases the interpreter's lock."""
    return _cached(function, nogil=True)


def _cached(function: Function, *, nogil: bool) -> Function:
    _stamps[function] = _stamp(function, f"nogil={nogil}")
    # The variable is what NUMBA_CACHE_LOCATOR_CLASSES sets; numba reads it when it decorates.
    before = _settings["CACHE_LOCATOR_CLASSES"]
    _settings["CACHE_LOCATOR_CLASSES"] = _LOCATORS
    try:
        return cast(Function, numba.njit(cache=True, nogil=nogil)(function))
    except RuntimeError:  # numba found no folder to write to
        _tell_once()
        return cast(Function, numba.njit(nogil=nogil)(function))
    finally:
        _settings["CACHE_LOCATOR_CLASSES"] = before


def _stamp(function: Callable[..., object], options: str) -> str:
    plain = cast(FunctionType, function)
    parts = "\n".join([_VERSIONS, options, *_parts(plain.__code__, plain.__globals__)])
    return hashlib.sha256(parts.encode()).hexdigest()


@cache
def _tell_once() -> None:
    _log.warning(
        "no folder for compiled kernels is writable, so this process compiles them anew, which "
        "takes half a minute; set NUMBA_CACHE_DIR to a folder that is kept"
    )


def _parts(code: CodeType, names: dict[str, Any]) -> Iterator[str]:
    """All that decides what `code` compiles to, with the globals it is given."""
    yield f"{code.co_name} {code.co_code.hex()} {code.co_names} {code.co_varnames}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant, names)
        else:
            yield repr(constant)
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            name = cast(str, instruction.argval)
            if name in names:
                yield f"{name} = {_described(name, names[name])}"
            elif not hasattr(builtins, name):
                raise TypeError(f"{code.co_name} uses {name}; define it above the kernel")


def _described(name: str, value: object) -> str:
    """A global as text that differs where the compiled code might."""
    if (called := getattr(value, "py_func", None)) in _stamps:
        return _stamps[called]
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    if isinstance(value, bool | int | float | str | np.generic):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, type):
        return f"{value.__qualname__} {getattr(value, '_fields', ())}"
    if isinstance(value, ModuleType) and value.__name__.partition(".")[0] != _OWN:
        return value.__name__
    if isinstance(value, BuiltinFunctionType):
        return value.__qualname__
    raise TypeError(f"global {name} is {value!r}; a kernel may use constants, kernels and modules")


class _Stamped:
    """Names a kernel's files in the cache by its stamp."""

    def __init__(self, *function_and_file: Any) -> None:
        super().__init__(*function_and_file)
        self._stamp = _stamps[function_and_file[0]]

    def get_source_stamp(self) -> str:
        return self._stamp

    def get_disambiguator(self) -> str:
        return self._stamp[:24]


class ProvidedFolder(_Stamped, caching.UserProvidedCacheLocator):
    """NUMBA_CACHE_DIR."""


class PackageFolder(_Stamped, caching.InTreeCacheLocator):
    """`__pycache__` beside the kernel's file."""


class UserFolder(_Stamped, caching.UserWideCacheLocator):
    """The user's cache folder."""


_LOCATORS = ",".join(
    f"{__name__}.{folder.__qualname__}" for folder in (ProvidedFolder, PackageFolder, UserFolder)
)
