"""What has to be right of PostgreSQL, Redis, clocks and certificates, judged from what they say of themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pullarm.domain.finding import Finding, in_bytes, ok, problem, warning

OLDEST_POSTGRES = 140_000
OLDEST_REDIS = (6, 2)
_LEAST_FREE = 1024 * 1024 * 1024
_FEW_DAYS, _TOO_FEW_DAYS = 14, 2
_LATE_SKEW_S, _WRONG_SKEW_S = 0.5, 30.0
"""Versions are taken up half a second after a change, and clocks may be a minute apart in all."""
_BACKUP_DAYS = 1
_CERTIFICATE_SOON = timedelta(days=21)
_LONG_TRANSACTION_S = 600.0
_ALMOST = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresFacts:
    """What a PostgreSQL says of itself."""

    version: int
    """As server_version_num: 140002 is 14.2."""
    lacking: Sequence[str]
    """Migrations of this version that were not applied."""
    read_only: bool
    durable: bool
    """fsync and synchronous_commit are on."""
    connections: int
    max_connections: int
    oldest_transaction_s: float
    size_bytes: int
    free_bytes: int | None
    """On its disk, where that can be seen from here."""
    day_bytes: int
    """The largest day of decisions; 0 where there is none."""
    quarantined: int
    """Entries that no fold could take."""
    backup_at: datetime | None
    """When `pullarm backup` last wrote one."""
    archived_at: datetime | None
    """When the server last archived its log."""
    replicas: int


def judge_postgres(facts: PostgresFacts, now: datetime) -> Iterator[Finding]:
    """All that the ledger's server says; `now` is aware."""
    yield _postgres_version(facts)
    if facts.read_only:
        yield problem(
            "postgresql", "it is a standby, read-only", "point DATABASE_URL to the primary"
        )
    if not facts.durable:
        yield problem(
            "postgresql",
            "fsync or synchronous_commit is off: what is folded may be lost with the machine",
            "set both to on",
        )
    yield _migrations(facts)
    if facts.connections >= _ALMOST * facts.max_connections:
        yield warning(
            "postgresql",
            f"{facts.connections} of {facts.max_connections} connections are taken",
            "raise max_connections, or put a pool between (each control and worker takes up to 8)",
        )
    if facts.oldest_transaction_s > _LONG_TRANSACTION_S:
        yield warning(
            "postgresql",
            f"a transaction has been open for {facts.oldest_transaction_s / 60:.0f} min: folding gets slower",
            "find it in pg_stat_activity and end it",
        )
    yield _disk(facts)
    if facts.quarantined:
        yield warning(
            "quarantine",
            f"{facts.quarantined} stream entries could not be folded and were set aside",
            "read why in the table quarantine; a newer serving than worker is the usual cause",
        )
    yield _backup(facts, now)


def _postgres_version(facts: PostgresFacts) -> Finding:
    told = f"PostgreSQL {facts.version // 10_000}.{facts.version % 10_000}"
    if facts.version < OLDEST_POSTGRES:
        return problem("postgresql", told, "use PostgreSQL 14 or newer")
    return ok("postgresql", told)


def _migrations(facts: PostgresFacts) -> Finding:
    if facts.lacking:
        told = f"the database lacks {', '.join(facts.lacking)}"
        return problem("migrations", told, "run `pullarm migrate`; `pullarm up` does it by itself")
    return ok("migrations", "all are applied")


def _disk(facts: PostgresFacts) -> Finding:
    size = f"the database has {in_bytes(facts.size_bytes)}"
    if facts.free_bytes is None:
        return ok("disk", f"{size}; how much is free cannot be seen from here")
    days = facts.free_bytes / facts.day_bytes if facts.day_bytes else None
    told = f"{size}, {in_bytes(facts.free_bytes)} are free"
    if days is not None:
        told += f", {min(days, 9_999):,.0f} days like the largest so far"
    mend = "give it more room, or have PULLARM_RETENTION_DAYS remove old days"
    if facts.free_bytes < _LEAST_FREE or (days is not None and days < _TOO_FEW_DAYS):
        return problem("disk", told, mend)
    if days is not None and days < _FEW_DAYS:
        return warning("disk", told, mend)
    return ok("disk", told)


