"""`pullarm explain`: one decision redone from the ledger, beside what was logged of it."""

import asyncio
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from rich.console import Console
from typer import Argument, Option

from cli.explanation import show
from cli.platform import OWN_KEYS
from cli.state import read_environment
from cli.verify import database_url
from pullarm.domain.decision import Token
from pullarm.domain.decision_id import decode
from pullarm.domain.errors import ConfigurationError
from pullarm.storage.postgres import Database, PostgresHistory
from replay.explain import Verdict, redo
from replay.explanation import document, stub_document
from serving.settings import read_keys

STATUS = {"reproduced": 0, "differs": 1, "other_kernel": 3, "not_logged": 4, "not_folded": 4}
"""The exit status by verdict."""
_UID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


def command(
    decision: Annotated[
        str, Argument(help="The decision_id of a Select, or the decision's uid in hex.")
    ],
    json: Annotated[bool, Option("--json", help="One JSON object instead of tables.")] = False,
    state: Annotated[
        Path,
        Option(help="State folder of a running `pullarm up`, where servers and keys are not set."),
    ] = Path(".pullarm"),
) -> None:
    """Redo a decision bit for bit from the ledger.

    Exit status: 0 reproduced, 1 something differs (or an error), 3 made by another version of the arithmetic, 4 not
    enough of it is logged (only a hash of its candidates, or only its reward yet).
    """
    uid, token = _named(decision, state)
    explained = asyncio.run(_explain(database_url(state), uid, token))
    if json:
        print(msgspec.json.encode(explained).decode())
    else:
        show(Console(), explained)
    sys.exit(STATUS[explained["verdict"]])


def _named(decision: str, state: Path) -> tuple[bytes, Token | None]:
    """The uid, and all that a signed id says of its decision."""
    if _UID.fullmatch(decision):
        return bytes.fromhex(decision.replace("-", "")), None
    own = {name: os.environ[name] for name in OWN_KEYS if os.environ.get(name)}
    keys = own or read_environment(state)
    if not any(keys.get(name) for name in OWN_KEYS):
        raise ConfigurationError(
            f"{' or '.join(OWN_KEYS)} is needed to read a decision id, and no platform runs on {state}; "
            "set one, name the platform's folder with --state, or give the decision's uid in hex"
        )
    token = decode(decision, read_keys(keys))
    return token.uid, token


async def _explain(dsn: str, uid: bytes, token: Token | None) -> dict[str, Any]:
    async with Database(dsn, max_connections=1) as database:
        history = PostgresHistory(database)
        logged = await history.logged(uid)
        if logged.decision is None:
            return stub_document(logged)
        published = await history.published(logged.token.experiment, logged.decision.pub_no)
    redone = redo(logged.decision, published, erased=logged.erased)
    if token is not None and logged.erased:
        token = token._replace(unit_hash=logged.token.unit_hash)
    if token not in (None, logged.token):
        forged = f"decision id: logged {logged.token}, the id says {token}"
        differences = (forged, *redone.differences)
        redone = replace(redone, verdict=Verdict.DIFFERS, differences=differences)
    return document(logged, logged.decision, published, redone)
