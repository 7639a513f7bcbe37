"""Creating, changing, starting and stopping experiments, over the ports: for control, the workers and the commands."""

import re
import secrets
import unicodedata
from base64 import b32encode
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Protocol

from pullarm.clock import Clock
from pullarm.domain.assignment import allocate
from pullarm.domain.audit import NOBODY, Author
from pullarm.domain.cohorts import declared
from pullarm.domain.errors import Conflict, InvalidInput, NotFound, Unavailable, VersionMismatch
from pullarm.domain.experiment import (
    Arm,
    Experiment,
    Spec,
    State,
    next_state,
    policy_weights,
)
from pullarm.domain.ports import AuditTrail, BoardIndex, ExperimentStore, NewExperiment
from pullarm.domain.publication import Head, Published
from pullarm.domain.transitions import Plan, become, resumed, shipping, starting, taking

KEY = re.compile(r"(?!exp_|validate$)[a-z0-9][a-z0-9_-]{0,63}")
"""An experiment is found at its key, where exp_ begins an id and `validate` is something else."""
_ATTEMPTS = 8

Expected = frozenset[int] | None
"""Which versions the caller is ready to change; None is whichever is the newest."""


class Halts(Protocol):
    """The board, where a stop is written for serving to obey at once. Away, it raises Unavailable."""

    async def halt(self, number: int, state: State, guard_epoch: int = 0, note: str = "") -> None:
        """Make serving treat an experiment as stopped, or as rolled back in a guard epoch; the note says why."""

    async def release(self, number: int, guard_epoch: int) -> None:
        """End the halt of a rollback that was made before this guard epoch."""

    async def unhalt(self, number: int) -> None:
        """Forget that it was halted."""

    async def index(self) -> BoardIndex:
        """What is published."""

    async def read(self, number: int, have: Head | None) -> Published | None:
        """One experiment as it was published last; raises ValueError where that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A new experiment as it was asked for."""

    key: str | None
    """None makes one of its name."""
    spec: Spec
    arms: tuple[Arm, ...]
    cloned_from: str = ""


