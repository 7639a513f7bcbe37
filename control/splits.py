"""Reading an experiment's policies: names, weights and parameters."""

from collections.abc import Sequence

from control.fields import Fields, shown
from pullarm.domain.assignment import BUCKETS
from pullarm.domain.experiment import POLICY_NUMBERS, PolicySpec
from pullarm.policies import registry

_LARGEST_WEIGHT = 1e6
_HUGE = 2**53


def read_policies(given: Fields, base: Sequence[PolicySpec]) -> tuple[PolicySpec, ...]:
    """The policies of the field `policies`: a list of names or objects, or names with commas between.

    What is not given of a policy is taken from `base`, or from its defaults where it is not there.
    """
    if "policies" not in given:
        return tuple(base)
    known = {policy.name: policy for policy in base}
    policies: dict[str, PolicySpec] = {}
    for one in _listed(given).entries("policies", 2 * len(POLICY_NUMBERS), "name"):
        one.only(("name", "weight", "params"))
        name = one.choice("name", "", {name: name for name in POLICY_NUMBERS})
        if "name" not in one:
            one.note("name", f"is required: one of {', '.join(POLICY_NUMBERS)}")
        elif name in policies:
            one.note("name", f"{name} is listed twice")
        elif name:
            policies[name] = _read_policy(one, known.get(name, PolicySpec(name=name)))
    _check_weights(given, tuple(policies.values()))
    return tuple(policies.values())


def _listed(given: Fields) -> Fields:
    """The same with names separated by commas as a list."""
    value = given.raw("policies")
    if not isinstance(value, str):
        return given
    return given.with_value("policies", [name.strip() for name in value.split(",")])


def _read_policy(one: Fields, base: PolicySpec) -> PolicySpec:
    params = dict(base.params)
    for key, value in one.nested("params").given():
        if isinstance(value, str) or (isinstance(value, int | float) and abs(value) < _HUGE):
            params[key] = value
        else:
            one.note(f"params.{key[:60]}", f"must be a number or a word, not {shown(value)}")
    try:
        params = registry.check(base.name, params)
    except ValueError as error:
        one.note("params", str(error)[:1000])
    return PolicySpec(
        name=base.name,
        weight=one.number("weight", base.weight, 0.0, _LARGEST_WEIGHT),
        params=params,
    )


def _check_weights(given: Fields, policies: Sequence[PolicySpec]) -> None:
    total = sum(policy.weight for policy in policies)
    if total == 0:
        given.note("policies", "at least one needs a weight above 0")
    for policy in policies:
        if 0 < policy.weight * BUCKETS < total:
            given.note(
                "policies",
                f"{policy.name}'s weight is less than 1 / {BUCKETS:,} of all, the smallest share there is",
            )
