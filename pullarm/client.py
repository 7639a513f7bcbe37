"""What an upstream recommender imports: select a candidate, show it, report what came of it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

import grpc
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from pullarm.domain.decision import RewardStatus
from pullarm.domain.errors import (
    Forbidden,
    NotFound,
    PullarmError,
    Unauthenticated,
    Unavailable,
    invalid,
)
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


class Client:
    """An asynchronous client: `async with Client("127.0.0.1:50051") as pullarm: ...`.

    Calls raise InvalidInput, which names the field at fault; NotFound; Unauthenticated or Forbidden, where the token
    is not good, or not for that experiment; or Unavailable, which may be tried again.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str = "",
        credentials: grpc.ChannelCredentials | None = None,
        timeout_s: float = 1.0,
    ) -> None:
        """A client of the serving processes at this address.

        Args:
            token: one of role caller, where serving requires tokens or rewards should name their source by it.
            credentials: `grpc.ssl_channel_credentials()`, where serving has TLS.
        """
        # Channels share one connection by default, and with it one of the processes behind the address.
        options = [("grpc.use_local_subchannel_pool", 1)]
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, options=options)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, options=options)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._stub = SelectionServiceStub(self._channel)
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
                request, timeout=self._timeout_s, metadata=self._metadata
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
                request, timeout=self._timeout_s, metadata=self._metadata
            )
        return _name(pb.RewardStatus, response.status, "REWARD_STATUS_")
