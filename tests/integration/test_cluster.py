"""A cluster whose primaries are killed: what was acknowledged is there, and who asks finds what took their place."""

import asyncio
import gc
import os
import signal
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.crc import key_slot

from cli.cluster import Nodes, cluster
from pullarm.domain.errors import ConfigurationError, Unavailable
from pullarm.domain.experiment import State
from pullarm.domain.ports import Entry
from pullarm.storage.redis import (
    RedisBoard,
    RedisEventSink,
    RedisEventSource,
    events,
    keys,
    reach,
    stream,
)
from pullarm.storage.redis.cluster import Client, doubt, home, on, primaries
from pullarm.storage.redis.facts import backlog, look, look_at_stream
from tests.builders import experiment, publication
from tests.services import empty_cluster
from tests.state_folders import temporary_state

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_S = 120.0
_T = TypeVar("_T")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes() -> AsyncIterator[Nodes]:
    with temporary_state() as folder:
        async with cluster(folder, durable=False) as nodes:
            yield nodes


@pytest_asyncio.fixture(loop_scope="module")
async def client(nodes: Nodes) -> AsyncIterator[Client]:
    await empty_cluster(nodes.url)
    async with reach(nodes.url) as client:
        yield client


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, no replica is taken for one that is away."""
    monkeypatch.setattr(stream, "REPLICATED_WITHIN_MS", 4_000)
    monkeypatch.setattr(events, "_PATIENCE_S", 5.0)


async def patiently(ask: Callable[[], Awaitable[_T]]) -> _T:
    """What it is in the end, while nodes do not all know yet who has what."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(Unavailable):
                return await ask()
            await asyncio.sleep(0.02)


async def all_entries(client: Client, name: str, count: int, others: int = 0) -> list[Entry]:
    """Claimed, until there are none left but those of others; a stream may be out of reach meanwhile."""
    source, found = RedisEventSource(client, name), list[Entry]()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            some = await patiently(lambda: source.claim(count, 200))
            assert len(some) <= count
            found += some
            if not some:
                waiting = await patiently(lambda: backlog(client))
                if waiting.entries <= len(found) + others:
                    return found


@pytest.mark.usefixtures("unhurried")
async def test_entries_are_spread_and_each_goes_to_one_consumer(client: Client) -> None:
    sink = RedisEventSink(client, replicas=1)
    first, second = RedisEventSource(client, "first"), RedisEventSource(client, "second")
    payloads = [b"%d" % n for n in range(5 * len(keys.SHARDS))]
    for payload in payloads:
        await sink.append(payload)
    waiting = await backlog(client)
    assert waiting.entries == len(payloads)
    assert waiting.used_bytes > 0
    one = await first.claim(7, 0)
    others = await all_entries(client, "second", 40, others=len(one))
    assert sorted(entry.payload for entry in one + others) == sorted(payloads)
    assert {entry.shard for entry in one + others} == set(keys.SHARDS)
    assert len({entry.name for entry in one + others}) == len(payloads)
    await first.acknowledge(one[:3])
    again = await second.reclaim(100, 0)
    assert {entry.name for entry in again} == {entry.name for entry in one[3:] + others}
    await second.acknowledge(again)
    assert (await backlog(client)).entries == 0
    for source in (first, second):
        await source.leave()
        await source.forget_the_gone(-1)
    await sink.aclose()


async def test_what_was_acknowledged_outlives_primaries(nodes: Nodes, client: Client) -> None:
    sink, acknowledged, enough = RedisEventSink(client, replicas=1), list[bytes](), asyncio.Event()

    async def load() -> None:
        number = 0
        while not enough.is_set():
            number += 1
            with suppress(Unavailable):
                await sink.append(b"%d" % number)
                acknowledged.append(b"%d" % number)

    async with asyncio.TaskGroup() as group:
        loading = group.create_task(load())
        for slot in nodes.parts:
            count = len(acknowledged)
            await nodes.replace(slot)
            async with asyncio.timeout(PATIENCE_S):
                while len(acknowledged) < count + 500:
                    await asyncio.sleep(0.01)
        enough.set()
        await loading
    await sink.aclose()
    found = {entry.payload for entry in await all_entries(client, "one", 1_000)}
    assert found >= set(acknowledged)
    assert len(set(acknowledged)) == len(acknowledged)


