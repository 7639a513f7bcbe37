"""Forged ids sent to a serving process as any caller can send them."""

from collections import Counter

import grpc
import numpy as np

from pullarm.v1 import selection_pb2 as pb
from pullarm.v1.selection_pb2_grpc import SelectionServiceStub
from serving.requests import MAX_BATCH
from tests.builders import KEYS
from tests.fuzz.forged import forged


async def assault(address: str, count: int, rng: np.random.Generator) -> dict[str, int]:
    """Send so many; answers how many there were of each status that a reward was given."""
    statuses: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = SelectionServiceStub(channel)
        for texts in forged(KEYS, count, rng):
            for at in range(0, len(texts), MAX_BATCH):
                batch = [
                    pb.RewardRequest(decision_id=each, value=1.0)
                    for each in texts[at : at + MAX_BATCH]
                ]
                answer = await stub.RewardBatch(pb.RewardBatchRequest(requests=batch), timeout=30)
                statuses.update(pb.RewardStatus.Name(each.status) for each in answer.results)
    return {name.removeprefix("REWARD_STATUS_"): n for name, n in sorted(statuses.items())}
