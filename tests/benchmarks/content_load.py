"""Requests at fixed instants on a running deployment, and items on their way from publishing to the first answer.

Open loop: a request is due at its instant however long others take, and its latency counts from then; at most
MAX_OPEN are open, and one that finds so many counts as failed. An item is there when SimilarItems finds items like it:
then it has an embedding, and is in lists and searches; it is hidden when SimilarItems does not know it any more.
That is asked from the moment on when its record is on `item-embeddings`: asking before would only be load.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import grpc
import numpy as np
from PIL import Image

from mmrec.catalog.item import Availability, CatalogItem, to_json_value
from mmrec.stores.kafka.producer import KafkaRecordProducer
from mmrec.stores.kafka.readers import follow_topic
from mmrec.v1 import catalog_pb2, recommender_pb2, recommender_pb2_grpc
from tests.benchmarks.own_recommender import OwnRecommender

MAX_OPEN = 400
POLL_S = 0.03
"""Between two looks for an item: what is measured is that much too long at most."""
LOST_S = 20.0
"""An item that is not there within this time is lost, and counts as this long."""
WORDS = ("red", "dress", "lamp", "wool", "summer", "chair", "blue", "gold", "shoes", "kit")


@dataclass(kw_only=True)
class Answers:
    """What became of the requests of one kind."""

    latencies_ms: list[float] = field(default_factory=list)
    num_failed: int = 0
    error: str = ""
    """Of the last one that failed."""

    def add(self, more: "Answers") -> None:
        """Those of another phase, too."""
        self.latencies_ms += more.latencies_ms
        self.num_failed, self.error = self.num_failed + more.num_failed, more.error or self.error

    def p(self, percent: float) -> float | None:
        return round(float(np.percentile(self.latencies_ms, percent)), 1) if self.latencies_ms else None


@dataclass(kw_only=True)
class ItemsSeen:
    """Seconds from sending an item's record to the first answer that shows it, or does not show it any more."""

    new_s: list[float] = field(default_factory=list)
    hidden_s: list[float] = field(default_factory=list)
    to_topic_s: list[float] = field(default_factory=list)
    """Of both: until the record of the item's content was on `item-embeddings`."""
    num_lost: int = 0


