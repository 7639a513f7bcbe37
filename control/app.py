"""The application, wired by hand: tests call it with whatever stores they like."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from control import hardening
from control.access import Access, Authentication, needs
from control.analysis import Analysis
from control.analytics import Analytics
from control.arms import Arms
from control.audit import Audit, AuditController
from control.comparison import Comparison
from control.dashboard import dashboard
from control.decisions import DecisionController
from control.described import Described
from control.erasure import Erase, Erasing, Erasures
from control.experiments import Experiments
from control.explained import Decisions
from control.filters import only_declared
from control.forced import ForcedUsers
from control.glance import GlanceController
from control.groups import GroupController, Groups
from control.guardrails import Guarding, GuardrailController, GuardrailStore
from control.health import Health, Probe, Probes
from control.live import Live, LiveStreams
from control.logged import Log
from control.origin import refuse_other_sites
from control.overview import Overview
from control.posteriors import Posteriors
from control.problems import HANDLERS, AnyRequest
from control.recommendations import Movies, Serving
from control.replays import Replays
from control.sessions import SessionController, Sessions
from control.settings import Limits
from control.system import AskBacklog, AskIntake, Measured, System, SystemFigures
from control.tokens import TokenController, Tokens
from control.traffic import Traffic
from pullarm.clock import Clock, system_clock
from pullarm.domain.access import Principal, Role
from pullarm.domain.audit import Author
from pullarm.domain.ports import (
    AuditTrail,
    ExperimentStore,
    GroupStore,
    InstanceBoard,
    SessionStore,
    TokenStore,
)
from pullarm.domain.summary import Summaries
from pullarm.judging import Judge
from pullarm.lifecycle import Halts, Lifecycle
from pullarm.storage.postgres.readers import PostgresReaders
from pullarm.storage.postgres.verdicts import PostgresVerdicts
from replay.reports import Reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What the control plane reads and writes."""

    experiments: ExperimentStore
    trail: AuditTrail
    groups: GroupStore
    erase: Erase
    summaries: Summaries
    readers: PostgresReaders
    verdicts: PostgresVerdicts
    halts: Halts
    guardrails: GuardrailStore
    tokens: TokenStore
    sessions: SessionStore
    probes: Mapping[str, Probe]
    intake: AskIntake
    backlog: AskBacklog
    instances: InstanceBoard
    upstream: Serving
    replays: Path | None = None
    """The folder of replay reports."""
    traffic: Traffic = field(default_factory=Traffic)
    """What was counted around the application."""


def create_app(
    stores: Stores,
    *,
    clock: Clock,
    monotonic: Callable[[], float] = time.monotonic,
    access_clock: Clock = system_clock,
    limits: Limits | None = None,
    web: Path | None,
    closing: asyncio.Event | None = None,
) -> Litestar:
    """The control plane over these stores; a simulated clock neither opens nor closes it to anybody.

    `web` is the folder of the dashboard's files; None: there is no dashboard.
    `closing` ends the streams, which would otherwise hold up whoever waits for answers to end.
    """
    limits = limits or Limits()
    lifecycle = Lifecycle(stores.experiments, stores.trail, stores.halts, clock)
    judge = Judge(stores.verdicts, lifecycle)
    erasing = Erasing(stores.experiments, stores.erase, clock)
    groups = Groups(stores.groups, stores.experiments, clock)
    overview = Overview(lifecycle, stores.summaries, clock, monotonic)
    audit = Audit(stores.trail, stores.experiments)
    guarding = Guarding(lifecycle, stores.guardrails)
    live = Live(overview, guarding, closing or asyncio.Event())
    analysis = Analysis(lifecycle, stores.readers, clock)
    comparison = Comparison(analysis)
    posteriors = Posteriors(stores.halts)
    probes = Probes(stores.probes)
    figures = SystemFigures(
        stores.intake, stores.guardrails.states, stores.backlog, stores.instances, clock
    )
    measured = Measured(figures, probes, stores.traffic)
    reports = Reports(stores.replays)
    access = Access(stores.tokens, stores.sessions, stores.experiments, access_clock)
    tokens = Tokens(stores.tokens, stores.experiments, access_clock)
    sessions = Sessions(stores.sessions, access, access_clock, lifetime_s=limits.session_s)
    store, forget = hardening.forgetful()
    return Litestar(
        route_handlers=[
            Experiments,
            GlanceController,
            DecisionController,
            Arms,
            AuditController,
            ForcedUsers,
            Erasures,
            GroupController,
            Analytics,
            Log,
            Decisions,
            LiveStreams,
            Movies,
            Replays,
            GuardrailController,
            TokenController,
            SessionController,
            Health,
            System,
            *([] if web is None else [dashboard(web)]),
        ],
        dependencies={
            "lifecycle": Provide(lambda: lifecycle, sync_to_thread=False),
            "judge": Provide(lambda: judge, sync_to_thread=False),
            "erasing": Provide(lambda: erasing, sync_to_thread=False),
            "groups": Provide(lambda: groups, sync_to_thread=False),
            "overview": Provide(lambda: overview, sync_to_thread=False),
            "analysis": Provide(lambda: analysis, sync_to_thread=False),
            "comparison": Provide(lambda: comparison, sync_to_thread=False),
            "reports": Provide(lambda: reports, sync_to_thread=False),
            "posteriors": Provide(lambda: posteriors, sync_to_thread=False),
            "live": Provide(lambda: live, sync_to_thread=False),
            "upstream": Provide(lambda: stores.upstream, sync_to_thread=False),
            "guarding": Provide(lambda: guarding, sync_to_thread=False),
            "guardrails": Provide(lambda: stores.guardrails, sync_to_thread=False),
            "probes": Provide(lambda: probes, sync_to_thread=False),
            "figures": Provide(lambda: figures, sync_to_thread=False),
            "measured": Provide(lambda: measured, sync_to_thread=False),
            "tokens": Provide(lambda: tokens, sync_to_thread=False),
            "sessions": Provide(lambda: sessions, sync_to_thread=False),
            "principal": Provide(_principal, sync_to_thread=False),
            "author": Provide(_author, sync_to_thread=False),
            "audit": Provide(lambda: audit, sync_to_thread=False),
        },
        middleware=[
            *hardening.by_address(limits.per_address),
            DefineMiddleware(Authentication, access=access),
            *hardening.by_token(limits.per_token),
        ],
        guards=[access.check, only_declared],
        stores={hardening.STORE: store},
        before_send=[hardening.add_headers],
        after_response=forget,
        before_request=refuse_other_sites,
        exception_handlers=HANDLERS,
        openapi_config=OpenAPIConfig(
            title="Pullarm",
            version="1",
            use_handler_docstrings=True,
            components=Components(
                security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}
            ),
            security=[{"token": []}],
            openapi_router=Router(
                "/schema",
                route_handlers=[],
                include_in_schema=False,
                opt=needs(Role.VIEWER, filtered=True),
            ),
            # The other renderers load scripts of others, which would act with the session of whoever looks.
            render_plugins=[Described()],
        ),
        request_max_body_size=limits.body_bytes,
        logging_config=None,
        debug=False,
    )


def _principal(request: AnyRequest) -> Principal:
    """Of whoever asks; for routes that are not public."""
    principal = request.user
    assert isinstance(principal, Principal)  # the guard saw to it
    return principal


def _author(request: AnyRequest) -> Author:
    """On whose account a request changes something; for routes that are not public."""
    principal, client = _principal(request), request.client
    return Author(
        f"{principal.name} ({principal.token_id})",
        "dashboard" if request.auth else "REST",
        address=client.host if client else "",
    )
