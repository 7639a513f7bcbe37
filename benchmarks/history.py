"""Two weeks of history, written into the ledger as if workers had folded it: for what reads many decisions.

PostgreSQL makes the rows itself, from hashes of their numbers, so the same size is the same history. The posterior is
their sum and the roll-ups are worked out by the statistics stage, so `pullarm verify` finds nothing wrong with either.
Weights are of no policy's making: decisions are logged and counted, and not redone.
"""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from struct import pack

import httpx

from pullarm.domain.assignment import allocate
from pullarm.domain.decision import pack_arms
from pullarm.domain.errors import PullarmError
from pullarm.domain.experiment import Arm, Experiment, PolicySpec, Spec, State, policy_weights
from pullarm.domain.ports import NewExperiment, Revision
from pullarm.statistics.sketch import LatencySketch
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresStatistics,
)
from pullarm.storage.postgres.database import Connection
from pullarm.storage.postgres.latency import PostgresLatency
from pullarm.storage.postgres.publications import CELL

DAYS = 14
ARMS = 1_000
CANDIDATES = 10
_SETS = 5_000
_FOLD = 500
"""Decisions of one fold."""
_PUBLICATION = 10
"""Folds of one publication."""
_CHECKPOINT = 1_000
"""Folds between two checkpoints of the posterior, as publishers keep them."""
_POLICIES = ("control", "thompson", "egreedy", "ucb")
_PROCESSES = ("serving-0", "serving-1")
_UNITS = 200_000
_PIECE = 500_000
_PUBLISHED_WITHIN_S = 120.0

