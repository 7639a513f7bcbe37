"""What is worked out of publications is kept, of so many experiments and until they are published anew."""

import pytest

from control import posteriors
from control.posteriors import Posteriors
from pullarm.domain.experiment import Experiment
from pullarm.domain.publication import Published
from pullarm.storage.memory import MemoryBoard
from tests.builders import cells, experiment, publication

EXPERIMENTS = [experiment("thompson", "control", number=number) for number in (7, 8, 9)]
OUTCOMES = cells("thompson", (10, 4), (20, 3), (5, 1))


async def test_those_asked_for_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out: list[int] = []
    learn = posteriors._learn

    def counting(published: Published) -> object:
        assert published.experiment is not None
        worked_out.append(published.experiment.number)
        return learn(published)

    monkeypatch.setattr(posteriors, "_learn", counting)
    board = MemoryBoard()
    for each in EXPERIMENTS:
        await board.publish(publication(each, OUTCOMES))
    kept = Posteriors(board, kept=2)

    async def ask(each: Experiment) -> None:
        found = await kept.of(each, policy=None, arms=None, limit=10)
        assert list(found.policies) == ["thompson", "control"]

    seven, eight, nine = EXPERIMENTS
    for each in (seven, eight, seven, nine, seven, eight):
        await ask(each)
    assert worked_out == [7, 8, 9, 8]
