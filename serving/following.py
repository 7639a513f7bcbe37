"""What the trace of a call tells: the call, what was decided, what was judged. Nothing of users or their attributes."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import grpc

from pullarm.domain.decision import Decision, Reason, Reward, RewardStatus, Token
from pullarm.domain.errors import PullarmError
from pullarm.domain.experiment import POLICY_NAMES
from serving.access import Callers
from serving.transport import Context

if TYPE_CHECKING:
    from pullarm.otel import Trace, Tracer
    from pullarm.tracing import Attributes

_OURS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE"))
"""Statuses that are the server's fault and not its caller's, as OpenTelemetry's conventions have them."""


class Handler(Protocol):
    """Answers one unary call, bytes in and out."""

    def __call__(
        self, request: bytes, context: Context, trace: "Trace | None" = None
    ) -> Awaitable[bytes]:
        """Its trace where it is followed."""


def followed(tracer: "Tracer", callers: Callers, method: str, answer: Handler) -> Handler:
    """The same, with a span for each call that is sampled; whom nobody knows begins none."""
    told = {"rpc.system.name": "grpc", "rpc.method": method}

    async def follow(request: bytes, context: Context, trace: "Trace | None" = None) -> bytes:
        metadata = context.invocation_metadata()
        with suppress(PullarmError):  # which the answer tells
            callers.of(metadata)
            trace = tracer.begin(method, metadata, told)
        if trace is None:
            return await answer(request, context)
        status = "UNKNOWN"
        try:
            response = await answer(request, context, trace)
            status = "OK"
        except asyncio.CancelledError:
            status = "CANCELLED"
            raise
        except grpc.aio.AbortError:
            status = context.code().name
            raise
        finally:
            trace.end({"rpc.response.status_code": status}, failed=status in _OURS)
        return response

    return follow


def decided(decision: Decision) -> "Attributes":
    """Assignment, weights and draw."""
    token = decision.token
    told = _of(token) | {
        "pullarm.reason": Reason(token.reason).name,
        "pullarm.policy.assigned": POLICY_NAMES[token.assigned],
        "pullarm.policy.acting": POLICY_NAMES[token.acting],
        "pullarm.bucket": decision.bucket,
        "pullarm.configuration": decision.config_no,
        "pullarm.posterior_version": decision.pub_no,
    }
    if token.arms:
        told["pullarm.arm"] = token.arms[0]
        told["pullarm.propensity"] = decision.weights[0] / decision.totals[0]
    return told


def judged(reward: Reward) -> "Attributes":
    """Whether and where a reward counts."""
    return _of(reward.token) | {
        "pullarm.slot": reward.slot,
        "pullarm.kind": reward.kind,
        "pullarm.status": RewardStatus(reward.status).name,
    }


def _of(token: Token) -> dict[str, str | int | float]:
    return {
        "pullarm.experiment": token.experiment,
        "pullarm.decision": str(UUID(bytes=token.uid)),
    }
