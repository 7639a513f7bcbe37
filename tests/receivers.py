"""Servers that take alerts: a web server and a mail server, both as small as they can be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import TypeAlias

import msgspec

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


@dataclass
class WebHook:
    """Takes JSON, or answers with another status."""

    url: str = ""
    status: int = 200
    bodies: list[dict[str, str]] = field(default_factory=list)

    async def serve(self, reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = [
            int(line.partition(b":")[2])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length:")
        ]
        body = await reader.readexactly(length)
        if self.status == 200:
            self.bodies.append(msgspec.json.decode(body))
        writer.write(f"HTTP/1.1 {self.status} So\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@dataclass
class MailServer:
    """Speaks SMTP as far as one message needs it."""

    url: str = ""
    refuses: bool = False
    mails: list[EmailMessage] = field(default_factory=list)

    async def serve(self, reader: Reader, writer: Writer) -> None:
        writer.write(b"220 test\r\n")
        while line := await reader.readline():
            word = line[:4].upper().strip()
            if word == b"DATA":
                writer.write(b"354 go on\r\n")
                text = (await reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n")
                mail = message_from_bytes(text, policy=policy.default)
                assert isinstance(mail, EmailMessage)
                self.mails.append(mail)
                writer.write(b"250 taken\r\n")
            elif word == b"EHLO":
                writer.write(b"250-test\r\n250 AUTH PLAIN\r\n")
            elif word == b"RCPT" and self.refuses:
                writer.write(b"550 nobody\r\n")
            elif word == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 fine\r\n")
            await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(receiver: WebHook | MailServer) -> AsyncIterator[None]:
    """On a port of its own, which its url tells."""
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    scheme = "http" if isinstance(receiver, WebHook) else "smtp"
    receiver.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield
