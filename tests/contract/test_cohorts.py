"""Cohorts are numbered once: those that are listed with their version, others as they are seen."""

from dataclasses import replace

import pytest

from pullarm.domain.cohorts import Cohort, CohortRule
from pullarm.domain.errors import InvalidInput
from pullarm.domain.experiment import Experiment
from pullarm.domain.ports import NewExperiment, Revision
from tests.contract.conftest import Stores
from tests.ledger_events import START_MS, draft


def _draft(rule: CohortRule | None) -> NewExperiment:
    new = draft("a")
    return replace(new, spec=replace(new.spec, cohorts=rule))


def _ruled(experiment: Experiment, rule: CohortRule | None) -> Revision:
    return Revision(
        action="edit",
        spec=replace(experiment.spec, cohorts=rule),
        state=experiment.state,
        buckets=experiment.buckets,
        allocation_epoch=experiment.allocation_epoch,
        guard_epoch=experiment.guard_epoch,
    )


def _cohorts(*named: str) -> tuple[Cohort, ...]:
    return tuple(
        Cohort(cohort_no=number, attribute=attribute, value=value)
        for number, (attribute, _, value) in enumerate((n.partition("=") for n in named), start=1)
    )


async def test_what_is_listed_has_numbers_from_its_version_on(stores: Stores) -> None:
    listed = CohortRule(attribute="country", values=("fr", "de"))
    made = await stores.experiments.create(_draft(listed), START_MS)
    assert made.cohorts == _cohorts("country=fr", "country=de")
    device = CohortRule(attribute="device", values=("tv",))
    revised = await stores.experiments.revise(made, _ruled(made, device), START_MS)
    assert revised.cohorts == _cohorts("country=fr", "country=de", "device=tv")
    assert await stores.experiments.get("a") == revised
    without = await stores.experiments.revise(revised, _ruled(revised, None), START_MS)
    assert without.cohorts == revised.cohorts
    assert await stores.experiments.get("a") == without


async def test_what_is_seen_is_numbered_in_a_version_of_its_own(stores: Stores) -> None:
    rule = CohortRule(attribute="country", max_values=3)
    made = await stores.experiments.create(_draft(rule), START_MS)
    register = stores.experiments.register_cohorts
    seen = [("country", "it"), ("device", "tv"), ("country", "de"), ("country", "it")]
    assert await register(made.number, seen, START_MS + 5) == 2
    assert await register(made.number, seen, START_MS + 6) == 0
    found = await stores.experiments.get("a")
    assert found.cohorts == _cohorts("country=it", "country=de")
    assert (found.config_no, found.spec) == (2, made.spec)
    assert (found.updated_at - made.updated_at).total_seconds() == 0.005
    assert await register(made.number, [("country", "x"), ("country", "y")], START_MS) == 1
    assert await stores.history(made.number) == [
        (1, "create", "", "draft"),
        (2, "register_cohorts", "worker", "draft"),
        (3, "register_cohorts", "worker", "draft"),
    ]


@pytest.mark.parametrize("rule", [None, CohortRule(attribute="country", values=("de",))])
async def test_where_nothing_is_to_be_found_nothing_is(
    stores: Stores, rule: CohortRule | None
) -> None:
    made = await stores.experiments.create(_draft(rule), START_MS)
    assert (
        await stores.experiments.register_cohorts(made.number, [("country", "it")], START_MS) == 0
    )
    assert await stores.experiments.register_cohorts(99, [("country", "it")], START_MS) == 0
    assert await stores.experiments.get("a") == made


async def test_version_that_numbers_run_out_for_is_refused_whole(stores: Stores) -> None:
    experiment = await stores.experiments.create(_draft(None), START_MS)
    for attribute in "abcde":
        values = tuple(f"{n}" for n in range(200))
        change = _ruled(experiment, CohortRule(attribute=attribute, values=values))
        experiment = await stores.experiments.revise(experiment, change, START_MS)
    last = _ruled(experiment, CohortRule(attribute="f", values=("1",)))
    with pytest.raises(InvalidInput, match=r"cohorts\.values: would be 1001"):
        await stores.experiments.revise(experiment, last, START_MS)
    assert await stores.experiments.get("a") == experiment
