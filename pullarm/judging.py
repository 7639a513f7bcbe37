"""Judging experiments: for the workers every day, and whenever somebody asks."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfoNotFoundError

from pullarm.domain.audit import Author
from pullarm.domain.errors import Conflict, PullarmError, Unavailable
from pullarm.domain.experiment import POLICY_NAMES, Experiment, State, next_state
from pullarm.domain.looks import (
    complete_from,
    due_at,
    ended_day,
    last_day,
    matured_day,
    ran_out,
    unjudged,
)
from pullarm.domain.verdict import Look, Outcome, StoredVerdict, Verdict
from pullarm.lifecycle import Expected, Lifecycle
from pullarm.statistics.verdicts.evidence import judge
from pullarm.statistics.verdicts.rule import Question
from pullarm.storage.postgres.verdicts import Material, Owed, PostgresVerdicts

_log = logging.getLogger(__name__)

DECISIONS = Author("decisions", "worker")
_JUDGED = (State.RUNNING, State.ROLLED_BACK, State.STOPPED)
_ROLLED_BACK = "it was rolled back, and has not been resumed"
_Looks = dict[int, dict[str, tuple[Look, ...]]]


class Judge:
    """Makes verdicts, freezes them, and ships by them where the experiment says so."""

    def __init__(self, verdicts: PostgresVerdicts, lifecycle: Lifecycle) -> None:
        self._verdicts = verdicts
        self._lifecycle = lifecycle
        self._judging = asyncio.Lock()
        self._told: dict[str, str] = {}
        """Why what is owed cannot be done, by experiment; each is told once."""

    async def judge_due(self) -> int:
        """Judge every experiment for which it has been nine o'clock since it was judged for that; how many.

        What was missed is done once. What cannot be done is told, and tried again. Raises Unavailable while PostgreSQL
        is away.
        """
        if self._judging.locked():  # a large ledger is proved for longer than a minute
            return 0
        async with self._judging:
            return await self._judge_due()

    async def _judge_due(self) -> int:
        now = self._lifecycle.now()
        told, self._told = self._told, {}
        judged = 0
        for owed in await self._verdicts.owed():
            try:
                judged += await self._judge_owed(owed, now)
            except Unavailable:
                raise
            except (PullarmError, ValueError, ArithmeticError, ZoneInfoNotFoundError) as error:
                if told.get(owed.id) != str(error):
                    _log.warning("%s is not judged yet: %s", owed.id, error)
                self._told[owed.id] = str(error)
        return judged

    async def _judge_owed(self, owed: Owed, now: datetime) -> bool:
        due = due_at(now, owed.time_zone)
        if owed.ran_at is not None and owed.ran_at >= due:
            return False
        experiment = await self._lifecycle.find(owed.id)
        if (experiment.started_at or now) > due or unjudged(experiment):
            return False
        stored = await self._judge(experiment)
        await self._verdicts.ran(experiment.number, due)
        _tell(experiment, stored)
        return True

    async def judge(self, reference: str) -> StoredVerdict:
        """Judge one experiment now: the verdict that stands, where there is a final one or the day was judged.

        Raises NotFound; Conflict where it cannot be judged, or not all events of its days have come.
        """
        return await self._judge(await self._lifecycle.find(reference))

    async def page(
        self, reference: str, *, before: int | None, count: int
    ) -> tuple[Experiment, list[StoredVerdict]]:
        """An experiment and its verdicts, newest first."""
        experiment = await self._lifecycle.find(reference)
        found = await self._verdicts.page(experiment.number, before=before, count=count)
        return experiment, found

    async def ship(
        self, reference: str, policy: str, author: Author, expected: Expected = None
    ) -> tuple[Experiment, tuple[str, ...]]:
        """Give everybody the policy that the verdict says to ship, or (where it runs) another one, with a warning.

        Raises Conflict where no policy is named and the verdict says none, and where what has stopped would be shipped
        without one.
        """
        experiment, newest = await self.page(reference, before=None, count=1)
        next_state("ship", experiment.state)
        best = newest[0].verdict.policy if newest else ""
        said = f"its verdict is {newest[0].verdict.outcome}" if newest else "it has no verdict"
        if not (policy or best):
            raise Conflict(f"{said}; to ship all the same, name the policy")
        policy = policy or best
        if policy == best:
            return await self._lifecycle.ship(reference, policy, author, expected), ()
        if experiment.state is State.STOPPED:
            raise Conflict(f"it has stopped, and {said}: clone it to try {policy} anew")
        shipped = await self._lifecycle.ship(reference, policy, author, expected)
        return shipped, (f"{policy} was shipped without a verdict that says so: {said}",)

    async def _judge(self, experiment: Experiment) -> StoredVerdict:
        newest = await self._verdicts.page(experiment.number, count=1)
        if newest and newest[0].verdict.final:
            await self._act(experiment, newest[0])
            return newest[0]
        started_at = experiment.started_at
        if started_at is None:
            raise Conflict("it has not started, so there is nothing to judge")
        if experiment.state not in _JUDGED or experiment.spec.shipped:
            was = " since it was shipped" if experiment.spec.shipped else ""
            raise Conflict(f"it is {experiment.state}, and is judged no more{was}")
        if why := unjudged(experiment):
            raise Conflict(f"it cannot be judged: {why}")
        now = self._lifecycle.now()
        day = matured_day(experiment, started_at, now)
        material = await self._verdicts.material(experiment, day, now)
        name = f"epoch {experiment.allocation_epoch} day {day}"
        if material.rolled_back:
            name = f"rolled back in guard epoch {experiment.guard_epoch}"
        if same := [each for each in material.earlier if each.name == name]:
            return same[0]
        complete = complete_from(experiment, started_at, day)
        if day and not material.cut.complete_until(complete):
            raise Conflict(_incomplete(material, day, complete))
        question = _question(experiment, started_at, day, material)
        verdict = await asyncio.to_thread(judge, question, material.data)
        if _freezes(verdict, question):
            question = replace(question, problems=await self._problems(experiment.number))
            verdict = await asyncio.to_thread(judge, question, material.data)
        stored = await self._verdicts.keep(experiment, name, material, question, verdict)
        await self._act(experiment, stored)
        return stored

    async def _problems(self, number: int) -> list[str]:
        """Why what is said for good cannot rest on the figures: the ledger does not prove them."""
        found = await self._verdicts.differences(number)
        if not found:
            return []
        return [f"the ledger does not prove the figures: {len(found)} differ, first {found[0]}"]

    async def _act(self, experiment: Experiment, stored: StoredVerdict) -> None:
        ships = stored.verdict.outcome is Outcome.SHIP and experiment.spec.decision.automatic_ship
        # What somebody has stopped, or shipped and taken back, is that person's.
        waits = experiment.state is State.RUNNING or ran_out(experiment)
        if ships and waits and not experiment.spec.shipped:
            author = DECISIONS._replace(note=stored.verdict.why)
            await self._lifecycle.ship(experiment.id, stored.verdict.policy, author)


def _freezes(verdict: Verdict, question: Question) -> bool:
    """Whether something of a policy is said for good that was not said before."""
    return any(
        policy.call is not Outcome.CONTINUE and name not in question.killed
        for name, policy in verdict.policies.items()
    )


def _question(
    experiment: Experiment, started_at: datetime, day: int, material: Material
) -> Question:
    criteria, epoch = experiment.spec.decision, experiment.allocation_epoch
    looks = _looks(material.earlier)
    before = (
        each for number, by_policy in looks.items() if number < epoch for each in by_policy.values()
    )
    sound = [
        each.verdict.policies
        for each in material.earlier
        if each.allocation_epoch == epoch and each.verdict.outcome is not Outcome.INVALID
    ]
    calls = sound[-1] if sound else {}
    began = max(material.ran_from or started_at, started_at)
    end_at = experiment.end_at
    names = [POLICY_NAMES[number] for number in sorted(experiment.policy_weights())]
    return Question(
        criteria=criteria,
        policies=[name for name in names if name != criteria.baseline],
        day=day,
        epoch_days=max(day - ended_day(began, started_at), 0),
        last_day=last_day(experiment, started_at),
        over=end_at is not None and day >= ended_day(end_at, started_at),
        looks=looks.get(epoch, {}),
        past=material.past,
        spent_before=sum(each[-1].spent for each in before),
        killed=[name for name, policy in calls.items() if policy.call is Outcome.KILL],
        rolled_back=_ROLLED_BACK if material.rolled_back else "",
    )


def _looks(earlier: Sequence[StoredVerdict]) -> Mapping[int, Mapping[str, tuple[Look, ...]]]:
    """By allocation epoch and policy, in order of time."""
    found: _Looks = {}
    for stored in earlier:
        of_epoch = found.setdefault(stored.allocation_epoch, {})
        for name, policy in stored.verdict.policies.items():
            if policy.look is not None:
                of_epoch[name] = (*of_epoch.get(name, ()), policy.look)
    return found


def _incomplete(material: Material, day: int, complete: datetime) -> str:
    mark = material.cut.watermark
    come = f"{mark:%Y-%m-%dT%H:%M:%SZ}" if mark else "no moment that can be told"
    by = f"; {material.cut.process} holds that back" if material.cut.process else ""
    return (
        f"day {day} is not complete: that takes all events up to {complete:%Y-%m-%dT%H:%M:%SZ}, "
        f"and they have come up to {come}{by}"
    )


def _tell(experiment: Experiment, stored: StoredVerdict) -> None:
    verdict = stored.verdict
    _log.info(
        "VERDICT experiment=%s outcome=%s policy=%s day=%d: %s",
        experiment.id,
        verdict.outcome.value,
        verdict.policy or "-",
        verdict.day,
        verdict.why,
    )
