"""One platform for all tests that only use it; they run on the session's event loop, as it does."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest_asyncio

from cli.platform import Platform
from pullarm.client import Client
from pullarm.v1.selection_pb2_grpc import SelectionServiceStub
from tests.e2e import upstream
from tests.e2e.upstream import Fleet
from tests.state_folders import temporary_state

if TYPE_CHECKING:
    from pullarm.v1.selection_pb2_grpc import SelectionServiceAsyncStub


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def platform() -> AsyncIterator[Platform]:
    """A running platform with two serving processes; its folder has a space in its path."""
    with temporary_state() as folder:
        async with upstream.running(folder) as platform:
            yield platform


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """The platform's experiments over REST."""
    async with upstream.rest(platform) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def fleet(platform: Platform) -> AsyncIterator[Fleet]:
    """Clients of the platform's serving processes."""
    async with upstream.fleet(platform.grpc_address) as fleet:
        yield fleet


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(platform: Platform) -> AsyncIterator[Client]:
    """One client of the platform."""
    async with Client(platform.grpc_address, timeout_s=30) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def channel(platform: Platform) -> AsyncIterator[grpc.aio.Channel]:
    """A bare channel to the platform."""
    async with grpc.aio.insecure_channel(platform.grpc_address) as channel:
        yield channel


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stub(channel: grpc.aio.Channel) -> "SelectionServiceAsyncStub":
    """The contract's four calls."""
    return SelectionServiceStub(channel)
