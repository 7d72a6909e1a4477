"""A recommender as callers see it.

with RecommenderClient("127.0.0.1:18500") as recommender:
    answer = recommender.recommend("u00001", num_items=20, include_explanations=True)
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mmrec.errors import (
    BusyError,
    DeadlineError,
    InvalidRequestError,
    MmrecError,
    NotFoundError,
    PreconditionError,
    StoreError,
)
from mmrec.v1 import behavior_pb2, recommender_pb2, recommender_pb2_grpc

_ERRORS: dict[grpc.StatusCode, type[MmrecError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: BusyError,
}


_RETRIED: Final = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": "mmrec.v1.RecommenderService"}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "0.8s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
                },
            }
        ]
    }
)
"""What a busy or restarting recommender has not answered is asked again, within the caller's deadline: all its methods
may be asked twice."""
CHANNEL_OPTIONS: Final = (("grpc.enable_retries", 1), ("grpc.service_config", _RETRIED))
"""Of channels to a recommender; for one of one's own, too."""


class RecommenderClient:
    """A connection to one recommender."""

    def __init__(self, target: str, *, timeout_s: float = 5.0, channel: Any = None) -> None:
        """Open a connection; nothing is sent yet.

        Args:
            target: host:port.
            channel: A grpc.Channel to it, such as one with TLS, which is closed with the client; None for a plain one.
        """
        self._target = target
        self._timeout_s = timeout_s
        self._channel = channel if channel is not None else grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
        stub: Any = recommender_pb2_grpc.RecommenderServiceStub  # generated, without types
        self._stub = stub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def __enter__(self) -> "RecommenderClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def recommend(
        self,
        user_id: str,
        *,
        anonymous_id: str = "",
        num_items: int = 0,
        placement: str = "",
        excluded_item_ids: Sequence[str] = (),
        item_filter: recommender_pb2.AttributeFilter | None = None,
        session_events: Sequence[tuple[str, str] | behavior_pb2.BehaviorEvent] = (),
        page_token: str = "",
        include_explanations: bool = False,
        as_of_s: float | None = None,
        context: Mapping[str, str] | None = None,
    ) -> recommender_pb2.RecommendItemsResponse:
        """Items for a user, or for somebody anonymous.

        Args:
            user_id: May be empty where anonymous_id is given.
            session_events: Events of the session, oldest first: messages, or (item id, behavior) as happening now.
            as_of_s: Instant the list describes; now where absent.
            context: Where and when it is asked, such as {"country": "SE"}, by the names of statistics.popular_by.

        Raises:
            InvalidRequestError, NotFoundError, PreconditionError, DeadlineError: as the service says.
            StoreError: the service cannot be reached or failed.
        """
        request = recommender_pb2.RecommendItemsRequest(
            user_id=user_id,
            anonymous_id=anonymous_id,
            num_items=num_items,
            placement=placement,
            excluded_item_ids=excluded_item_ids,
            filter=item_filter,
            session_events=_events(session_events),
            page_token=page_token,
            include_explanations=include_explanations,
            context=context,
        )
        if as_of_s is not None:
            request.as_of.FromDatetime(datetime.fromtimestamp(as_of_s, tz=UTC))
        answer: recommender_pb2.RecommendItemsResponse = self._call(self._stub.RecommendItems, request)
        return answer

    def recommend_many(
        self,
        user_ids: Sequence[str],
        *,
        num_items: int = 0,
        placement: str = "",
        excluded_item_ids: Sequence[str] = (),
        item_filter: recommender_pb2.AttributeFilter | None = None,
        include_explanations: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[recommender_pb2.UserList]:
        """A list for each of 1 to 10,000 users, in their order, as they are made; errors as recommend().

        Ending the iteration ends the work.

        Args:
            timeout_s: For all lists together; None waits for as long as they take.
        """
        request = recommender_pb2.RecommendBatchRequest(
            users=[recommender_pb2.BatchUser(user_id=user_id) for user_id in user_ids],
            num_items=num_items,
            placement=placement,
            excluded_item_ids=excluded_item_ids,
            filter=item_filter,
            include_explanations=include_explanations,
        )
        call = self._stub.RecommendBatch(request, timeout=timeout_s)
        try:
            for answer in call:
                yield from answer.lists
        except grpc.RpcError as error:
            raise self._translated(error) from None
        finally:
            call.cancel()

    def similar(
        self,
        item_id: str,
        *,
        num_items: int = 0,
        goes_with: bool = False,
        user_id: str = "",
        excluded_item_ids: Sequence[str] = (),
        item_filter: recommender_pb2.AttributeFilter | None = None,
        modality_weights: Mapping[str, float] | None = None,
    ) -> recommender_pb2.SimilarItemsResponse:
        """Items like one item; errors as recommend().

        Args:
            goes_with: What is taken together with the item, in place of what is like it.
            user_id: Whose interest has a say in the order; empty for nobody's.
            modality_weights: Such as {"image": 1}; None or empty: the release's item embeddings.
        """
        request = recommender_pb2.SimilarItemsRequest(
            item_id=item_id,
            num_items=num_items,
            kind=recommender_pb2.SIMILAR_KIND_GOES_WITH if goes_with else recommender_pb2.SIMILAR_KIND_SIMILAR,
            user_id=user_id,
            excluded_item_ids=excluded_item_ids,
            filter=item_filter,
            modality_weights=modality_weights,
        )
        answer: recommender_pb2.SimilarItemsResponse = self._call(self._stub.SimilarItems, request)
        return answer

    def search(
        self,
        parts: Sequence[recommender_pb2.QueryPart],
        *,
        num_items: int = 0,
        item_filter: recommender_pb2.AttributeFilter | None = None,
        excluded_item_ids: Sequence[str] = (),
        user_id: str = "",
        personal: bool = False,
    ) -> recommender_pb2.SearchItemsResponse:
        """Items for words, photos or other items; errors as recommend().

        Args:
            parts: 1 to 8, such as [QueryPart(text="red dress"), QueryPart(text="stripes", weight=-1)].
            personal: Order by relevance and the interest of `user_id` together.
        """
        request = recommender_pb2.SearchItemsRequest(
            query=parts,
            num_items=num_items,
            filter=item_filter,
            excluded_item_ids=excluded_item_ids,
            user_id=user_id,
            personal=personal,
        )
        answer: recommender_pb2.SearchItemsResponse = self._call(self._stub.SearchItems, request)
        return answer

    def rank(
        self,
        user_id: str,
        item_ids: Sequence[str],
        *,
        session_events: Sequence[tuple[str, str] | behavior_pb2.BehaviorEvent] = (),
        include_explanations: bool = False,
    ) -> recommender_pb2.RankItemsResponse:
        """Items of the caller in the order of a user's interest; errors as recommend().

        Args:
            item_ids: 1 to 1,000; unknown and unavailable ones are named in the answer.
            session_events: As in recommend().
        """
        request = recommender_pb2.RankItemsRequest(
            user_id=user_id,
            item_ids=item_ids,
            session_events=_events(session_events),
            include_explanations=include_explanations,
        )
        answer: recommender_pb2.RankItemsResponse = self._call(self._stub.RankItems, request)
        return answer

    def rows(
        self,
        user_id: str,
        *,
        num_rows: int = 0,
        num_items: int = 0,
        item_filter: recommender_pb2.AttributeFilter | None = None,
        session_events: Sequence[tuple[str, str] | behavior_pb2.BehaviorEvent] = (),
        include_explanations: bool = False,
        context: Mapping[str, str] | None = None,
    ) -> recommender_pb2.RecommendRowsResponse:
        """A page of rows for a user, each of `num_items`; no item is in two of them. The rest as in recommend()."""
        request = recommender_pb2.RecommendRowsRequest(
            user_id=user_id,
            num_rows=num_rows,
            num_items=num_items,
            filter=item_filter,
            session_events=_events(session_events),
            include_explanations=include_explanations,
            context=context,
        )
        answer: recommender_pb2.RecommendRowsResponse = self._call(self._stub.RecommendRows, request)
        return answer

    def explain(
        self,
        user_id: str,
        item_id: str,
        *,
        anonymous_id: str = "",
        num_items: int = 0,
        session_events: Sequence[tuple[str, str] | behavior_pb2.BehaviorEvent] = (),
        item_filter: recommender_pb2.AttributeFilter | None = None,
    ) -> recommender_pb2.ExplainItemResponse:
        """What became of an item on its way to a user's list of `num_items`; errors as recommend()."""
        request = recommender_pb2.ExplainItemRequest(
            user_id=user_id,
            anonymous_id=anonymous_id,
            item_id=item_id,
            num_items=num_items,
            session_events=_events(session_events),
            filter=item_filter,
        )
        answer: recommender_pb2.ExplainItemResponse = self._call(self._stub.ExplainItem, request)
        return answer

    def is_serving(self) -> bool:
        """Whether the service says that it serves."""
        try:
            answer = self._health.Check(health_pb2.HealthCheckRequest(), timeout=self._timeout_s)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def _call(self, method: Any, request: Any) -> Any:
        """The answer to a request; what the service says instead as an error of mmrec."""
        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise self._translated(error) from None

    def _translated(self, error: grpc.RpcError) -> MmrecError:
        code, details = error.code(), error.details()
        kind = _ERRORS.get(code, StoreError)
        return kind(f"recommender at {self._target}: {code.name}: {details}")


def _events(events: Sequence[tuple[str, str] | behavior_pb2.BehaviorEvent]) -> list[behavior_pb2.BehaviorEvent]:
    """Messages of a session; (item id, behavior) happens now."""
    return [
        behavior_pb2.BehaviorEvent(item_id=event[0], behavior=event[1]) if isinstance(event, tuple) else event
        for event in events
    ]
