"""Select and Reward between their arrival and their answer: what the event log makes, stores and answers in one go."""

from typing import TYPE_CHECKING

from pullarm.domain.decision import Decision, Reward
from pullarm.domain.errors import Exhausted
from serving.access import Visitor
from serving.decider import Answer
from serving.following import decided, judged
from serving.waiter import Kept, Waiter

if TYPE_CHECKING:
    from pullarm.otel import Trace
    from serving.service import SelectionService

Answered = tuple[bytes, Kept]
"""A response on the wire, and where its events are."""


class Selection(Waiter[Answered]):
    """One Select between its arrival and its answer."""

    __slots__ = ("_answer", "_data", "_service", "_visitor")

    def __init__(
        self, service: "SelectionService", data: bytes, visitor: Visitor, trace: "Trace | None"
    ) -> None:
        super().__init__(len(data), trace)
        self._service = service
        self._data = data
        self._visitor = visitor
        self._answer: Answer | None = None

    def make(self) -> tuple[Decision]:
        """The decision."""
        trace = self.trace
        if trace is not None:
            trace.mark()
        self._answer = answer = self._service.decide(self._data, self._visitor)
        if trace is not None:
            trace.step("decide", decided(answer.decision))
        return (answer.decision,)

    def finish(self, kept: Kept) -> Answered:
        """The response."""
        assert self._answer is not None  # decided before it was stored
        return self._tell(self._answer, kept)

    def failed(self, error: Exception) -> None:
        """Without room, control's choice; else there is no answer."""
        if self.future.done():
            return
        if isinstance(error, Exhausted):
            try:
                unlogged = self._service.decide(self._data, self._visitor, room=False)
                self.future.set_result(self._tell(unlogged, Kept.NOWHERE))
            except Exception as unexpected:  # it concerns this request and no other
                error = unexpected
            else:
                return
        if self._answer is not None:
            self._service.count((self._answer.decision,), self.since_s, error=True)
        super().failed(error)

    def _tell(self, answer: Answer, kept: Kept) -> Answered:
        told = self._service.tell(answer)
        self._service.count((answer.decision,), self.since_s, error=kept is Kept.NOWHERE)
        return told, kept


class Report(Waiter[Answered]):
    """One Reward between its arrival and its acknowledgement."""

    __slots__ = ("_data", "_service", "_visitor")

    def __init__(
        self, service: "SelectionService", data: bytes, visitor: Visitor, trace: "Trace | None"
    ) -> None:
        super().__init__(len(data), trace)
        self._service = service
        self._data = data
        self._visitor = visitor

    def make(self) -> tuple[Reward]:
        """The judgement."""
        trace = self.trace
        if trace is not None:
            trace.mark()
        reward = self._service.judge(self._data, self._visitor)
        if trace is not None:
            trace.step("judge", judged(reward))
        return (reward,)

    def finish(self, kept: Kept) -> Answered:
        """The acknowledgement."""
        (reward,) = self.logged
        assert isinstance(reward, Reward)
        return self._service.acknowledge(reward).SerializeToString(), kept
