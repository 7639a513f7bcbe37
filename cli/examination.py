"""What `pullarm doctor` looks at, one check a function; what it means is judged in pullarm/domain/checkup.py."""

import asyncio
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from time import monotonic

import httpx

from cli.remote import control_url
from control import expectations
from control.settings import Settings as ControlSettings
from pullarm.client import Client
from pullarm.clock import clock_from, system_clock
from pullarm.domain.checkup import (
    judge_experiment,
    judge_serving,
    judge_stream,
    judge_tokens,
    judge_watermark,
)
from pullarm.domain.errors import ConfigurationError, PullarmError, Unavailable
from pullarm.domain.experiment import State
from pullarm.domain.finding import Finding, ok, problem, warning
from pullarm.domain.intake import watermark
from pullarm.domain.servers import judge_certificate, judge_clock, judge_postgres, judge_redis
from pullarm.environment import ARCHIVE, EXPOSE, NO_ARCHIVE, flag, host_and_port, optional, required
from pullarm.storage.postgres import Database, PostgresExperiments, PostgresLedger, PostgresTokens
from pullarm.storage.postgres import facts as postgres_facts
from pullarm.storage.postgres.guardrails import PostgresGuardrails
from pullarm.storage.postgres.retention import PostgresRetention
from pullarm.storage.postgres.times import at
from pullarm.storage.redis import connect, reach
from pullarm.storage.redis import facts as redis_facts
from pullarm.storage.redis.cluster import primaries
from pullarm.tls import Tls, Trust
from serving.settings import KEYS_FILE, REQUIRE_TOKENS, read_keys, replicas_wanted
from serving.settings import Settings as ServingSettings
from workers import retention
from workers.settings import Settings as WorkerSettings

