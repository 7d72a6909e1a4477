"""CollectorService over mmrec's collector: messages in, statuses out, in order, several requests under way.

Statuses of requests that Kafka took together go out in one response: a response costs as much as an event.
"""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import grpc

from mmrec.clock import Clock
from mmrec.collecting.collect import EventCollector
from mmrec.collecting.collect_metrics import CollectorMetrics
from mmrec.collecting.upsert import CatalogWriter
from mmrec.events.control import forget_event
from mmrec.v1 import collector_pb2, collector_pb2_grpc
from mmrec.v1.behavior_pb2 import BehaviorEvent

MAX_REQUESTS_UNDER_WAY = 1_024
"""Requests of one stream whose statuses are still out; beyond that the stream is read no further."""
MAX_STATUSES = 1_000
"""Statuses from which on a response takes in no other request's."""
COUNT_S = 0.25
"""What is answered meanwhile is counted at once: an observation costs more than an event."""
Statuses = list[collector_pb2.EventStatus]
UnderWay = asyncio.Queue["asyncio.Future[Statuses] | None"]
"""Answers in the order of their requests; None after the last one."""


class CollectorServicer(collector_pb2_grpc.CollectorServiceServicer):
    """Answers every event with a status."""

    def __init__(
        self, collector: EventCollector, catalog: CatalogWriter, clock: Clock, metrics: CollectorMetrics
    ) -> None:
        self._collector = collector
        self._catalog = catalog
        self._clock = clock
        self._answers = _Answers(asyncio.get_running_loop(), metrics)

    async def RecordBehaviors(
        self, request_iterator: AsyncIterator[collector_pb2.RecordBehaviorsRequest], context: Any
    ) -> AsyncIterator[collector_pb2.RecordBehaviorsResponse]:
        """See collector.proto."""
        under_way: UnderWay = asyncio.Queue(MAX_REQUESTS_UNDER_WAY)

        async def read() -> None:
            try:
                async for request in request_iterator:
                    await under_way.put(self._taken(request.events))
            finally:
                await under_way.put(None)

        reading = asyncio.create_task(read())
        try:
            async for statuses in _decided(under_way):
                yield collector_pb2.RecordBehaviorsResponse(statuses=statuses)
            await reading  # a request that could not be read ends the call with its error
        finally:
            reading.cancel()
            while not under_way.empty():  # room for the reader's last word
                under_way.get_nowait()

    async def UpsertItems(
        self, request: collector_pb2.UpsertItemsRequest, context: Any
    ) -> collector_pb2.UpsertItemsResponse:
        """See collector.proto."""
        now_s = self._clock.now_s()
        statuses = await asyncio.to_thread(self._catalog.upsert, request.items, request.removed_item_ids, now_s=now_s)
        return collector_pb2.UpsertItemsResponse(statuses=statuses)

    async def ForgetUser(
        self, request: collector_pb2.ForgetUserRequest, context: Any
    ) -> collector_pb2.ForgetUserResponse:
        """See collector.proto."""
        if not request.user_id:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "user_id is empty; name the user to forget")
        event = forget_event(event_id=f"forget-{uuid.uuid4().hex}", user_id=request.user_id)
        (status,) = await self._taken([event])
        if status.outcome == collector_pb2.EventOutcome.EVENT_OUTCOME_REJECTED:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, status.detail)
        if status.outcome == collector_pb2.EventOutcome.EVENT_OUTCOME_RETRY:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"{status.reason}: {status.detail}")
        return collector_pb2.ForgetUserResponse(
            partition=status.partition, offset=status.offset, ingest_time=status.ingest_time
        )

    def _taken(self, events: Sequence[BehaviorEvent]) -> "asyncio.Future[Statuses]":
        answer: asyncio.Future[Statuses] = asyncio.get_running_loop().create_future()
        done = partial(self._answers.give, answer, time.monotonic())
        self._collector.take(events, now_s=self._clock.now_s(), done=done)
        return answer


async def _decided(under_way: UnderWay) -> AsyncIterator[Statuses]:
    """Statuses in order; with those that are waited for also what is decided behind them."""
    answer = await under_way.get()
    while answer is not None:
        statuses = list(await answer)
        answer = None
        while not under_way.empty():
            answer = under_way.get_nowait()
            if answer is None or not answer.done() or len(statuses) >= MAX_STATUSES:
                yield statuses
                break
            statuses += answer.result()
        else:
            yield statuses
            answer = await under_way.get()


class _Answers:
    """Brings answers from other threads to the loop, all that are ready with one call, and counts them now and then."""

    def __init__(self, loop: asyncio.AbstractEventLoop, metrics: CollectorMetrics) -> None:
        self._loop, self._metrics = loop, metrics
        self._ready: deque[tuple[asyncio.Future[Statuses], float, Statuses]] = deque()
        self._called = False
        self._given: list[tuple[Statuses, float]] = []

    def give(self, answer: "asyncio.Future[Statuses]", began_s: float, statuses: Statuses) -> None:
        self._ready.append((answer, began_s, statuses))
        if not self._called:
            self._called = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._called = False  # before looking: whoever comes from now on calls again
        now_s = time.monotonic()
        if not self._given:
            self._loop.call_later(COUNT_S, self._count)
        while self._ready:
            answer, began_s, statuses = self._ready.popleft()
            self._given.append((statuses, now_s - began_s))
            if not answer.done():  # a client that went away has cancelled it
                answer.set_result(statuses)

    def _count(self) -> None:
        given, self._given = self._given, []
        self._metrics.answered_many(given)
