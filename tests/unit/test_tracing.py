"""Traces are made where OpenTelemetry's own variables ask for them, and only then is anything of it imported."""

import logging
import subprocess
import sys

import pytest

from pullarm.domain.errors import ConfigurationError
from pullarm.tracing import Wanted, opened

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
WANTED = Wanted(service="pullarm-serving", process="serving-1")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "shop", "OTEL_TRACES_SAMPLER": "always_on"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"},
        ENDPOINT | {"OTEL_SDK_DISABLED": "True"},
    ],
)
def test_none_are_wanted(environment: dict[str, str]) -> None:
    assert Wanted.from_environment(environment, "pullarm-serving") is None


@pytest.mark.parametrize(
    "environment",
    [
        ENDPOINT,
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"},
        {"OTEL_TRACES_EXPORTER": "otlp"},
    ],
)
def test_they_are_wanted_where_they_may_go_somewhere(environment: dict[str, str]) -> None:
    named = environment | {"PULLARM_PROCESS": "serving-1"}
    assert Wanted.from_environment(named, "pullarm-serving") == WANTED


def test_the_signals_own_protocol_goes_first() -> None:
    asked = ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    wanted = Wanted.from_environment(asked, "s")
    assert wanted is not None
    assert wanted.protocol == "grpc"
    both = asked | {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
    wanted = Wanted.from_environment(both, "s")
    assert wanted is not None
    assert wanted.protocol == "http/protobuf"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "give otlp or none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "give http/protobuf or grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "udp", "give http/protobuf or grpc"),
    ],
)
def test_what_cannot_be_done_is_named(name: str, value: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is '{value}'; {told}"):
        Wanted.from_environment(ENDPOINT | {name: value}, "s")


def test_without_the_extra_they_are_asked_for_in_vain(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "pullarm.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
    with caplog.at_level(logging.WARNING), opened(WANTED) as tracer:
        assert tracer is None
    assert "install pullarm[otel]" in caplog.text


def test_nothing_is_imported_where_none_are_wanted() -> None:
    code = """
import sys
from cli import control, serve, work
from pullarm import client
from pullarm.tracing import Wanted, opened
with opened(Wanted.from_environment({}, "pullarm-serving")) as tracer:
    assert tracer is None
print([name for name in sys.modules if name.startswith(("opentelemetry", "requests"))])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
