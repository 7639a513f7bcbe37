"""`pullarm up`: run the whole platform in the foreground until Ctrl-C."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from typer import Option

from cli import foreground
from cli.platform import Platform, Settings


def command(
    state: Annotated[Path, Option(help="Folder for data, logs and keys.")] = Path(".pullarm"),
    serving: Annotated[int, Option(min=1, max=64, help="Serving processes on the port.")] = 2,
    workers: Annotated[int, Option(min=1, max=16, help="Worker processes.")] = 1,
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1",
    grpc_port: Annotated[int, Option(min=0, max=65535, help="Port of serving; 0: any.")] = 50051,
    http_port: Annotated[int, Option(min=0, max=65535, help="Port of control; 0: any.")] = 8000,
    metrics_port: Annotated[
        int, Option(min=0, max=65456, help="Metrics of the first serving process; 0: any.")
    ] = 9464,
    postgres_port: Annotated[
        int, Option(min=0, max=65535, help="TCP port of the embedded PostgreSQL; 0: none.")
    ] = 0,
    redis_port: Annotated[
        int, Option(min=0, max=65535, help="TCP port of the embedded Valkey; 0: none.")
    ] = 0,
) -> None:
    """Start PostgreSQL, Valkey, serving, control and workers; stop all of them on Ctrl-C.

    DATABASE_URL, REDIS_URL and QUEUE_REDIS_URL replace the embedded servers by your own. PULLARM_TLS_CERTIFICATE and
    PULLARM_TLS_KEY give serving and control TLS.
    """
    settings = Settings(
        state=state,
        serving=serving,
        workers=workers,
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        postgres_port=postgres_port,
        redis_port=redis_port,
    )
    platform = Platform(settings, report=say)
    asyncio.run(foreground.run(platform, lambda: _until_asked(platform)))


async def _until_asked(platform: Platform) -> None:
    say(summary(platform))
    try:
        await asyncio.Event().wait()
    finally:
        say("stopping")


def say(message: str) -> None:
    """Print, unless nobody is there any more to read."""
    with suppress(OSError):
        print(message, flush=True)


def summary(platform: Platform) -> str:
    """Where to find what, for the terminal."""
    state = platform.settings.state.resolve()
    secured = f"  TLS       for {platform.trust.name}\n" if platform.trust else ""
    return (
        "Pullarm is up. Ctrl-C stops it.\n"
        f"  control   {platform.page_url}\n"
        f"  gRPC      {platform.grpc_address} ({platform.settings.serving} processes)\n"
        f"{secured}"
        f"  servers   . '{state}/environment' sets DATABASE_URL, REDIS_URL and PULLARM_TOKEN\n"
        f"  token     {state / 'admin.token'}, which `pullarm launch`, `status` and `stop` find by themselves\n"
        f"  logs      {state / 'logs'}"
    )
