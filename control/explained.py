"""One decision over REST, with its why: redone from the ledger."""

import asyncio
import re
from typing import Any

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from control.access import needs
from control.analysis import Analysis
from pullarm.domain.access import Principal, Role
from pullarm.domain.decision_id import uid_of
from pullarm.domain.errors import Forbidden, NotFound
from pullarm.storage.postgres.history import PostgresHistory

_UID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


class Decisions(Controller):
    """`/api/decisions`; a decision is named by the decision_id of its Select, or by its uid in hex."""

    path = "/api/decisions"
    tags = ("Log",)
    opt = needs(Role.VIEWER, filtered=True)

    @get("/{decision:str}")
    async def one(
        self,
        decision: FromPath[str],
        analysis: NamedDependency[Analysis],
        principal: NamedDependency[Principal],
    ) -> dict[str, Any]:
        """Show what a decision was made of, redone: bucket, candidates, posteriors, weights, floor, draw, rewards.

        `verdict` is `reproduced` where all of it comes out as it was logged, to the last integer.
        """
        uid = (
            bytes.fromhex(decision.replace("-", ""))
            if _UID.fullmatch(decision)
            else uid_of(decision)
        )
        return await explained(analysis.readers.history, uid, principal)


async def explained(history: PostgresHistory, uid: bytes, principal: Principal) -> dict[str, Any]:
    """A decision's document; raises NotFound, Forbidden where it is of an experiment that the token is not for."""
    try:
        logged = await history.logged(uid)
    except NotFound:
        if (
            principal.experiments is not None
        ):  # to whom nothing is told of other experiments' decisions
            raise _foreign(principal) from None
        raise
    if not principal.sees(logged.token.experiment):
        raise _foreign(principal)
    # Imported here because numba takes a second, and a control plane may be up before anybody asks.
    from replay.explain import redo
    from replay.explanation import document, stub_document

    if logged.decision is None:
        return stub_document(logged)
    published = await history.published(logged.token.experiment, logged.decision.pub_no)
    redone = await asyncio.to_thread(redo, logged.decision, published, erased=logged.erased)
    return document(logged, logged.decision, published, redone)


def _foreign(principal: Principal) -> Forbidden:
    return Forbidden(f"{principal.name!r} is for other experiments than that of this decision")
