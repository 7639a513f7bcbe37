"""What serving numbered and the ledger does not have is known, whatever order the entries come in, and how often."""

from itertools import pairwise
from random import Random

import pytest

from pullarm.domain.decision import Batch, Span
from pullarm.domain.ports import Intake
from tests.contract.conftest import Stores
from tests.ledger_events import START_MS


async def fold(stores: Stores, *spans: Span) -> None:
    await stores.ledger.fold(Batch([], [], [], spans=spans), START_MS)


async def test_without_a_gap_nothing_is_missing(stores: Stores) -> None:
    assert await stores.ledger.intake() == []
    await fold(stores, Span("b", 0, 3), Span("a", 0, 1))
    await fold(stores, Span("b", 3, 10))
    assert await stores.ledger.intake() == [
        Intake(process="a", numbered=1, gaps=()),
        Intake(process="b", numbered=10, gaps=()),
    ]


async def test_what_has_not_come_is_a_gap_until_it_comes(stores: Stores) -> None:
    await fold(stores, Span("a", 4, 6), Span("a", 10, 20))
    (come,) = await stores.ledger.intake()
    assert come == Intake(process="a", numbered=20, gaps=((0, 4), (6, 10)))
    assert come.missing == 8
    await fold(stores, Span("a", 1, 7))
    (come,) = await stores.ledger.intake()
    assert come.gaps == ((0, 1), (7, 10))
    await fold(stores, Span("a", 7, 10), Span("a", 0, 1))
    (come,) = await stores.ledger.intake()
    assert (come.missing, come.numbered) == (0, 20)


@pytest.mark.parametrize("seed", range(3))
async def test_order_and_repetition_change_nothing(stores: Stores, seed: int) -> None:
    random = Random(seed)
    edges = [0, *sorted(random.sample(range(1, 400), 40))]
    spans = [Span("a", *pair) for pair in pairwise(edges)]
    lost = random.sample(spans[:-1], 5)
    kept = [span for span in spans if span not in lost]
    arriving = random.sample(kept * 2, 2 * len(kept))
    while arriving:
        size = random.randint(1, 9)
        await fold(stores, *arriving[:size])
        del arriving[:size]
    (come,) = await stores.ledger.intake()
    assert come.missing == sum(end - first for _, first, end in lost)
    assert come.numbered == edges[-1]
