"""The audit trail over REST."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from control.access import needs
from control.entries import EntryList, entry_view
from control.experiments import PATH
from control.paging import cut
from pullarm.domain.access import Role
from pullarm.domain.audit import AuditEntry
from pullarm.domain.ports import AuditTrail, ExperimentStore
from pullarm.lifecycle import find_experiment

Before = Annotated[
    int | None, QueryParameter(ge=1, le=2**63 - 1, description="`next` of the page before.")
]
Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="How many at most.")]


class Audit:
    """Pages of the audit trail."""

    def __init__(self, trail: AuditTrail, experiments: ExperimentStore) -> None:
        self._trail = trail
        self._experiments = experiments

    async def of_one(self, reference: str, before: int | None, count: int) -> EntryList:
        """The changes of one experiment; raises NotFound."""
        experiment = await find_experiment(self._experiments, reference)
        ids = {experiment.number: experiment.id}
        return _list(await self._page(experiment.number, before, count), count, ids)

    async def of_all(self, before: int | None, count: int) -> EntryList:
        """All changes there are."""
        ids = {each.number: each.id for each in await self._experiments.all()}
        return _list(await self._page(None, before, count), count, ids)

    async def _page(self, number: int | None, before: int | None, count: int) -> list[AuditEntry]:
        """And one more, which says that there are more."""
        return await self._trail.page(number, before=before, count=count + 1)


def _list(found: Sequence[AuditEntry], count: int, ids: Mapping[int, str]) -> EntryList:
    page, following = cut(found, count, lambda each: each.audit_no)
    entries = tuple(entry_view(each, ids.get(each.experiment or 0)) for each in page)
    return EntryList(entries=entries, next=following)


class AuditController(Controller):
    """Who changed what, when and from where."""

    tags = ("Audit",)

    @get(f"{PATH}/{{reference:str}}/audit", opt=needs(Role.VIEWER))
    async def of_one(
        self,
        reference: FromPath[str],
        audit: NamedDependency[Audit],
        before: Before = None,
        limit: Limit = 100,
    ) -> EntryList:
        """List the changes of one experiment, newest first."""
        return await audit.of_one(reference, before, limit)

    @get("/api/audit", opt=needs(Role.ADMIN))
    async def of_all(
        self, audit: NamedDependency[Audit], before: Before = None, limit: Limit = 100
    ) -> EntryList:
        """List all changes, newest first: of experiments, of tokens, of how the ledger is read."""
        return await audit.of_all(before, limit)
