"""What part of an experiment is asked for: query parameters of the analytics, read the same way everywhere."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from litestar.utils.signature import ParsedSignature

from control.access import AnyConnection, is_public
from control.fields import NO_MOMENT, in_utc, shown
from control.problems import BadParameter
from pullarm.domain.cohorts import MAX_NUMBERS
from pullarm.domain.errors import invalid
from pullarm.domain.experiment import POLICY_NUMBERS, Experiment
from pullarm.domain.rollup import Grain, Span

MAX_BUCKETS = 2_000
"""Of a time series: a month and a half of hours."""
_FINE_ENOUGH = ((timedelta(hours=6), Grain.MINUTE), (timedelta(days=14), Grain.HOUR))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECLARED = "query parameters"

PolicyName = Literal["control", "thompson", "egreedy", "ucb"]

Since = Annotated[
    str | None,
    QueryParameter(
        format="date-time",
        description="Decisions made from then on; without a zone it is UTC. Default: since the experiment began.",
    ),
]
Until = Annotated[
    str | None,
    QueryParameter(
        format="date-time",
        description="Decisions made before then; without a zone it is UTC. Default: now.",
    ),
]
InBuckets = Annotated[
    Grain | None,
    QueryParameter(
        name="grain",
        description="Width of the buckets of time. Default: minutes up to 6 hours, hours up to 14 days, else days. "
        f"At most {MAX_BUCKETS:,} buckets.",
    ),
]
OfPolicy = Annotated[
    PolicyName | None, QueryParameter(name="policy", description="One policy only.")
]
OfArm = Annotated[
    str | None,
    QueryParameter(
        name="arm", max_length=512, description="One arm only, by id: all its versions."
    ),
]
OfCohort = Annotated[
    str | None,
    QueryParameter(
        name="cohort",
        min_length=1,
        max_length=300,
        description="One cohort only: its value, `attribute:value` (needed for values of digits alone), or its number; "
        "0 is what is told apart by nothing.",
    ),
]
OfBucket = Annotated[
    int | None,
    QueryParameter(
        name="bucket", ge=0, le=9_999, description="Units of one of the 10,000 buckets only."
    ),
]


def only_declared(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """A guard of every route that is not public.

    A parameter that it cannot honour is refused, rather than left out unsaid; and one given twice.
    """
    if is_public(handler):
        return
    if _DECLARED not in handler.opt:
        handler.opt[_DECLARED] = sorted(_declared(handler, handler.parsed_fn_signature))
    takes = handler.opt[_DECLARED]
    for name in connection.query_params:
        if name not in takes:
            raise BadParameter(
                name,
                f"is nothing that {connection.scope['path']} can go by; it takes {_listed(takes)}",
            )
        if len(connection.query_params.getall(name)) > 1:
            raise BadParameter(name, "is given more than once")


def _declared(handler: BaseRouteHandler, signature: ParsedSignature) -> Iterator[str]:
    """Of a handler, and of what it depends on."""
    providers = handler.resolve_dependencies()
    for name, each in signature.parameters.items():
        if isinstance(each.kwarg_definition, QueryParameter):
            yield each.kwarg_definition.name or name
        elif name in providers:
            yield from _declared(handler, providers[name].parsed_fn_signature)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "no parameters"


def moment(name: str, given: str | None) -> datetime | None:
    """A moment or date of ISO 8601 in UTC; raises BadParameter, InvalidInput where it is before 1970 or far ahead."""
    if given is None:
        return None
    try:
        read = _read_moment(given)
    except ValueError:
        said = "must be a moment such as 2026-08-01T12:00:00Z, or a date"
        raise BadParameter(name, f"{said}; got {shown(given)}") from None
    found = in_utc(read)
    if found is None:
        raise invalid(name, f"{NO_MOMENT}; got {shown(given)}")
    return found


def _read_moment(given: str) -> datetime:
    try:
        return datetime.fromisoformat(given)
    except ValueError:  # a plus that was not encoded comes as a blank
        return datetime.fromisoformat("+".join(given.rsplit(" ", 1)))


def window(experiment: Experiment, since: str | None, until: str | None, now: datetime) -> Span:
    """The time that is asked for; raises InvalidInput where there is none of it."""
    start = moment("since", since) or experiment.started_at or experiment.created_at
    end = moment("until", until) or max(now, start + timedelta(minutes=1))
    if start >= end:
        raise invalid("until", f"must be after since, which is {start.isoformat()}")
    return Span(since=start, until=end)


def grained(span: Span, grain: Grain | None) -> tuple[Span, Grain]:
    """The span widened to whole buckets; raises InvalidInput where those are too many."""
    length = span.until - span.since
    if grain is None:
        grain = next((fine for longest, fine in _FINE_ENOUGH if length <= longest), Grain.DAY)
    whole = aligned(span, grain)
    if (whole.until - whole.since) // grain.width > MAX_BUCKETS:
        raise invalid(
            "grain",
            f"{grain} makes more than {MAX_BUCKETS:,} buckets; ask for less time, or a coarser one",
        )
    return whole, grain


def aligned(span: Span, grain: Grain) -> Span:
    """The span widened to whole buckets."""
    before = (span.since - _EPOCH) % grain.width
    after = (_EPOCH - span.until) % grain.width
    return Span(since=span.since - before, until=span.until + after)


def policy_number(name: PolicyName | None) -> int | None:
    """As it is stored."""
    return None if name is None else POLICY_NUMBERS[name]


def arm_numbers(experiment: Experiment, arm: str | None) -> tuple[int, ...] | None:
    """The numbers of an arm's versions; raises InvalidInput for one that the experiment does not have."""
    if arm is None:
        return None
    numbers = tuple(each.arm_no for each in experiment.arms if each.arm_id == arm)
    if not numbers:
        raise invalid("arm", f"the experiment has none with the id {shown(arm)}")
    return numbers


def cohort_number(experiment: Experiment, cohort: str | None) -> int | None:
    """As it is stored; raises InvalidInput for one that the experiment does not have."""
    if cohort is None:
        return None
    rule = experiment.spec.cohorts
    named = [each for each in experiment.cohorts if f"{each.attribute}:{each.value}" == cohort]
    valued = [each for each in experiment.cohorts if each.value == cohort]
    if cohort.isascii() and cohort.isdigit() and int(cohort) <= MAX_NUMBERS:
        known = {0, *(each.cohort_no for each in experiment.cohorts)}
        if valued and int(cohort) not in known:
            said = f"{valued[0].attribute}:{cohort}"
            raise invalid("cohort", f"is the number of none; for the value say {said}")
        return int(cohort)
    ours = [each for each in valued if rule is not None and each.attribute == rule.attribute]
    found = named or ours or valued
    if not found:
        raise invalid(
            "cohort", f"the experiment has none named {shown(cohort)}: see its cohort_numbers"
        )
    if len(found) > 1:
        several = ", ".join(each.attribute for each in found)
        raise invalid("cohort", f"is a value of {several}: say attribute:value")
    return found[0].cohort_no
