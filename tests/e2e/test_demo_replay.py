"""What a seeded demo logged, evaluated: each policy as it had learned at every moment, on the rows of the others."""

import json
from math import sqrt
from pathlib import Path

import asyncpg
import pytest

from cli.embedded import Wanted, embedded_services
from cli.replay.target import LEARNED, target
from replay.evaluation import Evaluation, Settings, evaluate
from replay.gates import Gates
from replay.log import BanditLog
from replay.log_table import open_log
from replay.targets import SIMPLE, Target
from tests.e2e.commands import pullarm

pytestmark = pytest.mark.timeout(300)

DECISIONS = 8_000
ANY_PORTS = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
# So short a log is worth about a hundred rows under the weights: too few for the gates, and for a normal tail. With
# Student's t of 50 degrees of freedom, 7 errors are passed once in 10^8, four times a run.
BELOW_THE_GATES = Gates(
    least_propensity=0.0,
    mean_weight_errors=1e9,
    effective_rounds=0.0,
    effective_share=0.0,
    most_of_one=1.0,
    calibration_p=0.0,
)
ERRORS = 7.0


def found(log: BanditLog, policy: Target, *logged_by: str) -> Evaluation:
    settings = Settings(draws=10, gates=BELOW_THE_GATES)
    return evaluate(log, policy, logged_by=logged_by, settings=settings, done=lambda _: None)


def estimate(of: Evaluation, name: str) -> tuple[float, float]:
    """The value and its standard error, clustered by user."""
    found = of.report().estimates[name]
    return found.value, (found.normal.upper - found.normal.lower) / (2 * 1.959964)


async def made(state: Path, folder: Path, movielens: Path) -> None:
    """A demo's log in `folder`, and what each of its policies had learned as folder/POLICY.json."""
    asked = ("--decisions", str(DECISIONS), "--seed", "3", "--movielens", str(movielens))
    ended = await pullarm(
        "demo", "--exit", *asked, "--state", str(state), *ANY_PORTS, timeout_s=200
    )
    assert ended.status == 0, ended.errors
    async with embedded_services(state, Wanted(valkey=False), print) as addresses:
        dsn = addresses["DATABASE_URL"]
        connection = await asyncpg.connect(dsn)
        key = await connection.fetchval("SELECT key FROM experiment")
        await connection.close()
        exported = folder / "exported.parquet"
        steps = [
            ("export", key, "--out", str(exported)),
            ("replay", "load", "--log", str(exported), "--out", str(folder)),
            *(
                (
                    "replay",
                    "posteriors",
                    key,
                    "--log",
                    str(folder),
                    "--policy",
                    policy,
                    "--out",
                    out,
                )
                for policy, out in ((each, str(folder / f"{each}.json")) for each in LEARNED)
            ),
        ]
        for step in steps:
            ended = await pullarm(*step, given={"DATABASE_URL": dsn}, timeout_s=100)
            assert ended.status == 0, ended.errors


async def test_every_policy_is_estimated_from_the_others_rows_and_weighs_one_on_its_own(
    state_folder: Path, movielens_dir: Path, tmp_path: Path
) -> None:
    await made(state_folder, tmp_path, movielens_dir)
    log = open_log(tmp_path)
    for policy in (*LEARNED, "control"):
        itself = found(log, SIMPLE["logged"](), policy)
        assert itself.findings().max_weight == itself.findings().mean_weight == 1.0
        online, online_error = estimate(itself, "ips")
        posterior = tmp_path / f"{policy}.json" if policy in LEARNED else None
        learned = target(log.head, policy, [], posterior)
        # Thompson's weights are sums in the order of arms, which is another one in the ledger.
        own = found(log, learned, policy).findings()
        assert own.max_weight == pytest.approx(1.0, abs=1e-6 if policy == "thompson" else 0.0)
        others = found(log, learned, *LEARNED)
        assert others.findings().effective_rounds > 20
        for estimator in ("snips", "dr"):
            value, error = estimate(others, estimator)
            assert abs(value - online) < ERRORS * sqrt(error**2 + online_error**2), policy
    ended = await pullarm("replay", "evaluate", str(tmp_path), "--policy", "logged", "--json")
    assert ended.status == 0, ended.output
    told = json.loads(ended.output)["findings"]
    assert told["max_weight"] == told["mean_weight"] == 1.0
