"""The board: what the publisher posted, as serving reads it."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from itertools import chain
from struct import pack
from typing import Any, TypeVar

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from pullarm.domain.experiment import POLICY_NAMES, POLICY_NUMBERS, Experiment, State
from pullarm.domain.ports import BoardIndex, Halt, Version
from pullarm.domain.publication import Head, PosteriorCell, Publication, Published
from pullarm.storage.redis import keys
from pullarm.storage.redis.cluster import Client, on
from pullarm.storage.redis.connection import driver_errors
from pullarm.storage.redis.line import Answer, LineKeeper, Lines, packed
from pullarm.storage.redis.scripts import run, script

_POLICIES = sorted(POLICY_NUMBERS.values())
_PAIR_BYTES = 16
_POINT_BYTES = 8
_AT_ONCE = 20
"""Experiments of one round trip: the answers of more would be parsed without a pause for anybody else."""
_HEAD = msgspec.msgpack.Decoder(Head)
_EXPERIMENT = msgspec.msgpack.Decoder(Experiment)
_MARKER = msgspec.msgpack.Decoder(tuple[str, tuple[int, ...]])
_INDEX = packed(("MGET", keys.COMPLETE, keys.CHANGES, keys.BEAT))
_Decoded = TypeVar("_Decoded")
_PUBLISH, _HALT, _RELEASE = map(script, ("publish", "halt", "release"))


class RedisBoard:
    """The board on one server or a cluster; it is read on connections of its own, which close with the client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lines = Lines(client)

    async def publish(self, publication: Publication) -> bool:
        """False when a difference does not follow what is there: a complete publication is needed."""
        number, head = publication.experiment.number, publication.head
        size = head.arms * _PAIR_BYTES
        make = _vector if publication.complete else _patches
        posted = await run(
            self._client,
            _PUBLISH,
            [
                keys.head(number),
                keys.config(number),
                keys.grid(number),
                *(keys.posterior(number, policy) for policy in _POLICIES),
            ],
            "complete" if publication.complete else "difference",
            head.incarnation,
            publication.previous_pub_no,
            head.pub_no,
            msgspec.msgpack.encode(head),
            msgspec.msgpack.encode(publication.experiment) if publication.reconfigured else b"",
            publication.grid or b"",
            size,
            *(make(publication.cells, policy, size) for policy in _POLICIES),
        )
        await self._move(keys.CHANGES)
        return bool(posted)

    async def read(self, number: int, have: Head | None) -> Published | None:
        """One experiment in one consistent look; its configuration and grid only where they are not those of `have`.

        Raises ValueError that says what of it is missing, of the wrong type or length, or unreadable.
        """
        published = await self._look(number, whole=have is None)
        if published is None or have is None:
            return published
        head = published.head
        known = (have.incarnation, have.config_no, have.grid_no)
        if (head.incarnation, head.config_no, head.grid_no) != known:
            return await self._look(number, whole=True)
        return published

    async def _look(self, number: int, *, whole: bool) -> Published | None:
        commands = [
            packed(("HGET", keys.head(number), "blob")),
            packed(("GET", keys.halt(number))),
            packed(("MGET", *(keys.posterior(number, policy) for policy in _POLICIES))),
        ]
        if whole:
            commands.append(packed(("MGET", keys.config(number), keys.grid(number))))
        answers = await self._lines.ask_at_once(keys.head(number), *commands)
        blob = _value(answers[0], "its head is no hash")
        halt = _value(answers[1], "its halt is no string")
        posteriors, *rest = map(_values, answers[2:])
        if blob is None:
            return None
        head, state = _decoded(_HEAD, blob, "head"), _halt(halt)
        config, grid = rest[0] if rest else (None, None)
        experiment = None
        if whole:  # apart from the event loop: a thousand arms take longer than a request may wait
            experiment = await asyncio.to_thread(_configuration, config, number)
            _check_grid(head, grid)
        return Published(
            head=head,
            experiment=experiment,
            posteriors=_posteriors(posteriors, head.arms),
            grid=grid,
            halt=state,
        )

    async def versions(self, numbers: Sequence[int]) -> dict[int, Version]:
        """How far each of these experiments is; what is not published, or cannot be read, is at version 0."""
        found: dict[int, Version] = {}
        for some in await self._together(numbers):
            asked = chain.from_iterable(map(_version_of, some))
            answers = await self._lines.ask(keys.head(some[0]), *asked)
            for number, head, halt in zip(some, answers[::2], answers[1::2], strict=True):
                found[number] = _version(head, halt)
        return found

    async def _together(self, numbers: Sequence[int]) -> list[Sequence[int]]:
        """Experiments that one server has, as many as may be asked for in one round trip."""
        of: defaultdict[LineKeeper, list[int]] = defaultdict(list)
        for number in numbers:
            of[await self._lines.to(keys.head(number))].append(number)
        return [
            some[start : start + _AT_ONCE]
            for some in of.values()
            for start in range(0, len(some), _AT_ONCE)
        ]

    async def index(self) -> BoardIndex:
        """What is published, in one cheap look."""
        (answer,) = await self._lines.ask(keys.COMPLETE, _INDEX)
        marker, *counts = _values(answer)
        changes, beats = map(_count, counts)
        try:
            incarnation, numbers = _MARKER.decode(marker or b"")
        except (msgspec.ValidationError, msgspec.DecodeError):
            # None, or one that no publisher wrote: incomplete, until a worker's audit writes it anew.
            return BoardIndex(False, "", changes, (), beats)
        return BoardIndex(True, incarnation, changes, numbers, beats)

    async def complete(self, incarnation: str, experiments: Sequence[int]) -> None:
        """Declare that everything is published."""
        marker = msgspec.msgpack.encode((incarnation, tuple(experiments)))
        await self._on(keys.COMPLETE, lambda redis: redis.set(keys.COMPLETE, marker))
        await self._move(keys.CHANGES)

    async def halt(self, number: int, state: State, guard_epoch: int = 0, note: str = "") -> None:
        """Make serving treat an experiment as stopped or rolled back, at once and whatever else it is told."""
        await run(self._client, _HALT, [keys.halt(number)], f"{state.value}:{guard_epoch}:{note}")
        await self._move(keys.CHANGES)

    async def unhalt(self, number: int) -> None:
        """Forget that an experiment was halted."""
        if await self._on(keys.halt(number), lambda redis: redis.delete(keys.halt(number))):
            await self._move(keys.CHANGES)

    async def release(self, number: int, guard_epoch: int) -> None:
        """End the halt of a rollback that was made before this guard epoch; a stop stands."""
        if await run(self._client, _RELEASE, [keys.halt(number)], guard_epoch):
            await self._move(keys.CHANGES)

    async def halted(self, number: int) -> Halt | None:
        """What halts an experiment; None where nothing does, or nothing that can be read."""
        told: bytes = (
            await self._on(keys.halt(number), lambda redis: redis.get(keys.halt(number))) or b""
        )
        state, _, rest = told.decode(errors="replace").partition(":")
        epoch, _, note = rest.partition(":")
        known = state in (State.STOPPED, State.ROLLED_BACK)
        return Halt(State(state), _count(epoch.encode()), note) if known else None

    async def beat(self) -> None:
        """Say that everything folded so far is on the board."""
        await self._move(keys.BEAT)

    async def _move(self, counter: str) -> None:
        """Make a counter another number, also where something else has got into its key."""
        try:
            await self._on(counter, lambda redis: redis.incr(counter))
        except ResponseError as error:
            if not str(error).startswith(("WRONGTYPE", "value is not an integer")):
                raise
            await self._on(counter, lambda redis: redis.set(counter, 1))

    async def ping(self) -> None:
        """Raises Unavailable while the server, or the primary that says what is published, is away."""
        await self._on(keys.COMPLETE, lambda redis: redis.ping())

    async def _on(self, key: str, do: Callable[[Redis], Awaitable[Any]]) -> Any:
        return await on(self._client, key, do)