class Lifecycle:
    """What can be done to experiments; each change is on somebody's account."""

    def __init__(
        self, experiments: ExperimentStore, trail: AuditTrail, halts: Halts, clock: Clock
    ) -> None:
        self._experiments = experiments
        self._trail = trail
        self._halts = halts
        self._clock = clock

    def now(self) -> datetime:
        """The moment by the clock of the business."""
        return datetime.fromtimestamp(self._clock() / 1000, UTC)

    async def find(self, reference: str) -> Experiment:
        """By id or key; raises NotFound."""
        return await find_experiment(self._experiments, reference)

    async def all(self) -> list[Experiment]:
        """All, newest first, without their arms."""
        return await self._experiments.all()

    async def create(self, draft: Draft, author: Author) -> Experiment:
        """Store a draft; a key made from its name gets a number where it is taken."""
        if draft.key is not None:
            return await self._store(draft, draft.key, author)
        key = slug(draft.spec.name)
        for _ in range(_ATTEMPTS):
            try:
                return await self._store(draft, key, author)
            except InvalidInput as refused:
                if any(problem.field != "key" for problem in refused.problems):
                    raise
                taken = {experiment.key for experiment in await self._experiments.all()}
                numbered = (f"{slug(draft.spec.name)}-{number}" for number in count(2))
                key = next(key for key in numbered if key not in taken)
        raise Conflict(f"no free key was found for {draft.spec.name!r}; give one in the field key")

    async def start(self, reference: str, author: Author, expected: Expected = None) -> Experiment:
        """Let a draft take its traffic; raises Conflict where nothing could be shown."""
        plan, experiment = starting(self.now()), await self.find(reference)
        plan(experiment)
        # A draft has no halt, but one of a time that the ledger was put back from, or of another one's by its number.
        with suppress(Unavailable):
            await self._halts.unhalt(experiment.number)
        return await self.revise(reference, plan, author, expected)

    async def archive(
        self, reference: str, author: Author, expected: Expected = None
    ) -> Experiment:
        """Hide a draft, or what has ended, from lists."""
        return await self.revise(reference, taking("archive"), author, expected)

    async def ship(
        self, reference: str, policy: str, author: Author, expected: Expected = None
    ) -> Experiment:
        """Give a policy to everybody whom the experiment is for; raises InvalidInput where it has none of that name.

        What has stopped takes Redis too, where its stop is to be forgotten first: else a worker stores it anew.
        """
        plan, experiment = shipping(policy), await self.find(reference)
        if experiment.state is State.STOPPED and plan(experiment):
            await self._check_version(experiment, expected)
            await self._halts.unhalt(experiment.number)
        return await self.revise(reference, plan, author, expected)

    async def stop(
        self, reference: str, author: Author, expected: Expected = None
    ) -> tuple[Experiment, tuple[str, ...]]:
        """End an experiment for good; also warnings about what could not be done at once.

        Without PostgreSQL serving is told all the same, and a worker stores the stop later.
        """
        return await self._halt("stop", reference, author, expected)

    def drafted(self, draft: Draft) -> Experiment:
        """What create would make, under a key that may be taken."""
        new = _new(draft, draft.key or slug(draft.spec.name), NOBODY)
        return Experiment(
            number=0,
            id="",
            key=new.key,
            state=State.DRAFT,
            spec=new.spec,
            config_no=1,
            allocation_epoch=1,
            guard_epoch=1,
            salt=new.salt,
            buckets=new.buckets,
            arms=new.arms,
            cohorts=declared(new.spec.cohorts, ()),
            created_at=self.now(),
            updated_at=self.now(),
        )

    async def planned(
        self, reference: str, plan: Plan, expected: Expected = None
    ) -> tuple[Experiment, Experiment]:
        """An experiment, and what revise would make of it."""
        experiment = await self.find(reference)
        await self._check_version(experiment, expected)
        revision = plan(experiment)
        return experiment, become(experiment, revision, self.now()) if revision else experiment

    async def rollback(
        self, reference: str, author: Author, expected: Expected = None
    ) -> tuple[Experiment, tuple[str, ...]]:
        """Give everybody control until it is resumed; warnings, and without PostgreSQL, as for `stop`."""
        return await self._halt("rollback", reference, author, expected)

    async def resume(
        self, reference: str, author: Author, expected: Expected = None
    ) -> tuple[Experiment, tuple[str, ...]]:
        """Let an experiment that was rolled back go on; also warnings about what could not be done at once."""
        experiment = await self.revise(reference, resumed, author, expected)
        try:
            await self._halts.release(experiment.number, experiment.guard_epoch)
        except Unavailable as error:
            return experiment, (f"the workers let serving go on once Redis is back ({error})",)
        return experiment, ()

    async def revise(
        self, reference: str, plan: Plan, author: Author, expected: Expected = None
    ) -> Experiment:
        """Store what `plan` makes of the newest version, anew when another change came between.

        Raises VersionMismatch, with what was changed since, where that is none of the expected ones.
        """
        for _ in range(_ATTEMPTS):
            experiment = await self.find(reference)
            await self._check_version(experiment, expected)
            revision = plan(experiment)
            if revision is None:
                return experiment
            revision = replace(revision, author=author)
            with suppress(VersionMismatch):
                return await self._experiments.revise(experiment, revision, self._clock())
        raise VersionMismatch

    async def _halt(
        self, action: str, reference: str, author: Author, expected: Expected
    ) -> tuple[Experiment, tuple[str, ...]]:
        """Take an action after which nobody is served by a policy, and tell serving at once."""
        try:
            experiment = await self.revise(reference, taking(action), author, expected)
        except Unavailable as error:
            return await self._halt_published(action, reference, author, expected, error)
        try:
            await self._halts.halt(
                experiment.number, experiment.state, experiment.guard_epoch, author.note
            )
        except Unavailable as error:
            warning = (
                f"the {action} is stored, but serving could not be told ({error}); it goes on with what it last "
                f"read until a worker can publish the {action}, or until you {action} the experiment once more"
            )
            return experiment, (warning,)
        return experiment, ()

    async def _halt_published(
        self, action: str, reference: str, author: Author, expected: Expected, away: Unavailable
    ) -> tuple[Experiment, tuple[str, ...]]:
        """Halt what the board has under this name; raises `away` where it has nothing."""
        experiment = await find_published(self._halts, reference)
        if experiment is None:
            raise away
        if expected is not None and experiment.config_no not in expected:
            raise _stale(experiment)
        state = next_state(action, experiment.state)
        if state is not experiment.state:
            await self._halts.halt(experiment.number, state, experiment.guard_epoch, author.note)
        warning = f"serving was told to {action}; that is stored once the ledger is back ({away})"
        return replace(experiment, state=state), (warning,)

    async def _store(self, draft: Draft, key: str, author: Author) -> Experiment:
        with suppress(Unavailable):
            # A ledger that was put back would give out numbers that serving has for others, until workers notice.
            published = (await self._halts.index()).experiments
            await self._experiments.skip_numbers(max(published, default=0))
        return await self._experiments.create(_new(draft, key, author), self._clock())

    async def _check_version(self, experiment: Experiment, expected: Expected) -> None:
        if expected is None or experiment.config_no in expected:
            return
        known = max((number for number in expected if number < experiment.config_no), default=0)
        changes = await self._trail.since(experiment.number, known) if known else []
        raise VersionMismatch(str(_stale(experiment)), changes)


def _new(draft: Draft, key: str, author: Author) -> NewExperiment:
    return NewExperiment(
        id=new_id(),
        key=key,
        spec=draft.spec,
        salt=secrets.token_bytes(16),
        buckets=allocate(policy_weights(draft.spec)),
        arms=draft.arms,
        author=author,
        cloned_from=draft.cloned_from,
    )


async def find_experiment(experiments: ExperimentStore, reference: str) -> Experiment:
    """By id or key; raises NotFound."""
    # Both are a key's alphabet; anything else never reaches the database, which refuses NUL, for one.
    if not KEY.fullmatch(reference.removeprefix("exp_")):
        raise NotFound(f"there is no experiment {reference[:80]!r}")
    return await experiments.get(reference)


async def find_published(halts: Halts, reference: str) -> Experiment | None:
    """What the board has under an id or key, as serving knows it; None where it has nothing."""
    for number in (await halts.index()).experiments:
        with suppress(ValueError):  # a damaged one, which the workers make good
            found = await halts.read(number, None)
            experiment = found.experiment if found else None
            if experiment and reference in (experiment.id, experiment.key):
                return experiment
    return None


def new_id(prefix: str = "exp_") -> str:
    """A prefix and 12 random characters."""
    return prefix + b32encode(secrets.token_bytes(8)).decode().lower()[:12]


def slug(name: str) -> str:
    """A key from a name: lower-case letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    found = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-")
    return found if KEY.fullmatch(found) else "experiment"


def _stale(experiment: Experiment) -> VersionMismatch:
    return VersionMismatch(
        f"the experiment is at version {experiment.config_no} by now: read it again and repeat the change"
    )
