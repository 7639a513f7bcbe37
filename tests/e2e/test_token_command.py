"""`pullarm token` on a running platform: made, used, listed, revoked, and ended at gRPC soon after."""

import asyncio
import json

import httpx
import pytest

from cli.platform import Platform
from pullarm.client import Client
from pullarm.domain.errors import Forbidden, Unauthenticated
from tests.e2e.commands import pullarm
from tests.e2e.upstream import PATIENCE_S, Fleet, launch

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_token_is_made_listed_and_revoked(
    platform: Platform, api: httpx.AsyncClient, fleet: Fleet
) -> None:
    here = ("--state", str(platform.settings.state))
    mine, other = (await launch(api, fleet))["id"], (await launch(api, fleet))["id"]
    made = await pullarm(
        *("token", "create", "--name", "[shop]", "--role", "caller", "--experiment", mine), *here
    )
    assert made.status == 0, made.errors
    secret = made.output.strip()
    async with Client(platform.grpc_address, token=secret, timeout_s=30) as client:
        async with asyncio.timeout(PATIENCE_S):
            while not await answers(client, mine):
                await asyncio.sleep(0.05)
        with pytest.raises(Forbidden):
            await client.select(other, "user")
        listed = json.loads((await pullarm("token", "list", "--json", *here)).output)
        (token,) = [each for each in listed if each["name"] == "[shop]"]
        assert (token["role"], token["experiments"]) == ("caller", [mine])
        assert "[shop]" in (await pullarm("token", "list", *here)).output
        revoked = await pullarm("token", "revoke", token["id"], *here)
        assert revoked.status == 0, revoked.errors
        async with asyncio.timeout(PATIENCE_S):
            while await answers(client, mine):
                await asyncio.sleep(0.05)


async def answers(client: Client, experiment: str) -> bool:
    try:
        await client.select(experiment, "user")
    except Unauthenticated:
        return False
    return True


async def test_what_is_wrong_with_a_token_is_said(platform: Platform) -> None:
    here = ("--state", str(platform.settings.state))
    bad = await pullarm(
        *("token", "create", "--name", "x", "--role", "admin", "--experiment", "nothing"), *here
    )
    assert bad.status == 1
    assert "there is no experiment 'nothing'" in bad.errors
    unknown = await pullarm("token", "revoke", "tok_nothing", *here)
    assert (unknown.status, "there is no token 'tok_nothing'" in unknown.errors) == (1, True)
