"""What each part may do with the database, statement by statement, and what it may not."""

from collections.abc import AsyncIterator
from importlib.resources import files

import asyncpg
import pytest

from pullarm.domain.errors import ConfigurationError, Unavailable
from pullarm.storage.postgres import Database, PostgresLedger, migrate
from pullarm.storage.postgres.database import queries
from pullarm.storage.postgres.roles import ANALYTICS, CONTROL, ROLES, WORKERS, make_roles
from tests.ledger_events import START_MS
from tests.services import execute

OWNERS = {"repair", "restore"}
"""Files of statements that only the owner of the tables runs, on somebody's command."""
ONE_SIDED = {
    WORKERS: {
        *("erasure note", "experiments create"),
        *("groups create", "groups lock", "groups share", "groups hold_out"),
        *("tokens create", "tokens lock", "tokens revoke", "tokens forget_sessions"),
        *("tokens open_session", "tokens by_session", "tokens close_session"),
    },
    CONTROL: {
        *("archive keep", "archive forget", "archive erased"),
        *("alerts hand_out", "alerts due", "alerts delivered", "alerts failed"),
        *("arm_rates set_sums", "arm_rates add_day", "arm_rates set_head", "arm_rates forget"),
        *("guard_counters forget", "rollups forget", "history add_checkpoint", "latency add_up"),
        *("guardrails last_hour", "guardrails add_hours", "guardrails add_checks"),
        *("guardrails forget", "verdicts ran"),
        *("intake add", "intake give_up", "intake dismiss", "intake prune"),
        *("ledger ensure_day", "ledger void", "ledger recompute_credits", "ledger quarantine"),
        *("ledger add_to_posterior", "ledger store_minute", "ledger drop_hours"),
        *("ledger lock_heads", "ledger advance_heads"),
        *("publications add_grid", "publications add", "publications add_checkpoint"),
        *("retention seal", "retention open_tallies", "retention horizon", "retention removed"),
        *("retention remove", "retention prune_folds", "retention prune_publications"),
        *("retention prune_grids", "retention prune_weightings", "retention prune_checkpoints"),
        *("retention prune_minutes", "retention prune_quarantine"),
        *("weightings add", "weightings extend", "weightings add_checkpoint"),
    },
}
"""The statements of the other part, which are refused; whoever writes a new one says here whose it is."""
_STRANGER = "test_stranger"
NOBODY_MAY = (
    "CREATE TABLE mine (a integer)",
    "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "DROP TABLE posterior",
    "ALTER TABLE decision DROP COLUMN unit",
    "TRUNCATE reward",
    "DROP TRIGGER append_only ON audit",
    "UPDATE audit SET actor = ''",
    "DELETE FROM audit",
    "DELETE FROM decision",
    "DELETE FROM reward",
    "DELETE FROM token",
    "UPDATE migration SET name = ''",
    "INSERT INTO exclusion DEFAULT VALUES",
    "CREATE ROLE mine",
    f"GRANT {WORKERS} TO {CONTROL}",
)
MAY_NOT = {
    WORKERS: (
        "SELECT * FROM session",
        "UPDATE token SET role = 'admin'",
        "INSERT INTO token DEFAULT VALUES",
        "INSERT INTO experiment DEFAULT VALUES",
        "UPDATE experiment_group SET holdout = 0",
        "UPDATE sealed_day SET sealed_at = now()",
    ),
    CONTROL: (
        "UPDATE decision SET arms = '{}'",
        "UPDATE decision SET voided = true",
        "INSERT INTO decision DEFAULT VALUES",
        "UPDATE reward SET value = 1",
        "UPDATE posterior SET s = n",
        "UPDATE fold_head SET fold_no = 0",
        "UPDATE verdict SET final = true",
        "UPDATE publication SET fold_no = 0",
        "SELECT ensure_day(DATE '2026-01-05')",
        "SELECT seal_day(DATE '2026-01-05', now())",
        "SELECT remove_day(DATE '2026-01-05', '1 s')",
    ),
    ANALYTICS: (
        "SELECT * FROM token",
        "SELECT * FROM session",
        "SELECT * FROM erased_unit",
        "SELECT * FROM archive_erasure",
        "INSERT INTO audit DEFAULT VALUES",
        "UPDATE experiment SET key = ''",
        "SELECT ensure_day(DATE '2026-01-05')",
    ),
}
MAY = {
    WORKERS: (
        "SELECT ensure_day(DATE '2026-01-05')",
        "SELECT digest FROM token",
        "UPDATE posterior SET s = s",
    ),
    CONTROL: ("SELECT * FROM session", "SELECT * FROM decision", "UPDATE decision SET unit = unit"),
    ANALYTICS: (
        "SELECT * FROM decision",
        "SELECT * FROM due_credit",
        "SELECT * FROM due_posterior(1)",
        "CREATE TEMP TABLE mine AS SELECT * FROM reward",
    ),
}


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Of the owner, in a database with roles; the other tests of this server may have made them before."""
    await make_roles(database_url)
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def attempt(
    connection: "asyncpg.Connection[asyncpg.Record]", role: str, statement: str
) -> None:
    """Run it as somebody with this role, and take it back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"SET LOCAL ROLE {role}")
        await connection.execute(statement)
    finally:
        await transaction.rollback()


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_do_its_work_and_no_more(
    connection: "asyncpg.Connection[asyncpg.Record]", role: str
) -> None:
    for statement in MAY[role]:
        await attempt(connection, role, statement)
    allowed = []
    for statement in (*NOBODY_MAY, *MAY_NOT[role]):
        try:
            await attempt(connection, role, statement)
        except asyncpg.InsufficientPrivilegeError:
            continue
        except asyncpg.PostgresError as error:
            allowed.append(f"{statement}: {error}")
        else:
            allowed.append(statement)
    assert allowed == []


