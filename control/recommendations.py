"""The example upstream: recommendations of films, asked of serving over gRPC as any recommender would."""

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from control.access import needs
from pullarm.domain.access import Principal, Role
from pullarm.domain.errors import Forbidden, NotFound
from pullarm.domain.experiment import Experiment
from pullarm.lifecycle import Lifecycle
from pullarm.tls import Trust

if TYPE_CHECKING:
    from pullarm.client import Client, Selection

OfExperiment = Annotated[
    str, QueryParameter(min_length=1, max_length=200, description="Id or key.")
]
ForUser = Annotated[
    str, QueryParameter(min_length=1, max_length=128, description="Who is shown them.")
]
Slots = Annotated[int, QueryParameter(ge=1, le=20, description="How many to recommend.")]


class Serving:
    """Whom the recommendations are asked of.

    `async with Serving(address) as serving:`; it connects when it is first asked, over TLS where told whom to trust.
    """

    def __init__(self, address: str, token: str = "", trust: Trust | None = None) -> None:
        self._address = address
        self._token = token
        self._trust = trust
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.__aexit__(kind, error, trace)

    async def select(self, experiment: str, user: str, *, slots: int) -> "Selection":
        """From all active arms; raises Unavailable while serving is away."""
        # Imported here because most control planes are never asked, and gRPC takes 30 MB.
        from pullarm.client import Client

        if self._client is None:
            self._client = Client(self._address, token=self._token, trust=self._trust)
        return await self._client.select(experiment, user, slots=slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One film."""

    movie_id: str
    """The arm's id."""
    slot: int
    propensity: float
    """The probability with which it was drawn into this slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendations:
    """What to show a user."""

    decision_id: str
    """Names the decision when its reward is reported."""
    policy: str
    reason: str
    recommendations: tuple[Recommendation, ...]


class Movies(Controller):
    """What a recommender would answer its front end."""

    path = "/api/movies/recommendations"
    tags = ("Example",)
    # More than reading: every answer is a decision, which is logged and learned from.
    opt = needs(Role.OPERATOR, filtered=True)

    @get()
    async def recommend(
        self,
        experiment_id: OfExperiment,
        user_id: ForUser,
        lifecycle: NamedDependency[Lifecycle],
        upstream: NamedDependency[Serving],
        principal: NamedDependency[Principal],
        slots: Slots = 5,
    ) -> Recommendations:
        """Recommend films to a user out of an experiment's active arms: `Select`, over gRPC."""
        experiment = await _visible(lifecycle, principal, experiment_id)
        found = await upstream.select(experiment.id, user_id, slots=slots)
        return Recommendations(
            decision_id=found.decision_id,
            policy=found.policy,
            reason=found.reason,
            recommendations=tuple(
                Recommendation(movie_id=each.arm_id, slot=each.slot, propensity=each.propensity)
                for each in found.choices
            ),
        )


async def _visible(lifecycle: Lifecycle, principal: Principal, reference: str) -> Experiment:
    try:
        experiment = await lifecycle.find(reference)
        if principal.sees(experiment.number):
            return experiment
    except NotFound:
        if principal.experiments is None:
            raise
    # Which others there are is not told: a key is a name, and may say what others plan.
    raise Forbidden(f"{principal.name!r} is not for an experiment {reference[:80]!r}")
