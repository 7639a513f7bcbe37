"""What has to be right of the platform's own parts before a launch, judged from what was found (`pullarm doctor`)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pullarm.domain.access import Role, Token
from pullarm.domain.experiment import Experiment, State
from pullarm.domain.finding import Finding, in_bytes, ok, problem, warning
from pullarm.domain.guardrail import Action
from pullarm.domain.intake import Intake, Watermark

_HEARD_MS = 20_000
"""Serving processes tell of themselves every five seconds."""
_LATE_S, _TOO_LATE_S = 120.0, 900.0
_EXPIRES_SOON = timedelta(days=7)
_MUCH_BYTES = 64 * 1024 * 1024
"""A quarter of what the stream may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """What is on its way from serving to the ledger."""

    entries: int
    used_bytes: int
    consumers: int
    """Workers that asked for more a moment ago."""
    beats: bool
    """Whether the workers say that all they folded is published."""


def judge_stream(facts: StreamFacts) -> Iterator[Finding]:
    """Whether somebody folds and publishes."""
    if not facts.consumers:
        yield problem("workers", "no worker takes events", "start one: `pullarm work`, or `up`")
    else:
        yield ok("workers", f"{facts.consumers} take events")
    if not facts.beats:
        mend = "see the worker's log: it is away, it lags, or PostgreSQL is away"
        yield problem("workers", "what is folded is not published: no beat for seconds", mend)
    told = f"{facts.entries} entries wait, {in_bytes(facts.used_bytes)}"
    if facts.used_bytes > _MUCH_BYTES:
        yield warning("stream", told, "start more workers; see PostgreSQL's disk")
    else:
        yield ok("stream", told)


def judge_serving(lives: Sequence[Intake], now_ms: int) -> Iterator[Finding]:
    """Which processes the ledger hears of, and what of their events has not come."""
    heard = sorted(
        each.process
        for each in lives
        if each.ended_ms is None and now_ms - each.heard_ms < _HEARD_MS
    )
    if heard:
        yield ok("serving", f"the ledger hears of {', '.join(heard)}")
    else:
        mend = "start `pullarm serve`, or `up`; see that it reaches Redis, and that a worker runs"
        yield problem("serving", "the ledger has heard of no process for 20 s", mend)
    for each in lives:
        if each.lost:
            told = f"{each.lost} of {each.numbered} events of {each.process} are lost"
            yield warning("serving", told, "see the workers' log for when and why")


def judge_watermark(lives: Sequence[Intake], mark: Watermark, now_ms: int) -> Finding:
    """Up to when the ledger is complete."""
    missing = sum(each.missing for each in lives)
    if mark.at_ms is None:
        if not lives:
            return ok("watermark", "nothing has been served yet")
        return warning("watermark", "it is not known yet up to when all events have come", _WAIT)
    age_s = (now_ms - mark.at_ms) / 1_000
    told = f"all events have come up to {age_s:,.0f} s ago"
    if age_s > _LATE_S:
        told += f"; {mark.process or 'nobody'} holds it back, {missing} events have not come"
        mend = f"start a process on its spool, or `pullarm give-up {mark.process}`"
        return (problem if age_s > _TOO_LATE_S else warning)("watermark", told, mend)
    return ok("watermark", told)


_WAIT = "wait half a minute and look again"


def judge_tokens(tokens: Sequence[Token], now: datetime, *, required: bool) -> Iterator[Finding]:
    """Whether who has to come in can; `required`: serving answers nobody without a token."""
    living = [token for token in tokens if token.lives(now)]
    callers = sum(token.principal.role is Role.CALLER for token in living)
    if required and not callers:
        yield problem(
            "tokens",
            "serving requires tokens, and there is none of role caller",
            "`pullarm token create --name NAME --role caller`",
        )
    else:
        yield ok("tokens", f"{len(living)} are good, {callers} of them for serving")
    for token in living:
        if token.expires_at is not None and token.expires_at - now < _EXPIRES_SOON:
            yield warning(
                "tokens",
                f"{token.principal.name!r} ends at {token.expires_at:%Y-%m-%d %H:%M}",
                "make its successor with `pullarm token create`",
            )


def judge_experiment(
    experiment: Experiment, ruled_out: Sequence[str], checked_at: datetime | None, now: datetime
) -> Iterator[Finding]:
    """One that is not over: its thresholds, its criteria, its guard.

    `ruled_out` is what its configuration rules out, `checked_at` when its guardrails were last checked.
    """
    check = f"experiment {experiment.key}"
    found = [warning(check, each, "change it with a PATCH, or know of it") for each in ruled_out]
    found += _guardrails(check, experiment)
    if experiment.state is State.ROLLED_BACK:
        mend = f"see `pullarm guardrails {experiment.key}`; `pullarm resume` lets it go on"
        found.append(warning(check, "it is rolled back: everybody gets control", mend))
    if _unguarded(experiment, checked_at, now):
        found.append(
            problem(
                check,
                f"its guardrails were last checked {_ago(checked_at, now)}",
                "see whether a worker runs, and the queue's Redis: arq's cron starts the checks",
            )
        )
    yield from found or [ok(check, f"{experiment.state.value}; nothing speaks against it")]


def _guardrails(check: str, experiment: Experiment) -> Iterator[Finding]:
    guards = dict(experiment.spec.guardrails)
    off = [name for name, each in guards.items() if each.action is Action.OFF]
    if off:
        yield warning(check, f"{', '.join(off)} is switched off", "give it an action again")
    if not any(each.action in (Action.CRITICAL, Action.COUNT) for each in guards.values()):
        mend = "give error_rate, latency_p95 and reward_drop the action critical"
        yield warning(check, "no guardrail would roll it back", mend)
    defaults = dict(type(experiment.spec.guardrails)())
    for name in ("error_rate", "latency_p95", "reward_drop"):
        limit, usual = guards[name].limit, defaults[name].limit
        if guards[name].action is not Action.OFF and limit > 2 * usual:
            told = f"guardrails.{name} has the limit {limit:g}; {usual:g} is usual"
            yield warning(check, told, "lower it, or know why")


def _unguarded(experiment: Experiment, checked_at: datetime | None, now: datetime) -> bool:
    """Whether checks are overdue: three were missed."""
    guarded = experiment.state in (State.RUNNING, State.SHIPPED)
    since = max(filter(None, (checked_at, experiment.updated_at)))
    return guarded and now - since > timedelta(minutes=15)


def _ago(moment: datetime | None, now: datetime) -> str:
    return "never" if moment is None else f"{(now - moment).total_seconds() / 60:,.0f} min ago"