@pytest.mark.parametrize("role", [WORKERS, CONTROL])
async def test_every_statement_is_allowed_to_whose_it_is_and_to_nobody_else(
    connection: "asyncpg.Connection[asyncpg.Record]", role: str
) -> None:
    refused, planned = set(), 0
    for name in sorted(
        each.name for each in files("pullarm.storage.postgres").joinpath("sql").iterdir()
    ):
        file = name.removesuffix(".sql")
        for block, statement in queries(file).items():
            try:
                # Planning checks what running would need.
                await attempt(connection, role, f"EXPLAIN (GENERIC_PLAN) {statement}")
                planned += 1
            except asyncpg.InsufficientPrivilegeError:
                refused |= {f"{file} {block}"} if file not in OWNERS else set()
            except (asyncpg.PostgresSyntaxError, asyncpg.UndefinedTableError):
                pass  # a template, several statements, or about temporary tables
    assert planned > 100
    assert refused == ONE_SIDED[role]


async def test_days_that_workers_make_are_the_owners(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    owner = await connection.fetchval("SELECT current_user")
    await connection.execute(f"SET ROLE {WORKERS}")
    await connection.execute("SELECT ensure_day(DATE '2026-01-05')")
    day = "SELECT tableowner FROM pg_tables WHERE tablename = 'decision_20260105'"
    assert await connection.fetchval(day) == owner
    await connection.execute("SELECT seal_day(DATE '2026-01-05', now())")
    await connection.execute("SELECT remove_day(DATE '2026-01-05', '1 s')")
    assert await connection.fetchval(day) is None


async def test_what_is_new_to_a_version_is_granted_when_it_is_migrated(database_url: str) -> None:
    await make_roles(database_url)
    await execute(
        database_url,
        "CREATE TABLE later (a integer)",
        "CREATE OR REPLACE FUNCTION ensure_day(day date) RETURNS void LANGUAGE sql AS ''",
    )
    assert await migrate(database_url) == []
    connection = await asyncpg.connect(database_url)
    try:
        await attempt(connection, ANALYTICS, "SELECT * FROM later")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await attempt(connection, CONTROL, "SELECT ensure_day(DATE '2026-01-05')")
    finally:
        await connection.close()
    assert await make_roles(database_url) == []


async def test_what_is_not_granted_is_unavailable_and_not_the_fault_of_what_is_stored(
    database_url: str,
) -> None:
    """Else workers would take events for poisonous while a restored database is not granted yet."""
    await make_roles(database_url)
    address = f"{database_url}{'&' if '?' in database_url else '?'}role={WORKERS}"
    async with Database(address) as database:
        await execute(database_url, f"REVOKE INSERT ON quarantine FROM {WORKERS}")
        with pytest.raises(Unavailable, match="does not let this user: permission denied"):
            await PostgresLedger(database).quarantine("1-0", "", b"", START_MS)


async def test_who_owns_nothing_makes_no_roles(database_url: str) -> None:
    await execute(database_url, f"CREATE ROLE {_STRANGER} LOGIN PASSWORD 'stranger'")
    try:
        owner, _, place = database_url.partition("@")
        stranger = f"postgresql://{_STRANGER}:stranger@{place}"
        assert owner
        with pytest.raises(ConfigurationError, match="made by the owner of the tables"):
            await make_roles(stranger)
    finally:
        await execute(database_url, f"DROP ROLE {_STRANGER}")
