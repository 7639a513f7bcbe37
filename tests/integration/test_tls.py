"""TLS of gRPC: who is let in, and certificates that change while the server runs."""

import asyncio
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import traffic, wire
from pullarm.client import Client
from pullarm.domain.errors import ConfigurationError, Unavailable
from pullarm.tls import Certificates, Tls, Trust
from pullarm.v1 import selection_pb2 as pb
from tests.serving_parts import serving
from tests.tls import CA, FOLDER, OTHER_CA, files, put, replace, shown


def trust(name: str) -> Trust:
    return Trust(CA, FOLDER / f"{name}.pem", FOLDER / f"{name}.key")


async def test_who_presents_no_certificate_of_the_authority_is_not_let_in(tmp_path: Path) -> None:
    async with serving(tmp_path, tls=files(tmp_path, client_ca=CA)) as server:
        for believed in (Trust(CA), trust("stranger")):
            async with Client(server.address, trust=believed, timeout_s=1) as client:
                with pytest.raises(Unavailable):
                    await client.select("exp_7", "user", ["two"])
        async with Client(server.address, trust=trust("client"), timeout_s=30) as client:
            assert (await client.select("exp_7", "user", ["two"])).arm_id == "two"


async def test_a_renewed_certificate_is_shown_to_whoever_connects_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pullarm.tls")
    tls = files(tmp_path)
    async with serving(tmp_path, tls=tls) as server:
        port = int(server.address.rpartition(":")[2])
        async with Client(server.address, trust=Trust(CA), timeout_s=30) as client:
            await client.select("exp_7", "user", ["two"])
            assert await shown(port) == "server"
            put(tls, "renewed")
            assert await shown(port) == "renewed"
            await client.select("exp_7", "user", ["two"])  # its connection is the one of before
            # Half a renewal, nonsense, nothing at all: each is told once, and the one before stays.
            replace(tls.certificate, (FOLDER / "server.pem").read_bytes())
            assert [await shown(port), await shown(port)] == ["renewed", "renewed"]
            replace(tls.certificate, b"nonsense")
            assert await shown(port) == "renewed"
            tls.certificate.unlink()
            assert await shown(port) == "renewed"
            put(tls, "server")
            assert await shown(port) == "server"
    assert [record.levelname for record in caplog.records if record.name == "pullarm.tls"] == [
        *("INFO", "ERROR", "ERROR", "ERROR", "INFO")
    ]


async def test_another_authority_lets_others_in(tmp_path: Path) -> None:
    tls = files(tmp_path, client_ca=CA)
    assert tls.client_ca is not None
    async with serving(tmp_path, tls=tls) as server:
        port = int(server.address.rpartition(":")[2])
        names = ("client", "stranger", "")
        assert [await shown(port, present=name) for name in names] == ["server", None, None]
        shutil.copyfile(OTHER_CA, tls.client_ca)
        assert [await shown(port, present=name) for name in names] == [None, "server", None]


async def test_the_benchmarks_client_shows_its_certificate_too(tmp_path: Path) -> None:
    request = pb.SelectRequest(experiment_id="exp_7", user_id="user", candidate_ids=["two"])

    def asked(address: str, believed: Trust) -> pb.SelectResponse:
        with closing(wire.connect(address, believed)) as connection:
            answer = wire.ask(connection, traffic.SELECT, request.SerializeToString())
            return pb.SelectResponse.FromString(answer)

    async with serving(tmp_path, tls=files(tmp_path, client_ca=CA)) as server:
        answer = await asyncio.to_thread(asked, server.address, trust("client"))
        assert answer.choices[0].arm_id == "two"
        with pytest.raises(Unavailable):
            await asyncio.to_thread(asked, server.address, trust("stranger"))


def test_files_that_do_not_fit_together_are_named(tmp_path: Path) -> None:
    tls = files(tmp_path)
    with pytest.raises(ConfigurationError, match="PULLARM_TLS_CERTIFICATE, PULLARM_TLS_KEY"):
        Certificates(Tls(tls.certificate, FOLDER / "renewed.key"))
    with pytest.raises(ConfigurationError, match=r"PULLARM_TLS_CLIENT_CA: .*missing\.pem"):
        Certificates(tls._replace(client_ca=tmp_path / "missing.pem"))
    with pytest.raises(ConfigurationError, match="PULLARM_SERVER_CA, PULLARM_CLIENT_CERTIFICATE"):
        Trust(CA, FOLDER / "client.pem", FOLDER / "stranger.key").context()


@pytest.mark.parametrize("name", ["PULLARM_TLS_CLIENT_CA", "PULLARM_CLIENT_KEY"])
def test_what_is_missing_beside_one_is_named(name: str) -> None:
    environment = {name: str(CA)}
    with pytest.raises(ConfigurationError, match=r"PULLARM_\w+_CERTIFICATE is not set"):
        (Tls.from_environment(environment), Trust.from_environment(environment))


def test_what_a_client_believes_is_read() -> None:
    assert Trust.from_environment({}) is None
    assert Trust.from_environment({"PULLARM_SERVER_CA": str(CA)}) == (CA, None, None, "")
    assert Trust.from_environment({"PULLARM_SERVER_NAME": "a.example"}) == Trust(name="a.example")
    with pytest.raises(ConfigurationError, match=r"PULLARM_SERVER_CA: /nowhere cannot be read"):
        Trust.from_environment({"PULLARM_SERVER_CA": "/nowhere"})
