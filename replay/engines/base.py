"""What spreads pieces of work, in one process or many; what comes of them does not depend on where they were done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol, TypeVar

Shared = TypeVar("Shared")
Shared_co = TypeVar("Shared_co", covariant=True)
Item = TypeVar("Item")
Result = TypeVar("Result")
Pending = TypeVar("Pending")


class Team(Protocol[Shared_co]):
    """Works at pieces that have something in common."""

    def map(
        self, work: Callable[[Shared_co, Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """work(what they share, item) of every item, in their order; what it raises is raised here.

        `work` is a function at the top of a module, of its arguments alone, so that a piece that is lost with a worker
        can be done again by another.
        """


class Engine(Protocol):
    """Brings teams together."""

    concurrent: ClassVar[bool]
    """Whether items are asked for before the results of those ahead of them are there."""

    def team(self, shared: Shared) -> AbstractContextManager[Team[Shared]]:
        """A team that is given `shared` once, however many pieces it works at.

        Raises Unavailable, here or from `map`, where workers cannot be had, or keep ending.
        """


def in_order(
    items: Iterable[Item],
    *,
    ahead: int,
    start: Callable[[Item], Pending],
    wait: Callable[[Pending], Result],
) -> Iterator[Result]:
    """The results of items, of which up to `ahead` are under way at a time."""
    pending: deque[Pending] = deque()
    for item in items:
        pending.append(start(item))
        if len(pending) >= ahead:
            yield wait(pending.popleft())
    while pending:
        yield wait(pending.popleft())
