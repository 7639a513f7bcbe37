"""What makes the cohorts of an experiment is read whole, and every fault in it is named."""

from dataclasses import replace

import pytest

from control.drafts import DEFAULTS, read_change, read_draft
from pullarm.domain.cohorts import CohortRule
from pullarm.domain.errors import InvalidInput
from pullarm.storage.memory.experiments import at
from tests.ledger_events import START_MS


def rule_of(cohorts: object) -> CohortRule | None:
    return read_draft({"name": "x", "cohorts": cohorts}, at(START_MS)).spec.cohorts


def test_rule_is_an_attribute_and_what_is_told_apart_of_it() -> None:
    assert DEFAULTS.cohorts is None
    assert (
        rule_of("country") == rule_of({"attribute": "country"}) == CohortRule(attribute="country")
    )
    assert rule_of({"attribute": "country", "max_values": 7}) == CohortRule(
        attribute="country", max_values=7
    )
    assert rule_of({"attribute": "country", "values": ["de", "fr"]}) == CohortRule(
        attribute="country", values=("de", "fr")
    )


def test_change_replaces_the_rule_whole_and_null_takes_it_away() -> None:
    listed = CohortRule(attribute="country", values=("de",))
    spec = replace(DEFAULTS, name="x", cohorts=listed)
    assert read_change({"notes": "n"}, spec, at(START_MS)).cohorts == listed
    assert read_change(
        {"cohorts": {"attribute": "device", "max_values": 3}}, spec, at(START_MS)
    ).cohorts == (CohortRule(attribute="device", max_values=3))
    assert read_change({"cohorts": None}, spec, at(START_MS)).cohorts is None


@pytest.mark.parametrize(
    ("cohorts", "field", "detail"),
    [
        (3, "cohorts", "must be an object, not 3"),
        ({}, "cohorts.attribute", "must not be empty"),
        ("", "cohorts.attribute", "must not be empty"),
        ("x" * 129, "cohorts.attribute", "is 129 bytes long; the limit is 128"),
        ({"attribute": "a\x00"}, "cohorts.attribute", "must not contain control characters"),
        ({"attribute": "a", "value": ["b"]}, "cohorts.value", "is unknown; did you mean 'values'?"),
        ({"attribute": "a", "values": []}, "cohorts.values", "must list at least one value"),
        ({"attribute": "a", "values": "b"}, "cohorts.values", "must be a list, not 'b'"),
        ({"attribute": "a", "values": ["b", "b"]}, "cohorts.values[1].value", "is listed twice"),
        ({"attribute": "a", "values": ["é" * 65]}, "cohorts.values[0].value", "is 130 bytes long"),
        ({"attribute": "a", "values": [""]}, "cohorts.values[0].value", "must not be empty"),
        ({"attribute": "a", "values": ["v"] * 201}, "cohorts.values", "has 201 entries"),
        ({"attribute": "a", "max_values": 201}, "cohorts.max_values", "must be between 1 and 200"),
        ({"attribute": "a", "values": ["b"], "max_values": 2}, "cohorts.max_values", "give one of"),
    ],
)
def test_faults_are_named(cohorts: object, field: str, detail: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rule_of(cohorts)
    found = {problem.field: problem.detail for problem in refused.value.problems}
    assert field in found
    assert detail in found[field]
