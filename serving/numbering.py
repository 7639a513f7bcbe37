"""Numbers what a process stores, so that the ledger can tell what has not come."""

from pullarm.domain.decision import Span


class Numbering:
    """The numbers of one life of a process, for one entry after the other."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._first = self._end = 0

    def span(self, count: int, until_ms: int, *, spooled: bool) -> Span:
        """Number so many more events; see Span for what else it says.

        The span begins behind the last entry that was kept: what came between found no room, its callers were told, and
        nobody is to miss it.
        """
        self._end += count
        return Span(self._process, self._first, self._end, until_ms, spooled)

    def kept(self) -> None:
        """The entry with the last span is in the stream or the spool."""
        self._first = self._end
