"""Events that have not come are told once they have had the time to."""

import pytest

from pullarm.domain.decision import Batch, Span
from pullarm.storage.memory import MemoryExperiments, MemoryLedger
from tests.ledger_events import START_MS
from workers.intake import GIVE_UP_AFTER_LOOKS, IntakeWatch


async def test_gap_that_stands_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    ledger = MemoryLedger(MemoryExperiments())
    watch = IntakeWatch(ledger)

    async def come(first: int, end: int) -> None:
        await ledger.fold(Batch([], [], [], spans=[Span("serving-0-a", first, end)]), START_MS)

    await come(0, 10)
    await come(30, 40)
    await watch.look()
    assert caplog.records == []  # it may be on its way
    await come(50, 60)
    await watch.look()
    await watch.look()
    await come(20, 30)
    await come(40, 50)
    await watch.look()
    await watch.look()
    assert [record.message[:59] for record in caplog.records] == [
        "20 events of serving-0-a (numbers 10 to 29) were stored and",
        "10 events of serving-0-a (numbers 40 to 49) were stored and",
        "10 events of serving-0-a (numbers 10 to 19) were stored and",
    ]


async def test_gap_is_given_up_once_no_spool_can_fill_it_any_more() -> None:
    ledger = MemoryLedger(MemoryExperiments())
    watch = IntakeWatch(ledger)

    async def said(first: int, end: int, *, spooled: bool) -> None:
        span = Span("serving-0-a", first, end, START_MS + end, spooled)
        await ledger.fold(Batch([], [], [], spans=[span]), START_MS)

    async def looks(count: int) -> tuple[int, int]:
        for _ in range(count):
            await watch.look()
        (life,) = await ledger.intake()
        return life.missing, life.lost

    await said(0, 10, spooled=True)
    await said(30, 40, spooled=True)
    assert await looks(2 * GIVE_UP_AFTER_LOOKS) == (20, 0)
    await said(40, 50, spooled=False)
    assert await looks(GIVE_UP_AFTER_LOOKS - 1) == (20, 0)
    await said(50, 60, spooled=True)
    await watch.look()
    await said(60, 61, spooled=False)
    assert await looks(GIVE_UP_AFTER_LOOKS - 1) == (20, 0)
    assert await looks(1) == (0, 20)
