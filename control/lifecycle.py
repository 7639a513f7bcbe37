"""Creating, changing, starting and stopping experiments; whatever decides here runs without HTTP."""

import secrets
from base64 import b32encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Protocol

from control.drafts import KEY, Draft, read_change, slug
from pullarm.clock import Clock
from pullarm.domain.assignment import allocate
from pullarm.domain.errors import Conflict, InvalidInput, NotFound, Unavailable, VersionMismatch
from pullarm.domain.experiment import (
    Catalogue,
    Experiment,
    Spec,
    State,
    next_state,
    policy_weights,
    starts_allocation_epoch,
)
from pullarm.domain.ports import BoardIndex, ExperimentStore, NewExperiment, Revision
from pullarm.domain.publication import Head, Published

EDITABLE = (State.DRAFT, State.RUNNING)
_ATTEMPTS = 8

Expected = frozenset[int] | None
"""Which versions the caller is ready to change; None is whichever is the newest."""


class Halts(Protocol):
    """The board, where a stop is written for serving to obey at once. Away, it raises Unavailable."""

    async def halt(self, number: int, state: State) -> None:
        """Make serving treat an experiment as stopped."""

    async def index(self) -> BoardIndex:
        """What is published."""

    async def read(self, number: int, have: Head | None) -> Published | None:
        """One experiment as it was published last; raises ValueError where that cannot be read."""


class Lifecycle:
    """What can be done to experiments."""

    def __init__(self, experiments: ExperimentStore, halts: Halts, clock: Clock) -> None:
        self._experiments = experiments
        self._halts = halts
        self._clock = clock

    async def find(self, reference: str) -> Experiment:
        """By id or key; raises NotFound."""
        return await find_experiment(self._experiments, reference)

    async def all(self) -> list[Experiment]:
        """All that are not archived, newest first, without their arms."""
        found = await self._experiments.all()
        return [experiment for experiment in found if experiment.state is not State.ARCHIVED]

    async def create(self, draft: Draft) -> Experiment:
        """Store a draft; a key made from its name gets a number where it is taken."""
        if draft.key is not None:
            return await self._store(draft, draft.key)
        key = slug(draft.spec.name)
        for _ in range(_ATTEMPTS):
            try:
                return await self._store(draft, key)
            except InvalidInput:
                taken = {experiment.key for experiment in await self._experiments.all()}
                numbered = (f"{slug(draft.spec.name)}-{number}" for number in count(2))
                key = next(key for key in numbered if key not in taken)
        raise Conflict(f"no free key was found for {draft.spec.name!r}; give one in the field key")

    async def edit(self, reference: str, body: object, expected: Expected = None) -> Experiment:
        """Change a draft or running experiment; a change of nothing makes no version."""
        return await self.revise(reference, expected, lambda found: _edited(found, body))

    async def start(self, reference: str, expected: Expected = None) -> Experiment:
        """Let a draft take its traffic; raises Conflict where nothing could be shown."""
        return await self.revise(reference, expected, _started)

    async def stop(
        self, reference: str, expected: Expected = None
    ) -> tuple[Experiment, tuple[str, ...]]:
        """End an experiment for good; also warnings about what could not be done at once.

        Without PostgreSQL serving is told all the same, and a worker stores the stop later.
        """
        try:
            experiment = await self.revise(reference, expected, _stopped)
        except Unavailable as error:
            return await self._halt_published(reference, expected, error)
        try:
            await self._halts.halt(experiment.number, State.STOPPED)
        except Unavailable as error:
            warning = (
                f"the stop is stored, but serving could not be told ({error}); it goes on with what it last "
                "read until a worker can publish the stop, or until you stop the experiment once more"
            )
            return experiment, (warning,)
        return experiment, ()

    async def _halt_published(
        self, reference: str, expected: Expected, away: Unavailable
    ) -> tuple[Experiment, tuple[str, ...]]:
        """Halt what the board has under this name; raises `away` where it has nothing."""
        experiment = await self._published(reference)
        if experiment is None:
            raise away
        _check_version(experiment, expected)
        if _stopped(experiment) is not None:
            await self._halts.halt(experiment.number, State.STOPPED)
        warning = f"serving was told to stop; that is stored once the ledger is back ({away})"
        return replace(experiment, state=State.STOPPED), (warning,)

    async def _published(self, reference: str) -> Experiment | None:
        for number in (await self._halts.index()).experiments:
            with suppress(ValueError):  # a damaged one, which the workers make good
                found = await self._halts.read(number, None)
                if found and found.experiment and reference in _names(found.experiment):
                    return found.experiment
        return None

    async def _store(self, draft: Draft, key: str) -> Experiment:
        new = NewExperiment(
            id=new_id(),
            key=key,
            spec=draft.spec,
            salt=secrets.token_bytes(16),
            buckets=allocate(policy_weights(draft.spec)),
            arms=draft.arms,
        )
        return await self._experiments.create(new, self._clock())

    async def revise(
        self,
        reference: str,
        expected: Expected,
        plan: Callable[[Experiment], Revision | None],
    ) -> Experiment:
        """Store what `plan` makes of the newest version, anew when another change came between."""
        for _ in range(_ATTEMPTS):
            experiment = await self.find(reference)
            _check_version(experiment, expected)
            revision = plan(experiment)
            if revision is None:
                return experiment
            try:
                return await self._experiments.revise(experiment, revision, self._clock())
            except VersionMismatch:
                continue
        raise VersionMismatch