def _backup(facts: PostgresFacts, now: datetime) -> Finding:
    signs = {
        "the last `pullarm backup`": facts.backup_at,
        "the last archived log": facts.archived_at,
    }
    made = {name: at for name, at in signs.items() if at is not None}
    if not made:
        told = "no backup is known" + (" (there is a replica)" if facts.replicas else "")
        return warning(
            "backup", told, "run `pullarm backup FILE` daily, and keep the decision keys"
        )
    name, at = max(made.items(), key=lambda item: item[1])
    age = now - at
    told = f"{name} was {age.total_seconds() / 3_600:,.1f} hours ago"
    if age > timedelta(days=_BACKUP_DAYS):
        return warning("backup", told, "run `pullarm backup FILE`, daily")
    return ok("backup", told)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """What a Redis-compatible server says of itself."""

    name: str
    """Redis or Valkey."""
    version: str
    """Its own."""
    compatible: tuple[int, ...]
    """The version of Redis that it stands for."""
    replica: bool
    replicas: int
    """That follow it."""
    policy: str
    """What it does where its memory is full."""
    max_bytes: int
    """0: no limit."""
    used_bytes: int
    appends: bool
    """Whether it writes an append-only file."""
    syncs: str
    """appendfsync; empty where it does not say."""
    complaint: str
    """What it last failed to write; empty where nothing."""
    evicted: int


def judge_redis(facts: RedisFacts, check: str = "redis", *, replicas: int = 0) -> Iterator[Finding]:
    """Whether it keeps what is acknowledged."""
    told = f"{facts.name} {facts.version}"
    if facts.compatible < OLDEST_REDIS:
        yield problem(check, told, "use Redis 6.2 or newer, or Valkey")
    else:
        yield ok(check, told)
    if facts.replica:
        yield problem(check, "it is a replica, read-only", "point the URL to the master")
    if facts.replicas < replicas:
        yield problem(
            check,
            f"{facts.replicas} replicas follow it, and PULLARM_REPLICAS is {replicas}: it is given no events",
            "start its replica; PULLARM_REPLICAS=0 does without, and what it alone has is lost with it",
        )
    if facts.policy != "noeviction" or facts.evicted:
        told = f"maxmemory-policy is {facts.policy}, {facts.evicted} keys were evicted"
        yield problem(
            check,
            f"{told}: a full server would drop events that were acknowledged",
            "set maxmemory-policy to noeviction",
        )
    yield _memory(facts, check)
    yield _persistence(facts, check)


def _memory(facts: RedisFacts, check: str) -> Finding:
    used = in_bytes(facts.used_bytes)
    if not facts.max_bytes:
        return warning(
            check,
            f"{used} used, and no maxmemory: the system kills it where memory runs out",
            "set maxmemory to what the machine can spare",
        )
    told = f"{used} of {in_bytes(facts.max_bytes)} used"
    if facts.used_bytes > _ALMOST * facts.max_bytes:
        return problem(check, told, "raise maxmemory; see whether the workers keep up")
    return ok(check, told)


def _persistence(facts: RedisFacts, check: str) -> Finding:
    if facts.complaint:
        return problem(check, f"it cannot write: {facts.complaint}", "look at its disk and its log")
    if not facts.appends:
        return problem(
            check,
            "appendonly is no: events that were acknowledged and not folded are lost when it restarts",
            "set appendonly to yes",
        )
    if facts.syncs == "no":
        return warning(
            check,
            "appendfsync is no: half a minute of events may be lost with the machine",
            "set appendfsync to everysec, or to always",
        )
    lost = "nothing" if facts.syncs == "always" else "a second of events"
    return ok(check, f"append-only file; {lost} may be lost with the machine")


def judge_clock(check: str, skew_s: float) -> Finding:
    """How far a server's clock is from this machine's, either way, in seconds."""
    told = f"its clock is {skew_s:.2f} s from this machine's"
    if skew_s > _WRONG_SKEW_S:
        return problem(check, told, "let NTP or chrony set the clocks: rewards would be refused")
    if skew_s > _LATE_SKEW_S:
        mend = "let NTP or chrony set the clocks: servers take up changes at different times"
        return warning(check, told, mend)
    return ok(check, told)


def judge_certificate(check: str, ends: datetime, now: datetime) -> Finding:
    """A certificate that is good until `ends`."""
    told = f"its certificate is good until {ends:%Y-%m-%d}"
    if ends - now < _CERTIFICATE_SOON:
        return warning(check, told, "renew it")
    return ok(check, told)
