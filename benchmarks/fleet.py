"""The generators' processes: told what to send, started together, asked for what came of it."""

import multiprocessing
import signal
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from benchmarks.generator import CALL_LIMIT_S, Generator, Load, Outcome
from pullarm.domain.errors import PullarmError, Unavailable

_START_AHEAD_S = 0.05
_READY_WITHIN_S = 60.0


class Fleet:
    """`with Fleet(clients) as fleet:`; every load is shared out equally."""

    def __init__(self, clients: int) -> None:
        spawning = multiprocessing.get_context("spawn")
        self.clients = clients
        pipes = [spawning.Pipe() for _ in range(clients)]
        self._pipes = [ours for ours, _ in pipes]
        self._processes = [
            spawning.Process(target=_generate, args=(theirs,), daemon=True) for _, theirs in pipes
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
            process.join()
        for pipe in self._pipes:
            pipe.close()

    def prepare(self, load: Load) -> float:
        """Make everybody ready; answers when sending will begin, a time of perf_counter's. Raises Unavailable."""
        for number, pipe in enumerate(self._pipes):
            pipe.send(self._share(load, number))
        for pipe in self._pipes:
            answer = self._receive(pipe, _READY_WITHIN_S)
            if isinstance(answer, Unavailable):
                raise answer
        begin = time.perf_counter() + _START_AHEAD_S
        for pipe in self._pipes:
            pipe.send(begin)
        return begin

    def collect(self, load: Load) -> list[Outcome]:
        """What came of it, once everybody is done."""
        limit_s = load.warm_up_s + load.duration_s + 2 * CALL_LIMIT_S
        answers = [self._receive(pipe, limit_s) for pipe in self._pipes]
        return [answer for answer in answers if isinstance(answer, Outcome)]

    def _share(self, load: Load, number: int) -> Load:
        return replace(
            load,
            rate=load.rate / self.clients,
            reward_rate=load.reward_rate / self.clients,
            in_flight=max(1, load.in_flight // self.clients),
            connections=max(1, load.connections // self.clients),
            seed=load.seed * 1000 + number,
        )

    @staticmethod
    def _receive(pipe: "Connection[Any, Any]", within_s: float) -> object:
        if not pipe.poll(within_s):
            raise PullarmError(f"a load generator says nothing for {within_s:.0f} s")
        try:
            return pipe.recv()
        except (EOFError, OSError) as error:
            raise PullarmError("a load generator has ended") from error


def _generate(pipe: "Connection[Any, Any]") -> None:
    """A generator process's life: a load, its beginning, the outcome; a server that is away goes back as its error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    while isinstance(load := pipe.recv(), Load):
        try:
            generator = Generator(load)
        except Unavailable as error:
            pipe.send(error)
            continue
        pipe.send(None)
        pipe.send(generator.run(pipe.recv()))
