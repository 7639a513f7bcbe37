"""Signals to a platform in the foreground; it consists of one program that takes a while to stop."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import foreground, orphans
from cli.platform import Platform, Settings
from cli.process import Program
from cli.state import open_state
from cli.supervisor import SupervisionFailed, Supervisor, _Watched
from tests.e2e.supervised import always

PATIENCE_S = 120


class Small(Platform):
    """A platform without servers, whose only program gives its signal no heed until its grace has passed."""

    grace_s = 0.5

    async def _start(self) -> None:
        state = open_state(self.settings.state)
        self._supervisor = Supervisor(logs=state.logs, notes=state.run, report=self._report)
        stubborn = Program(
            name="stubborn",
            argv=("/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"),
            ready=always,
            stage=0,
            grace_s=self.grace_s,
        )
        await self._supervisor.start(stubborn)
        while "up" not in (state.logs / "stubborn.log").read_text():
            await asyncio.sleep(0.01)


@pytest.fixture
def platform(tmp_path: Path) -> Small:
    return Small(Settings(state=tmp_path), report=lambda message: None)


@pytest.fixture
def hangup_ignored() -> Iterator[None]:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("sent", foreground.STOP_SIGNALS)
async def test_first_signal_stops_in_order(platform: Small, sent: signal.Signals) -> None:
    async def work() -> str:
        os.kill(os.getpid(), sent)
        await asyncio.sleep(PATIENCE_S)
        return "not reached"

    async with asyncio.timeout(PATIENCE_S):
        assert await foreground.run(platform, work) is None
    assert platform.pids == {}
    log = (platform.settings.state / "logs" / "supervisor.log").read_text()
    assert "stubborn stopped" in log


async def test_second_signal_kills_what_would_take_long_to_stop(platform: Small) -> None:
    platform.grace_s = 10 * PATIENCE_S
    pids: list[int] = []

    async def work() -> None:
        pids.extend(platform.pids.values())
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(PATIENCE_S)

    async def again() -> None:
        await until(lambda: platform.stopping)
        await asyncio.sleep(0.1)
        assert orphans.birth(pids[0]), "the first is obeyed in order"
        os.kill(os.getpid(), signal.SIGINT)

    async with asyncio.timeout(PATIENCE_S):
        result, _ = await asyncio.gather(foreground.run(platform, work), again())
    assert result is None
    assert not orphans.birth(pids[0])


async def test_signal_does_not_cut_off_a_stop_that_is_under_way(platform: Small) -> None:
    async def work() -> str:
        return "done"

    async def late() -> None:
        await until(lambda: platform.stopping)
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    result, _ = await asyncio.gather(foreground.run(platform, work), late())
    assert result == "done"
    log = (platform.settings.state / "logs" / "supervisor.log").read_text()
    assert "stubborn stopped (status -9)" in log


@pytest.mark.usefixtures("hangup_ignored")
async def test_hangup_is_left_to_nohup(platform: Small) -> None:
    async def work() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.1)
        return "done"

    assert await foreground.run(platform, work) == "done"


async def test_program_that_is_left_to_itself_ends_the_run(
    platform: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(watched: object) -> float:
        raise ZeroDivisionError

    async def work() -> None:
        monkeypatch.setattr(_Watched, "backoff_s", broken)
        os.kill(platform.pids["stubborn"], signal.SIGKILL)
        await asyncio.sleep(PATIENCE_S)

    with pytest.raises(SupervisionFailed, match=r"^stubborn is no longer supervised.*ZeroDivision"):
        await foreground.run(platform, work)
    assert platform.pids == {}
