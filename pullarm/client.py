"""What an upstream recommender imports: select a candidate, show it, report what came of it."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

import grpc
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from grpc_health.v1 import health_pb2

from pullarm.domain.decision import RewardStatus
from pullarm.domain.errors import (
    Forbidden,
    NotFound,
    PullarmError,
    Unauthenticated,
    Unavailable,
    invalid,
)
from pullarm.tls import Trust
from pullarm.v1 import selection_pb2 as pb
from pullarm.v1.selection_pb2_grpc import SelectionServiceStub


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One candidate to show."""

    arm_id: str
    slot: int
    """From 1."""
    propensity: float
    """The probability with which it was drawn into this slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """One decision."""

    decision_id: str
    policy: str
    """Who decided; `none` where no policy did, see reason."""
    choices: tuple[Choice, ...]
    reason: str
    """A name of the contract's Reason without its prefix, such as ASSIGNED."""
    posterior_version: int

    @property
    def arm_id(self) -> str:
        """The candidate for the first slot; empty when there was nothing to choose from."""
        return self.choices[0].arm_id if self.choices else ""


_RETRIES = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": "pullarm.v1.SelectionService"}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.005s",
                    "maxBackoff": "0.1s",
                    "backoffMultiplier": 4,
                    "retryableStatusCodes": ["CANCELLED"],
                },
            }
        ]
    }
)
"""What a server that is stopping says to calls that reach it just then: they were not looked at, or what they decided
is taken back. So to ask again, elsewhere, makes nothing twice."""

_ERRORS: dict[grpc.StatusCode, type[PullarmError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Unavailable,
}


@contextmanager
def _statuses() -> Iterator[None]:
    """Turn a call's status into our errors."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        code, detail = error.code(), error.details() or ""
        told: PullarmError
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            field, _, problem = detail.partition(": ")
            told = invalid(field, problem)
        else:
            told = _ERRORS.get(code, PullarmError)(f"{code.name}: {detail}")
        told.reward_status = _refused_as(error)
        raise told from error


def _refused_as(error: grpc.aio.AioRpcError) -> RewardStatus | None:
    """The status of a refused reward; None where there is none, or the server knows more than we do."""
    for key, value in error.trailing_metadata():
        if key == "pullarm-reward-status":
            return RewardStatus.__members__.get(str(value))
    return None


def _name(kind: EnumTypeWrapper, number: int, prefix: str) -> str:
    """A value's name without its prefix; its number where the server knows more than we do."""
    if number not in kind.values():
        return str(number)
    return kind.Name(number).removeprefix(prefix)


def _trace() -> tuple[tuple[str, str], ...]:
    """What makes a call a part of its caller's trace, where the program has OpenTelemetry and is in a span."""
    api = sys.modules.get(
        "opentelemetry.trace"
    )  # to import it costs those who have it and do not use it
    span = api.get_current_span().get_span_context() if api else None
    if span is None or not span.is_valid:
        return ()
    parent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    return (("traceparent", parent),)


def _credentials(trust: Trust) -> grpc.ChannelCredentials:
    files = (trust.server_ca, trust.key, trust.certificate)
    return grpc.ssl_channel_credentials(
        *(None if each is None else each.read_bytes() for each in files)
    )


class Client:
    """An asynchronous client: `async with Client("127.0.0.1:50051") as pullarm: ...`.

    A call that is made within a span of OpenTelemetry's is a part of its trace.

    Calls raise InvalidInput, which names the field at fault; NotFound; Unauthenticated or Forbidden, where the token
    is not good, or not for that experiment; or Unavailable, which may be tried again.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str = "",
        trust: Trust | None = None,
        timeout_s: float = 1.0,
    ) -> None:
        """A client of the serving processes at this address.

        Args:
            token: one of role caller, where serving requires tokens or rewards should name their source by it.
            trust: where serving has TLS: whom to believe, and the certificate that it may ask for.
        """
        # Channels share one connection by default, and with it one of the processes behind the address.
        options: list[tuple[str, int | str]] = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.service_config", _RETRIES),
        ]
        if trust is None:
            self._channel = grpc.aio.insecure_channel(address, options=options)
        else:
            if trust.name:
                options.append(("grpc.ssl_target_name_override", trust.name))
            self._channel = grpc.aio.secure_channel(address, _credentials(trust), options=options)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._stub = SelectionServiceStub(self._channel)
        self._health = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        self._timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def ready(self) -> bool:
        """Whether the process at the other end wants requests; raises Unavailable where nobody answers."""
        with _statuses():
            answer = await self._health(health_pb2.HealthCheckRequest(), timeout=self._timeout_s)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def select(
        self,
        experiment: str,
        user: str,
        candidates: Sequence[str] = (),
        *,
        slots: int = 1,
        attributes: Mapping[str, str] | None = None,
        request_id: str = "",
    ) -> Selection:
        """Which of the candidates, in the caller's own order of preference, to show this user."""
        request = pb.SelectRequest(
            experiment_id=experiment,
            user_id=user,
            candidate_ids=candidates,
            slots=slots,
            attributes=dict(attributes or {}),
            request_id=request_id,
        )
        with _statuses():
            response = await self._stub.Select(
                request, timeout=self._timeout_s, metadata=self._metadata + _trace()
            )
        return Selection(
            decision_id=response.decision_id,
            policy=response.policy,
            choices=tuple(
                Choice(arm_id=c.arm_id, slot=c.slot, propensity=c.propensity)
                for c in response.choices
            ),
            reason=_name(pb.Reason, response.reason, "REASON_"),
            posterior_version=response.posterior_version,
        )

    async def reward(
        self,
        decision_id: str,
        value: float,
        *,
        arm: str = "",
        kind: str = "",
        reward_id: str = "",
        occurred_at: datetime | None = None,
        source: str = "",
    ) -> str:
        """Report what came of a choice; answers the edge's status: ACCEPTED, LATE or NOT_IN_EXPERIMENT.

        A reward that is refused raises InvalidInput or NotFound, whose `reward_status` says why.
        """
        request = pb.RewardRequest(
            decision_id=decision_id,
            arm_id=arm,
            value=value,
            kind=kind,
            reward_id=reward_id,
            source=source,
        )
        if occurred_at is not None:
            if occurred_at.utcoffset() is None:
                raise invalid(
                    "occurred_at", "has no time zone; give an aware datetime, such as UTC's"
                )
            request.occurred_at.FromDatetime(occurred_at)
        return await self._reward(request)

    async def retract(
        self,
        decision_id: str,
        reward_id: str,
        *,
        arm: str = "",
        kind: str = "",
        source: str = "",
    ) -> str:
        """Take back the reward with this reward_id, whichever of the two arrives first."""
        return await self._reward(
            pb.RewardRequest(
                decision_id=decision_id,
                arm_id=arm,
                kind=kind,
                reward_id=reward_id,
                source=source,
                retract=True,
            )
        )

    async def _reward(self, request: pb.RewardRequest) -> str:
        with _statuses():
            response = await self._stub.Reward(
                request, timeout=self._timeout_s, metadata=self._metadata + _trace()
            )
        return _name(pb.RewardStatus, response.status, "REWARD_STATUS_")
