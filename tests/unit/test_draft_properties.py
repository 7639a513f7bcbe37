from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from control.drafts import read_change, read_draft
from pullarm.domain.assignment import BUCKETS, allocate
from pullarm.domain.errors import InvalidInput
from pullarm.domain.experiment import POLICY_NUMBERS, Spec, policy_weights
from pullarm.lifecycle import KEY, slug
from pullarm.policies import registry

NOW = datetime(2026, 3, 1, tzinfo=UTC)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["thompson", "control", "open", "reward", "sum"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
policy_values = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(list(POLICY_NUMBERS)) | json_values,
        "weight": st.floats(min_value=0, max_value=1e7) | json_values,
        "params": st.dictionaries(
            st.sampled_from(["floor", "epsilon", "prior_alpha", "mode"]), json_values
        ),
    },
)
bodies = json_values | st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(min_size=1, max_size=8),
        "notes": st.text(max_size=8) | st.none(),
        "traffic_pct": st.floats(0, 1) | json_values,
        "default_policy": st.sampled_from(["control", "thompson"]),
        "policies": st.lists(policy_values | st.sampled_from(list(POLICY_NUMBERS)), max_size=4)
        | json_values,
        "catalogue": st.sampled_from(["open", "closed"]) | st.none(),
        "arms": st.lists(st.text(max_size=4) | json_values, max_size=4),
        "max_arms": st.integers(1, 10_000) | json_values,
        "reward": json_values
        | st.fixed_dictionaries(
            {}, optional={"kinds": json_values, "learns": json_values, "window_hours": json_values}
        ),
        "reward_threshold": st.floats(-10, 10) | json_values,
        "window_hours": st.floats(0, 720) | json_values,
        "learn_slots": st.integers(1, 100) | json_values,
        "duration": st.floats(0, 365) | json_values,
        "start_at": st.datetimes().map(str) | json_values,
        "end_at": st.datetimes().map(str) | json_values,
    },
)


def refusal(reading: Callable[[], object]) -> InvalidInput | None:
    """What reading was refused with, None when it was not."""
    try:
        reading()
    except InvalidInput as refused:
        return refused
    return None


def assert_valid(spec: Spec) -> None:
    """A specification that everything behind the control plane can work with."""
    assert spec.name.strip()
    assert 0 <= spec.traffic_pct <= 1
    assert 0 < spec.reward.window_hours <= 720
    assert 0 < spec.duration_days <= 365
    assert 1 <= spec.learn_slots <= 100
    assert spec.reward.learns in {kind.name for kind in spec.reward.kinds}
    assert spec.default_policy in {"control", *(policy.name for policy in spec.policies)}
    for policy in spec.policies:
        assert registry.check(policy.name, policy.params) == policy.params
    table = allocate(policy_weights(spec))
    assert len(table) == BUCKETS
    assert set(table) == set(policy_weights(spec))


@given(bodies)
def test_any_json_is_refused_or_makes_a_valid_draft(body: object) -> None:
    refused = refusal(lambda: read_draft(body, NOW))
    if refused is not None:
        assert all(problem.detail and len(problem.detail) < 1200 for problem in refused.problems)
        return
    draft = read_draft(body, NOW)
    assert_valid(draft.spec)
    ids = [arm.arm_id for arm in draft.arms]
    assert len(set(ids)) == len(ids)
    assert all(0 < len(arm_id.encode()) <= 128 for arm_id in ids)


@given(bodies, bodies)
def test_any_json_is_refused_or_makes_a_valid_change(first: object, second: object) -> None:
    current = read_draft({"name": "x"}, NOW).spec
    for body in (first, second):
        if refusal(partial(read_change, body, current, NOW)) is None:
            current = read_change(body, current, NOW)
    assert_valid(current)


@given(st.text())
def test_every_slug_is_a_key(name: str) -> None:
    assert KEY.fullmatch(slug(name))
