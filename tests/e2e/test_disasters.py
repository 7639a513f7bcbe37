"""Redis emptied, PostgreSQL put back, every part killed: what is lost is known to the event, and learning goes on."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio

from cli.matrix import FAULTS, Plan, drained
from cli.platform import Platform
from cli.soak import as_json, soak
from pullarm.domain.decision import Batch, Span
from pullarm.domain.decision_id import decode
from pullarm.domain.intake import Intake
from pullarm.storage import events
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresPublications,
)
from pullarm.storage.redis import RedisBoard, connect, keys
from serving.settings import read_keys
from tests.e2e import upstream
from tests.e2e.commands import pullarm
from tests.e2e.damage import ROUND, Load, Watched, steady_load, watching
from tests.e2e.upstream import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKERS = ("worker", "worker-1")
LOOK_S = 0.02
BACK_WITHIN_S = 10.0
"""Measured in looks, which take as much longer on a busy machine as everything does."""
_EMPTY = """
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
redis.call('FLUSHALL')
return entries
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched() -> AsyncIterator[Watched]:
    async with watching(workers=2) as watched:
        yield watched


async def test_everything_acknowledged_counts_once_whatever_is_killed(watched: Watched) -> None:
    """The short form of `make soak`."""
    account = await soak(watched.platform, watched.said, Plan(at_random=2, seed=13), print)
    assert account.sound, as_json(account)
    assert len(account.rounds) == len(FAULTS) + 2
    assert all(each.decision_ids for each in account.rounds)
    assert any(each.rewarded_ids for each in account.rounds)


async def test_of_an_emptied_redis_the_tail_is_lost_and_its_size_is_told(watched: Watched) -> None:
    platform = watched.platform
    async with steady_load(platform) as load:
        await load.acknowledged(5 * ROUND)
        tail = await empty_redis(platform)
        answered = len(load.tally.decision_ids)
        assert await complete(platform) * LOOK_S < BACK_WITHIN_S
        await load.acknowledged(5 * ROUND)
        assert len(load.tally.decision_ids) > answered
    assert (load.tally.failures, load.tally.problem) == (0, "")
    await drained(platform)
    gaps = await missing(platform)
    # An entry that was acknowledged late is in the spool too, and has come from there.
    gone = events.merge([entry for entry in tail if numbers(entry) <= gaps])
    assert numbers(gone) == gaps
    assert 0 < len(gaps) == gone.events()
    assert await lost(platform, load) == acknowledged_in(gone, platform, load) > 0
    async with Database(platform.environment["DATABASE_URL"], max_connections=1) as database:
        number = (await PostgresExperiments(database).get(load.experiment)).number
        assert await PostgresLedger(database).verify(number) == []
    await told_everywhere(platform)


async def empty_redis(platform: Platform) -> list[Batch]:
    """Empty Redis at a moment at which its stream holds entries and no worker has claimed any; answers these."""
    async with none_claimed(platform) as client:
        entries = await client.register_script(_EMPTY)(keys=[keys.events(0)])
    return [events.unpack(fields[1]) for _, fields in entries]


@asynccontextmanager
async def none_claimed(platform: Platform) -> AsyncIterator[redis.asyncio.Redis]:
    """Both workers held at a moment at which the stream holds entries and they have claimed none: every entry that they
    ever took is folded, and those before are all that is."""
    client = redis.asyncio.Redis.from_url(platform.environment["REDIS_URL"])
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with stopped(*(platform.pids[name] for name in WORKERS)):
                    await asyncio.sleep(0.5)
                    # One that was waiting for entries is given the first that comes, though it is held.
                    while not (await client.xpending(keys.events(0), keys.GROUP))["pending"]:
                        if await client.xlen(keys.events(0)) >= 20:
                            yield client
                            return
                        await asyncio.sleep(0.1)
                await asyncio.sleep(0.13)
    finally:
        await client.aclose()


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    def tell(number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):  # one of a server's, that has ended
                os.kill(pid, number)

    tell(signal.SIGSTOP)
    try:
        yield
    finally:
        tell(signal.SIGCONT)


