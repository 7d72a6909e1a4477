"""RankItems and ExplainItem as messages: requests about items that the caller names."""

import math
import uuid

from mmrec.config import EventSettings
from mmrec.errors import InvalidRequestError
from mmrec.serving.explain_item import ExplainedItem, explain_item
from mmrec.serving.filters import asked_filter
from mmrec.serving.messages import (
    add_items,
    asking_user,
    check_id,
    check_ids,
    excluded_items,
    number_of_items,
    serving_state,
    session_events,
    state_message,
    tell,
)
from mmrec.serving.rank_items import rank_items
from mmrec.serving.recommend import Deadline, ListRequest, ReadProfile, ReplicaState
from mmrec.v1 import recommender_pb2


def rank_answer(
    message: recommender_pb2.RankItemsRequest,
    *,
    state: ReplicaState,
    read_profile: ReadProfile,
    deadline: Deadline,
    now_s: float,
    bounds: EventSettings,
) -> recommender_pb2.RankItemsResponse:
    """The caller's items in the order of the user's interest; errors as rank_items(), and for what is no request."""
    check_ids("item_ids", message.item_ids)
    if not all(message.item_ids):
        raise InvalidRequestError("one of item_ids is empty; name items")
    request = ListRequest(
        user_key=asking_user(message),
        as_of_s=now_s,
        now_s=now_s,
        session_events=session_events(message.session_events, bounds=bounds, newest_s=now_s),
    )
    ranked = rank_items(
        request,
        message.item_ids,
        state=state,
        read_profile=read_profile,
        deadline=deadline,
        with_sources=message.include_explanations,
    )
    response = recommender_pb2.RankItemsResponse(
        request_id=uuid.uuid4().hex,
        release_id=state.release_id,
        state=serving_state(ranked.found, as_of_s=now_s, stream_ingest_time_s=state.stream_ingest_time_s),
        unknown_item_ids=ranked.unknown,
        unavailable_item_ids=ranked.unavailable,
    )
    add_items(response, ranked.found, first_rank=1, with_explanations=message.include_explanations)
    return response


def explain_answer(
    message: recommender_pb2.ExplainItemRequest,
    *,
    state: ReplicaState,
    read_profile: ReadProfile,
    deadline: Deadline,
    now_s: float,
    bounds: EventSettings,
) -> recommender_pb2.ExplainItemResponse:
    """What became of an item on its way to a list; errors as explain_item(), and for what is no request."""
    check_id("item_id", message.item_id)
    if not message.item_id:
        raise InvalidRequestError("item_id is empty; name the item that is to be explained")
    request = ListRequest(
        user_key=asking_user(message),
        as_of_s=now_s,
        now_s=now_s,
        num_items=number_of_items(message.num_items),
        excluded_item_ids=excluded_items(message.excluded_item_ids),
        item_filter=asked_filter(message),
        session_events=session_events(message.session_events, bounds=bounds, newest_s=now_s),
    )
    found = explain_item(message.item_id, request, state=state, read_profile=read_profile, deadline=deadline)
    response = recommender_pb2.ExplainItemResponse(
        release_id=state.release_id,
        state=state_message(
            found.ranked.degraded,
            num_candidates=len(found.ranked.order),
            as_of_s=now_s,
            stream_ingest_time_s=state.stream_ingest_time_s,
        ),
        outcome=f"ITEM_OUTCOME_{found.outcome.name}",
        text=found.text,
        place=found.place,
        recall_score=found.recall_score,
        features=found.features,
        contributions=found.contributions,
        candidates_score=found.candidates_score,
        last_score=0.0 if math.isnan(found.last_score) else found.last_score,
    )
    _add_item(response, found)
    return response


def _add_item(response: recommender_pb2.ExplainItemResponse, found: ExplainedItem) -> None:
    item = response.item
    entry = found.ranked.context.catalogue.entries[found.row]
    if response.outcome == recommender_pb2.ITEM_OUTCOME_UNAVAILABLE:
        item.item_id = entry.item_id  # what it is called and costs is not for the public yet, or no longer
    else:
        item.MergeFromString(entry.listed)
    item.rank = found.place if response.outcome == recommender_pb2.ITEM_OUTCOME_LISTED else 0
    item.ranking_score = found.ranking_score
    proposing = [each for each in found.standings if each.place]
    item.sources.extend(each.source for each in sorted(proposing, key=lambda each: -each.gain))
    tell(item.explanation, found.explanation)
    for each in found.standings:
        response.sources.add(source=each.source, rank=each.place, score=each.score, gain=each.gain)
