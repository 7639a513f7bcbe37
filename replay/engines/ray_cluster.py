"""A Ray cluster that is there already, or one of this machine for as long as it takes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Generic

from pullarm.domain.errors import Unavailable, invalid
from replay.engines.base import Item, Result, Shared, Team, in_order

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported unasked
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray will do, and warns of until it does
    "RAY_raylet_start_wait_time_s": "300",  # a busy machine takes its time
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RayCluster:
    """Ray, whose workers need this version of Pullarm, and the data under the same paths.

    A piece whose worker is lost is done again by another, three times at most.
    """

    concurrent: ClassVar[bool] = True

    workers: int
    """Of a cluster of this machine's own; one that is there already has as many as it has."""
    address: str | None = None
    """Of a cluster that is there already, as Ray understands it; `auto` for the one of this machine."""

    @contextmanager
    def team(self, shared: Shared) -> Iterator[Team[Shared]]:
        """Raises InvalidInput where Ray is not installed, Unavailable where there is no cluster at the address.

        A process connects once; the connection, and a cluster of its own, end with it.
        """
        ray = self._connected()
        yield _Workers(ray, ray.put(shared), 2 * int(ray.cluster_resources()["CPU"]))

    def _connected(self) -> Any:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError as error:
            raise invalid("--engine", "Ray is not installed: pip install 'pullarm[ray]'") from error
        if self.address is None and " " in ray.__file__:
            # It starts its own programs by a shell that splits this path, and waits for ever.
            raise Unavailable(
                f"Ray does not run from a folder with a space in its name: {ray.__file__}"
            )
        if not ray.is_initialized():
            quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
            try:
                if self.address is None:
                    ray.init("local", num_cpus=self.workers, include_dashboard=False, **quiet)
                else:
                    ray.init(self.address, **quiet)
            except Exception as error:
                # Whatever it is: Ray raises Exception itself where it does not start.
                where = self.address or "this machine"
                raise Unavailable(f"Ray at {where} cannot be used: {error}") from error
        return ray


@dataclass(frozen=True, slots=True)
class _Workers(Generic[Shared]):
    ray: Any
    shared: Any  # a reference to what Ray keeps
    ahead: int

    def map(
        self, work: Callable[[Shared, Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        remote = self.ray.remote(work)
        try:
            yield from in_order(
                items,
                ahead=self.ahead,
                start=lambda item: remote.remote(self.shared, item),
                wait=self.ray.get,
            )
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from error  # what the work raised, as it is raised in one process
        except self.ray.exceptions.RayError as error:
            raise Unavailable(f"a piece of work was lost on Ray: {error}") from error