@cache  # the same are asked for several times a second; packing them takes as long as their answers
def _version_of(number: int) -> tuple[bytes, bytes]:
    head, halt = keys.head(number), keys.halt(number)
    return packed(("HMGET", head, "incarnation", "pub_no")), packed(("GET", halt))


def _value(answer: Answer, problem: str) -> bytes | None:
    _check(answer, problem)
    return answer if isinstance(answer, bytes) else None


def _values(answer: Answer) -> list[bytes | None]:
    _check(answer, "")
    assert isinstance(answer, list)  # so MGET and HMGET answer
    return [one if isinstance(one, bytes) else None for one in answer]


def _check(answer: Answer, problem: str) -> None:
    """Raises ValueError where a key holds something else, and what else the server answered."""
    if isinstance(answer, ResponseError):
        if str(answer).startswith("WRONGTYPE"):
            raise ValueError(problem) from answer
        with driver_errors():
            raise answer


def _decoded(decoder: msgspec.msgpack.Decoder[_Decoded], data: bytes | None, what: str) -> _Decoded:
    if data is None:
        raise ValueError(f"its {what} is missing, or no string")
    try:
        return decoder.decode(data)
    except (msgspec.ValidationError, msgspec.DecodeError, ValueError) as error:
        raise ValueError(f"its {what} cannot be read: {error}") from error


