"""What `pullarm doctor` makes of what it finds."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pullarm.domain.access import Principal, Role, Token
from pullarm.domain.checkup import (
    StreamFacts,
    judge_experiment,
    judge_serving,
    judge_stream,
    judge_tokens,
    judge_watermark,
)
from pullarm.domain.experiment import State
from pullarm.domain.finding import Finding, Standing
from pullarm.domain.guardrail import Action, Guardrail, Guardrails
from pullarm.domain.intake import Intake, watermark
from pullarm.domain.servers import (
    PostgresFacts,
    RedisFacts,
    judge_certificate,
    judge_clock,
    judge_postgres,
    judge_redis,
)
from tests.builders import experiment

NOW = datetime(2026, 3, 11, 9, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1_000)
GIB = 1 << 30
POSTGRES = PostgresFacts(
    version=140_002,
    lacking=(),
    read_only=False,
    durable=True,
    connections=20,
    max_connections=100,
    oldest_transaction_s=3.0,
    size_bytes=5 * GIB,
    free_bytes=60 * GIB,
    day_bytes=GIB,
    quarantined=0,
    backup_at=NOW - timedelta(hours=5),
    archived_at=None,
    replicas=0,
)
REDIS = RedisFacts(
    name="Valkey",
    version="9.1.2",
    compatible=(7, 2),
    replica=False,
    replicas=0,
    policy="noeviction",
    max_bytes=GIB,
    used_bytes=GIB // 2,
    appends=True,
    syncs="everysec",
    complaint="",
    evicted=0,
)
LIFE = Intake(
    process="serving-0", numbered=9, gaps=(), until_ms=NOW_MS - 1_000, heard_ms=NOW_MS - 2_000
)


def told(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """(check, standing) of all that is not well; each says what to mend."""
    amiss = [each for each in findings if each.standing is not Standing.OK]
    assert all(each.mend for each in amiss)
    return [(each.check, each.standing.value) for each in amiss]


def test_a_sound_platform_has_nothing_to_mend() -> None:
    found = [
        *judge_postgres(POSTGRES, NOW),
        *judge_redis(REDIS),
        *judge_stream(StreamFacts(entries=3, used_bytes=9_000, consumers=2, beats=True)),
        *judge_serving([LIFE], NOW_MS),
        judge_watermark([LIFE], watermark([LIFE], NOW_MS), NOW_MS),
        *judge_tokens([token()], NOW, required=True),
        *judge_experiment(experiment(), (), NOW, NOW),
        judge_clock("redis", 0.1),
        judge_certificate("serving", NOW + timedelta(days=90), NOW),
    ]
    assert told(found) == []
    assert len(found) > 12


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (replace(POSTGRES, version=130_009), ("postgresql", "problem")),
        (replace(POSTGRES, lacking=["0009_refused_rewards"]), ("migrations", "problem")),
        (replace(POSTGRES, read_only=True), ("postgresql", "problem")),
        (replace(POSTGRES, durable=False), ("postgresql", "problem")),
        (replace(POSTGRES, connections=80), ("postgresql", "warning")),
        (replace(POSTGRES, oldest_transaction_s=601.0), ("postgresql", "warning")),
        (replace(POSTGRES, free_bytes=13 * GIB), ("disk", "warning")),
        (replace(POSTGRES, free_bytes=GIB + GIB // 2), ("disk", "problem")),
        (replace(POSTGRES, free_bytes=GIB - 1, day_bytes=0), ("disk", "problem")),
        (replace(POSTGRES, quarantined=1), ("quarantine", "warning")),
        (replace(POSTGRES, backup_at=None), ("backup", "warning")),
        (replace(POSTGRES, backup_at=NOW - timedelta(hours=25)), ("backup", "warning")),
    ],
)
def test_what_is_wrong_with_postgresql(facts: PostgresFacts, expected: tuple[str, str]) -> None:
    assert told(judge_postgres(facts, NOW)) == [expected]


def test_what_cannot_be_seen_is_not_judged() -> None:
    archived = replace(POSTGRES, backup_at=None, archived_at=NOW, free_bytes=None)
    assert told(judge_postgres(archived, NOW)) == []


@pytest.mark.parametrize(
    ("facts", "standing"),
    [
        (replace(REDIS, compatible=(6, 0)), "problem"),
        (replace(REDIS, replica=True), "problem"),
        (replace(REDIS, policy="allkeys-lru"), "problem"),
        (replace(REDIS, evicted=1), "problem"),
        (replace(REDIS, max_bytes=0), "warning"),
        (replace(REDIS, used_bytes=GIB * 9 // 10), "problem"),
        (replace(REDIS, appends=False), "problem"),
        (replace(REDIS, syncs="no"), "warning"),
        (replace(REDIS, complaint="aof_last_write_status is err"), "problem"),
    ],
)
def test_what_is_wrong_with_redis(facts: RedisFacts, standing: str) -> None:
    assert told(judge_redis(facts, "queue")) == [("queue", standing)]


def test_a_primary_without_its_replica_is_given_no_events() -> None:
    assert told(judge_redis(REDIS, replicas=1)) == [("redis", "problem")]
    assert told(judge_redis(replace(REDIS, replicas=1), replicas=1)) == []


def test_clocks_and_certificates() -> None:
    skews = [judge_clock("redis", skew_s).standing.value for skew_s in (0.5, 0.6, 30.5)]
    assert skews == ["ok", "warning", "problem"]
    ends = judge_certificate("serving", NOW + timedelta(days=20), NOW)
    assert ends.standing is Standing.WARNING


def test_who_folds_and_publishes() -> None:
    nobody = StreamFacts(entries=9, used_bytes=65 << 20, consumers=0, beats=False)
    expected = [("workers", "problem"), ("workers", "problem"), ("stream", "warning")]
    assert told(judge_stream(nobody)) == expected


def test_serving_processes_are_heard_of() -> None:
    ended, silent = replace(LIFE, ended_ms=NOW_MS), replace(LIFE, heard_ms=NOW_MS - 20_001)
    assert told(judge_serving([ended, silent], NOW_MS)) == [("serving", "problem")]
    assert told(judge_serving([replace(LIFE, lost=3)], NOW_MS)) == [("serving", "warning")]


@pytest.mark.parametrize(
    ("behind_s", "standing"), [(60, None), (130, "warning"), (1_000, "problem")]
)
def test_a_ledger_that_is_not_complete(behind_s: int, standing: str | None) -> None:
    lives = [replace(LIFE, until_ms=NOW_MS - 1_000 * behind_s, gaps=((2, 4),))]
    finding = judge_watermark(lives, watermark(lives, NOW_MS), NOW_MS)
    assert told([finding]) == ([("watermark", standing)] if standing else [])
    if standing:
        assert "serving-0 holds it back, 2 events have not come" in finding.found


def test_before_the_first_answer_there_is_nothing_to_wait_for() -> None:
    assert told([judge_watermark([], watermark([], NOW_MS), NOW_MS)]) == []
    silent = [replace(LIFE, until_ms=None)]
    assert told([judge_watermark(silent, watermark(silent, NOW_MS), NOW_MS)]) == [
        ("watermark", "warning")
    ]


def token(role: Role = Role.CALLER, expires_at: datetime | None = None) -> Token:
    return Token(
        principal=Principal(token_id="tok_1", name="shop", role=role),
        created_at=NOW - timedelta(days=30),
        created_by="ann",
        expires_at=expires_at,
    )


def test_tokens() -> None:
    admin = token(Role.ADMIN)
    assert told(judge_tokens([admin], NOW, required=False)) == []
    assert told(judge_tokens([admin], NOW, required=True)) == [("tokens", "problem")]
    dead = token(expires_at=NOW)
    assert told(judge_tokens([admin, dead], NOW, required=True)) == [("tokens", "problem")]
    soon = token(expires_at=NOW + timedelta(days=6))
    assert told(judge_tokens([soon], NOW, required=True)) == [("tokens", "warning")]


HARMLESS: dict[str, Any] = {name: replace(each, action=Action.WARN) for name, each in Guardrails()}
OFF = Guardrail(0.005, 0.01, Action.OFF)


@pytest.mark.parametrize(
    ("guardrails", "warnings"),
    [
        (Guardrails(error_rate=OFF), 1),
        (Guardrails(error_rate=Guardrail(0.02, 0.03, Action.CRITICAL)), 1),
        (replace(Guardrails(), **HARMLESS), 1),
    ],
)
def test_thresholds_that_protect_nobody(guardrails: Guardrails, warnings: int) -> None:
    one = experiment()
    loose = replace(one, spec=replace(one.spec, guardrails=guardrails))
    found = told(judge_experiment(loose, (), NOW, NOW))
    assert found == [(f"experiment {one.key}", "warning")] * warnings


def test_an_experiment_that_nobody_guards() -> None:
    one = replace(experiment(), updated_at=NOW - timedelta(hours=1))
    name = f"experiment {one.key}"
    late = NOW - timedelta(minutes=16)
    assert told(judge_experiment(one, (), None, NOW)) == [(name, "problem")]
    assert told(judge_experiment(one, (), late, NOW)) == [(name, "problem")]
    assert told(judge_experiment(one, ["no arms"], NOW, NOW)) == [(name, "warning")]
    draft = replace(one, state=State.DRAFT)
    assert told(judge_experiment(draft, (), None, NOW)) == []
    rolled_back = replace(one, state=State.ROLLED_BACK)
    assert told(judge_experiment(rolled_back, (), late, NOW)) == [(name, "warning")]
