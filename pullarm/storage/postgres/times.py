"""Milliseconds since 1970 as aware UTC datetimes and back, exactly."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(ms: int) -> datetime:
    """The moment, in UTC."""
    return _EPOCH + timedelta(milliseconds=ms)


def ms(moment: datetime) -> int:
    """Milliseconds since 1970; what is finer is cut off."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
