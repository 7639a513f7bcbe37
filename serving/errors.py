"""The one table from our errors to gRPC's statuses."""

import grpc

from pullarm.domain.errors import PullarmError

STATUS: dict[str, grpc.StatusCode] = {
    "invalid_input": grpc.StatusCode.INVALID_ARGUMENT,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "forbidden": grpc.StatusCode.PERMISSION_DENIED,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "conflict": grpc.StatusCode.FAILED_PRECONDITION,
    "version_mismatch": grpc.StatusCode.ABORTED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "exhausted": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "refused": grpc.StatusCode.INTERNAL,
    "configuration": grpc.StatusCode.INTERNAL,
    "internal": grpc.StatusCode.INTERNAL,
}


def status_of(error: PullarmError) -> grpc.StatusCode:
    """The status a caller sees."""
    return STATUS.get(error.code, grpc.StatusCode.INTERNAL)