async def test_primary_that_says_nothing_is_left_out(nodes: Nodes, client: Client) -> None:
    sink, slot = RedisEventSink(client, replicas=1), nodes.parts[1]
    frozen, acknowledged = await nodes.primary(slot), list[bytes]()
    os.kill(nodes.pid(frozen), signal.SIGSTOP)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while len(acknowledged) < 500 or await nodes.primary(slot) == frozen:
                payload = b"%d" % len(acknowledged)
                with suppress(Unavailable):
                    await sink.append(payload)
                    acknowledged.append(payload)
    finally:
        os.kill(nodes.pid(frozen), signal.SIGCONT)
    await nodes.whole()
    found = await all_entries(client, "one", 1_000)
    assert {entry.payload for entry in found} >= set(acknowledged)
    await sink.aclose()


async def test_what_a_promoted_replica_lacks_was_not_acknowledged(
    nodes: Nodes, client: Client
) -> None:
    sink, slot = RedisEventSink(client, shards=(0,), replicas=1), key_slot(keys.events(0).encode())
    await patiently(lambda: sink.append(b"before"))
    acknowledged, primary = set[bytes](), await nodes.primary(slot)
    replica = await replica_of(nodes, primary)
    os.kill(nodes.pid(replica), signal.SIGSTOP)
    try:
        for number in range(25):  # megabytes: more than the system keeps for who does not read
            with suppress(Unavailable):
                await sink.append(b"%06d" % number + bytes(1_000_000))
                acknowledged.add(b"%06d" % number)
        await nodes.kill(primary)
    finally:
        os.kill(nodes.pid(replica), signal.SIGCONT)
    async with asyncio.timeout(PATIENCE_S):
        while await nodes.primary(slot) != replica:
            await asyncio.sleep(0.05)
    await nodes.start(primary)
    await nodes.whole()
    found = {entry.payload[:6] for entry in await all_entries(client, "one", 50)}
    assert b"before" in found
    assert acknowledged <= found
    await sink.aclose()


async def replica_of(nodes: Nodes, primary: str) -> str:
    ((host, port, _),) = (await nodes.ask(primary, "ROLE"))[2]
    return f"{host.decode()}:{port.decode()}"


async def test_what_no_replica_has_is_not_acknowledged(nodes: Nodes, client: Client) -> None:
    served = {shard: await address_of(client, keys.events(shard)) for shard in keys.SHARDS}
    lonely = served[0]
    replica = await replica_of(nodes, lonely)
    sink = RedisEventSink(client, replicas=1)
    alone = RedisEventSink(client, shards=(0,), replicas=1)
    await patiently(lambda: alone.append(b"with a replica"))
    await nodes.kill(replica)
    with pytest.raises(Unavailable, match=r"0 replicas .*PULLARM_REPLICAS is 1"):
        await asyncio.wait_for(alone.append(b"without"), PATIENCE_S)
    taken = 0
    async with asyncio.timeout(PATIENCE_S):
        while taken < 5 * len(keys.SHARDS):
            with suppress(Unavailable):
                await sink.append(b"elsewhere")
                taken += 1
    unreplicated = [shard for shard, address in served.items() if address == lonely]
    found = await all_entries(client, "one", 1_000)
    elsewhere = [entry for entry in found if entry.payload == b"elsewhere"]
    # Each of its streams was tried once at most, and left out from then on.
    assert sum(entry.shard in unreplicated for entry in elsewhere) <= len(unreplicated)
    assert len(elsewhere) >= taken
    await nodes.start(replica)
    await patiently(lambda: alone.append(b"with a replica again"))
    await nodes.whole()
    for each in (sink, alone):
        await each.aclose()


async def replicated(client: Client, *names: str) -> None:
    """Wait until replicas have all that was written to these keys."""

    async def wait(server: Redis) -> int:
        async with server.pipeline(transaction=False) as pipe:
            pipe.set(f"{name}:marker", 1)
            pipe.execute_command("WAIT", 1, 30_000)
            return int((await pipe.execute())[-1])

    for name in names:
        assert await on(client, name, wait)


async def address_of(client: Client, key: str) -> str:
    server = await home(client, key)
    (address,) = [name for name, each in (await primaries(client)).items() if each is server]
    return address


@pytest.mark.usefixtures("unhurried")
async def test_facts_of_every_primary_and_of_all_streams(client: Client) -> None:
    board, sink = RedisBoard(client), RedisEventSink(client, replicas=1)
    facts = [await look(each) for each in (await primaries(client)).values()]
    assert [(each.replica, each.replicas) for each in facts] == [(False, 1)] * 3
    assert (await look_at_stream(client)).consumers == 0
    await RedisEventSource(client, "some", keys.SHARDS[1:]).claim(100, 0)
    assert (await look_at_stream(client)).consumers == 0  # of one stream nobody takes anything
    await RedisEventSource(client, "all").claim(100, 0)
    await sink.append(b"an entry")
    looking = asyncio.create_task(look_at_stream(client))
    while not looking.done():
        await board.beat()
        await asyncio.sleep(0.02)
    seen = await looking
    assert (seen.entries, seen.consumers, seen.beats) == (1, 1, True)
    await sink.aclose()


async def test_board_is_found_where_it_has_gone(nodes: Nodes, client: Client) -> None:
    board, of = RedisBoard(client), [experiment(number=number) for number in (1, 2, 3, 4)]
    for each in of:
        assert await board.publish(publication(each))
    await board.complete("one", [each.number for each in of])
    await board.halt(2, State.ROLLED_BACK, 3, "why")
    await replicated(client, keys.COMPLETE, *(keys.head(each.number) for each in of))
    for slot in nodes.parts:
        await nodes.replace(slot)
    index = await patiently(board.index)
    versions = await patiently(lambda: board.versions(index.experiments))
    assert index.complete
    assert {number: each.pub_no for number, each in versions.items()} == {1: 1, 2: 1, 3: 1, 4: 1}
    assert versions[2].halt == "rolled_back"
    for each in of:
        published = await patiently(partial(board.read, each.number, None))
        assert published is not None
        assert published.experiment == each
        assert await board.publish(publication(each, pub_no=2, complete=False))
    await board.release(2, 4)
    assert await board.halted(2) is None


async def test_one_command_is_enough_for_who_was_away_all_the_time(
    nodes: Nodes, client: Client
) -> None:
    board = RedisBoard(client)
    await board.halt(5, State.STOPPED)
    await replicated(client, keys.halt(5))
    await nodes.replace(key_slot(keys.halt(5).encode()))
    await board.halt(5, State.STOPPED, 0, "again")  # which finds the new primary by itself
    assert await board.halted(5) is not None


async def test_slot_that_is_given_to_another_primary_is_found(nodes: Nodes, client: Client) -> None:
    sink = RedisEventSink(client, shards=(0,))
    await sink.append(b"before")
    (entry,) = await RedisEventSource(client, "one", (0,)).claim(1, 0)
    await RedisEventSource(client, "one", (0,)).acknowledge([entry])
    await on(client, keys.events(0), lambda server: server.delete(keys.events(0)))
    slot = key_slot(keys.events(0).encode())
    owner, *others = [await nodes.primary(each) for each in (slot, *nodes.parts)]
    other = next(address for address in others if address != owner)
    whence, whither = [
        (await nodes.ask(address, "CLUSTER MYID")).decode() for address in (owner, other)
    ]
    await nodes.ask(other, "CLUSTER SETSLOT", str(slot), "IMPORTING", whence)
    await nodes.ask(owner, "CLUSTER SETSLOT", str(slot), "MIGRATING", whither)
    with pytest.raises(Unavailable, match="ASK"):
        await sink.append(b"while it is on its way")
    for address in (other, owner):
        await nodes.ask(address, "CLUSTER SETSLOT", str(slot), "NODE", whither)
    await patiently(lambda: sink.append(b"after"))
    source = RedisEventSource(client, "one", (0,))
    found = await patiently(lambda: source.claim(10, 0))
    assert [entry.payload for entry in found] == [b"before", b"after"]  # to another server both
    await sink.aclose()


async def test_asking_again_and_again_who_has_what_takes_no_memory(nodes: Nodes) -> None:
    """While a primary is replaced that is done hundreds of times, and the garbage collector looks seldom."""
    times = 100
    async with reach(f"{nodes.url},127.0.0.1:1") as client:  # nobody answers there
        await patiently(lambda: primaries(client))
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(times):
                doubt(client)
                await patiently(lambda: primaries(client))
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert kept < times * 50_000


async def test_cluster_out_of_reach_is_unavailable() -> None:
    async with reach("redis+cluster://:secret@127.0.0.1:1,127.0.0.1:2") as nowhere:
        with pytest.raises(Unavailable, match="no node of the cluster") as told:
            await RedisBoard(nowhere).index()
        with pytest.raises(Unavailable):
            await RedisEventSink(nowhere).append(b"x")
        with pytest.raises(Unavailable):
            await RedisEventSource(nowhere, "one").claim(1, 0)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("url", ["redis+cluster://h:x", "redis+cluster://h:99999999"])
async def test_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL is no address"):
        reach(url)
