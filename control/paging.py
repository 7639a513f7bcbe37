"""Pages of what is listed newest first."""

from collections.abc import Callable, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")
_Key = TypeVar("_Key")


def cut(
    found: Sequence[_Item], limit: int, key: Callable[[_Item], _Key]
) -> tuple[Sequence[_Item], _Key | None]:
    """At most `limit` of what was found, and where the next page goes on: None where nothing follows.

    Args:
        found: one more than `limit`, where there are so many.
        key: of an item, that what follows it comes after.
    """
    page = found[:limit]
    return page, key(page[-1]) if len(found) > limit else None
