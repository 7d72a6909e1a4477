"""SimilarItems as messages."""

import uuid
from functools import partial

from mmrec.config import EventSettings
from mmrec.errors import InvalidRequestError
from mmrec.serving.filters import asked_filter
from mmrec.serving.goes_with import ReadNeighbors
from mmrec.serving.messages import add_items, check_id, excluded_items, named_user, number_of_items, serving_state
from mmrec.serving.recommend import Deadline, ReadProfile, ReplicaState
from mmrec.serving.similar import Find, alike, complements, similar
from mmrec.v1 import recommender_pb2


def similar_answer(
    message: recommender_pb2.SimilarItemsRequest,
    *,
    state: ReplicaState,
    read_profile: ReadProfile,
    deadline: Deadline,
    now_s: float,
    bounds: EventSettings,
    read_neighbors: ReadNeighbors,
    substitutes_share: str,
) -> recommender_pb2.SimilarItemsResponse:
    """Items like one item, or that go with it; errors as similar() and goes_with(), and for what is no request.

    Args:
        deadline: Not used, and neither is `bounds`.
        substitutes_share: As goes_with() takes it.
    """
    check_id("item_id", message.item_id)
    if message.kind not in recommender_pb2.SimilarKind.values():
        right = ", ".join(name for name, number in recommender_pb2.SimilarKind.items() if number)
        raise InvalidRequestError(f"kind is {message.kind}; give one of {right}, or none for similar ones")
    find: Find = alike
    if message.kind == recommender_pb2.SIMILAR_KIND_GOES_WITH:
        find = partial(complements, substitutes_share=substitutes_share, read_neighbors=read_neighbors)
    found = similar(
        message.item_id,
        find=find,
        as_of_s=now_s,
        num_items=number_of_items(message.num_items),
        excluded_item_ids=excluded_items(message.excluded_item_ids),
        item_filter=asked_filter(message),
        user_key=named_user(message.user_id, message.anonymous_id),
        state=state,
        read_profile=read_profile,
    )
    response = recommender_pb2.SimilarItemsResponse(
        request_id=uuid.uuid4().hex,
        release_id=state.release_id,
        state=serving_state(found, as_of_s=now_s, stream_ingest_time_s=state.stream_ingest_time_s),
    )
    add_items(response, found, first_rank=1, with_explanations=False)
    return response
