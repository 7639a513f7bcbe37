"""Reading an experiment's guardrails: thresholds and what a failure leads to."""

from collections.abc import Mapping
from dataclasses import replace

from control.fields import Fields
from pullarm.domain.guardrail import NAMES, P_VALUES, Action, Guardrail, Guardrails

_ACTIONS = {action.value: action for action in Action}
_RANGES: Mapping[str, tuple[float, float]] = {
    "error_rate": (1e-5, 0.5),
    "latency_p95": (1.0, 60_000.0),
    "reward_drop": (0.001, 0.95),
    "arm_concentration": (0.01, 1.0),
    "sample_ratio": (1e-9, 0.5),
    "propensity": (1e-9, 0.5),
    "refused_rewards": (1e-4, 0.6),
    "worker_lag": (1.0, 86_400.0),
}
_DEFAULTS = Guardrails()
_MOST_ROLLBACKS = 100


def read_guardrails(given: Fields, base: Guardrails) -> Guardrails:
    """The guardrails; what is not given stays as in `base`, null brings a default back.

    A number alone stands for the limit: {"error_rate": 0.01}.
    """
    fields = given.nested("guardrails")
    fields.only((*NAMES, "max_rollbacks"))
    raw = given.raw("guardrails")
    reset = {name for name, value in raw.items() if value is None} if isinstance(raw, dict) else ()
    known = {name: getattr(_DEFAULTS if name in reset else base, name) for name in NAMES}
    rollbacks = (_DEFAULTS if "max_rollbacks" in reset else base).max_rollbacks
    return replace(
        base,
        **{name: _read(fields, name, known[name]) for name in NAMES},
        max_rollbacks=fields.whole("max_rollbacks", rollbacks, 0, _MOST_ROLLBACKS),
    )


def _read(fields: Fields, name: str, base: Guardrail) -> Guardrail:
    low, high = _RANGES[name]
    value = fields.raw(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        limit = fields.number(name, base.limit, low, high)
        closer = max if name in P_VALUES else min
        return replace(base, limit=limit, warning=closer(base.warning, limit))
    one = fields.nested(name)
    one.only(("warning", "limit", "action"))
    found = Guardrail(
        warning=one.number("warning", base.warning, low, high),
        limit=one.number("limit", base.limit, low, high),
        action=one.choice("action", base.action, _ACTIONS),
    )
    if name in P_VALUES and found.warning < found.limit:
        one.note("warning", f"must not be below the limit, {found.limit:g}: small p-values are bad")
    elif name not in P_VALUES and found.warning > found.limit:
        one.note("warning", f"must not be above the limit, {found.limit:g}")
    return found