def _configuration(data: bytes | None, number: int) -> Experiment:
    experiment = _decoded(_EXPERIMENT, data, "configuration")
    if experiment.number != number:
        raise ValueError(f"its configuration is that of experiment {experiment.number}")
    return experiment


def _halt(data: bytes | None) -> State | None:
    try:
        return State(_halted(data)) if data else None
    except ValueError as error:
        raise ValueError(f"its halt cannot be read: {error}") from error


def _halted(data: bytes) -> str:
    """The state that a halt says."""
    return data.partition(b":")[0].decode()


def _posteriors(vectors: Sequence[bytes | None], arms: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for policy, vector in zip(_POLICIES, vectors, strict=True):
        name = f"the posterior of {POLICY_NAMES[policy]}"
        if vector is None:
            raise ValueError(f"{name} is missing, or no string")
        if len(vector) != arms * _PAIR_BYTES:
            raise ValueError(f"{name} has {len(vector)} bytes; {arms} arms take {_PAIR_BYTES} each")
        found[policy] = vector
    return found


def _check_grid(head: Head, grid: bytes | None) -> None:
    if head.grid_no and grid is None:
        raise ValueError(f"its grid {head.grid_no} is missing, or no string")
    if grid and len(grid) % _POINT_BYTES:
        raise ValueError(f"its grid has {len(grid)} bytes; a point takes {_POINT_BYTES}")


def _version(head: Answer, halt: Answer) -> Version:
    try:
        told = _value(halt, "") or b""
        incarnation, pub_no = _values(head)
        return Version((incarnation or b"").decode(), int(pub_no or 0), _halted(told))
    except ValueError:  # whoever reads it is told what is wrong
        return Version("", 0, "")


def _count(data: bytes | None) -> int:
    """A number; what none of us wrote there counts as 0."""
    return int(data) if data and data.isdigit() else 0


def _vector(cells: Sequence[PosteriorCell], policy: int, size: int) -> bytes:
    vector = bytearray(size)
    for cell_policy, arm_no, serves, rewards in cells:
        if cell_policy == policy and 0 < arm_no <= size // _PAIR_BYTES:
            at = (arm_no - 1) * _PAIR_BYTES
            vector[at : at + _PAIR_BYTES] = pack("<qq", serves, rewards)
    return bytes(vector)


def _patches(cells: Sequence[PosteriorCell], policy: int, size: int) -> bytes:
    return b"".join(
        pack("<Iqq", arm_no - 1, serves, rewards)
        for cell_policy, arm_no, serves, rewards in cells
        if cell_policy == policy and 0 < arm_no <= size // _PAIR_BYTES
    )
