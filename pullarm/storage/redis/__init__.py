"""A Redis-compatible server: the event streams and the board that serving reads."""

from pullarm.storage.redis.board import RedisBoard
from pullarm.storage.redis.callers import RedisCallers
from pullarm.storage.redis.connection import connect
from pullarm.storage.redis.events import RedisEventSink, RedisEventSource

__all__ = ["RedisBoard", "RedisCallers", "RedisEventSink", "RedisEventSource", "connect"]