_PREPARE = """
CREATE TEMP TABLE offered (set_no integer PRIMARY KEY, arms integer[], packed bytea)
"""
_DECISIONS = """
INSERT INTO decision (uid, decided_at, experiment_id, allocation_epoch, assigned, acting, reason, learn_slots,
    unit_hash, cohort, arms, batch_no, stub, config_no, pub_no, kernel, unit, bucket, candidates, weights, totals,
    attributes, request_id, unlisted, withheld)
SELECT (lpad(to_hex((extract(epoch FROM made.at) * 1000)::bigint), 12, '0') || substr(md5(made.i::text), 1, 20))::uuid,
       made.at, $1::integer, 1, made.policy, made.policy, 1, 1, hashint8extended(made.unit, 7), 0,
       ARRAY[o.arms[1 + made.hash / $10::bigint % 10]], made.i / $4::bigint + 1, false, $7::integer,
       made.i / ($4::bigint * $5::bigint) + 1, 2,
       'user-' || made.unit, made.unit % 10000, o.packed, ARRAY[429496730::bigint], ARRAY[4294967300::bigint],
       '{"country": "de"}', '', 0, 0
FROM (
    SELECT i, date_trunc('milliseconds', $2::timestamptz + i * $3::interval) AS at, hash, 1 + unit % 4 AS policy, unit
    FROM (
        SELECT i, hashint8extended(i, 1) & 1152921504606846975 AS hash,
               ((hashint8extended(i, 2) & 1048575) * (hashint8extended(i, 3) & 1048575) * $6::bigint) >> 40 AS unit
        FROM generate_series($8::bigint, $9::bigint - 1) AS i
    ) AS hashed
) AS made
JOIN offered o ON o.set_no = made.hash % $10::bigint
ORDER BY made.i
"""
_REWARDS = """
WITH earned AS (
    SELECT uid, decided_at + interval '90 seconds' AS at, batch_no + 1 AS batch_no FROM decision
    WHERE experiment_id = $1::integer AND uid >= uid_floor($2::timestamptz) AND uid < uid_floor($3::timestamptz)
      AND hashint8extended(hashint8(unit_hash) + batch_no, 5) & 1023 < 40 + arms[1] / 12
), rewarded AS (
    INSERT INTO reward (uid, reward_uid, received_at, occurred_at, experiment_id, slot, kind, reward_id, source, value,
        credit, feeds, retract, status, batch_no)
    SELECT uid,
           (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || substr(md5(uid::text), 1, 20))::uuid,
           at, at, $1::integer, 1, 'reward', '', 'bench', 1.0, 1000000, true, false, 1, least(batch_no, $4::bigint)
    FROM earned
)
INSERT INTO credit (uid, slot, kind, value, booked, serves) SELECT uid, 1, 'reward', 1000000, 1000000, 0 FROM earned
"""
_POSTERIOR = """
INSERT INTO posterior (experiment_id, policy, arm_no, hour, n, s)
SELECT $1::integer, d.acting, d.arms[1], hour_of(d.decided_at), count(*), coalesce(sum(c.booked), 0)
FROM decision d LEFT JOIN credit c ON c.uid = d.uid
WHERE d.experiment_id = $1::integer GROUP BY 2, 3, 4
"""
_FOLDS = """
INSERT INTO fold_log (experiment_id, fold_no, batch_no, committed_at, changed)
SELECT $1::integer, n, n, $2::timestamptz + n * $3::interval, '{}' FROM generate_series(1, $4::bigint) AS n
"""
# At once, so that no worker finds the statistics behind and begins to work them out fold by fold.
_HEADS = """
WITH folded AS (UPDATE fold_head SET fold_no = $2::bigint WHERE experiment_id = $1::integer)
INSERT INTO statistics_head (experiment_id, fold_no) VALUES ($1::integer, $2::bigint)
ON CONFLICT (experiment_id) DO UPDATE SET fold_no = excluded.fold_no
"""
_PUBLICATIONS = """
INSERT INTO publication (experiment_id, pub_no, incarnation, fold_no, config_no, as_of, grid_no, kernel)
SELECT $1::integer, n, (SELECT incarnation FROM ledger), least(n * $4::bigint, $5::bigint),
       $6::integer, $2::timestamptz + n * $3::interval,
       (SELECT coalesce(max(grid_no), 0) FROM grid WHERE experiment_id = $1::integer), 2
FROM generate_series(1, ($5::bigint + $4::bigint - 1) / $4::bigint) AS n
ON CONFLICT DO NOTHING -- a worker may have published already
"""
_CHECKPOINTS = """
SELECT p.fold_no, p.acting, p.arm, sum(p.n) OVER of_cell AS n, sum(p.s) OVER of_cell AS s FROM (
    SELECT ((d.batch_no - 1) / $2::bigint + 1) * $2::bigint AS fold_no, d.acting, d.arms[1] AS arm, count(*) AS n,
           coalesce(sum(c.booked), 0) AS s
    FROM decision d LEFT JOIN credit c ON c.uid = d.uid WHERE d.experiment_id = $1::integer GROUP BY 1, 2, 3
) AS p WINDOW of_cell AS (PARTITION BY p.acting, p.arm ORDER BY p.fold_no)
"""
_MINUTES = """
INSERT INTO serving_minute (experiment_id, policy, minute, process, sequence, calls, errors, over_100ms, over_120ms,
    sketch, rewards, refused)
SELECT $1::integer, policy, minute, process, 1, $5::bigint, 0, 0, 0, $6::jsonb, 0, '{}'
FROM generate_series($2::integer, $3::integer - 1) AS minute, generate_series(1, 4) AS policy,
     unnest($4::text[]) AS process
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was written."""

    experiment: str
    decisions: int
    until: datetime