async def find_experiment(experiments: ExperimentStore, reference: str) -> Experiment:
    """By id or key; raises NotFound."""
    # Both are a key's alphabet; anything else never reaches the database, which refuses NUL, for one.
    if not KEY.fullmatch(reference.removeprefix("exp_")):
        raise NotFound(f"there is no experiment {reference[:80]!r}")
    return await experiments.get(reference)


def new_id(prefix: str = "exp_") -> str:
    """A prefix and 12 random characters."""
    return prefix + b32encode(secrets.token_bytes(8)).decode().lower()[:12]


def _check_version(experiment: Experiment, expected: Expected) -> None:
    if expected is not None and experiment.config_no not in expected:
        raise VersionMismatch(
            f"the experiment is at version {experiment.config_no} by now: read it again and "
            "repeat the change"
        )


def _names(experiment: Experiment) -> tuple[str, str]:
    return experiment.id, experiment.key


def _edited(experiment: Experiment, body: object) -> Revision | None:
    if experiment.state not in EDITABLE:
        raise Conflict(
            f"cannot edit an experiment that is {experiment.state}; only a draft or a running one changes"
        )
    before, spec = experiment.spec, read_change(body, experiment.spec)
    if spec == before:
        return None
    if experiment.state is State.RUNNING:
        _refuse_without_arms(experiment, spec)
    moved = int(starts_allocation_epoch(before, spec))
    return Revision(
        action="edit",
        spec=spec,
        state=experiment.state,
        buckets=allocate(policy_weights(spec), experiment.buckets),
        allocation_epoch=experiment.allocation_epoch + moved,
        guard_epoch=experiment.guard_epoch + moved,
    )


def _started(experiment: Experiment) -> Revision:
    state = next_state("start", experiment.state)
    _refuse_without_arms(experiment, experiment.spec)
    return _moved(experiment, "start", state)


def _stopped(experiment: Experiment) -> Revision | None:
    state = next_state("stop", experiment.state)
    return None if state is experiment.state else _moved(experiment, "stop", state)


def _moved(experiment: Experiment, action: str, state: State) -> Revision:
    return Revision(
        action=action,
        spec=experiment.spec,
        state=state,
        buckets=experiment.buckets,
        allocation_epoch=experiment.allocation_epoch,
        guard_epoch=experiment.guard_epoch,
    )


def _refuse_without_arms(experiment: Experiment, spec: Spec) -> None:
    if spec.catalogue is Catalogue.CLOSED and not experiment.active():
        raise Conflict(
            "a closed catalogue without active arms has nothing to show; add some (POST .../arms), or PATCH it "
            'with {"catalogue": "open"}, which makes arms of the candidates it sees'
        )
