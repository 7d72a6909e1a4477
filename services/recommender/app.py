"""The gRPC side of a replica: Ray Serve calls one method per RPC, named as in the proto.

Errors become status codes here: the code is set and an empty message returned, as Serve rewords what is raised.
"""

import asyncio
import math
import time
import traceback
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2
from ray import serve

from mmrec.connections.statuses import code_of, details_of
from mmrec.serving.batch_answer import served_request
from mmrec.serving.messages import lacking_in, served_list_record
from mmrec.serving.recommend import Deadline
from mmrec.serving.replica import Replica
from mmrec.serving.request_metrics import RequestMetrics
from mmrec.serving.served_lists import LINGER_S, ServedListWriter
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.v1 import recommender_pb2
from mmrec.wiring import open_producer, open_query_encoder, replica_parts, settings_from
from services.recommender.environment import replica_environment
from services.recommender.ingress import caller_deadline_s
from services.recommender.memory import settle_memory

log = get_logger(__name__)
Answer = TypeVar("Answer")
Health = health_pb2.HealthCheckResponse
SERVICE = "mmrec.v1.RecommenderService"
_WATCH_S = 1.0


class Recommender:
    """mmrec.v1.RecommenderService and grpc.health.v1.Health over one replica."""

    def __init__(self, config: str) -> None:
        configure_logging()
        settings = settings_from(config)
        self._default_timeout_s = settings.serving.default_deadline_ms / 1_000
        self._metrics = RequestMetrics(metrics := Metrics("recommender"))
        self._encoder = open_query_encoder(settings, told=self._metrics.encoded)
        # Searches take longer than lists and leave the interpreter to others while they multiply.
        self._searching = ThreadPoolExecutor(settings.search.num_threads, thread_name_prefix="search")
        open_served = partial(open_producer, settings, linger_s=LINGER_S)
        self._served = ServedListWriter(open_served, topic=settings.kafka.served_lists)
        self._replica = Replica(
            replica_parts(settings, encoder=self._encoder), figures=self._figures, after_load=settle_memory
        )
        self._replica.start()
        self._endpoint = serve_metrics(metrics, settings.metrics)
        self._replica.wait_ready(30)

    async def RecommendItems(
        self, message: recommender_pb2.RecommendItemsRequest, grpc_context: Any
    ) -> recommender_pb2.RecommendItemsResponse:
        """Items for a user, a session, or both."""
        empty = recommender_pb2.RecommendItemsResponse()
        work = partial(self._replica.recommend, message, deadline=self._deadline())
        response = self._answer("RecommendItems", work, empty, grpc_context)
        if response.items:
            self._served.put(partial(served_list_record, message, response, serve_s=time.time()))
        return response

    async def SimilarItems(
        self, message: recommender_pb2.SimilarItemsRequest, grpc_context: Any
    ) -> recommender_pb2.SimilarItemsResponse:
        """Items like one item."""
        empty = recommender_pb2.SimilarItemsResponse()
        if message.modality_weights:
            work = partial(self._replica.alike, message, deadline=self._deadline())
            return await self._answer_aside("SimilarItems", work, empty, grpc_context)
        work = partial(self._replica.similar, message, deadline=self._deadline())
        if message.kind == recommender_pb2.SIMILAR_KIND_GOES_WITH:  # which reads the store
            return await self._answer_aside("SimilarItems", work, empty, grpc_context)
        return self._answer("SimilarItems", work, empty, grpc_context)

    async def SearchItems(
        self, message: recommender_pb2.SearchItemsRequest, grpc_context: Any
    ) -> recommender_pb2.SearchItemsResponse:
        """Items for words, photos, other items, or several of them with weights."""
        self._metrics.searched(part.WhichOneof("what") or "nothing" for part in message.query)
        work = partial(self._replica.search, message, deadline=self._deadline())
        return await self._answer_aside("SearchItems", work, recommender_pb2.SearchItemsResponse(), grpc_context)

    async def RankItems(
        self, message: recommender_pb2.RankItemsRequest, grpc_context: Any
    ) -> recommender_pb2.RankItemsResponse:
        """The caller's items in the order of the user's interest."""
        work = partial(self._replica.rank_items, message, deadline=self._deadline())
        return await self._answer_aside("RankItems", work, recommender_pb2.RankItemsResponse(), grpc_context)

    async def RecommendRows(
        self, message: recommender_pb2.RecommendRowsRequest, grpc_context: Any
    ) -> recommender_pb2.RecommendRowsResponse:
        """A page of rows, each with its reason."""
        work = partial(self._replica.recommend_rows, message, deadline=self._deadline())
        return await self._answer_aside("RecommendRows", work, recommender_pb2.RecommendRowsResponse(), grpc_context)

    async def RecommendBatch(
        self, message: recommender_pb2.RecommendBatchRequest, grpc_context: Any
    ) -> AsyncIterator[recommender_pb2.RecommendBatchResponse]:
        """Lists for many users, some at a time: what is not asked for yet is not made yet."""
        deadline = Deadline(at_s=caller_deadline_s() or math.inf, clock=time.monotonic)
        answers = self._replica.recommend_batch(message, deadline=deadline)
        ended = recommender_pb2.RecommendBatchResponse()
        following = partial(next, answers, ended)
        while (answer := await self._answer_aside("RecommendBatch", following, ended, grpc_context)).lists:
            for each in answer.lists:
                served = partial(served_list_record, served_request(message, each.user), each.list)
                self._served.put(partial(served, serve_s=time.time()))
            yield answer

    async def ExplainItem(
        self, message: recommender_pb2.ExplainItemRequest, grpc_context: Any
    ) -> recommender_pb2.ExplainItemResponse:
        """What became of an item on its way to a list."""
        work = partial(self._replica.explain_item, message, deadline=self._deadline())
        # As long as several lists, for one person who looks: lists go on meanwhile.
        return await self._answer_aside("ExplainItem", work, recommender_pb2.ExplainItemResponse(), grpc_context)

    async def Check(self, message: health_pb2.HealthCheckRequest, grpc_context: Any) -> health_pb2.HealthCheckResponse:
        """Health of this service, by name or as a whole."""
        if message.service not in {"", SERVICE}:
            grpc_context.set_code(grpc.StatusCode.NOT_FOUND)
            grpc_context.set_details(f"service {message.service!r} is not here; ask for {SERVICE} or the empty name")
        return health_pb2.HealthCheckResponse(status=self._health(message.service))

    async def List(self, _: Any, grpc_context: Any) -> health_pb2.HealthListResponse:
        """Health of all services."""
        statuses = {name: health_pb2.HealthCheckResponse(status=self._health(name)) for name in ("", SERVICE)}
        return health_pb2.HealthListResponse(statuses=statuses)

    async def Watch(
        self, message: health_pb2.HealthCheckRequest, grpc_context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Health now, and again each time it changes."""
        told = None
        while True:
            if (status := self._health(message.service)) != told:
                told = status
                yield health_pb2.HealthCheckResponse(status=status)
            await asyncio.sleep(_WATCH_S)

    def _health(self, service: str) -> health_pb2.HealthCheckResponse.ServingStatus:
        if service not in {"", SERVICE}:
            return Health.SERVICE_UNKNOWN
        return Health.SERVING if self._replica.ready else Health.NOT_SERVING

    def _deadline(self) -> Deadline:
        return Deadline(at_s=caller_deadline_s() or time.monotonic() + self._default_timeout_s, clock=time.monotonic)

    def _figures(self) -> dict[str, Any]:
        return {**self._served.figures(), **self._encoder.figures()}

    async def _answer_aside(self, method: str, work: Callable[[], Answer], empty: Answer, grpc_context: Any) -> Answer:
        """As _answer(), in another thread."""
        answered = partial(self._answer, method, work, empty, grpc_context)
        return await asyncio.get_running_loop().run_in_executor(self._searching, answered)

    def _answer(self, method: str, work: Callable[[], Answer], empty: Answer, grpc_context: Any) -> Answer:
        began_s, answer, code = time.monotonic(), empty, grpc.StatusCode.OK
        try:
            answer = work()
        except Exception as error:
            self._replica.counters.num_failed += 1
            code = code_of(error)
            details = details_of(error)
            if code is grpc.StatusCode.INTERNAL:
                details = "the recommender failed; its log says why"
                log.error("request_failed", error=repr(error), trace=traceback.format_exc())
            grpc_context.set_code(code)
            grpc_context.set_details(details)
        if answer is empty and code is grpc.StatusCode.OK:
            return answer  # the end of a batch
        seconds = time.monotonic() - began_s
        self._metrics.answered(method, status=code.name, seconds=seconds, degraded=lacking_in(answer))
        return answer


def application(config: str, *, num_replicas: int = 1) -> Any:
    """The deployment for serve.run(). Decorating the class itself would make Ray pickle it with all it refers to.

    Args:
        config: The TOML file, as each node finds it.
        num_replicas: A file that tells Serve what to serve may say something else.
    """
    deployment = serve.deployment(
        name="recommender",
        num_replicas=num_replicas,
        max_ongoing_requests=512,
        ray_actor_options={"num_cpus": 0, "runtime_env": {"env_vars": replica_environment()}},
        graceful_shutdown_timeout_s=2,
        health_check_timeout_s=60,
        logging_config={"enable_access_log": False, "log_level": "WARNING"},  # at INFO: a record per request
    )
    return deployment(Recommender).bind(config)