CONNECTIONS = 8
"""Connections that ask serving whether it is ready: the kernel spreads them over the processes of one port."""
_TIMEOUT_S = 5.0
_OVER = (State.STOPPED, State.ARCHIVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The platform as its own environment tells of it."""

    environment: Mapping[str, str]
    control_url: str | None = None
    serving: str | None = None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """Believes the servers' certificate, under whatever name it is asked from here, and shows a client's own; None
        where they have none.
        """
        tls, trust = (
            Tls.from_environment(self.environment),
            Trust.from_environment(self.environment),
        )
        if tls is None:
            return None
        context = (trust or Trust()).context()
        context.load_verify_locations(tls.certificate)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.set_alpn_protocols(["h2", "http/1.1"])  # gRPC's servers want to be told
        return context

    @property
    def serving_address(self) -> str:
        return self.serving or optional(self.environment, "PULLARM_GRPC_ADDRESS", "127.0.0.1:50051")

    @property
    def control_address(self) -> str:
        """Where the control plane answers, as a URL."""
        return self.control_url or control_url(self.environment)

    @property
    def now(self) -> datetime:
        """By the platform's own clock."""
        return at(clock_from(optional(self.environment, "PULLARM_CLOCK", "system"))())

    def database(self) -> Database:
        return Database(required(self.environment, "DATABASE_URL"), max_connections=2)


Check = Callable[[Patient], AsyncIterator[Finding]]


async def examine(patient: Patient) -> list[Finding]:
    """Everything, in order; a check that cannot be made is a problem of its own."""
    found: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            async for finding in check(patient):
                found.append(finding)
        except PullarmError as error:
            found.append(problem(name, str(error), _MENDS[name]))
    return found


async def _settings(patient: Patient) -> AsyncIterator[Finding]:
    environment = patient.environment
    sound = True
    for read in (ServingSettings, ControlSettings, WorkerSettings):
        try:
            read.from_environment(environment)
        except ConfigurationError as error:
            sound = False
            yield problem("settings", str(error), "see docs/configuration.md")
    if sound:
        yield ok("settings", "serving, control and workers would start with them")
    if optional(environment, "PULLARM_CLOCK", "system") != "system":
        yield warning("settings", "the clock is a simulated one", "unset PULLARM_CLOCK")
    if flag(environment, EXPOSE):
        mend = "see that a proxy or a closed network does"
        yield warning("exposure", f"{EXPOSE}=1: something else protects the addresses", mend)
    if not WorkerSettings.from_environment(environment).alerts.channels:
        mend = "set PULLARM_ALERT_WEBHOOK or PULLARM_ALERT_SMTP for the workers"
        yield warning("alerts", "nobody is told of a rollback", mend)


async def _keys(patient: Patient) -> AsyncIterator[Finding]:
    ring = read_keys(patient.environment)
    yield ok("keys", f"{len(ring.keys)} for decision ids; key {ring.sign} signs")
    path = Path(optional(patient.environment, KEYS_FILE, ""))
    if _open_to_others(path):
        yield problem("keys", f"others can read {path}", f"chmod 600 {path}")


def _open_to_others(path: Path) -> bool:
    return path.is_file() and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


async def _postgresql(patient: Patient) -> AsyncIterator[Finding]:
    url = required(patient.environment, "DATABASE_URL")
    for finding in judge_postgres(await postgres_facts.look(url), patient.now):
        yield finding
    yield judge_clock("postgresql", await _skew_s(lambda: postgres_facts.clock_ms(url)))


async def _redis(patient: Patient) -> AsyncIterator[Finding]:
    url = required(patient.environment, "REDIS_URL")
    wanted = replicas_wanted(patient.environment)
    async with reach(url) as client:
        for name, redis in (await primaries(client)).items():
            check = f"redis {name}".rstrip()
            for finding in judge_redis(await redis_facts.look(redis), check, replicas=wanted):
                yield finding
            yield judge_clock(check, await _skew_s(partial(redis_facts.clock_ms, redis)))
        for finding in judge_stream(await redis_facts.look_at_stream(client)):
            yield finding


async def _queue(patient: Patient) -> AsyncIterator[Finding]:
    url = required(patient.environment, "REDIS_URL")
    async with connect(optional(patient.environment, "QUEUE_REDIS_URL", url)) as redis:
        if await redis_facts.cron_lives(redis):
            yield ok("cron", "arq runs: guardrails, verdicts and partitions come in time")
        else:
            mend = "see that a worker runs and reaches QUEUE_REDIS_URL"
            yield problem("cron", "no worker's arq was heard of for 20 s", mend)


async def _skew_s(ask: Callable[[], Awaitable[int]]) -> float:
    """How far a clock surely is from this machine's: beyond what the question's way explains; the best of three."""
    found = []
    for _ in range(3):
        started_ms, started = system_clock(), monotonic()
        told_ms = await ask()
        way_s = monotonic() - started
        found.append(max(0.0, abs(told_ms - started_ms - 500 * way_s) / 1_000 - way_s / 2))
    return min(found)


async def _serving(patient: Patient) -> AsyncIterator[Finding]:
    now_ms = round(patient.now.timestamp() * 1_000)
    async with patient.database() as database:
        lives = await PostgresLedger(database).intake()
    for finding in judge_serving(lives, now_ms):
        yield finding
    yield judge_watermark(lives, watermark(lives, now_ms), now_ms)
    address, tls = patient.serving_address, patient.tls
    if tls is not None:
        yield await certificate("serving", address, tls)
    trust = Trust.from_environment(patient.environment) if tls else None
    if tls is not None and trust is None:  # whom to believe, gRPC has to be told
        return
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Client(address, trust=trust, timeout_s=_TIMEOUT_S))
            for _ in range(CONNECTIONS)
        ]
        ready = sum(await asyncio.gather(*(client.ready() for client in clients)))
    if ready < CONNECTIONS:
        told = f"{CONNECTIONS - ready} of {CONNECTIONS} connections met a process that is not ready"
        yield problem("serving", told, "ask /readyz at its PULLARM_METRICS_ADDRESS why")
    else:
        yield ok("serving", f"ready at {address}")


