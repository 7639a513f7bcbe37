"""Numbers for names: places in order of first appearance for arms, 64-bit hashes for users and contexts."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


class Places:
    """Gives each name the place at which it was first seen."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._place = {name: place for place, name in enumerate(names)}

    def __getitem__(self, name: str) -> int:
        return self._place.setdefault(name, len(self._place))

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of their places."""
        return tuple(self._place)

    def of(self, column: "pa.Array") -> NDArray[np.int32]:
        """The places of a column of strings, (n,)."""
        encoded = column.dictionary_encode()
        places = np.array([self[name] for name in encoded.dictionary.to_pylist()], dtype=np.int32)
        taken: NDArray[np.int32] = places[encoded.indices.to_numpy()]
        return taken


def hashed(name: str) -> int:
    """A signed 64-bit number of a name: the same in every log, and as good as different for different names."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little", signed=True)


def hashed_column(columns: Sequence["pa.Array"]) -> NDArray[np.int64]:
    """The hashes of rows of strings, (n,)."""
    import pyarrow.compute as pc

    joined = pc.binary_join_element_wise(*columns, "\x1f").dictionary_encode()
    hashes = np.array([hashed(name) for name in joined.dictionary.to_pylist()], dtype=np.int64)
    taken: NDArray[np.int64] = hashes[joined.indices.to_numpy()]
    return taken
