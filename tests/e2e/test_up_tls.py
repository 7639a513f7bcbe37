"""A whole platform with certificates: its processes, the example upstream, the commands, and who is not let in."""

import asyncio
import json
from pathlib import Path

import pytest

from pullarm.client import Client
from pullarm.domain.errors import Unavailable
from pullarm.tls import CLIENT, SERVER, Trust
from tests.e2e import upstream
from tests.e2e.commands import pullarm
from tests.e2e.upstream import PATIENCE_S
from tests.state_folders import temporary_state
from tests.tls import CA, FOLDER, files, put, shown


async def examined(folder: Path) -> set[tuple[str, str]]:
    """What `pullarm doctor` finds well: (check, what was found)."""
    ended = await pullarm("doctor", "--json", "--state", str(folder))
    found = json.loads(ended.output)["findings"]
    return {(each["check"], each["found"]) for each in found if each["standing"] == "ok"}


async def test_a_platform_whose_servers_ask_for_certificates(tmp_path: Path) -> None:
    tls = files(tmp_path, client_ca=CA)
    stranger = Trust(CA, FOLDER / "stranger.pem", FOLDER / "stranger.key")
    paths = (*tls, CA, FOLDER / "client.pem", FOLDER / "client.key")
    given = dict(zip((*SERVER, *CLIENT), map(str, paths), strict=True))
    with temporary_state() as folder:
        async with upstream.running(folder, given=given) as platform:
            addresses = (platform.http_url, platform.grpc_address)
            ports = [int(each.rpartition(":")[2]) for each in addresses]
            assert platform.http_url == platform.page_url == f"https://127.0.0.1:{ports[0]}"

            own = upstream.fleet(platform.grpc_address, platform.trust)
            async with upstream.rest(platform) as api, own as fleet:
                key = (await upstream.launch(api, fleet))["key"]
                decided = await fleet.clients[0].select(key, "somebody", ["a", "b"])
                assert await fleet.clients[0].reward(decided.decision_id, 1.0) == "ACCEPTED"
            async with upstream.http(platform) as http:
                films = await upstream.recommended(http, key, "somebody")
                assert films["policy"] == decided.policy
            for trust in (None, Trust(CA), stranger):
                async with Client(platform.grpc_address, trust=trust, timeout_s=1) as client:
                    with pytest.raises(Unavailable):
                        await client.select(key, "somebody", ["a", "b"])
            for name, certificate in (("client", "server"), ("stranger", None), ("", None)):
                assert [await shown(port, present=name) for port in ports] == [certificate] * 2

            wanted = {
                (each, "its certificate is good until 2126-10-29")
                for each in ("serving", "control")
            }
            wanted |= {
                ("control", f"ready at {addresses[0]}"),
                ("serving", f"ready at {addresses[1]}"),
            }
            async with asyncio.timeout(PATIENCE_S):
                while not wanted <= await examined(folder):
                    pass

            put(tls, "renewed")
            assert [await shown(port, present="client") for port in ports] == ["renewed"] * 2
            stopped = await pullarm("stop", key, "--state", str(folder))
            assert "is stopped since" in stopped.output, stopped.errors
