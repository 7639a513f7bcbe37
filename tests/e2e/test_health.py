"""What a running serving process says of itself, over HTTP and in its answers."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2

from cli.platform import OWN, Platform, Settings
from pullarm.free_port import free_port
from pullarm.processors import DEVICE, KEEP_AWAKE
from pullarm.v1 import selection_pb2 as pb
from pullarm.v1.selection_pb2_grpc import SelectionServiceStub
from tests.e2e import upstream
from tests.e2e.upstream import PATIENCE_S, launch


@pytest.fixture
async def platform(state_folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Platform]:
    for name in OWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(KEEP_AWAKE, str(int(os.access(DEVICE, os.W_OK))))
    async with AsyncExitStack() as stack:
        port = stack.enter_context(free_port("127.0.0.1"))
        settings = Settings(
            state=state_folder, serving=1, grpc_port=0, http_port=0, metrics_port=port
        )
        yield await stack.enter_async_context(Platform(settings, lambda _: None))


@pytest.fixture
async def http(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    base = f"http://127.0.0.1:{platform.settings.metrics_port}"
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60) as client:
        yield client


async def told(http: httpx.AsyncClient, status: str, reason: str = "") -> None:
    """Wait until the process says that it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = (await http.get("/readyz")).json()
            if answer["status"] == status and reason in "; ".join(answer["reasons"]):
                return
            await asyncio.sleep(0.05)


async def kept(metadata: Callable[[], Awaitable[dict[str, str | bytes]]]) -> str | bytes:
    """Where the first answer's events are; there is none while a busy disk needs longer than a request waits."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return (await metadata())["pullarm-durability"]
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise


async def test_processors_are_kept_awake_while_it_runs(platform: Platform) -> None:
    files = Path(f"/proc/{platform.pids['serving-0']}/fd").iterdir()
    assert (str(DEVICE) in map(os.readlink, files)) == os.access(DEVICE, os.W_OK)


async def test_process_says_what_it_does_without_and_serves_on(
    platform: Platform, http: httpx.AsyncClient
) -> None:
    async with upstream.rest(platform) as api, upstream.fleet(platform.grpc_address) as fleet:
        experiment = await launch(api, fleet)
    await told(http, "ready")
    async with grpc.aio.insecure_channel(platform.grpc_address) as channel:
        stub = SelectionServiceStub(channel)
        request = pb.SelectRequest(experiment_id=experiment["id"], user_id="user")

        async def metadata() -> dict[str, str | bytes]:
            call = stub.Select(request, timeout=60)
            await call
            return dict(await call.trailing_metadata())

        async with asyncio.timeout(PATIENCE_S):  # a busy machine may acknowledge late
            while await metadata() != {"pullarm-durability": "acknowledged"}:
                await asyncio.sleep(0.05)
        os.kill(platform.pids["worker"], signal.SIGSTOP)
        try:
            await told(http, "degraded", "does a worker run?")
            async with asyncio.timeout(PATIENCE_S):
                while "does a worker run?" not in str((await metadata()).get("pullarm-degraded")):
                    await asyncio.sleep(0.05)
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            checked = await check(
                health_pb2.HealthCheckRequest(service="pullarm.v1.SelectionService")
            )
            assert checked.status == health_pb2.HealthCheckResponse.SERVING
        finally:
            os.kill(platform.pids["worker"], signal.SIGCONT)
        await told(http, "ready")
        os.kill(platform.pids["valkey"], signal.SIGSTOP)
        try:
            assert await kept(metadata) == "spooled"
            await told(http, "degraded", "events are not stored in the stream")
        finally:
            os.kill(platform.pids["valkey"], signal.SIGCONT)
        await told(http, "ready")
    figures = (await http.get("/metrics")).text
    calls = [line for line in figures.splitlines() if line.startswith("pullarm_selections_total{")]
    assert sum(float(line.rpartition(" ")[2]) for line in calls) >= 3
    assert 'pullarm_rewards_total{status="forged_id"} 0.0' in figures, "told before there is one"
    assert "pullarm_snapshot_age_seconds" in figures
    assert (await http.get("/healthz")).is_success
