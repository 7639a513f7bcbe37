"""The application, wired by hand: tests call it with whatever stores they like."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig

from control.arms import Arms
from control.dashboard import dashboard, find_web
from control.experiments import Experiments
from control.health import Health, Probe, Probes
from control.lifecycle import Halts, Lifecycle
from control.origin import refuse_other_sites
from control.overview import Overview
from control.problems import HANDLERS
from control.system import AskIntake, System, SystemFigures
from pullarm.clock import Clock
from pullarm.domain.ports import ExperimentStore
from pullarm.domain.summary import Summaries

MAX_BODY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What the control plane reads and writes."""

    experiments: ExperimentStore
    summaries: Summaries
    halts: Halts
    probes: Mapping[str, Probe]
    intake: AskIntake


def create_app(
    stores: Stores,
    *,
    clock: Clock,
    monotonic: Callable[[], float] = time.monotonic,
    web: Path | None = None,
) -> Litestar:
    """The control plane over these stores."""
    lifecycle = Lifecycle(stores.experiments, stores.halts, clock)
    overview = Overview(lifecycle, stores.summaries, clock, monotonic)
    probes = Probes(stores.probes)
    figures = SystemFigures(stores.intake)
    return Litestar(
        route_handlers=[Experiments, Arms, Health, System, *dashboard(web or find_web())],
        dependencies={
            "lifecycle": Provide(lambda: lifecycle, sync_to_thread=False),
            "overview": Provide(lambda: overview, sync_to_thread=False),
            "probes": Provide(lambda: probes, sync_to_thread=False),
            "figures": Provide(lambda: figures, sync_to_thread=False),
        },
        before_request=refuse_other_sites,
        exception_handlers=HANDLERS,
        openapi_config=OpenAPIConfig(title="Pullarm", version="1"),
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
        debug=False,
    )
