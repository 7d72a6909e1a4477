"""What a busy or restarting recommender did not answer is asked again; what it refused is not."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from mmrec.client import RecommenderClient
from mmrec.errors import BusyError, InvalidRequestError, StoreError
from mmrec.v1 import recommender_pb2, recommender_pb2_grpc


class Recommender(recommender_pb2_grpc.RecommenderServiceServicer):
    """Fails as it is told, call by call, and answers afterwards."""

    def __init__(self, failures: list[grpc.StatusCode]) -> None:
        self.failures, self.num_calls = failures, 0

    def RecommendItems(self, request: Any, context: grpc.ServicerContext) -> recommender_pb2.RecommendItemsResponse:
        self.num_calls += 1
        if self.num_calls <= len(self.failures):
            context.abort(self.failures[self.num_calls - 1], "for now")
        return recommender_pb2.RecommendItemsResponse(request_id="answered")


@contextmanager
def asked(failures: list[grpc.StatusCode]) -> Iterator[tuple[Callable[[], Any], Recommender]]:
    """(a call of the client, who answers it)."""
    servicer, server = Recommender(failures), grpc.server(ThreadPoolExecutor(1))
    recommender_pb2_grpc.add_RecommenderServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with RecommenderClient(f"127.0.0.1:{port}", timeout_s=30.0) as client:
            yield lambda: client.recommend("u1"), servicer
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_what_was_not_answered_is_asked_again(code: grpc.StatusCode) -> None:
    with asked([code, code]) as (call, servicer):
        assert call().request_id == "answered"
        assert servicer.num_calls == 3


def test_a_recommender_that_stays_busy_is_given_up_after_four_calls() -> None:
    with asked([grpc.StatusCode.RESOURCE_EXHAUSTED] * 9) as (call, servicer):
        with pytest.raises(BusyError, match="RESOURCE_EXHAUSTED: for now"):
            call()
        assert servicer.num_calls == 4


@pytest.mark.parametrize(
    ("code", "error"),
    [(grpc.StatusCode.INVALID_ARGUMENT, InvalidRequestError), (grpc.StatusCode.INTERNAL, StoreError)],
)
def test_what_was_refused_is_not_asked_again(code: grpc.StatusCode, error: type[Exception]) -> None:
    with asked([code]) as (call, servicer):
        with pytest.raises(error):
            call()
        assert servicer.num_calls == 1
