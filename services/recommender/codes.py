"""Errors of mmrec as gRPC status codes."""

import grpc

from mmrec.errors import DeadlineError, InvalidRequestError, NotFoundError, StoreError

_CODES = (
    (InvalidRequestError, grpc.StatusCode.INVALID_ARGUMENT),
    (NotFoundError, grpc.StatusCode.NOT_FOUND),
    (DeadlineError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (StoreError, grpc.StatusCode.UNAVAILABLE),
)


def code_of(error: Exception) -> grpc.StatusCode:
    """What a caller is told; INTERNAL for what nobody meant to raise."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
