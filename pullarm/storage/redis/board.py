"""The board: what the publisher posted, as serving reads it."""

from collections.abc import Sequence
from importlib.resources import files
from struct import pack

import msgspec
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import POLICY_NUMBERS, Experiment, State
from pullarm.domain.ports import BoardIndex
from pullarm.domain.publication import Head, PosteriorCell, Publication, Published
from pullarm.storage.redis import keys
from pullarm.storage.redis.connection import driver_errors

_POLICIES = sorted(POLICY_NUMBERS.values())
_PAIR_BYTES = 16
_HEAD = msgspec.msgpack.Decoder(Head)
_EXPERIMENT = msgspec.msgpack.Decoder(Experiment)
_MARKER = msgspec.msgpack.Decoder(tuple[str, tuple[int, ...]])


class RedisBoard:
    """The board in a Redis-compatible server."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        script = files(__package__).joinpath("lua", "publish.lua").read_text()
        self._publish: AsyncScript = redis.register_script(script)

    async def publish(self, publication: Publication) -> bool:
        """False when a difference does not follow what is there: a complete publication is needed."""
        number, head = publication.experiment.number, publication.head
        size = head.arms * _PAIR_BYTES
        make = _vector if publication.complete else _patches
        with driver_errors():
            posted = await self._publish(
                keys=[
                    keys.head(number),
                    keys.config(number),
                    keys.grid(number),
                    *(keys.posterior(number, policy) for policy in _POLICIES),
                ],
                args=[
                    "complete" if publication.complete else "difference",
                    head.incarnation,
                    publication.previous_pub_no,
                    head.pub_no,
                    msgspec.msgpack.encode(head),
                    msgspec.msgpack.encode(publication.experiment)
                    if publication.reconfigured
                    else b"",
                    publication.grid or b"",
                    size,
                    *(make(publication.cells, policy, size) for policy in _POLICIES),
                ],
            )
            await self._redis.incr(keys.CHANGES)
        return bool(posted)

    async def read(self, number: int, have: Head | None) -> Published | None:
        """One experiment in one consistent look; its configuration and grid only where they are not those of `have`."""
        published = await self._look(number, whole=have is None)
        if published is None or have is None:
            return published
        head = published.head
        known = (have.incarnation, have.config_no, have.grid_no)
        if (head.incarnation, head.config_no, head.grid_no) != known:
            return await self._look(number, whole=True)
        return published

    async def _look(self, number: int, *, whole: bool) -> Published | None:
        with driver_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hget(keys.head(number), "blob")
                pipe.get(keys.halt(number))
                pipe.mget([keys.posterior(number, policy) for policy in _POLICIES])
                if whole:
                    pipe.mget([keys.config(number), keys.grid(number)])
                blob, halt, posteriors, *rest = await pipe.execute()
        if blob is None:
            return None
        config, grid = rest[0] if rest else (None, None)
        try:
            return Published(
                head=_HEAD.decode(blob),
                experiment=_EXPERIMENT.decode(config) if config is not None else None,
                posteriors=dict(zip(_POLICIES, (p or b"" for p in posteriors), strict=True)),
                grid=grid,
                halt=State(halt.decode()) if halt else None,
            )
        except (msgspec.ValidationError, msgspec.DecodeError, ValueError) as error:
            raise ValueError(f"experiment {number} as published cannot be read: {error}") from error

    async def version(self, number: int) -> tuple[str, int]:
        """(incarnation, pub_no) of an experiment as published; ("", 0) when it is not."""
        with driver_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hget(keys.head(number), "incarnation")
                pipe.hget(keys.head(number), "pub_no")
                incarnation, pub_no = await pipe.execute()
        return (incarnation or b"").decode(), int(pub_no or 0)

    async def index(self) -> BoardIndex:
        """What is published, in one cheap look."""
        with driver_errors():
            marker, changes = await self._redis.mget([keys.COMPLETE, keys.CHANGES])
        try:
            incarnation, numbers = _MARKER.decode(marker or b"")
        except (msgspec.ValidationError, msgspec.DecodeError):
            # None, or one that no publisher wrote: incomplete, until a worker's audit writes it anew.
            return BoardIndex(False, "", int(changes or 0), ())
        return BoardIndex(True, incarnation, int(changes or 0), numbers)

    async def complete(self, incarnation: str, experiments: Sequence[int]) -> None:
        """Declare that everything is published."""
        with driver_errors():
            marker = msgspec.msgpack.encode((incarnation, tuple(experiments)))
            await self._redis.set(keys.COMPLETE, marker)
            await self._redis.incr(keys.CHANGES)

    async def halt(self, number: int, state: State) -> None:
        """Make serving treat an experiment as stopped or rolled back, at once and whatever else it is told."""
        with driver_errors():
            await self._redis.set(keys.halt(number), state.value)
            await self._redis.incr(keys.CHANGES)

    async def ping(self) -> None:
        """Raises Unavailable while the server is away."""
        with driver_errors():
            if not await self._redis.ping():
                raise Unavailable("Redis does not answer PING")


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
