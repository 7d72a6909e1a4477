"""Requests to the recommender over gRPC: a replica that keeps up with releases and items, on stores in memory.

Whatever is asked, the answer is a list or a code that says what is wrong with the request, never that the service is at
fault; and the next request is answered.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from mmrec.clock import ManualClock
from mmrec.connections.statuses import code_of, details_of
from mmrec.events.producer import TopicRecord
from mmrec.serving.messages import served_list_record
from mmrec.serving.page_token import page_token
from mmrec.serving.recommend import Deadline
from mmrec.serving.replica import Replica, ReplicaParts
from mmrec.v1 import recommender_pb2, recommender_pb2_grpc
from tests.fuzz import awkward
from tests.fuzz.byte_damage import damaged
from tests.fuzz.catalog_inputs import malformed_embedding, valid_embedding
from tests.fuzz.door import Fuzzed, Outcome, Parts, accepted, refused
from tests.fuzz.grpc_thread import MAX_MESSAGE_BYTES, OUR_FAULT, Answer, ServedInThread
from tests.fuzz.proto_damage import damaged_message
from tests.query_encoder import HereQueryEncoder
from tests.serving_world import serving_world
from tests.unit.test_release import Deployment, untrained

SERVICE: Final = "/mmrec.v1.RecommenderService/"
REQUESTS: Final[Mapping[str, Any]] = {
    "RecommendItems": recommender_pb2.RecommendItemsRequest,
    "SimilarItems": recommender_pb2.SimilarItemsRequest,
    "SearchItems": recommender_pb2.SearchItemsRequest,
}
NUM_UPDATES: Final = 150


class _Servicer(recommender_pb2_grpc.RecommenderServiceServicer):
    """Answers as services.recommender does; that one cannot be had without a Ray cluster."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    async def RecommendItems(self, request: Any, context: Any) -> Any:
        deadline = Deadline(at_s=time.monotonic() + 60.0, clock=time.monotonic)
        response = await self._answer(partial(self._replica.recommend, request, deadline=deadline), context)
        served_list_record(request, response, serve_s=0.0)
        return response

    async def SimilarItems(self, request: Any, context: Any) -> Any:
        deadline = Deadline(at_s=time.monotonic() + 60.0, clock=time.monotonic)
        method = self._replica.alike if request.modality_weights else self._replica.similar
        return await self._answer(partial(method, request, deadline=deadline), context)

    async def SearchItems(self, request: Any, context: Any) -> Any:
        deadline = Deadline(at_s=time.monotonic() + 60.0, clock=time.monotonic)
        return await self._answer(partial(self._replica.search, request, deadline=deadline), context)

    async def _answer(self, work: Any, context: Any) -> Any:
        try:
            return work()
        except Exception as error:
            code = code_of(error)
            await context.abort(code, details_of(error) if code is not grpc.StatusCode.INTERNAL else repr(error))


def _updates() -> list[list[TopicRecord]]:
    """Items change while requests come: whole and broken records of item-embeddings, one after the other."""
    rng = Random(0)
    parts = [
        valid_embedding(rng, number) if number % 3 else malformed_embedding(rng, number).parts
        for number in range(NUM_UPDATES)
    ]
    return [[TopicRecord(*record, 0, number, 0.0)] for number, record in enumerate(parts)]


