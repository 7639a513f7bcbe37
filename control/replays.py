"""Reports of replays over REST."""

from dataclasses import dataclass
from typing import Final

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from control.access import needs
from pullarm.domain.access import Role
from replay.reports import ReplayReport, Reports

_ALONE: Final = {
    # A report is one page without scripts, and is kept from being anything else, whatever is in its folder.
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayList:
    """Reports, newest first."""

    replays: tuple[ReplayReport, ...]


class Replays(Controller):
    """What policies earned on data that was already there."""

    path = "/api/replays"
    tags = ("Replays",)
    opt = needs(Role.VIEWER)

    @get(sync_to_thread=True)
    def all(self, reports: NamedDependency[Reports]) -> ReplayList:
        """List the reports in the folder PULLARM_REPLAYS, newest first."""
        return ReplayList(replays=tuple(reports.all()))

    @get("/{report:str}", media_type="text/html", sync_to_thread=True)
    def one(self, report: FromPath[str], reports: NamedDependency[Reports]) -> Response[str]:
        """Read a report: one HTML page that loads and runs nothing."""
        return Response(reports.page(report), headers=_ALONE)
