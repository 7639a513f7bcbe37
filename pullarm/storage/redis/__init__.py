"""A Redis-compatible server, or a cluster: the event streams and the board that serving reads."""

from pullarm.storage.redis.board import RedisBoard
from pullarm.storage.redis.callers import RedisCallers
from pullarm.storage.redis.cluster import reach
from pullarm.storage.redis.connection import connect
from pullarm.storage.redis.events import RedisEventSink, RedisEventSource
from pullarm.storage.redis.instances import RedisInstances
from pullarm.storage.redis.traces import RedisTraces

__all__ = [
    "RedisBoard",
    "RedisCallers",
    "RedisEventSink",
    "RedisEventSource",
    "RedisInstances",
    "RedisTraces",
    "connect",
    "reach",
]