async def write(
    database: Database, decisions: int, *, until: datetime, days: int = DAYS
) -> Experiment:
    """Make a running experiment, and its last days up to a moment; ten million decisions take some minutes.

    Args:
        decisions: at least 1, spread evenly.
    """
    started = until - timedelta(days=days)
    experiment = await _experiment(database, started)
    number, step = experiment.number, timedelta(days=days) / decisions
    folds = (decisions - 1) // _FOLD + 1
    ledger = PostgresLedger(database)
    for day in range(days + 1):
        await ledger.ensure_day((started + timedelta(days=day)).date())
    async with database.connection() as connection:
        await connection.execute("SET synchronous_commit = off")
        await connection.execute(_PREPARE)
        await connection.copy_records_to_table("offered", records=_offered())
        for first in range(0, decisions, _PIECE):
            await connection.execute(
                _DECISIONS,
                *(number, started, step, _FOLD, _PUBLICATION, _UNITS, experiment.config_no),
                *(first, min(first + _PIECE, decisions), _SETS),
            )
        for day in range(days):
            begins = started + timedelta(days=day)
            await connection.execute(_REWARDS, number, begins, begins + timedelta(days=1), folds)
        await connection.execute("ANALYZE decision, reward, credit")
        await connection.execute(_POSTERIOR, number)
        await connection.execute(_FOLDS, number, started, step * _FOLD, folds)
        await connection.execute("SELECT setval('batch_no', $1)", folds)
        # A worker that saw the folds before their publications and checkpoints would make both itself.
        async with connection.transaction():
            await connection.execute(_HEADS, number, folds)
            await connection.execute(
                _PUBLICATIONS,
                *(number, started, step * _FOLD * _PUBLICATION),
                *(_PUBLICATION, folds, experiment.config_no),
            )
            await _keep_checkpoints(connection, number, folds)
        await _serve(connection, number, started, until)
        await connection.execute("RESET synchronous_commit")
    await PostgresLatency(database).add_up(until)
    await PostgresStatistics(database).rebuild(number)
    return experiment


async def published(client: httpx.AsyncClient, path: str) -> None:
    """Return once a worker has published the experiment's posteriors; `path` is its address in the API.

    Raises PullarmError where that takes too long.
    """
    deadline = time.monotonic() + _PUBLISHED_WITHIN_S
    while not (await client.get(f"{path}/policies")).json()["posterior_version"]:
        if time.monotonic() > deadline:
            raise PullarmError("the history is not published; see the worker's log")
        await asyncio.sleep(0.5)


async def _experiment(database: Database, started: datetime) -> Experiment:
    store, at_ms = PostgresExperiments(database), int(started.timestamp() * 1000)
    spec = Spec(name="History", policies=tuple(PolicySpec(name=name) for name in _POLICIES))
    arms = tuple(Arm(arm_no=n, arm_id=f"arm-{n}") for n in range(1, ARMS + 1))
    new = NewExperiment(
        id="exp_history",
        key="history",
        spec=spec,
        salt=bytes(16),
        buckets=allocate(policy_weights(spec)),
        arms=arms,
    )
    draft = await store.create(new, at_ms)
    running = Revision(
        action="start",
        spec=spec,
        state=State.RUNNING,
        buckets=draft.buckets,
        allocation_epoch=draft.allocation_epoch,
        guard_epoch=draft.guard_epoch,
    )
    return await store.revise(draft, running, at_ms)


def _offered() -> list[tuple[int, list[int], bytes]]:
    """What decisions choose from."""
    random = Random(1)
    sets = (random.sample(range(1, ARMS + 1), CANDIDATES) for _ in range(_SETS))
    return [(number, arms, pack_arms(arms)) for number, arms in enumerate(sets)]


async def _keep_checkpoints(connection: Connection, number: int, folds: int) -> None:
    """As publishers do."""
    cells: defaultdict[int, list[bytes]] = defaultdict(list)
    for row in await connection.fetch(_CHECKPOINTS, number, _CHECKPOINT):
        if row["fold_no"] <= folds:
            packed = pack(CELL, row["acting"], row["arm"], int(row["n"]), int(row["s"]))
            cells[row["fold_no"]].append(packed)
    await connection.executemany(
        "INSERT INTO checkpoint (experiment_id, fold_no, cells) VALUES ($1, $2, $3)",
        [(number, fold_no, b"".join(packed)) for fold_no, packed in cells.items()],
    )


async def _serve(connection: Connection, number: int, started: datetime, until: datetime) -> None:
    """Every minute of every process, about as they are: some forty buckets of latencies."""
    sketch, random = LatencySketch(), Random(1)
    for _ in range(300):
        sketch.add(random.lognormvariate(1.0, 0.5))
    first, last = (int(moment.timestamp()) // 60 for moment in (started, until))
    await connection.execute(_MINUTES, number, first, last, _PROCESSES, 300, dict(sketch.counts))
