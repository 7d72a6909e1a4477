"""CollectorService over mmrec's collector: messages in, statuses out, in order, several requests under way."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from functools import partial
from typing import Any

import grpc

from mmrec.catalog.upsert import CatalogWriter
from mmrec.clock import Clock
from mmrec.events.collect import EventCollector
from mmrec.events.collect_metrics import CollectorMetrics
from mmrec.v1 import collector_pb2, collector_pb2_grpc

MAX_REQUESTS_UNDER_WAY = 256
"""Requests of one stream whose statuses are still out; beyond that the stream is read no further."""


class CollectorServicer(collector_pb2_grpc.CollectorServiceServicer):
    """Answers one RecordBehaviorsResponse per request."""

    def __init__(
        self, collector: EventCollector, catalog: CatalogWriter, clock: Clock, metrics: CollectorMetrics
    ) -> None:
        self._collector = collector
        self._metrics = metrics
        self._catalog = catalog
        self._clock = clock

    async def RecordBehaviors(
        self, request_iterator: AsyncIterator[collector_pb2.RecordBehaviorsRequest], context: Any
    ) -> AsyncIterator[collector_pb2.RecordBehaviorsResponse]:
        """See collector.proto."""
        under_way: asyncio.Queue[asyncio.Future[Any] | None] = asyncio.Queue(MAX_REQUESTS_UNDER_WAY)

        async def read() -> None:
            try:
                async for request in request_iterator:
                    began_s = time.monotonic()
                    statuses = self._collector.record(request.events, now_s=self._clock.now_s())
                    statuses.add_done_callback(partial(self._answered, began_s))
                    await under_way.put(asyncio.wrap_future(statuses))
            finally:
                await under_way.put(None)

        reading = asyncio.create_task(read())
        try:
            while (statuses := await under_way.get()) is not None:
                yield collector_pb2.RecordBehaviorsResponse(statuses=await statuses)
            await reading  # a request that could not be read ends the call with its error
        finally:
            reading.cancel()
            while not under_way.empty():  # room for the reader's last word
                under_way.get_nowait()

    def _answered(self, began_s: float, statuses: "Future[list[collector_pb2.EventStatus]]") -> None:
        self._metrics.answered(statuses.result(), seconds=time.monotonic() - began_s)

    async def UpsertItems(
        self, request: collector_pb2.UpsertItemsRequest, context: Any
    ) -> collector_pb2.UpsertItemsResponse:
        """See collector.proto."""
        statuses = await asyncio.to_thread(self._catalog.upsert, request.items, request.removed_item_ids)
        return collector_pb2.UpsertItemsResponse(statuses=statuses)

    async def ForgetUser(
        self, request: collector_pb2.ForgetUserRequest, context: Any
    ) -> collector_pb2.ForgetUserResponse:
        """See collector.proto."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "ForgetUser is not built yet")
        return collector_pb2.ForgetUserResponse()
