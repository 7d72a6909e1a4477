"""Lists as messages of mmrec.v1, and requests as mmrec.serving.recommend reads them."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from mmrec.config import EventSettings
from mmrec.errors import InvalidRequestError
from mmrec.events.columns import ANONYMOUS_PREFIX, user_key
from mmrec.events.rules import number_problem
from mmrec.features.values import PopularItems
from mmrec.serving.explain import Explanation, explain
from mmrec.serving.filters import asked_filter, seconds
from mmrec.serving.page_token import page_token, shown_items
from mmrec.serving.recommend import (
    DEFAULT_ITEMS,
    Degradation,
    ListRequest,
    RecommendedList,
    SessionEvent,
    refuse_length,
)
from mmrec.v1 import behavior_pb2, recommender_pb2
from mmrec.wire.ids import first_id_problem, id_problem
from mmrec.wire.instants import rfc3339

MAX_EXCLUDED = 10_000
MAX_SESSION_EVENTS = 100
MAX_CONTEXT = 100
Near = Callable[[Mapping[str, str]], tuple[PopularItems, ...]]
ForUser = recommender_pb2.RecommendItemsRequest | recommender_pb2.RankItemsRequest | recommender_pb2.ExplainItemRequest
"""Requests that name a user, a guest or a session."""


def timestamp(time_s: float) -> Timestamp:
    """An instant as a message, to the microsecond."""
    microseconds = round(time_s * 1e6)
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1_000)


def check_id(name: str, value: str) -> None:
    """Check an id; InvalidRequestError where it is not valid anywhere in the system."""
    if problem := id_problem(name, value):
        raise InvalidRequestError(problem)


def check_ids(name: str, values: Sequence[str]) -> None:
    """The same for many."""
    if problem := first_id_problem(name, values):
        raise InvalidRequestError(problem)


def number_of_items(num_items: int) -> int:
    """The number of items a request asks for; InvalidRequestError if it is not within 0 to MAX_ITEMS."""
    num_items = num_items or DEFAULT_ITEMS
    refuse_length(num_items)
    return num_items


def list_request(
    message: recommender_pb2.RecommendItemsRequest,
    *,
    now_s: float,
    bounds: EventSettings,
    near: Near = lambda _: (),
) -> ListRequest:
    """A request as recommend() reads it.

    Args:
        bounds: How far session events may be ahead of the request, and the earliest time they may have.
        near: Gives what is popular in a context.

    Raises:
        InvalidRequestError: the message asks for something impossible.
    """
    as_of_s = seconds(message.as_of, "as_of") if message.HasField("as_of") else now_s
    return ListRequest(
        user_key=asking_user(message),
        as_of_s=as_of_s,
        now_s=now_s,
        num_items=number_of_items(message.num_items),
        excluded_item_ids=excluded_items(message.excluded_item_ids),
        item_filter=asked_filter(message),
        session_events=session_events(message.session_events, bounds=bounds, newest_s=max(now_s, as_of_s)),
        shown_item_ids=shown_items(message.page_token),
        near=near_context(message.context, near),
    )


def near_context(context: Mapping[str, str], near: Near) -> tuple[PopularItems, ...]:
    """What is popular in the context of a request; InvalidRequestError for too long a one."""
    if len(context) > MAX_CONTEXT:
        raise InvalidRequestError(f"context has {len(context)} entries; give at most {MAX_CONTEXT}")
    return near(context)


def asking_user(message: ForUser) -> str:
    """Profile key of the user of a request; "" where its session alone says who asks.

    Raises:
        InvalidRequestError: an id is not valid, or nobody is named.
    """
    key = named_user(message.user_id, message.anonymous_id)
    if not key and not message.session_events:
        raise InvalidRequestError("nobody to recommend for: give user_id, anonymous_id or session_events")
    return key


def named_user(user_id: str, anonymous_id: str) -> str:
    """Profile key of a user or guest, "" where neither is named; InvalidRequestError where an id is not valid."""
    check_id("user_id", user_id)
    check_id("anonymous_id", anonymous_id)
    if user_id.startswith(ANONYMOUS_PREFIX):
        raise InvalidRequestError(
            f'user_id {user_id!r} begins with "{ANONYMOUS_PREFIX}"; give anonymous ids as anonymous_id'
        )
    return user_key(user_id, anonymous_id)


def excluded_items(item_ids: Sequence[str]) -> tuple[str, ...]:
    """Items that a list must not contain; InvalidRequestError for too many, or an id that is not valid."""
    if len(item_ids) > MAX_EXCLUDED:
        raise InvalidRequestError(f"{len(item_ids)} excluded_item_ids; give at most {MAX_EXCLUDED}")
    check_ids("excluded_item_ids", item_ids)
    return tuple(item_ids)


def session_events(
    events: Sequence[behavior_pb2.BehaviorEvent], *, bounds: EventSettings, newest_s: float
) -> tuple[SessionEvent, ...]:
    """The session of a request, checked by the rules of the stream; InvalidRequestError says what is wrong."""
    if len(events) > MAX_SESSION_EVENTS:
        raise InvalidRequestError(f"{len(events)} session_events; give at most {MAX_SESSION_EVENTS}")
    latest_s = newest_s + bounds.max_future_s
    return tuple(_session_event(event, earliest_s=bounds.horizon_s, latest_s=latest_s) for event in events)


def _session_event(event: behavior_pb2.BehaviorEvent, *, earliest_s: float, latest_s: float) -> SessionEvent:
    """One event of the session, checked by the rules of the stream."""
    for name in ("item_id", "event_id"):
        if problem := id_problem(name, getattr(event, name)):
            raise InvalidRequestError(f"of a session event {problem}")
    if not (math.isfinite(event.quantity) and math.isfinite(event.price)):
        raise InvalidRequestError(
            f"of a session event quantity is {event.quantity} and price {event.price}; give finite numbers"
        )
    if problem := number_problem(event):
        raise InvalidRequestError(f"of a session event {problem}")
    return SessionEvent(
        item_id=event.item_id,
        behavior=event.behavior,
        event_time_s=_event_time_s(event, earliest_s, latest_s) if event.HasField("event_time") else 0.0,
        event_id=event.event_id,
    )


def _event_time_s(event: behavior_pb2.BehaviorEvent, earliest_s: float, latest_s: float) -> float:
    """When a session event happened, checked by the rules of the stream."""
    event_time_s = seconds(event.event_time, "event_time of a session event")
    if not earliest_s <= event_time_s <= latest_s:
        raise InvalidRequestError(
            f"event_time of a session event is epoch second {event_time_s:.3f}; give one from {earliest_s:.3f} to "
            f"{latest_s:.3f}, or none for now"
        )
    return event_time_s


def add_items(
    response: recommender_pb2.RecommendItemsResponse
    | recommender_pb2.SimilarItemsResponse
    | recommender_pb2.RankItemsResponse
    | recommender_pb2.ItemRow,
    found: RecommendedList,
    *,
    first_rank: int,
    with_explanations: bool,
) -> None:
    """Add the items of a list to an answer, with everything that a web page needs."""
    catalogue = found.context.catalogue
    listed = zip(
        found.rows_K.tolist(),
        found.ranking_scores_K.tolist(),
        found.candidates.sources_of_each(found.rows_K),
        strict=True,
    )
    for rank, (row, score, sources) in enumerate(listed, first_rank):
        item = response.items.add()
        item.MergeFromString(catalogue.entries[row].listed)
        item.rank, item.ranking_score = rank, score
        item.sources.extend(sources)
        if with_explanations:
            tell(item.explanation, explain(row, found, sources))


def tell(message: recommender_pb2.Explanation, reasons: Explanation) -> None:
    """Fill in why an item is on a list."""
    message.text = reasons.text
    message.modality_weights.update(reasons.modality_weights)
    message.source_scores.update(reasons.source_scores)
    for reason in reasons.behaviors:
        message.behaviors.add(
            item_id=reason.item_id,
            behavior=reason.behavior,
            event_time=timestamp(reason.event_time_s),
            relation=reason.relation,
            strength=reason.strength,
        )


def list_response(
    message: recommender_pb2.RecommendItemsRequest,
    request: ListRequest,
    found: RecommendedList,
    *,
    request_id: str,
    release_id: str,
    stream_ingest_time_s: float,
) -> recommender_pb2.RecommendItemsResponse:
    """The answer to a request; `stream_ingest_time_s` as in serving_state()."""
    response = recommender_pb2.RecommendItemsResponse(
        request_id=request_id,
        release_id=release_id,
        state=serving_state(found, as_of_s=request.as_of_s, stream_ingest_time_s=stream_ingest_time_s),
    )
    add_items(
        response,
        found,
        first_rank=len(request.shown_item_ids) + 1,
        with_explanations=message.include_explanations,
    )
    if found.has_more:
        response.next_page_token = page_token([*request.shown_item_ids, *(item.item_id for item in response.items)])
    return response


def serving_state(
    found: RecommendedList, *, as_of_s: float, stream_ingest_time_s: float
) -> recommender_pb2.ServingState:
    """How fresh and how complete a list is.

    Args:
        stream_ingest_time_s: Ingest time of the newest record in the profiles of all users; -inf before the first.
    """
    return state_message(
        found.degraded,
        num_candidates=len(found.candidates.rows_N),
        as_of_s=as_of_s,
        stream_ingest_time_s=stream_ingest_time_s,
    )


def state_message(
    degraded: Sequence[Degradation], *, num_candidates: int, as_of_s: float, stream_ingest_time_s: float
) -> recommender_pb2.ServingState:
    """The same from its parts, of a list of any kind."""
    state = recommender_pb2.ServingState(
        as_of=timestamp(as_of_s),
        degraded=bool(degraded),
        degraded_reasons=[degradation.value for degradation in degraded],
        num_candidates=num_candidates,
    )
    if math.isfinite(stream_ingest_time_s):
        state.stream_lag.FromMicroseconds(round(max(0.0, as_of_s - stream_ingest_time_s) * 1e6))
    return state


def lacking_in(answer: Any) -> list[str]:
    """Names of what an answer of any method lacks; of a batch, of each of its lists."""
    if isinstance(answer, recommender_pb2.RecommendBatchResponse):
        return [reason for each in answer.lists for reason in each.list.state.degraded_reasons]
    return list(answer.state.degraded_reasons)


def served_list_record(
    message: recommender_pb2.RecommendItemsRequest, response: recommender_pb2.RecommendItemsResponse, *, serve_s: float
) -> tuple[bytes, bytes]:
    """Key and value for topic `served-lists`: proto3 JSON of mmrec.v1.ServedList, at a tenth of protobuf's own cost."""
    served = {
        "request_id": response.request_id,
        "user_id": message.user_id,
        "anonymous_id": "" if message.user_id else message.anonymous_id,
        "placement": message.placement,
        "serve_time": rfc3339(serve_s),
        "release_id": response.release_id,
        "degraded": list(response.state.degraded_reasons),
        "items": [
            {
                "item_id": item.item_id,
                "rank": item.rank,
                "ranking_score": item.ranking_score,
                "sources": list(item.sources),
                "propensity": 1.0,
            }
            for item in response.items
        ],
    }
    key = message.user_id or message.anonymous_id or response.request_id
    return key.encode(), json.dumps({name: value for name, value in served.items() if value}).encode()
