"""Verdicts as they are made: on real statistics, frozen with their cut, and made again from the ledger."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus

import pytest

from control.decisions import VerdictsView
from pullarm.domain.errors import Conflict, Unavailable
from pullarm.domain.experiment import PolicySpec, State
from pullarm.domain.rebuild import Exclusion
from pullarm.domain.transitions import changed, edited
from pullarm.domain.verdict import Outcome, StoredVerdict
from pullarm.judging import Judge
from pullarm.lifecycle import Lifecycle
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresRepair,
    PostgresStatistics,
    PostgresTrail,
    rollups,
)
from pullarm.storage.postgres.roles import CONTROL, make_roles
from pullarm.storage.postgres.times import at
from pullarm.storage.postgres.verdicts import PostgresVerdicts
from tests.control_api import AwayBoard, Clock, app_over, client_of
from tests.e2e.commands import pullarm
from tests.judging import CRITERIA, SOMEBODY, Judging, judging
from tests.ledger_events import START_MS
from workers import jobs


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Judging]:
    async with judging(database_url) as made:
        yield made


async def judged(scene: Judging, day: float) -> StoredVerdict:
    """On this many matured days."""
    scene.at_day(day)
    await scene.say_complete()
    return await scene.judge.judge("judged")


async def test_days_are_judged_once_until_a_policy_ships(scene: Judging) -> None:
    await scene.visit(0, thompson=0.25)
    first = await judged(scene, 1)
    assert (first.name, first.verdict.outcome, first.verdict.day) == (
        "epoch 1 day 1",
        Outcome.CONTINUE,
        1,
    )
    spent = first.verdict.policies["thompson"].look
    assert spent is not None
    assert 0 < first.verdict.spent == spent.spent < first.verdict.alpha
    await scene.visit(1, thompson=0.6)  # comes too late for the day that was judged
    assert (await scene.judge.judge("judged")).content == first.content
    await scene.visit(0, users=100, thompson=0.6)
    second = await judged(scene, 2.4)
    told = second.verdict.policies["thompson"]
    assert (second.verdict_no, second.verdict.outcome, second.verdict.policy) == (
        2,
        Outcome.SHIP,
        "thompson",
    )
    assert (told.users, told.serves) == (500, 1_500)
    assert second.verdict.spent > first.verdict.spent
    assert "thompson beats control: +" in second.verdict.why
    details = second.details["thompson"]
    (everybody,) = details.cohorts or (None,)
    assert everybody is None  # too few
    assert [(each.arm_id, each.serves) for each in details.best_arms] == [("one", 1_500)]
    # What is final stands.
    await scene.visit(3, users=1_000, thompson=0.0)
    assert (await judged(scene, 4)).content == second.content
    assert [each.verdict_no for each in await scene.verdicts.page(1, count=9)] == [2, 1]


async def test_day_that_is_not_complete_is_no_verdict(scene: Judging) -> None:
    await scene.visit(0, thompson=0.9)
    await judged(scene, 0.5)
    scene.at_day(1)
    with pytest.raises(Conflict, match=r"day 1 is not complete.*serving-0 holds that back"):
        await scene.judge.judge("judged")
    assert len(await scene.verdicts.page(1, count=9)) == 1
    await scene.say_complete()
    assert (await scene.judge.judge("judged")).verdict.outcome is Outcome.SHIP


async def test_verdict_is_made_again_from_the_ledger_to_the_byte(scene: Judging) -> None:
    """Whatever came, was changed or left out since; and not where the ledger is another one."""
    await scene.visit(0, thompson=0.25)
    first = await judged(scene, 1)
    await scene.visit(0, users=50, thompson=0.9)
    await scene.visit(1, thompson=0.25)
    second = await judged(scene, 2)
    window = Exclusion(from_at=at(START_MS), to_at=at(START_MS + 3_600_000))
    await PostgresRepair(scene.database).rebuild(1, window, SOMEBODY, at(scene.clock()))
    await PostgresStatistics(scene.database).catch_up(1)
    for moment, frozen in ((first.at, first), (second.at + timedelta(days=9), second)):
        found = await scene.verdicts.redone(1, moment)
        assert found is not None
        stored, made, same = found
        assert (stored.content, made, same) == (frozen.content, frozen.verdict, True)
    assert await scene.verdicts.redone(1, first.at - timedelta(seconds=1)) is None
    await scene.execute("UPDATE reward SET credit = 0 WHERE credit > 0")
    spoiled = await scene.verdicts.redone(1, first.at)
    assert spoiled is not None
    assert not spoiled[2]


async def test_command_shows_an_earlier_verdict_made_again(
    scene: Judging, database_url: str
) -> None:
    await scene.visit(0, thompson=0.25)
    stored = await judged(scene, 1)
    given = {"DATABASE_URL": database_url}
    shown = await pullarm("decide", "judged", "--at", str(stored.at), given=given)
    assert (shown.status, shown.errors) == (0, "made again from fold 2: the same bytes\n")
    assert "continue (not final), epoch 1 day 1" in shown.output
    json = await pullarm("decide", "judged", "--at", str(stored.at), "--json", given=given)
    assert json.output == f"{stored.content}\n"
    early = await pullarm("decide", "judged", "--at", "2025-01-01", given=given)
    assert (early.status, early.output) == (1, "")
    assert "exp_judged had no verdict at 2025-01-01" in early.errors
    await scene.execute("UPDATE reward SET credit = 0 WHERE credit > 0")
    other = await pullarm("decide", "judged", "--at", str(stored.at), given=given)
    assert other.status == 1
    assert "the ledger makes another verdict" in other.errors


async def test_control_waits_for_workers_to_count_as_it_may_not_itself(
    scene: Judging, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_roles(database_url)
    await scene.visit(0, thompson=0.25)
    scene.at_day(1)
    await scene.say_complete()
    address = f"{database_url}{'&' if '?' in database_url else '?'}role={CONTROL}"
    async with Database(address) as database:
        experiments, trail = PostgresExperiments(database), PostgresTrail(database)
        lifecycle = Lifecycle(experiments, trail, scene.board, scene.clock)
        judge = Judge(PostgresVerdicts(database, counts=False), lifecycle)
        with monkeypatch.context() as hurry:
            hurry.setattr(rollups, "WAIT_S", 0.1)
            with pytest.raises(Unavailable, match="have not counted all that was folded"):
                await judge.judge("judged")
        judging = asyncio.create_task(judge.judge("judged"))
        await PostgresStatistics(scene.database).catch_up(1)
        assert (await judging).verdict.day == 1


async def test_lost_users_of_one_policy_make_it_invalid_for_good(scene: Judging) -> None:
    await scene.visit(0, users=1_200, lost=180, thompson=0.9)
    verdict = (await judged(scene, 1)).verdict
    assert (verdict.outcome, verdict.policy, verdict.final) == (Outcome.INVALID, "", True)
    assert "not split" in verdict.why
    with pytest.raises(Conflict, match="its verdict is invalid"):
        await scene.judge.ship("judged", "", SOMEBODY)


async def test_figures_that_the_ledger_does_not_prove_are_invalid_until_they_are_made_good(
    scene: Judging,
) -> None:
    await scene.visit(0, thompson=0.9)
    await PostgresStatistics(scene.database).catch_up(1)
    await scene.execute(
        "UPDATE user_sums SET c = c / 9, mc = mc / 9, cc = cc / 81 WHERE policy = 2"
    )
    verdict = (await judged(scene, 1)).verdict
    assert (verdict.outcome, verdict.final) == (Outcome.INVALID, False)
    assert verdict.policies["thompson"].call is Outcome.KILL  # as it seemed
    assert "the ledger does not prove the figures: 2 differ, first users of epoch" in verdict.why
    await PostgresStatistics(scene.database).rebuild(1)
    assert (await judged(scene, 2)).verdict.outcome is Outcome.SHIP


async def test_new_split_is_judged_by_its_own_data_with_what_is_left_of_alpha(
    scene: Judging,
) -> None:
    await scene.visit(0, thompson=0.2)
    first = (await judged(scene, 1)).verdict
    experiment = await scene.now()
    policies = (
        replace(experiment.spec.policies[0], weight=2.0),
        PolicySpec(name="control", weight=2.000001),
    )
    change = edited(experiment, replace(experiment.spec, policies=policies))
    assert change is not None
    await scene.revise(change)
    await scene.visit(2, epoch=2, thompson=0.9)
    second = await judged(scene, 2)  # the second epoch began within the third day
    assert (second.name, second.verdict.policies["thompson"].look) == ("epoch 2 day 2", None)
    assert second.verdict.spent == first.spent
    await scene.visit(3, epoch=2, thompson=0.9)
    third = (await judged(scene, 4)).verdict
    assert (third.outcome, third.policies["thompson"].users) == (Outcome.SHIP, 400)
    look = third.policies["thompson"].look
    assert look is not None
    assert look.spent == pytest.approx(third.alpha - first.spent)
    assert third.spent == pytest.approx(third.alpha)


async def test_rolled_back_is_told_once_and_spends_nothing(scene: Judging) -> None:
    await scene.visit(0, thompson=0.9)
    await scene.revise(changed(await scene.now(), "rollback", State.ROLLED_BACK))
    for day in (1, 2):
        stored = await judged(scene, day)
        assert (stored.verdict_no, stored.name) == (1, "rolled back in guard epoch 1")
    assert (stored.verdict.outcome, stored.verdict.spent) == (Outcome.ROLLED_BACK, 0.0)
    # Nobody resumed it before it was stopped.
    await scene.lifecycle.stop("judged", SOMEBODY)
    assert (await judged(scene, 3)).verdict_no == 1
    assert await scene.verdicts.owed() == []


async def test_stopped_experiment_is_judged_on_all_it_has_and_never_again(scene: Judging) -> None:
    await scene.visit(0)
    scene.clock.now_ms = START_MS + 30 * 3_600_000
    await scene.lifecycle.stop("judged", SOMEBODY)
    verdict = (await judged(scene, 9)).verdict
    assert (verdict.day, verdict.outcome, verdict.final) == (2, Outcome.ITERATE, True)
    assert await scene.verdicts.owed() == []


async def test_job_judges_at_nine_where_the_experiment_is_and_catches_up(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nine in Berlin is seven in UTC by then; the experiment started at midnight in UTC."""
    caplog.set_level(logging.INFO)
    async with judging(database_url, replace(CRITERIA, time_zone="Europe/Berlin")) as scene:
        context = {"judge": scene.judge}
        await scene.visit(0)
        scene.at_day(1)  # at one in UTC, two days after the start
        await scene.say_complete()
        counts = [await jobs.judge(context), await jobs.judge(context)]
        scene.clock.now_ms += 5 * 3_600_000 + 3_600_000 - 21_000  # a second before nine
        await scene.say_complete()
        counts.append(await jobs.judge(context))
        scene.clock.now_ms += 1_000
        counts.append(await jobs.judge(context))
        await scene.say_complete()
        counts.append(await jobs.judge(context))
        scene.clock.now_ms += 3 * 86_400_000
        counts.append(await jobs.judge(context))  # nobody has said that all has come
        counts.append(await jobs.judge(context))
        await scene.say_complete()
        counts += [await jobs.judge(context), await jobs.judge(context)]
        assert counts == [1, 0, 0, 1, 0, 0, 0, 1, 0]
    told = [record.message for record in caplog.records if "not judged yet" in record.message]
    assert len(told) == 1
    verdicts = [r.message.split(":")[0] for r in caplog.records if r.message.startswith("VERDICT")]
    assert verdicts[-1] == "VERDICT experiment=exp_judged outcome=iterate policy=- day=4"


