"""Every error we raise has a status of its own choosing."""

from collections.abc import Iterator

import grpc
import pytest

from pullarm.domain.errors import PullarmError
from serving.errors import STATUS, status_of


def family(kind: type[PullarmError]) -> Iterator[type[PullarmError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith(("pullarm.domain.", "serving.")):  # what serving can meet
            yield from family(child)


@pytest.mark.parametrize("kind", list(family(PullarmError)), ids=lambda kind: kind.__name__)
def test_every_error_is_mapped(kind: type[PullarmError]) -> None:
    assert kind.code in STATUS
    assert status_of(kind()) is STATUS[kind.code]


def test_no_two_errors_share_a_code_and_no_code_is_idle() -> None:
    assert sorted(kind.code for kind in family(PullarmError)) == sorted(STATUS)


@pytest.mark.parametrize("code", ["invalid_input", "not_found", "conflict", "unavailable"])
def test_what_the_caller_can_mend_is_never_internal(code: str) -> None:
    assert STATUS[code] not in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}


def test_unknown_code_is_internal() -> None:
    error = PullarmError()
    error.code = "strange"
    assert status_of(error) is grpc.StatusCode.INTERNAL
