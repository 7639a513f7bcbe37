"""When a serving process is ready, when not quite, and when requests should go elsewhere."""

from dataclasses import replace

import pytest

from serving.vitals import MAX_SILENCE_S, Spooled, Status, Vitals, readiness
from tests.vitals import HEALTHY


def test_healthy_process_is_ready_without_a_reason() -> None:
    judged = readiness(HEALTHY)
    assert (judged.status, judged.reasons, judged.serving) == (Status.READY, [], True)


@pytest.mark.parametrize(
    ("vitals", "reason"),
    [
        (replace(HEALTHY, complete=False), "no complete snapshot"),
        (replace(HEALTHY, draining=True), "stopping"),
        (replace(HEALTHY, contact_age_s=901.0), "not reached for 901 s"),
    ],
)
def test_process_that_should_get_no_requests(vitals: Vitals, reason: str) -> None:
    judged = readiness(vitals)
    assert (judged.status, judged.serving) == (Status.UNREADY, False)
    assert [reason in told for told in judged.reasons] == [True]


@pytest.mark.parametrize(
    ("vitals", "reason"),
    [
        (replace(HEALTHY, snapshot_age_s=5.5), "snapshot is 6 s old"),
        (replace(HEALTHY, stream_trouble="Redis is away"), "Redis is away"),
        (replace(HEALTHY, events_full="the spool is full"), "the spool is full"),
        (replace(HEALTHY, spool=Spooled(waiting_entries=3)), "3 entries wait"),
        (replace(HEALTHY, missing=2), "2 published experiments"),
        (replace(HEALTHY, problems={7: "no grid"}), "experiment 7: publication refused: no grid"),
    ],
)
def test_process_that_answers_but_is_not_well(vitals: Vitals, reason: str) -> None:
    judged = readiness(vitals)
    assert (judged.status, judged.serving) == (Status.DEGRADED, True)
    assert [reason in told for told in judged.reasons] == [True]


def test_limits_themselves_are_no_trouble() -> None:
    at_the_limit = replace(HEALTHY, snapshot_age_s=5.0, contact_age_s=MAX_SILENCE_S)
    assert readiness(at_the_limit).status is Status.READY
    assert readiness(at_the_limit, max_silence_s=60).status is Status.UNREADY


def test_many_refused_publications_are_named_in_part() -> None:
    reasons = readiness(replace(HEALTHY, problems=dict.fromkeys(range(1, 31), "bad"))).reasons
    assert len(reasons) == 11
    assert "20 more" in reasons[-1]
