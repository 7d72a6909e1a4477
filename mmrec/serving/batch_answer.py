"""RecommendBatch as messages: lists of many users, some at a time, so that no more than these are in memory."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from mmrec.errors import DeadlineError, InvalidRequestError
from mmrec.serving.filters import asked_filter
from mmrec.serving.many import recommend_many
from mmrec.serving.messages import excluded_items, list_response, named_user, number_of_items
from mmrec.serving.recommend import Deadline, ListRequest, ReadProfile, ReplicaState
from mmrec.v1 import recommender_pb2
from mmrec.wire.portions import portions

MAX_USERS: Final = 10_000
AT_ONCE: Final = 16
"""Lists of one message: some twenty milliseconds, after which other requests have their turn."""
MAX_AT_ONCE_ITEMS: Final = 1_600
"""Items of one message, which has to stay well below the 4 MB that gRPC takes."""


def batch_answers(
    message: recommender_pb2.RecommendBatchRequest,
    *,
    state: ReplicaState,
    read_profile: ReadProfile,
    deadline: Deadline,
    now_s: float,
) -> Iterator[recommender_pb2.RecommendBatchResponse]:
    """Lists in the order of the users, all of the same state of the catalogue and as of the same instant.

    Raises:
        InvalidRequestError: no users or too many of them, one that is not named, or what RecommendItems refuses; at
            once, before any list is made.
        DeadlineError: the deadline passed; the lists before it were given.
    """
    if not 1 <= len(message.users) <= MAX_USERS:
        raise InvalidRequestError(f"{len(message.users)} users; give 1 to {MAX_USERS:,}")
    request = ListRequest(
        user_key="",
        as_of_s=now_s,
        now_s=now_s,
        num_items=number_of_items(message.num_items),
        excluded_item_ids=excluded_items(message.excluded_item_ids),
        item_filter=asked_filter(message),
    )
    keys = [named_user(user.user_id, user.anonymous_id) for user in message.users]
    if "" in keys:
        raise InvalidRequestError(f"users[{keys.index('')}] names nobody; give user_id or anonymous_id")
    return _answers(message, keys, request, state=state, read_profile=read_profile, deadline=deadline)


def _answers(
    message: recommender_pb2.RecommendBatchRequest,
    keys: list[str],
    request: ListRequest,
    *,
    state: ReplicaState,
    read_profile: ReadProfile,
    deadline: Deadline,
) -> Iterator[recommender_pb2.RecommendBatchResponse]:
    num_done, at_once = 0, max(1, min(AT_ONCE, MAX_AT_ONCE_ITEMS // request.num_items))
    shown = recommender_pb2.RecommendItemsRequest(include_explanations=message.include_explanations)
    for some in portions(zip(message.users, keys, strict=True), at_once):
        if deadline.left_s() <= 0:
            raise DeadlineError(f"the deadline passed after {num_done:,} of {len(keys):,} lists; give it more time")
        lists = recommend_many(request, [key for _, key in some], state=state, read_profile=read_profile)
        response = recommender_pb2.RecommendBatchResponse()
        for (user, _), ranked in zip(some, lists, strict=True):
            response.lists.add(
                user=user,
                list=list_response(
                    shown,
                    request,
                    replace(ranked.cut(request.num_items), has_more=False),
                    request_id=uuid.uuid4().hex,
                    release_id=state.release_id,
                    stream_ingest_time_s=state.stream_ingest_time_s,
                ),
            )
        num_done += len(some)
        yield response


def served_request(
    message: recommender_pb2.RecommendBatchRequest, user: recommender_pb2.BatchUser
) -> recommender_pb2.RecommendItemsRequest:
    """The request that one list of a batch answers, as served lists name it."""
    return recommender_pb2.RecommendItemsRequest(
        user_id=user.user_id, anonymous_id=user.anonymous_id, placement=message.placement
    )
