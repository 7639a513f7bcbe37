"""`pullarm demo` from an empty folder to its account."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cli.embedded import Wanted, embedded_services
from replay import synthetic, visits
from replay.traffic import OfferedRate, Traffic
from tests.e2e.commands import Ended, pullarm

pytestmark = pytest.mark.timeout(240)

DECISIONS = 600
SEED = 3
ANY_PORTS = ("--grpc-port", "0", "--http-port", "0")


async def demo(state: Path, *options: str, decisions: int = DECISIONS) -> Ended:
    """A demo that ends by itself."""
    common = ("--exit", "--seed", str(SEED), "--decisions", str(decisions), "--state", str(state))
    return await pullarm("demo", *common, *ANY_PORTS, *options, timeout_s=200)


def checked(ended: Ended, traffic: Traffic, decisions: int = DECISIONS) -> dict[str, Any]:
    """The account of a demo, with all checked that holds of every one."""
    assert ended.status == 0, ended.errors
    (line,) = ended.output.splitlines()
    account: dict[str, Any] = json.loads(line)
    assert list(account) == ["decisions", "rewards", "lost", "verify", "policies", "select_ms"]
    assert (account["decisions"], account["lost"], account["verify"]) == (decisions, 0, "clean")
    policies = account["policies"]
    assert set(policies) == {"thompson", "egreedy", "ucb", "control"}
    for policy in policies.values():
        assert list(policy) == ["users", "serves", "rewards", "rate"]
        assert 0 < policy["users"] <= policy["serves"]
        assert policy["rate"] == pytest.approx(policy["rewards"] / policy["serves"])
    assert sum(policy["serves"] for policy in policies.values()) == decisions
    assert sum(policy["rewards"] for policy in policies.values()) == account["rewards"] > 0
    milliseconds = account["select_ms"]
    assert list(milliseconds) == ["p50", "p95", "p99"]
    assert 0 < milliseconds["p50"] <= milliseconds["p95"] <= milliseconds["p99"]
    # The same seed is the same traffic, here and there.
    assert f"would earn {offered(traffic, decisions):.4f}" in ended.errors
    assert traffic.label[:40] in ended.errors
    return account


def offered(traffic: Traffic, decisions: int) -> float:
    """What a random choice among the candidates of the first visits earns a visit."""
    rate = OfferedRate()
    for visit in islice(traffic.visits(), decisions):
        rate = rate.add(visit)
    return rate.get() or 0.0


async def test_demo_accounts_for_every_decision_and_shows_the_rest_on_standard_error(
    state_folder: Path,
) -> None:
    ended = await demo(state_folder)
    checked(ended, synthetic.Visits(seed=SEED))
    assert re.search(r"control +http://127\.0\.0\.1:\d+", ended.errors)
    assert "SYNTHETIC" in ended.errors
    assert not (state_folder / "environment").exists(), "nothing runs any more"


async def test_thompson_earns_more_than_chance_on_movielens(
    state_folder: Path, movielens_dir: Path
) -> None:
    # A quarter of these reach thompson. On ml-1m it then stands four to five of its standard errors above the offered
    # mean, on the miniature more, so that falling below it at all is no matter of luck.
    decisions = 6_000
    ended = await demo(state_folder, "--movielens", str(movielens_dir), decisions=decisions)
    traffic = visits.from_folder(movielens_dir, seed=SEED)
    account = checked(ended, traffic, decisions)
    assert account["policies"]["thompson"]["rate"] > offered(traffic, decisions)


async def test_history_is_spread_over_the_days_it_is_dated_to(state_folder: Path) -> None:
    days = 14
    ended = await demo(state_folder, "--days", str(days))
    account = checked(ended, synthetic.Visits(seed=SEED))
    now = datetime.now(UTC)
    async with stored(state_folder) as ledger:
        per_day = await ledger.fetch(
            "SELECT tableoid::regclass::text AS partition, count(*) AS decisions, "
            "       min(decided_at) AS first, max(decided_at) AS last "
            "FROM decision WHERE acting > 0 GROUP BY 1 ORDER BY 1"
        )
        waited = await ledger.fetch(
            "SELECT r.status, r.received_at - d.decided_at AS delay FROM reward r JOIN decision d USING (uid)"
        )
    assert len(per_day) in {days, days + 1}
    whole_days = [row["decisions"] for row in per_day[1:-1]]
    assert all(abs(count - DECISIONS / days) < DECISIONS / days / 4 for count in whole_days)
    for row in per_day:
        assert row["partition"] == row["first"].strftime("decision_%Y%m%d")
        assert row["first"].date() == row["last"].date()
    span = per_day[-1]["last"] - per_day[0]["first"]
    assert timedelta(days=days - 1) < span < timedelta(days=days)
    assert now - timedelta(days=days, hours=1) < per_day[0]["first"]
    assert len(waited) == account["rewards"]
    assert {row["status"] for row in waited} == {1}
    assert max(row["delay"] for row in waited) > timedelta(minutes=20)


@asynccontextmanager
async def stored(folder: Path) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The ledger that a platform has left in its folder."""
    async with embedded_services(folder, Wanted(valkey=False), print) as addresses:
        connection = await asyncpg.connect(addresses["DATABASE_URL"])
        try:
            yield connection
        finally:
            await connection.close()