def picture(rng: np.random.Generator) -> bytes:
    """A JPEG of colored blocks, 240 x 320, unlike any other."""
    blocks = rng.integers(0, 256, size=(8, 6, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(blocks).resize((240, 320)).save(file, "JPEG", quality=85)
    return file.getvalue()


class _Published:
    """Which items' records have come on `item-embeddings`, for coroutines of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._waiting = loop, defaultdict[str, list[asyncio.Event]](list)

    def next_of(self, item_id: str) -> asyncio.Event:
        """Set when the item's next record is there."""
        self._waiting[item_id].append(event := asyncio.Event())
        return event

    @contextmanager
    def watched(self, bootstrap: str, topic: str) -> Iterator[None]:
        """Follow the topic from its end on."""
        stopping, started = threading.Event(), threading.Event()

        def follow() -> None:
            for records in follow_topic(bootstrap, topic, stop=stopping.is_set, from_end=True):
                started.set()
                keys = [(record.key or b"").decode() for record in records]
                if keys:
                    self._loop.call_soon_threadsafe(self._arrived, keys)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        started.wait(30)
        try:
            yield
        finally:
            stopping.set()
            thread.join(10)

    def _arrived(self, item_ids: list[str]) -> None:
        for item_id in item_ids:
            for event in self._waiting.pop(item_id, ()):
                event.set()


class ContentLoad:
    """Requests of four kinds, and new items, at so many per second."""

    def __init__(self, recommender: OwnRecommender, *, seed: int = 7) -> None:
        self._recommender, self._rng = recommender, np.random.default_rng(seed)
        self._num_open = 0
        self._photos = [picture(self._rng) for _ in range(32)]
        self._run = f"n{int(time.time()) % 100_000}"

    def run(
        self, rates: Mapping[str, float], *, seconds: float, items_per_s: float = 0.0
    ) -> tuple[dict[str, Answers], ItemsSeen]:
        """Ask "lists", "similar", "text" and "photo" at these rates, and publish items meanwhile."""
        return asyncio.run(self._run_all(rates, seconds, items_per_s))

    async def _run_all(
        self, rates: Mapping[str, float], seconds: float, items_per_s: float
    ) -> tuple[dict[str, Answers], ItemsSeen]:
        settings, seen = self._recommender.settings, ItemsSeen()
        answers = {kind: Answers() for kind in rates}
        producer = KafkaRecordProducer(settings.kafka.bootstrap) if items_per_s else None
        published = _Published(asyncio.get_running_loop())
        options = [("grpc.max_send_message_length", 32 * 2**20)]
        async with grpc.aio.insecure_channel(settings.serving.recommender, options=options) as channel:
            stub = recommender_pb2_grpc.RecommenderServiceStub(channel)
            asking = self._ways(stub)
            parts = [self._at_rate(rate, seconds, self._request(asking[k], answers[k])) for k, rate in rates.items()]
            if producer is None:
                await asyncio.gather(*parts)
            else:
                parts.append(self._at_rate(items_per_s, seconds, self._item(stub, producer, published, seen)))
                with published.watched(settings.kafka.bootstrap, settings.kafka.item_embeddings):
                    await asyncio.gather(*parts)
        if producer is not None:
            await asyncio.to_thread(producer.close)
        return answers, seen

    def _ways(self, stub: Any) -> dict[str, Callable[[int], Awaitable[Any]]]:
        users, items = self._recommender.user_ids, self._recommender.item_ids
        pb = recommender_pb2

        def lists(number: int) -> Awaitable[Any]:
            return stub.RecommendItems(pb.RecommendItemsRequest(user_id=users[number * 7 % len(users)]), timeout=10)

        def similar(number: int) -> Awaitable[Any]:
            return stub.SimilarItems(pb.SimilarItemsRequest(item_id=items[number * 13 % len(items)]), timeout=10)

        def text(number: int) -> Awaitable[Any]:
            words = " ".join(WORDS[(number * step) % len(WORDS)] for step in (1, 3))
            return stub.SearchItems(pb.SearchItemsRequest(query=[pb.QueryPart(text=words)]), timeout=10)

        def photo(number: int) -> Awaitable[Any]:
            part = pb.QueryPart(image=catalog_pb2.Image(content=self._photos[number % len(self._photos)]))
            return stub.SearchItems(pb.SearchItemsRequest(query=[part]), timeout=10)

        return {"lists": lists, "similar": similar, "text": text, "photo": photo}

    async def _at_rate(self, rate: float, seconds: float, one: Callable[[int, float], Awaitable[None]]) -> None:
        began_s, tasks = time.monotonic(), set()
        for number in range(int(rate * seconds)):
            due_s = began_s + number / rate
            await asyncio.sleep(max(due_s - time.monotonic(), 0.0))
            task = asyncio.ensure_future(one(number, due_s))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    def _request(
        self, ask: Callable[[int], Awaitable[Any]], answers: Answers
    ) -> Callable[[int, float], Awaitable[None]]:
        async def one(number: int, due_s: float) -> None:
            if self._num_open >= MAX_OPEN:
                answers.num_failed, answers.error = answers.num_failed + 1, f"{MAX_OPEN} requests were open"
                return
            self._num_open += 1
            try:
                await ask(number)
            except grpc.RpcError as error:
                answers.num_failed, answers.error = answers.num_failed + 1, f"{error.code().name}: {error.details()}"
            finally:
                self._num_open -= 1
            answers.latencies_ms.append(1_000 * (time.monotonic() - due_s))

        return one

    def _item(
        self, stub: Any, producer: KafkaRecordProducer, published: _Published, seen: ItemsSeen
    ) -> Callable[[int, float], Awaitable[None]]:
        topic, rng = self._recommender.settings.kafka.catalog_items, self._rng

        async def told(item: CatalogItem, wanted: Callable[[bool | None], bool]) -> float:
            """Seconds until SimilarItems says what is wanted: True like items, False none yet, None not known."""
            began_s, arrival = time.monotonic(), published.next_of(item.item_id)
            await asyncio.wrap_future(producer.send(topic, item.item_id.encode(), to_json_value(item)))
            with suppress(TimeoutError):
                await asyncio.wait_for(arrival.wait(), LOST_S)
            seen.to_topic_s.append(time.monotonic() - began_s)
            while time.monotonic() - began_s < LOST_S:
                try:
                    request = recommender_pb2.SimilarItemsRequest(item_id=item.item_id, num_items=5)
                    found: bool | None = bool((await stub.SimilarItems(request, timeout=10)).items)
                except grpc.RpcError as error:
                    found = None if error.code() is grpc.StatusCode.NOT_FOUND else False
                if wanted(found):
                    return time.monotonic() - began_s
                await asyncio.sleep(POLL_S)
            seen.num_lost += 1
            return LOST_S

        async def one(number: int, _: float) -> None:
            words = " ".join(rng.choice(WORDS, size=3).tolist())
            attributes = {"color": str(rng.choice(("red", "blue", "green"))), "kind": str(rng.choice(WORDS))}
            name = f"{self._run}-{number:05d}"
            item = CatalogItem(
                item_id=name, title=f"{words} {number}", attributes=attributes, image=picture(rng), price=9.0
            )
            seen.new_s.append(await told(item, lambda found: found is True))
            if number % 2 == 0:
                hidden = CatalogItem(**{**vars(item), "availability": Availability.HIDDEN})
                seen.hidden_s.append(await told(hidden, lambda found: found is None))

        return one
