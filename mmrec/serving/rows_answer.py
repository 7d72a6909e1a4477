"""RecommendRows as messages."""

import uuid
from dataclasses import replace

from mmrec.config import EventSettings
from mmrec.serving.filters import asked_filter
from mmrec.serving.messages import (
    Near,
    add_items,
    asking_user,
    excluded_items,
    near_context,
    session_events,
    state_message,
)
from mmrec.serving.recommend import Deadline, ListRequest, ReadProfile, ReplicaState
from mmrec.serving.rows import DEFAULT_ROW_ITEMS, DEFAULT_ROWS, recommend_rows
from mmrec.v1 import recommender_pb2


def rows_answer(
    message: recommender_pb2.RecommendRowsRequest,
    *,
    state: ReplicaState,
    read_profile: ReadProfile,
    deadline: Deadline,
    now_s: float,
    bounds: EventSettings,
    near: Near = lambda _: (),
) -> recommender_pb2.RecommendRowsResponse:
    """A page of rows; errors as recommend_rows(), and for what is no request. `near` as list_request() takes it."""
    request = ListRequest(
        user_key=asking_user(message),
        as_of_s=now_s,
        now_s=now_s,
        num_items=message.num_items or DEFAULT_ROW_ITEMS,
        excluded_item_ids=excluded_items(message.excluded_item_ids),
        item_filter=asked_filter(message),
        session_events=session_events(message.session_events, bounds=bounds, newest_s=now_s),
        near=near_context(message.context, near),
    )
    page = recommend_rows(
        request,
        num_rows=message.num_rows or DEFAULT_ROWS,
        state=state,
        read_profile=read_profile,
        deadline=deadline,
    )
    ranked = page.ranked
    response = recommender_pb2.RecommendRowsResponse(
        request_id=uuid.uuid4().hex,
        release_id=state.release_id,
        state=state_message(
            page.degraded,
            num_candidates=len(ranked.order),
            as_of_s=now_s,
            stream_ingest_time_s=state.stream_ingest_time_s,
        ),
    )
    whole = ranked.cut(request.num_items)
    for row in page.rows:
        told = response.rows.add(kind=row.kind.value, title=row.title, item_id=row.item_id)
        found = replace(whole, rows_K=row.rows_K, ranking_scores_K=row.scores_K, candidates=row.candidates)
        add_items(told, found, first_rank=1, with_explanations=message.include_explanations)
    return response