async def _control(patient: Patient) -> AsyncIterator[Finding]:
    url, tls = patient.control_address, patient.tls
    trusted = tls or True
    try:
        async with httpx.AsyncClient(
            base_url=url, verify=trusted, trust_env=False, timeout=_TIMEOUT_S
        ) as http:
            ready, refused = await http.get("/readyz"), await http.get("/api/experiments")
    except httpx.HTTPError as error:
        raise Unavailable(
            f"{url} does not answer ({str(error) or type(error).__name__})"
        ) from error
    if ready.is_success:
        yield ok("control", f"ready at {url}")
    else:
        yield problem("control", f"not ready: {ready.text[:300]}", _MENDS["control"])
    if refused.status_code != HTTPStatus.UNAUTHORIZED:
        mend = "see what stands before it: it must not add credentials of its own"
        told = f"without a token it answers {refused.status_code} and not 401"
        yield problem("exposure", told, mend)
    if tls is not None:
        yield await certificate("control", url.partition("://")[2], tls)


async def certificate(check: str, address: str, tls: ssl.SSLContext) -> Finding:
    """Until when the one that a server shows is good; raises Unavailable where it shows none, or another one."""
    host, port = host_and_port(check, address)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=tls)
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"{address} does not speak TLS ({error})") from error
    told = writer.get_extra_info("peercert")["notAfter"]
    writer.close()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(told), UTC)
    return judge_certificate(check, ends, datetime.now(UTC))


async def _tokens(patient: Patient) -> AsyncIterator[Finding]:
    async with patient.database() as database:
        tokens = await PostgresTokens(database).all()
    required_here = flag(patient.environment, REQUIRE_TOKENS)
    for finding in judge_tokens(tokens, at(system_clock()), required=required_here):
        yield finding


async def _experiments(patient: Patient) -> AsyncIterator[Finding]:
    now, count = patient.now, 0
    async with patient.database() as database:
        store, guard = PostgresExperiments(database), PostgresGuardrails(database)
        for each in await store.all():
            if each.state in _OVER:
                continue
            count += 1
            experiment = await store.get(each.id)  # with its arms
            checks = await guard.latest(each.number)
            checked_at = max((check.checked_at for check in checks), default=None)
            ruled_out = expectations.warnings(experiment)
            for finding in judge_experiment(experiment, ruled_out, checked_at, now):
                yield finding
        days = WorkerSettings.from_environment(patient.environment).retention_days
        if days is not None:
            await retention.check(PostgresRetention(database), days)
            yield ok("retention", f"{days} days are kept")
    if not count:
        yield ok("experiments", "there is none that is not over")


async def _archive(patient: Patient) -> AsyncIterator[Finding]:
    where = optional(patient.environment, ARCHIVE, NO_ARCHIVE)
    if where != NO_ARCHIVE:
        from replay.archive import Archive  # and pyarrow, which takes longer than the other checks

        await asyncio.to_thread(Archive.at(where).check)
        yield ok("archive", "files of removed days can be written")


async def _spool(patient: Patient) -> AsyncIterator[Finding]:
    folder = Path(optional(patient.environment, "PULLARM_SPOOL", ".pullarm/spool"))
    if waiting := _spooled(folder):
        told = f"{len(waiting)} files wait in {folder}, {sum(waiting):,} bytes"
        yield warning(
            "spool", told, "they follow once Redis takes events; a serving process has to run"
        )
    else:
        yield ok("spool", f"nothing waits in {folder}")


def _spooled(folder: Path) -> list[int]:
    """How many bytes each file there has."""
    return [path.stat().st_size for path in folder.glob("*.spool")]


CHECKS: Mapping[str, Check] = {
    "settings": _settings,
    "keys": _keys,
    "postgresql": _postgresql,
    "redis": _redis,
    "cron": _queue,
    "serving": _serving,
    "spool": _spool,
    "control": _control,
    "tokens": _tokens,
    "experiments": _experiments,
    "archive": _archive,
}
_MENDS = {
    "settings": "see docs/configuration.md",
    "keys": "name the file that serving signs with: PULLARM_DECISION_KEYS_FILE",
    "postgresql": "start it, or mend DATABASE_URL",
    "redis": "start it, or mend REDIS_URL",
    "cron": "start it, or mend QUEUE_REDIS_URL",
    "serving": "start `pullarm serve`, or name its address with --serving",
    "spool": "see PULLARM_SPOOL",
    "control": "start `pullarm control`, or name its address with --control-url",
    "tokens": "see PostgreSQL above",
    "experiments": "see PostgreSQL above",
    "archive": "see PULLARM_ARCHIVE: the workers have to be able to write there",
}
"""What to do where a check cannot even be made."""
