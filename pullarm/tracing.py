"""Traces: the way of a request through all processes, told to an OpenTelemetry collector where the environment asks.

Where it does not, nothing of OpenTelemetry is imported and the parts hold None in place of a `Tracer`. Where it does,
requests that are sampled are followed, and the others cost a look at their metadata: a span for the call, one for each
step of it, and, as children of the call's, one for the fold of its events, for the publication of that fold, and for
every serving process that takes the publication over. Their context travels with the events, and from the worker that
folds them to those who publish and serve in the marks of a `TraceBoard`.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from time import time_ns
from typing import TYPE_CHECKING, NamedTuple, Self

from pullarm.domain.decision import Batch
from pullarm.domain.errors import ConfigurationError, Unavailable
from pullarm.domain.ports import FoldResult, Mark, TraceBoard
from pullarm.environment import optional

if TYPE_CHECKING:
    from pullarm.otel import Tracer

_log = logging.getLogger(__name__)

EXTRA = "pullarm[otel]"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("http/protobuf", "grpc")
LATE_S = 1.0
"""How much later than its fold is seen a mark may come: the worker that folded may have been held up in between."""
_MOST_NOTED = 10_000

Attributes = Mapping[str, str | int | float]

Took = tuple[int, int]
"""From when to when, in nanoseconds since 1970."""


class Folds(NamedTuple):
    """Some of an experiment's."""

    experiment: int
    since: int
    """The last one before them."""
    upto: int
    """The last of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Traces are: what OpenTelemetry's own variables do not say to its library."""

    service: str
    """The process's name, where OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES give none."""
    process: str
    """The process's name among ours."""
    protocol: str = PROTOCOLS[0]
    sampler: str = ""
    """That OTEL_TRACES_SAMPLER names; "" for ours."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], service: str) -> Self | None:
        """None where no traces are wanted; raises ConfigurationError that names the variable at fault."""
        exporter = optional(environment, "OTEL_TRACES_EXPORTER", "")
        if exporter not in ("", "otlp", "none"):
            raise ConfigurationError(f"OTEL_TRACES_EXPORTER is {exporter!r}; give otlp or none")
        asked = exporter == "otlp" or any(environment.get(name) for name in ENDPOINTS)
        disabled = optional(environment, "OTEL_SDK_DISABLED", "").strip().lower() == "true"
        if disabled or exporter == "none" or not asked:
            return None
        name = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
        if not environment.get(name):
            name = "OTEL_EXPORTER_OTLP_PROTOCOL"
        protocol = optional(environment, name, PROTOCOLS[0])
        if protocol not in PROTOCOLS:
            raise ConfigurationError(f"{name} is {protocol!r}; give {' or '.join(PROTOCOLS)}")
        return cls(
            service=service,
            process=optional(environment, "PULLARM_PROCESS", service),
            protocol=protocol,
            sampler=optional(environment, "OTEL_TRACES_SAMPLER", ""),
        )


@contextmanager
def opened(wanted: Wanted | None) -> Iterator["Tracer | None"]:
    """What makes traces for as long as the block lasts, and sends the last ones; None where none are made."""
    if wanted is None:
        yield None
        return
    try:
        from pullarm.otel import Tracer
    except ImportError as error:
        _log.warning("traces are asked for and not made: %s; install %s", error, EXTRA)
        yield None
        return
    tracer = Tracer(wanted)
    _log.info("traces are sent by OTLP over %s", wanted.protocol)
    try:
        yield tracer
    finally:
        tracer.close()


class Trail:
    """The traces of requests that are answered already, whose events go on: fold, publish, refresh."""

    def __init__(self, tracer: "Tracer", board: TraceBoard) -> None:
        self.tracer = tracer
        self._board = board
        self._noted: deque[_Noted] = deque(maxlen=_MOST_NOTED)

    async def folded(self, batch: Batch, result: FoldResult, took: Took) -> None:
        """A batch was folded."""
        marks: defaultdict[int, list[Mark]] = defaultdict(list)
        for number, parent in dict.fromkeys(batch.traces):  # a request's may be in two entries
            fold_no = result.folds.get(number, 0)
            told = {
                "pullarm.experiment": number,
                "pullarm.fold": fold_no,
                "pullarm.events": batch.events(),
            }
            if own := self.tracer.record("fold", parent, took, told):
                marks[number].append(Mark(fold_no, own))
        try:
            for number, left in marks.items():
                await self._board.leave(number, left)
        except Unavailable as error:
            _log.debug("traces end with their fold: %s", error)

    def reached(self, name: str, folds: Folds, took: Took, told: Attributes) -> None:
        """What these folds learned got so far; the traces are told later, by `run`."""
        self._noted.append(_Noted(name, folds, took, told))

    async def run(self) -> None:
        """Tell the traces for ever."""
        while True:
            await asyncio.sleep(LATE_S / 2)
            await self.tell(time_ns() - int(LATE_S * 1e9))

    async def tell(self, before_ns: int) -> None:
        """Of what was reached before this moment."""
        due: defaultdict[int, list[_Noted]] = defaultdict(list)
        while self._noted and self._noted[0].took[1] < before_ns:
            noted = self._noted.popleft()
            due[noted.folds.experiment].append(noted)
        for number, all_noted in due.items():
            since = min(noted.folds.since for noted in all_noted)
            upto = max(noted.folds.upto for noted in all_noted)
            try:
                marks = await self._board.left(number, since, upto)
            except Unavailable as error:
                _log.debug("traces of experiment %d end early: %s", number, error)
                continue
            for noted, mark in product(all_noted, marks):
                if noted.folds.since < mark.fold_no <= noted.folds.upto:
                    told = {**noted.told, "pullarm.fold": mark.fold_no}
                    self.tracer.record(noted.name, mark.parent, noted.took, told)


class _Noted(NamedTuple):
    """Somebody got so far with these folds."""

    name: str
    folds: Folds
    took: Took
    told: Attributes
