"""Delivers alerts from the outbox: to a webhook that takes Slack's messages, and by mail."""

import asyncio
import logging
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Protocol, Self
from urllib.parse import unquote, urlsplit

from pullarm.clock import Clock
from pullarm.domain.alert import Delivery, Level
from pullarm.domain.errors import ConfigurationError
from pullarm.environment import optional
from pullarm.storage.postgres.alerts import PostgresAlerts

_log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
FIRST_PAUSE_S = 60
MOST_ATTEMPTS = 10
"""The pause doubles with each: the last is more than eight hours after the first."""
_AT_ONCE = 100
_MARKS = {
    Level.INFO: ":information_source:",
    Level.WARNING: ":warning:",
    Level.CRITICAL: ":rotating_light:",
}
_TLS_PORT = 465


class Undelivered(Exception):
    """A channel did not take an alert."""


class Channel(Protocol):
    """Where alerts go."""

    async def send(self, delivery: Delivery) -> None:
        """Raises Undelivered, which says why."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts {"text": ...}, which Slack and what is compatible with it take."""

    url: str = field(repr=False)

    async def send(self, delivery: Delivery) -> None:
        """Raises Undelivered, which says why."""
        import httpx  # its loading would delay every worker's start

        alert = delivery.alert
        body = {
            "text": f"{_MARKS[alert.level]} *{alert.title}*\n{alert.text}",
            "level": alert.level.value,
            "key": alert.key,
            "at": delivery.at.isoformat(),
        }
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
                answer = await client.post(self.url, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Undelivered(str(error) or type(error).__name__) from error
        if not answer.is_success:
            raise Undelivered(f"the webhook answered {answer.status_code}")


@dataclass(frozen=True, slots=True)
class Mail:
    """Sends a message by SMTP."""

    server: str = field(repr=False)
    """smtp://HOST:PORT, which is upgraded to TLS where that is offered, or smtps://; with USER:PASSWORD@ before."""
    sender: str
    receivers: Sequence[str]

    async def send(self, delivery: Delivery) -> None:
        """Raises Undelivered, which says why."""
        try:
            await asyncio.to_thread(self._send, delivery)
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            raise Undelivered(str(error) or type(error).__name__) from error

    def _send(self, delivery: Delivery) -> None:
        alert, parts = delivery.alert, urlsplit(self.server)
        message = EmailMessage()
        message["Subject"] = f"[Pullarm {alert.level}] " + " ".join(alert.title.split())
        message["From"], message["To"] = self.sender, ", ".join(self.receivers)
        message["Date"] = delivery.at
        message.set_content(f"{alert.text}\n\n{alert.level}, {delivery.at:%Y-%m-%d %H:%M} UTC\n")
        host, context = parts.hostname or "", ssl.create_default_context()
        with ExitStack() as closing:
            if parts.scheme == "smtps":
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    host, parts.port or _TLS_PORT, timeout=TIMEOUT_S, context=context
                )
            else:
                server = smtplib.SMTP(host, parts.port or smtplib.SMTP_PORT, timeout=TIMEOUT_S)
            closing.enter_context(server)
            server.ehlo_or_helo_if_needed()
            if parts.scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=context)
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Where alerts go, and from which level on."""

    channels: Mapping[str, Channel] = field(default_factory=dict)
    levels: Mapping[str, Level] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names the variable at fault."""
        channels: dict[str, Channel] = {}
        levels: dict[str, Level] = {}
        if url := _url(environment, "PULLARM_ALERT_WEBHOOK", ("http", "https")):
            channels["webhook"] = Webhook(url)
            levels["webhook"] = _level(environment, "PULLARM_ALERT_WEBHOOK_LEVEL", Level.WARNING)
        if server := _url(environment, "PULLARM_ALERT_SMTP", ("smtp", "smtps")):
            receivers = optional(environment, "PULLARM_ALERT_MAIL_TO", "")
            to = [each.strip() for each in receivers.split(",") if each.strip()]
            sender = optional(environment, "PULLARM_ALERT_MAIL_FROM", "")
            if not to or not sender:
                raise ConfigurationError(
                    "PULLARM_ALERT_SMTP is set; PULLARM_ALERT_MAIL_FROM and PULLARM_ALERT_MAIL_TO must be too"
                )
            channels["mail"] = Mail(server, sender, to)
            levels["mail"] = _level(environment, "PULLARM_ALERT_MAIL_LEVEL", Level.CRITICAL)
        return cls(channels=channels, levels=levels)


def _url(environment: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str:
    url = optional(environment, name, "")
    try:
        parts = urlsplit(url)
        sound = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:  # brackets that do not match, or no port
        sound = False
    if url and not sound:
        raise ConfigurationError(f"{name} is no address; give {' or '.join(schemes)}://HOST...")
    return url


def _level(environment: Mapping[str, str], name: str, default: Level) -> Level:
    text = optional(environment, name, default.value)
    if text not in list(Level):
        raise ConfigurationError(f"{name} is {text!r}; give one of {', '.join(Level)}")
    return Level(text)


class Alerting:
    """Works the outbox off; several processes share it."""

    def __init__(self, outbox: PostgresAlerts, channels: Channels, clock: Clock) -> None:
        self._outbox = outbox
        self._channels = channels
        self._clock = clock

    async def deliver(self) -> int:
        """Try what is due; how many alerts were taken."""
        await self._outbox.hand_out(self._channels.levels)
        taken = 0
        for name, channel in self._channels.channels.items():
            for _ in range(_AT_ONCE):
                tried = await self._next(name, channel)
                if tried is None:
                    break
                taken += tried
        return taken

    async def _next(self, name: str, channel: Channel) -> bool | None:
        """Whether the next one was taken; None where none is due."""
        async with self._outbox.next(name, self._clock()) as handed:
            if handed is None:
                return None
            delivery = handed.delivery
            try:
                await channel.send(delivery)
            except Undelivered as error:
                pause_ms = FIRST_PAUSE_S * 1000 * 2**delivery.attempts
                final = delivery.attempts + 1 >= MOST_ATTEMPTS
                _log.warning(
                    "alert %d is not taken by %s%s: %s",
                    *(delivery.alert_no, name, ", and given up" if final else "", error),
                )
                await handed.failed(str(error), None if final else self._clock() + pause_ms)
                return False
            await handed.delivered(self._clock())
            return True