async def complete(platform: Platform) -> int:
    """Wait until the board has all that the ledger has; how many looks that took."""
    async with (
        Database(platform.environment["DATABASE_URL"], max_connections=1) as database,
        connect(platform.environment["REDIS_URL"]) as client,
        asyncio.timeout(PATIENCE_S),
    ):
        board, publications = RedisBoard(client), PostgresPublications(database)
        looks = 0
        while not (await board.index()).complete:
            await asyncio.sleep(LOOK_S)
            looks += 1
        newest = await publications.experiments()
        versions = await board.versions(list(newest))
        assert {version.incarnation for version in versions.values()} == {
            await publications.incarnation()
        }
        return looks


def numbers(batch: Batch) -> set[tuple[str, int]]:
    """What serving numbered them, by process."""
    return {(span.process, n) for span in batch.spans for n in range(span.first, span.end)}


async def intake(platform: Platform) -> list[Intake]:
    async with Database(platform.environment["DATABASE_URL"], max_connections=1) as database:
        return await PostgresLedger(database).intake()


async def missing(platform: Platform) -> set[tuple[str, int]]:
    """Numbers that have not come, by process."""
    gaps = [Span(each.process, *gap) for each in await intake(platform) for gap in each.gaps]
    return numbers(Batch([], [], [], spans=gaps))


async def lost(platform: Platform, load: Load) -> int:
    """Acknowledged decisions and rewards that are not in the ledger."""
    async with Database(platform.environment["DATABASE_URL"], max_connections=1) as database:
        return await PostgresLedger(database).missing(*acknowledged(platform, load))


def acknowledged(platform: Platform, load: Load) -> tuple[list[bytes], list[bytes]]:
    """The uids of decisions, and of those that were rewarded."""
    ring = read_keys(platform.environment)
    ids = (load.tally.decision_ids, load.tally.rewarded_ids)
    decided, rewarded = ([decode(text, ring).uid for text in some] for some in ids)
    return decided, rewarded


def acknowledged_in(tail: Batch, platform: Platform, load: Load) -> int:
    """How many of these events callers had been told are stored."""
    decided, rewarded = map(set, acknowledged(platform, load))
    return sum(each.token.uid in decided for each in tail.decisions) + sum(
        each.token.uid in rewarded for each in tail.rewards
    )


async def told_everywhere(platform: Platform) -> None:
    """The size of the loss is in what operators read."""
    status = await pullarm(
        *("status", "--control-url", platform.http_url, "--state", str(platform.settings.state))
    )
    verify = await pullarm("verify", "--state", str(platform.settings.state))
    assert verify.status == 0
    for each in await intake(platform):
        if each.gaps:
            said = f"{each.missing:,} events of {each.process} have not come"
            assert said in status.output, status.errors
            assert f"{each.process}: {each.missing} of " in verify.output, verify.errors
        for first, end in each.gaps:
            await logged(platform, f"{end - first} events of {each.process} (numbers {first} to")


async def logged(platform: Platform, text: str) -> None:
    """Wait until each worker has logged this."""
    logs = [platform.settings.state / "logs" / f"{name}.log" for name in WORKERS]
    async with asyncio.timeout(PATIENCE_S):
        while not all(text in log.read_text(encoding="utf-8") for log in logs):
            await asyncio.sleep(0.2)


async def test_what_a_killed_valkey_had_not_written_is_brought_to_its_successor(
    watched: Watched,
) -> None:
    platform = watched.platform
    before = await missing(platform)
    async with steady_load(platform) as load:
        await load.acknowledged(ROUND)
        said = len(watched.said.lines)
        await kill_before_it_writes(platform, load)
        await watched.back("valkey", said)
        await load.acknowledged(3 * ROUND)
    assert (load.tally.failures, load.tally.problem) == (0, "")
    await drained(platform)
    assert await lost(platform, load) == 0
    assert await missing(platform) <= before
    async with Database(platform.environment["DATABASE_URL"], max_connections=1) as database:
        number = (await PostgresExperiments(database).get(load.experiment)).number
        assert await PostgresLedger(database).verify(number) == []


