"""What serving numbered and the ledger does not have is known, whatever order the entries come in, and how often."""

from itertools import pairwise
from random import Random

import pytest

from pullarm.domain.decision import Batch, Span
from pullarm.domain.intake import Intake
from tests.contract.conftest import Stores
from tests.ledger_events import START_MS


async def fold(stores: Stores, *spans: Span) -> None:
    await stores.ledger.fold(Batch([], [], [], spans=spans), START_MS)


async def test_without_a_gap_nothing_is_missing(stores: Stores) -> None:
    assert await stores.ledger.intake() == []
    await fold(stores, Span("b", 0, 3), Span("a", 0, 1))
    await fold(stores, Span("b", 3, 10))
    assert await stores.ledger.intake() == [
        Intake(process="a", numbered=1, gaps=(), heard_ms=START_MS),
        Intake(process="b", numbered=10, gaps=(), heard_ms=START_MS),
    ]


async def test_what_has_not_come_is_a_gap_until_it_comes(stores: Stores) -> None:
    await fold(stores, Span("a", 4, 6), Span("a", 10, 20))
    (come,) = await stores.ledger.intake()
    assert come == Intake(process="a", numbered=20, gaps=((0, 4), (6, 10)), heard_ms=START_MS)
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
    assert come.missing == sum(span.end - span.first for span in lost)
    assert come.numbered == edges[-1]


def said(first: int, end: int, until: int, *, spooled: bool = False) -> Span:
    """By process a, of moments in seconds."""
    return Span("a", first, end, START_MS + until * 1_000, spooled)


async def until(stores: Stores) -> int | None:
    """Up to which second all of process a has come."""
    (life,) = await stores.ledger.intake()
    return None if life.until_ms is None else (life.until_ms - START_MS) // 1_000


async def test_what_a_process_said_holds_once_no_number_before_it_is_missing(
    stores: Stores,
) -> None:
    await fold(stores, said(5, 9, 2))
    assert await until(stores) is None
    await fold(stores, said(20, 22, 6))
    await fold(stores, said(12, 20, 5))
    await fold(stores, said(0, 5, 1))
    assert await until(stores) == 2
    await fold(stores, said(22, 22, 7))  # one that has nothing new says so too
    assert await until(stores) == 2
    await fold(stores, said(9, 12, 4))
    assert await until(stores) == 7
    await fold(stores, said(22, 22, 12), said(22, 22, 17))
    assert await until(stores) == 17


async def test_process_without_an_event_is_heard_of(stores: Stores) -> None:
    await fold(stores, said(0, 0, 3))
    assert await stores.ledger.intake() == [
        Intake(
            process="a",
            numbered=0,
            gaps=(),
            until_ms=START_MS + 3_000,
            spooled=False,
            heard_ms=START_MS,
        )
    ]
    await fold(stores, said(0, 3, 8))
    assert await until(stores) == 8


async def test_what_was_given_up_is_lost_unless_it_comes_after_all(stores: Stores) -> None:
    await fold(stores, said(0, 5, 1), said(10, 15, 3), said(20, 25, 5))
    await stores.ledger.give_up("a", 5, 10)
    (life,) = await stores.ledger.intake()
    assert (life.missing, life.lost, life.gaps) == (5, 5, ((15, 20),))
    assert await until(stores) == 3
    await fold(stores, said(6, 8, 2))
    (life,) = await stores.ledger.intake()
    assert (life.missing, life.lost, await until(stores)) == (5, 3, 3)


async def test_newest_word_tells_whether_anything_is_in_a_spool(stores: Stores) -> None:
    for span, spooled in [
        (Span("a", 0, 2), True),  # of a version that says nothing
        (said(2, 4, 2), False),
        (said(4, 6, 3, spooled=True), True),
        (said(8, 8, 5), False),
        (said(6, 8, 4, spooled=True), False),
        (said(8, 8, 6, spooled=True), True),
    ]:
        await fold(stores, span)
        (life,) = await stores.ledger.intake()
        assert life.spooled is spooled


async def test_process_that_has_ended_has_ended_for_good(stores: Stores) -> None:
    await fold(stores, said(0, 2, 2, spooled=True))
    await stores.ledger.fold(
        Batch([], [], [], spans=[Span("a", 0, 0, ended=True, spooled=False)]), START_MS + 5
    )
    await fold(stores, said(2, 4, 3, spooled=True))
    (life,) = await stores.ledger.intake()
    assert (life.ended_ms, life.spooled, life.heard_ms) == (START_MS + 5, False, START_MS + 5)
    assert await until(stores) == 3


@pytest.mark.parametrize("seed", range(3))
async def test_order_of_what_is_said_changes_nothing_in_the_end(stores: Stores, seed: int) -> None:
    random = Random(seed)
    edges = [0, *sorted(random.sample(range(1, 400), 40))]
    spans = [said(*pair, until=number) for number, pair in enumerate(pairwise(edges), start=1)]
    order = random.sample(spans, len(spans))
    for at, span in enumerate(order):
        await fold(stores, span)
        come, found = set(order[: at + 1]), await until(stores)
        held = [s for n, s in enumerate(spans) if come.issuperset(spans[: n + 1])]
        assert found == (len(held) or None)
