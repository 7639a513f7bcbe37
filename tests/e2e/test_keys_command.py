"""Keys of decision ids are rotated over a running platform: no selection fails, and no reward is refused."""

import asyncio
import json
from base64 import urlsafe_b64decode

import httpx
import pytest

from cli import keys
from cli.platform import Platform
from pullarm.domain.errors import Conflict, InvalidInput
from tests.e2e.upstream import PATIENCE_S, Fleet, launch

pytestmark = pytest.mark.asyncio(loop_scope="session")


def key_of(decision_id: str) -> int:
    """The number of the key that signed it."""
    return urlsafe_b64decode(decision_id[:4])[1]


class Traffic:
    """Selections over all connections, each rewarded twice: at once, and once the keys are others."""

    def __init__(self, fleet: Fleet, experiment: str) -> None:
        self._fleet = fleet
        self._experiment = experiment
        self.signed: dict[str, int] = {}
        """The ids that were given out, with their keys' numbers."""
        self.statuses: set[str] = set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            answers = await self._fleet.select(self._experiment, f"user-{len(self.signed)}")
            ids = [answer.decision_id for answer in answers if answer is not None]
            assert len(ids) == len(answers)
            self.signed |= {each: key_of(each) for each in ids}
            await self.reward(ids)
            await asyncio.sleep(0.05)

    async def reward(self, ids: list[str]) -> None:
        clients = self._fleet.clients
        # By another connection than the one that made it, and so, half of the time, by another process.
        told = [clients[place - 1].reward(each, 1.0) for place, each in enumerate(ids)]
        self.statuses |= set(await asyncio.gather(*told))

    async def until_only(self, key: int) -> None:
        """Until a whole round is signed by this key."""
        seen = len(self.signed)
        async with asyncio.timeout(PATIENCE_S):
            while set(list(self.signed.values())[seen:]) != {key}:
                seen = len(self.signed)
                await asyncio.sleep(0.2)


async def test_keys_are_rotated_under_load(
    platform: Platform, api: httpx.AsyncClient, fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment, state = await launch(api, fleet), platform.settings.state
    traffic = Traffic(fleet, experiment["id"])
    running = asyncio.create_task(traffic.run())
    await traffic.until_only(1)
    await asyncio.to_thread(keys.add, state)
    await asyncio.to_thread(keys.sign, 2, state)
    await traffic.until_only(2)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled(), running.exception()

    before = [each for each, key in traffic.signed.items() if key == 1][: len(fleet.clients)]
    await traffic.reward(before)  # a second time, with another key signing
    assert traffic.statuses == {"ACCEPTED"}

    with pytest.raises(Conflict, match="rewards of its decisions count until"):
        await asyncio.to_thread(keys.retire, 1, now=False, state=state)
    capsys.readouterr()
    await asyncio.to_thread(keys.show, state)
    told = capsys.readouterr().out
    assert [line.split()[:2] for line in told.splitlines()[1:]] == [
        ["1", "verifies"],
        ["2", "signs"],
    ]
    written = json.loads((state / "decision_keys.json").read_text())["keys"]
    assert not any(key in told for key in written.values())
    await asyncio.to_thread(keys.retire, 1, now=True, state=state)
    async with asyncio.timeout(PATIENCE_S):
        while not await refused_everywhere(fleet, before[0]):
            await asyncio.sleep(0.1)
    await fleet.until(lambda each: key_of(each.decision_id) == 2, experiment["id"])


async def refused_everywhere(fleet: Fleet, decision_id: str) -> bool:
    """Whether every connection's process takes the id for forged."""
    told = [client.reward(decision_id, 1.0) for client in fleet.clients]
    answers = await asyncio.gather(*told, return_exceptions=True)
    return all(isinstance(answer, InvalidInput) for answer in answers)