@pytest.mark.parametrize("automatic", [False, True])
async def test_verdict_ships_by_itself_only_where_the_experiment_says_so(
    database_url: str, automatic: bool
) -> None:
    async with judging(database_url, replace(CRITERIA, automatic_ship=automatic)) as scene:
        await scene.visit(0, thompson=0.9)
        assert (await judged(scene, 1)).verdict.outcome is Outcome.SHIP
        experiment = await scene.now()
        assert (experiment.state is State.SHIPPED) is automatic
        assert (experiment.spec.default_policy == "thompson") is automatic
        assert await scene.verdicts.owed() == []


async def test_verdicts_and_shipping_over_rest(database_url: str) -> None:
    async with judging(database_url) as scene:
        await scene.visit(0, thompson=0.9)
        scene.at_day(1)
        clock = Clock()
        clock.now_ms = scene.clock.now_ms
        path = "/api/experiments/judged"
        async with client_of(app_over(scene.database, AwayBoard(), clock)) as client:
            early = await client.post(f"{path}/decisions")
            assert early.status_code == HTTPStatus.CONFLICT
            assert "day 1 is not complete" in early.json()["detail"]
            refused = await client.post(f"{path}/ship")
            assert refused.status_code == HTTPStatus.CONFLICT
            assert "has no verdict" in refused.json()["detail"]
            nothing = (await client.get(f"{path}/decisions")).json()
            assert (nothing["verdicts"], nothing["final"]) == ([], False)
            assert nothing["next_at"] == "2025-10-16T09:00:00Z"
            await scene.say_complete()
            made = (await client.post(f"{path}/decisions")).json()
            assert (made["verdict"]["outcome"], made["verdict"]["policy"]) == ("ship", "thompson")
            assert made["verdict"]["policies"]["thompson"]["interval"][0] > 0
            listed = (await client.get(f"{path}/decisions")).json()
            assert set(listed) == set(VerdictsView.__dataclass_fields__)
            assert (listed["verdicts"], listed["final"]) == ([made], True)
            shipped = (await client.post(f"{path}/ship")).json()
            assert (shipped["state"], shipped["default_policy"]) == ("shipped", "thompson")
            assert (shipped["traffic_pct"], shipped["allocation_epoch"]) == (1.0, 2)
            again = await client.post(f"{path}/ship", json={"policy": "control", "note": "why"})
            (warning,) = [w for w in again.json()["warnings"] if "shipped" in w]
            assert (
                warning == "control was shipped without a verdict that says so: its verdict is ship"
            )
            trail = (await client.get(f"{path}/audit")).json()["entries"]
            assert [entry["action"] for entry in trail[:2]] == ["ship", "ship"]
            assert trail[0]["after"]["note"] == "why"
            unknown = await client.post(f"{path}/ship", json={"policy": "ucb"})
            assert "which the experiment does not have" in unknown.text
