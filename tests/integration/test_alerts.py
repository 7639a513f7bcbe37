"""Alerts from the outbox reach a real web server and a real mail server, once, however often it takes."""

import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from pullarm.domain.alert import Alert, Level
from pullarm.domain.errors import ConfigurationError
from pullarm.storage.postgres import Database
from pullarm.storage.postgres.alerts import PostgresAlerts
from pullarm.storage.postgres.times import at
from tests.builders import FixedClock
from tests.receivers import MailServer, WebHook, listening
from workers.alerting import FIRST_PAUSE_S, MOST_ATTEMPTS, Alerting, Channels

ALERT = Alert(
    key="rollback exp_a 1",
    level=Level.CRITICAL,
    title="Front page was\nrolled back",
    text="exp_a was rolled back, and everybody gets control: error_rate: 10 % of …",
)
HOUR_MS = 3_600_000


@pytest.fixture
async def outbox(database_url: str) -> AsyncIterator[PostgresAlerts]:
    async with Database(database_url) as database:
        yield PostgresAlerts(database)


def channels(**variables: str) -> Channels:
    return Channels.from_environment(variables)


async def test_each_channel_takes_what_its_level_says(outbox: PostgresAlerts) -> None:
    hook, mails, clock = WebHook(), MailServer(), FixedClock()
    async with listening(hook), listening(mails):
        to = channels(
            PULLARM_ALERT_WEBHOOK=hook.url,
            PULLARM_ALERT_SMTP=mails.url,
            PULLARM_ALERT_MAIL_FROM="pullarm@example.org",
            PULLARM_ALERT_MAIL_TO="a@example.org, b@example.org",
        )
        for level in Level:
            await outbox.put(replace(ALERT, key=f"key {level}", level=level), at(clock.now_ms))
        alerting = Alerting(outbox, to, clock)
        assert await alerting.deliver() == 3
        assert await alerting.deliver() == 0
    assert [body["level"] for body in hook.bodies] == ["warning", "critical"]
    assert hook.bodies[1]["text"] == f":rotating_light: *{ALERT.title}*\n{ALERT.text}"
    (mail,) = mails.mails
    assert mail["Subject"] == "[Pullarm critical] Front page was rolled back"
    assert (mail["From"], mail["To"]) == ("pullarm@example.org", "a@example.org, b@example.org")
    assert ALERT.text in mail.get_content()


async def test_the_same_is_not_told_again_for_hours(outbox: PostgresAlerts) -> None:
    hook, clock = WebHook(), FixedClock()
    async with listening(hook):
        to = channels(PULLARM_ALERT_WEBHOOK=hook.url)
        for hours in (0, 1, 5, 7):
            now_ms = clock.now_ms + hours * HOUR_MS
            await outbox.put(ALERT, at(now_ms))
        clock.now_ms += 8 * HOUR_MS
        assert await Alerting(outbox, to, clock).deliver() == 2


async def test_what_is_not_taken_is_tried_again_and_given_up_in_the_end(
    outbox: PostgresAlerts, caplog: pytest.LogCaptureFixture
) -> None:
    hook, mails, clock = WebHook(status=503), MailServer(refuses=True), FixedClock()
    async with listening(hook), listening(mails):
        to = channels(
            PULLARM_ALERT_WEBHOOK=hook.url,
            PULLARM_ALERT_SMTP=mails.url,
            PULLARM_ALERT_MAIL_FROM="pullarm@example.org",
            PULLARM_ALERT_MAIL_TO="a@example.org",
        )
        await outbox.put(ALERT, at(clock.now_ms))
        alerting = Alerting(outbox, to, clock)
        assert await alerting.deliver() == 0
        hook.status = 200
        assert await alerting.deliver() == 0, "not before a minute"
        clock.now_ms += FIRST_PAUSE_S * 1000
        assert await alerting.deliver() == 1
        for attempt in range(1, MOST_ATTEMPTS + 3):
            clock.now_ms += FIRST_PAUSE_S * 1000 * 2**attempt
            assert await alerting.deliver() == 0
    assert len(hook.bodies) == 1
    said = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert "the webhook answered 503" in said[0]
    assert len([line for line in said if "mail" in line]) == MOST_ATTEMPTS
    assert "given up" in said[-1]


async def test_a_server_that_is_not_there_only_delays(outbox: PostgresAlerts) -> None:
    hook, clock = WebHook(), FixedClock()
    async with listening(hook):
        pass
    to = channels(PULLARM_ALERT_WEBHOOK=hook.url)
    await outbox.put(ALERT, at(clock.now_ms))
    assert await Alerting(outbox, to, clock).deliver() == 0


async def test_a_password_that_mail_servers_cannot_be_told_is_a_failed_try(
    outbox: PostgresAlerts, caplog: pytest.LogCaptureFixture
) -> None:
    mails, clock = MailServer(), FixedClock()
    async with listening(mails):
        to = channels(
            PULLARM_ALERT_SMTP=mails.url.replace("//", "//user:p%C3%A4ss@"),
            PULLARM_ALERT_MAIL_FROM="pullarm@example.org",
            PULLARM_ALERT_MAIL_TO="a@example.org",
        )
        await outbox.put(ALERT, at(clock.now_ms))
        assert await Alerting(outbox, to, clock).deliver() == 0
    (line,) = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert line.startswith("alert 1 is not taken by mail: 'ascii' codec can't encode")


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"PULLARM_ALERT_WEBHOOK": "slack.com/hook"}, "PULLARM_ALERT_WEBHOOK is no address"),
        ({"PULLARM_ALERT_WEBHOOK": "http://[::1/hook"}, "PULLARM_ALERT_WEBHOOK is no address"),
        ({"PULLARM_ALERT_SMTP": "smtp://a:99999"}, "PULLARM_ALERT_SMTP is no address"),
        (
            {"PULLARM_ALERT_WEBHOOK": "http://a", "PULLARM_ALERT_WEBHOOK_LEVEL": "loud"},
            "PULLARM_ALERT_WEBHOOK_LEVEL is 'loud'; give one of info, warning, critical",
        ),
        ({"PULLARM_ALERT_SMTP": "http://a"}, "PULLARM_ALERT_SMTP is no address; give smtp or"),
        ({"PULLARM_ALERT_SMTP": "smtp://a"}, "PULLARM_ALERT_MAIL_FROM and PULLARM_ALERT_MAIL_TO"),
    ],
)
def test_settings_at_fault_are_named(variables: Mapping[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Channels.from_environment(variables)
