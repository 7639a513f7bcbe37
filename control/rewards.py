"""Reading the definition of an experiment's reward, in full or in its two shorthands."""

from dataclasses import replace

from control.fields import Fields, shown
from pullarm.domain.experiment import SHOWN, Aggregation, Exposure, RewardDefinition, RewardKind

REWARD_FIELDS = ("reward", "reward_threshold", "window_hours")
"""`reward_threshold` and `window_hours` stand for the same fields inside `reward`."""

EXPOSURES = {exposure.value: exposure for exposure in Exposure}
AGGREGATIONS = {kind.value: kind for kind in Aggregation}
_MAX_KINDS = 16
_MAX_NAME_BYTES = 64
_LARGEST_THRESHOLD = 1e9
_LONGEST_WINDOW_HOURS = 720.0


def read_reward(given: Fields, base: RewardDefinition) -> RewardDefinition:
    """The reward's definition; what is not given stays as in `base`."""
    reward = given.nested("reward")
    reward.only(("kinds", "learns", "aggregation", "exposure", "window_hours"))
    for shorthand, full in (("reward_threshold", "kinds"), ("window_hours", "window_hours")):
        if shorthand in given and full in reward:
            given.note(shorthand, f"is a shorthand for {reward.path(full)}; give one of them")
    window = reward if "window_hours" in reward else given
    kinds = _read_kinds(reward) if "kinds" in reward else base.kinds
    names = {kind.name: kind.name for kind in kinds}
    only_one = kinds[0].name if len(kinds) == 1 and "learns" not in reward else base.learns
    learns = reward.choice("learns", only_one, names)
    if kinds and "learns" not in reward and learns not in names:
        reward.note("learns", f"must name the kind that feeds the posterior: {', '.join(names)}")
    if "reward_threshold" in given:
        threshold = _read_threshold(given, "reward_threshold")
        kinds = tuple(
            replace(kind, threshold=threshold) if kind.name == learns else kind for kind in kinds
        )
    exposure = reward.choice("exposure", base.exposure, EXPOSURES)
    if exposure is Exposure.CONFIRMED and (SHOWN not in names or learns == SHOWN):
        reward.note(
            "exposure",
            f"is confirmed by a kind {SHOWN!r}: declare it beside the kind that feeds the posterior",
        )
    return RewardDefinition(
        kinds=kinds,
        learns=learns,
        exposure=exposure,
        aggregation=reward.choice("aggregation", base.aggregation, AGGREGATIONS),
        window_hours=window.positive("window_hours", base.window_hours, _LONGEST_WINDOW_HOURS),
    )


def _read_kinds(reward: Fields) -> tuple[RewardKind, ...]:
    kinds: dict[str, RewardKind] = {}
    for one in reward.entries("kinds", _MAX_KINDS, "name"):
        one.only(("name", "threshold"))
        name = one.text("name", "", limit_bytes=_MAX_NAME_BYTES)
        if name in kinds:
            one.note("name", f"{shown(name)} is listed twice")
        elif name:
            threshold = _read_threshold(one, "threshold") if "threshold" in one else None
            kinds[name] = RewardKind(name=name, threshold=threshold)
    if not kinds:
        reward.note("kinds", "must list at least one kind of reward")
    return tuple(kinds.values())


def _read_threshold(given: Fields, name: str) -> float:
    return given.number(name, 0.0, -_LARGEST_THRESHOLD, _LARGEST_THRESHOLD)
