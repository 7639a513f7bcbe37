"""Certificates as `pullarm doctor` looks at them, on a serving process that speaks TLS."""

import ssl
from pathlib import Path

import pytest

from cli.examination import Patient, certificate
from pullarm.domain.errors import Unavailable
from tests.serving_parts import serving
from tests.tls import files


async def test_the_end_of_a_certificate_is_told(tmp_path: Path) -> None:
    tls = files(tmp_path)
    async with serving(tmp_path, tls=tls) as server:
        finding = await certificate("serving", server.address, _believing(tls.certificate, tls.key))
    assert finding.found.startswith("its certificate is good until 2")


async def test_a_server_without_tls_is_told(tmp_path: Path) -> None:
    tls = files(tmp_path)
    async with serving(tmp_path) as server:
        with pytest.raises(Unavailable, match=f"{server.address} does not speak TLS"):
            await certificate("serving", server.address, _believing(tls.certificate, tls.key))


def _believing(shown: Path, key: Path) -> ssl.SSLContext:
    """As the commands do it where the servers have this certificate."""
    names = {"PULLARM_TLS_CERTIFICATE": str(shown), "PULLARM_TLS_KEY": str(key)}
    context = Patient(environment=names).tls
    assert context is not None
    return context