async def kill_before_it_writes(platform: Platform, load: Load) -> None:
    """Kill Valkey and take from its file what it wrote of a round that no worker has claimed, as if the disk had been
    too busy for it."""
    log = next((platform.settings.state / "valkey" / "appendonlydir").glob("*.incr.aof"))
    pid = platform.pids["valkey"]
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with stopped(*(platform.pids[name] for name in WORKERS)):
                began, written = time.monotonic(), log.stat().st_size
                await load.acknowledged(ROUND)
                if time.monotonic() - began < 2.0:  # less than serving keeps it for
                    os.kill(pid, signal.SIGKILL)
                    # Not for others, or they would start its successor before.
                    with suppress(ChildProcessError):  # it has been waited for
                        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
                    os.truncate(log, written)
                    return


async def test_ledger_from_an_earlier_copy_of_postgresql_begins_a_new_life(
    watched: Watched, tmp_path: Path
) -> None:
    platform = watched.platform
    before = await missing(platform)
    async with steady_load(platform) as load:
        await load.acknowledged(3 * ROUND)
        was, experiments = await life(platform)
        copy = copied(platform.pids["postgres"])
        await load.acknowledged(3 * ROUND)
        async with upstream.rest(platform) as api:
            later = (await upstream.create(api, name="After the copy"))["id"]
        said = len(watched.said.lines)
        # Of claimed entries some may have lower numbers than others that were folded: that gap is given up much later.
        async with none_claimed(platform):
            put_back(platform.pids["postgres"], copy)
        await watched.back("postgres", said)
        async with asyncio.timeout(PATIENCE_S):
            while (await life(platform))[0] == was:
                await asyncio.sleep(0.1)
        restored = len(load.tally.decision_ids)
        async with upstream.fleet(platform.grpc_address) as fleet:
            await fleet.until(lambda answer: answer.posterior_version > 10**9, load.experiment)
        await load.acknowledged(3 * ROUND)
    assert (load.tally.failures, load.tally.problem) == (0, "")
    await drained(platform)
    del load.tally.decision_ids[:restored], load.tally.rewarded_ids[:]
    assert await lost(platform, load) == 0
    # What was folded between the copy and the return; nobody waits for it.
    assert sum(each.lost for each in await intake(platform)) > 0
    assert await missing(platform) <= before
    assert (await life(platform))[1] == experiments
    async with Database(platform.environment["DATABASE_URL"], max_connections=1) as database:
        number = (await PostgresExperiments(database).get(load.experiment)).number
        assert await PostgresLedger(database).verify(number) == []
    logs = [platform.settings.state / "logs" / f"{name}.log" for name in WORKERS]
    told = [line for log in logs for line in log.read_text().splitlines() if "a backup" in line]
    assert len(told) == 1
    async with upstream.rest(platform) as api:
        assert (await api.get(f"/{later}")).status_code == 404
        new = (await upstream.create(api, name="After the return"))["id"]
    async with Database(platform.environment["DATABASE_URL"], max_connections=1) as database:
        assert (await PostgresExperiments(database).get(new)).number > max(experiments) + 100_000


async def life(platform: Platform) -> tuple[str, list[int]]:
    """The incarnation, and the numbers of the experiments."""
    async with Database(platform.environment["DATABASE_URL"], max_connections=1) as database:
        publications = PostgresPublications(database)
        return await publications.incarnation(), list(await publications.experiments())


def copied(postmaster: int) -> Path:
    """A copy of the server's files as a crash at this moment would leave them."""
    data, copy = places(postmaster)
    with stopped(postmaster, *children(postmaster)):
        shutil.copytree(data, copy, symlinks=True)
    (copy / "postmaster.pid").unlink()
    owner = data.stat()
    for path in [copy, *copy.rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)
    return copy


def put_back(postmaster: int, copy: Path) -> None:
    """Kill the server; what is started in its place finds the copy."""
    data, _ = places(postmaster)
    os.kill(postmaster, signal.SIGKILL)
    data.rename(data.with_name("postgres.lost"))
    copy.rename(data)


def places(postmaster: int) -> tuple[Path, Path]:
    """Where a server has its data, and where a copy may lie."""
    words = Path(f"/proc/{postmaster}/cmdline").read_bytes().split(b"\0")
    data = Path(os.fsdecode(words[words.index(b"-D") + 1]))
    return data, data.with_name("postgres.copy")


def children(pid: int) -> list[int]:
    """Its processes."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(word) for word in text.split()]
