"""Errors of mmrec as gRPC status codes."""

from typing import Final

import grpc

from mmrec.errors import (
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    ReleaseGateError,
    StoreError,
)

_CODES = (
    (InvalidRequestError, grpc.StatusCode.INVALID_ARGUMENT),
    (NotFoundError, grpc.StatusCode.NOT_FOUND),
    (PreconditionError, grpc.StatusCode.FAILED_PRECONDITION),
    (ReleaseGateError, grpc.StatusCode.FAILED_PRECONDITION),
    (DeadlineError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (StoreError, grpc.StatusCode.UNAVAILABLE),
)
MAX_DETAILS: Final = 500
"""Characters of details. They travel as a header, at worst in twelve bytes a character, for which clients have 8 KiB;
longer ones end the call with RESOURCE_EXHAUSTED in place of its code."""


def code_of(error: Exception) -> grpc.StatusCode:
    """What a caller is told; INTERNAL for what nobody meant to raise."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def details_of(error: Exception) -> str:
    """What an error says, as the details of a status; an id of any length may be quoted in it."""
    text = str(error)
    return text if len(text) <= MAX_DETAILS else text[: MAX_DETAILS - 3] + "..."
