"""Certificates for tests, and handshakes as any client makes them.

tests/fixtures/tls has an authority's server, renewed and client, a stranger of another authority, and both authorities;
all for localhost. wildcard vouches for itself. All until 2126.
"""

import asyncio
import shutil
import ssl
from pathlib import Path

from pullarm.tls import Tls

FOLDER = Path(__file__).resolve().parent / "fixtures" / "tls"
CA, OTHER_CA = FOLDER / "ca.pem", FOLDER / "other-ca.pem"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""Answered by a server of HTTP/2 with its settings, and by any other with an error."""


def files(folder: Path, *, client_ca: Path | None = None) -> Tls:
    """The server's files in a folder of the test's own, where they can be replaced."""
    tls = Tls(folder / "server.pem", folder / "server.key", client_ca and folder / "client-ca.pem")
    put(tls, "server")
    if client_ca is not None and tls.client_ca is not None:
        shutil.copyfile(client_ca, tls.client_ca)
    return tls


def put(tls: Tls, name: str) -> None:
    """Replace certificate and key."""
    replace(tls.certificate, (FOLDER / f"{name}.pem").read_bytes())
    replace(tls.key, (FOLDER / f"{name}.key").read_bytes())


def replace(path: Path, content: bytes) -> None:
    """As renewals do it: nobody finds half a file."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)


async def shown(port: int, *, present: str = "") -> str | None:
    """The name on the certificate of the server at this port; None where it lets nobody in who presents this one."""
    context = ssl.create_default_context(cafile=CA)
    context.set_alpn_protocols(["h2"])
    if present:
        context.load_cert_chain(FOLDER / f"{present}.pem", FOLDER / f"{present}.key")
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(_PREFACE)
        # TLS 1.3 tells a client only with the first answer that its certificate was not taken.
        answered = await asyncio.wait_for(reader.read(1), 60)
        certificate = writer.get_extra_info("peercert")
        writer.transport.abort()
    except OSError:
        return None
    return dict(field for (field,) in certificate["subject"])["commonName"] if answered else None
