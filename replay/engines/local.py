"""This process alone, or several of this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Generic

from pullarm.domain.errors import Unavailable
from replay.engines.base import Item, Result, Shared, Team, in_order


class ThisProcess:
    """One piece after the other, each when its result is asked for."""

    concurrent: ClassVar[bool] = False

    @contextmanager
    def team(self, shared: Shared) -> Iterator[Team[Shared]]:
        yield _Alone(shared)


ALONE = ThisProcess()


@dataclass(frozen=True, slots=True)
class Processes:
    """So many processes, each with its own copy of what the pieces share."""

    concurrent: ClassVar[bool] = True

    workers: int

    @contextmanager
    def team(self, shared: Shared) -> Iterator[Team[Shared]]:
        with ProcessPoolExecutor(
            self.workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_take,
            initargs=(shared,),
        ) as pool:
            yield _Pool(pool, 2 * self.workers)


@dataclass(frozen=True, slots=True)
class _Alone(Generic[Shared]):
    shared: Shared

    def map(
        self, work: Callable[[Shared, Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        for item in items:
            yield work(self.shared, item)


@dataclass(frozen=True, slots=True)
class _Pool(Generic[Shared]):
    pool: ProcessPoolExecutor
    ahead: int

    def map(
        self, work: Callable[[Shared, Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        try:
            yield from in_order(
                items,
                ahead=self.ahead,
                start=lambda item: self.pool.submit(_worked, work, item),
                wait=lambda future: future.result(),
            )
        except BrokenProcessPool as error:
            raise Unavailable(
                "a worker process was killed: where memory was short, take fewer --workers"
            ) from error


_shared: list[Any] = []
"""Of a process of a pool: what its pieces share, sent once, as that is large and a piece small."""


def _take(shared: object) -> None:
    _shared.append(shared)


def _worked(work: Callable[[Any, Item], Result], item: Item) -> Result:
    return work(_shared[0], item)
