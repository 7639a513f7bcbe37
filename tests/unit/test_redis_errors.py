"""What a Redis server says that cannot work for a while is Unavailable; what it says of a mistake is not."""

import pytest
from redis.exceptions import ConnectionError, OutOfMemoryError, ResponseError

from pullarm.domain.errors import Unavailable
from pullarm.storage.redis.connection import driver_errors
from pullarm.storage.redis.queue import queue_errors

UNWELL = [
    ConnectionError("refused"),
    OutOfMemoryError("command not allowed when used memory > 'maxmemory'"),
    ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
    ResponseError("OOM command not allowed when used memory > 'maxmemory'."),
    ResponseError("READONLY You can't write against a read only replica."),
    ResponseError("NOREPLICAS Not enough good replicas to write."),
    ResponseError("CLUSTERDOWN The cluster is down"),
    ResponseError("MASTERDOWN Link with MASTER is down"),
]


@pytest.mark.parametrize("error", UNWELL, ids=str)
def test_server_that_cannot_work_now_is_unavailable(error: Exception) -> None:
    with pytest.raises(Unavailable, match="Redis"), driver_errors():
        raise error


def test_our_own_mistake_is_not_hidden() -> None:
    mistake = ResponseError("ERR wrong number of arguments for 'get' command")
    with pytest.raises(ResponseError, match="wrong number"), driver_errors():
        raise mistake


def test_whatever_is_wrong_with_the_queue_only_makes_jobs_wait() -> None:
    with pytest.raises(Unavailable, match="the queue's Redis"), queue_errors():
        raise ResponseError("NOPERM this user has no permissions")
