"""Times as they are given on the command line."""

from datetime import UTC, datetime

from pullarm.domain.errors import invalid


def moment(option: str, text: str) -> datetime:
    """An ISO time; without a zone it is UTC. Raises InvalidInput that names the option."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid(option, f"{text!r} is no ISO time, such as 2026-08-01T12:00Z") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
