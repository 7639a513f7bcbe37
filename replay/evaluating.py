"""A policy evaluated on a log, part by part, by whatever engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from replay.blocks import blocks
from replay.engines.base import Engine
from replay.engines.local import ALONE
from replay.errors import DatasetError
from replay.evaluation import Evaluation, Models, Settings
from replay.log import BanditLog, Candidates, LogBatch, LogHead, Part
from replay.targets import First, Probabilities, Target

NOT_LOGGING = frozenset({"control", "none"})
"""Policies of ours whose rows support no other policy: they take the caller's first candidate."""


def evaluate(
    log: BanditLog,
    target: Target,
    *,
    logged_by: Iterable[str],
    settings: Settings,
    done: Callable[[int], None],
    engine: Engine = ALONE,
) -> Evaluation:
    """Evaluate `target` on the rows that the policies `logged_by` chose; `done` is told of rows as they are read.

    Every part is evaluated by itself, after what the parts before it taught, and the parts are added up in order. A
    process alone hands on what it was taught; where parts are worked at together, what each teaches is found first, in
    a pass of its own. Neither changes a bit of what is found.

    Raises:
        DatasetError: where the log lacks those policies, or what the target goes by.
    """
    named = frozenset(logged_by)
    if unknown := sorted(named - set(log.head.policies)):
        known = ", ".join(log.head.policies)
        raise DatasetError(
            f"nothing in {log.head.name} was chosen by {unknown[0]!r}; there are: {known}"
        )
    if isinstance(target, First) and log.head.offered != "listed":
        raise DatasetError(
            f"{log.head.name} does not list the candidates of its rows, whose first is what control would take"
        )
    asked = _Asked(head=log.head, target=target, logged_by=named, settings=settings)
    whole = asked.evaluation(None)
    with engine.team(asked) as team:
        # Without others at work, what was added up by the time that it is asked for.
        before: Iterator[Models] = (whole.models for _ in log.parts)
        if engine.concurrent:
            taught = team.map(_taught, log.parts[:-1])
            before = accumulate(taught, Models.then, initial=whole.models)
        for part in team.map(_evaluated, map(_Piece, log.parts, before)):
            whole += part
            done(part.rows)
    return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the work at every part needs."""

    head: LogHead
    target: Target
    logged_by: frozenset[str]
    settings: Settings

    def evaluation(self, before: Models | None) -> Evaluation:
        return Evaluation(n_arms=len(self.head.arms), settings=self.settings, models=before)

    def blocks(self, part: Part) -> Iterator[tuple[LogBatch, Candidates | None, Probabilities]]:
        for batch, candidates in blocks(part(), self.head, self.logged_by):
            yield batch, candidates, self.target.probabilities(batch, candidates)


class _Piece(NamedTuple):
    part: Part
    before: Models


def _taught(asked: _Asked, part: Part) -> Models:
    models = Models.untaught(n_arms=len(asked.head.arms))
    for batch, _, probabilities in asked.blocks(part):
        models.learn(batch, probabilities)
    return models


def _evaluated(asked: _Asked, piece: _Piece) -> Evaluation:
    evaluation = asked.evaluation(piece.before)
    for each in asked.blocks(piece.part):
        evaluation.add(*each)
    return evaluation
