"""The gRPC side of a replica: Ray Serve calls one method per RPC, named as in the proto.

Errors become status codes here; context codes are set and an empty message returned, because Serve loses details and
metadata of what is raised.
"""

import gc
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2
from ray import serve

from mmrec.client import TIMEOUT_METADATA
from mmrec.errors import DeadlineError, InvalidRequestError, NotFoundError, StoreError
from mmrec.pipeline import Deadline
from mmrec.serving.messages import served_list_record
from mmrec.serving.replica import Replica
from mmrec.serving.served_lists import ServedListWriter
from mmrec.telemetry import configure_logging, get_logger
from mmrec.v1 import recommender_pb2
from mmrec.wiring import open_producer, replica_parts, settings_from

log = get_logger(__name__)
Answer = TypeVar("Answer")
SERVICE = "mmrec.v1.RecommenderService"
_CODES = (
    (InvalidRequestError, grpc.StatusCode.INVALID_ARGUMENT),
    (NotFoundError, grpc.StatusCode.NOT_FOUND),
    (DeadlineError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (StoreError, grpc.StatusCode.UNAVAILABLE),
)


@serve.deployment(
    name="recommender",
    num_replicas=1,
    max_ongoing_requests=512,
    ray_actor_options={"num_cpus": 0},
    graceful_shutdown_timeout_s=2,
    logging_config={"enable_access_log": False},
)
class Recommender:
    """mmrec.v1.RecommenderService and grpc.health.v1.Health over one replica."""

    def __init__(self, config: str) -> None:
        configure_logging()
        settings = settings_from(config)
        self._default_timeout_s = settings.serving.default_deadline_ms / 1_000
        self._served = ServedListWriter(lambda: open_producer(settings), topic=settings.kafka.served_lists)
        self._replica = Replica(replica_parts(settings))
        self._replica.start()
        self._replica.wait_ready(30)
        # What is alive now stays: the collector need not walk the catalogue again (FACTS 6).
        gc.collect()
        gc.freeze()

    async def RecommendItems(
        self, message: recommender_pb2.RecommendItemsRequest, grpc_context: Any
    ) -> recommender_pb2.RecommendItemsResponse:
        """Items for a user, a session, or both."""
        deadline = self._deadline(grpc_context)
        response = self._answer(
            lambda: self._replica.recommend(message, deadline=deadline),
            recommender_pb2.RecommendItemsResponse(),
            grpc_context,
        )
        if response.items:
            serve_s = time.time()
            self._served.put(lambda: served_list_record(message, response, serve_s=serve_s))
        return response

    async def SimilarItems(
        self, message: recommender_pb2.SimilarItemsRequest, grpc_context: Any
    ) -> recommender_pb2.SimilarItemsResponse:
        """Items like one item."""
        return self._answer(
            lambda: self._replica.similar(message), recommender_pb2.SimilarItemsResponse(), grpc_context
        )

    async def SearchItems(self, _: Any, grpc_context: Any) -> recommender_pb2.SearchItemsResponse:
        """Not there yet."""
        return _unimplemented("SearchItems", recommender_pb2.SearchItemsResponse(), grpc_context)

    async def RankItems(self, _: Any, grpc_context: Any) -> recommender_pb2.RankItemsResponse:
        """Not there yet."""
        return _unimplemented("RankItems", recommender_pb2.RankItemsResponse(), grpc_context)

    async def ExplainItem(self, _: Any, grpc_context: Any) -> recommender_pb2.ExplainItemResponse:
        """Not there yet."""
        return _unimplemented("ExplainItem", recommender_pb2.ExplainItemResponse(), grpc_context)

    async def Check(self, message: health_pb2.HealthCheckRequest, grpc_context: Any) -> health_pb2.HealthCheckResponse:
        """Health of this service, by name or as a whole."""
        if message.service not in {"", SERVICE}:
            grpc_context.set_code(grpc.StatusCode.NOT_FOUND)
            grpc_context.set_details(f"service {message.service!r} is not here; ask for {SERVICE} or the empty name")
            return health_pb2.HealthCheckResponse()
        serving = health_pb2.HealthCheckResponse.SERVING
        return health_pb2.HealthCheckResponse(
            status=serving if self._replica.ready else health_pb2.HealthCheckResponse.NOT_SERVING
        )

    async def Watch(
        self, message: health_pb2.HealthCheckRequest, grpc_context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The health of now, once: callers who want the next one ask again."""
        yield await self.Check(message, grpc_context)

    def _deadline(self, grpc_context: Any) -> Deadline:
        timeout_s = self._default_timeout_s
        for key, value in grpc_context.invocation_metadata():
            if key == TIMEOUT_METADATA and str(value).isdecimal():
                timeout_s = int(value) / 1_000
        return Deadline(at_s=time.monotonic() + timeout_s, clock=time.monotonic)

    def _answer(self, work: Callable[[], Answer], empty: Answer, grpc_context: Any) -> Answer:
        try:
            return work()
        except Exception as error:
            code = next((code for kind, code in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
            if code is grpc.StatusCode.INTERNAL:
                log.error("request_failed", error=repr(error))
            self._replica.counters.num_failed += 1
            grpc_context.set_code(code)
            grpc_context.set_details(str(error))
            return empty


def _unimplemented(method: str, empty: Answer, grpc_context: Any) -> Answer:
    grpc_context.set_code(grpc.StatusCode.UNIMPLEMENTED)
    grpc_context.set_details(f"{method} does not exist yet; RecommendItems and SimilarItems do")
    return empty
