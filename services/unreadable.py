"""Requests that are no message of their method, answered by INVALID_ARGUMENT.

gRPC itself ends such calls with UNKNOWN or INTERNAL, which tell a client that the service is at fault and may be asked
again. What came before on the same stream is answered first.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError


class _UnreadableError(Exception):
    """Bytes that are no message."""


class UnreadableRequests(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Parses requests in place of gRPC."""

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """The method's handler, given bytes."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        if handler.request_streaming:
            if not handler.response_streaming:
                return handler
            return grpc.stream_stream_rpc_method_handler(
                _many(handler.stream_stream, handler.request_deserializer),
                response_serializer=handler.response_serializer,
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _stream(handler.unary_stream, handler.request_deserializer),
                response_serializer=handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            _one(handler.unary_unary, handler.request_deserializer), response_serializer=handler.response_serializer
        )


def _parsed(parse: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return parse(data)
    except DecodeError as error:
        raise _UnreadableError(f"the request is no message of this method: {error}") from None


def _one(inner: Callable[..., Any], parse: Callable[[bytes], Any]) -> Callable[..., Any]:
    async def answer(data: bytes, context: Any) -> Any:
        try:
            request = _parsed(parse, data)
        except _UnreadableError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return await inner(request, context)

    return answer


def _stream(inner: Callable[..., Any], parse: Callable[[bytes], Any]) -> Callable[..., Any]:
    async def answer(data: bytes, context: Any) -> AsyncIterator[Any]:
        try:
            request = _parsed(parse, data)
        except _UnreadableError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        async for response in inner(request, context):
            yield response

    return answer


def _many(inner: Callable[..., Any], parse: Callable[[bytes], Any]) -> Callable[..., Any]:
    async def requests(received: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for data in received:
            yield _parsed(parse, data)

    async def answer(received: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        try:
            async for response in inner(requests(received), context):
                yield response
        except _UnreadableError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    return answer