class RecommenderDoor:
    """RecommendItems, SimilarItems and SearchItems; an input is a method and the bytes of its request."""

    name = "recommender"
    batch = 100
    seeds = 6

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="mmrec-fuzz-")
        folder = Path(self._folder.name)
        self._world = serving_world(num_users=20, num_items=60, days=5)
        self._deployment = Deployment(folder, self._world)
        self._deployment.publish(untrained(folder / "model"))
        self._deployment.records = _updates()
        deployment = self._deployment
        self._replica = Replica(
            ReplicaParts(
                settings=deployment.settings,
                open_features=lambda: self._world.store,
                open_vectors=deployment.open_vectors,
                releases=deployment.releases,
                follow=deployment.follow,
                topic_name=lambda: "c/t",
                clock=ManualClock(self._world.end_s),
                encoder=HereQueryEncoder(),
            )
        )
        self._replica.start()
        self._replica.wait_ready(30)
        self._server = ServedInThread(self._add)

    def _add(self, server: Any) -> None:
        recommender_pb2_grpc.add_RecommenderServiceServicer_to_server(_Servicer(self._replica), server)

    def valid(self, rng: Random, number: int) -> Parts:
        if rng.random() < 0.3:
            return b"SearchItems", self._search_request(rng).SerializeToString()
        if rng.random() < 0.3:
            item_id = rng.choice(self._world.entries).item_id
            return b"SimilarItems", recommender_pb2.SimilarItemsRequest(item_id=item_id).SerializeToString()
        return b"RecommendItems", self._list_request(rng).SerializeToString()

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        method = rng.choice(("RecommendItems", "RecommendItems", "SimilarItems", "SearchItems"))
        if method == "RecommendItems":
            request = self._list_request(rng)
            if rng.random() < 0.15:
                token = page_token([awkward.text(rng) for _ in range(rng.randint(0, 5))])
                request.page_token = rng.choice((token, awkward.text(rng), token[1:], token * 2))
                return Fuzzed((method.encode(), request.SerializeToString()), made_by="page_token")
        elif method == "SearchItems":
            request = self._search_request(rng)
        else:
            request = recommender_pb2.SimilarItemsRequest(item_id=rng.choice(self._world.entries).item_id)
        if rng.random() < 0.1:
            value, made_by = damaged(request.SerializeToString(), rng)
            return Fuzzed((rng.choice((b"RankItems", b"Nothing", method.encode())), value), made_by=made_by)
        value, made_by = damaged_message(request, rng)
        return Fuzzed((method.encode(), value), made_by=made_by)

    def _search_request(self, rng: Random) -> Any:
        entry = rng.choice(self._world.entries)
        request = recommender_pb2.SearchItemsRequest(num_items=rng.choice((0, 5)), user_id=self._world.user_ids[0])
        request.query.add(text=entry.title or "cream")
        if rng.random() < 0.5:
            request.query.add(text=f"no {awkward.text(rng)[:200]}", weight=rng.choice((-1.0, 0.5)))
        request.personal = rng.random() < 0.3
        return request

    def _list_request(self, rng: Random) -> Any:
        request = recommender_pb2.RecommendItemsRequest(
            user_id=rng.choice((*self._world.user_ids, "nobody")), num_items=rng.choice((0, 5, 20))
        )
        request.include_explanations = rng.random() < 0.5
        if rng.random() < 0.3:
            request.session_events.add(item_id=rng.choice(self._world.entries).item_id, behavior="browse")
        if rng.random() < 0.2:
            request.excluded_item_ids.append(rng.choice(self._world.entries).item_id)
        if rng.random() < 0.2:
            request.filter.price_min = 0.01
        return request

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        outcomes = []
        for fuzzed in inputs:
            method, value = (part or b"" for part in fuzzed.parts)
            (answer,) = self._server.unary(SERVICE + method.decode(errors="replace"), [value])
            outcomes.append(self._outcome(method.decode(errors="replace"), value, answer))
        if not self._replica.ready:
            raise ConnectionError("the replica keeps up no more")
        return outcomes

    def _outcome(self, method: str, value: bytes, answer: Answer) -> Outcome:
        if answer.code is grpc.StatusCode.OK:
            kind = {
                "RecommendItems": recommender_pb2.RecommendItemsResponse,
                "SimilarItems": recommender_pb2.SimilarItemsResponse,
                "SearchItems": recommender_pb2.SearchItemsResponse,
            }[method]
            return accepted(intact=len(kind.FromString(answer.responses[0]).items) > 0)
        problem = ""
        if answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED and len(value) < MAX_MESSAGE_BYTES:
            problem = f"a small request ends with {answer.code.name}: {answer.details}"
        if answer.code in OUR_FAULT:
            kind = REQUESTS.get(method)
            what = "a request" if kind is not None and _is_message(kind, value) else "bytes that are no message"
            problem = f"{what} ends with {answer.code.name}: {answer.details}"
        return refused(answer.code.name, answer.details, problem=problem)

    def close(self) -> None:
        self._server.close()
        self._replica.close()
        self._folder.cleanup()


def _is_message(kind: Any, value: bytes) -> bool:
    try:
        kind.FromString(value)
    except DecodeError:
        return False
    return True
