"""Requests to search, as mmrec.serving.search reads them: checked, in one form for SearchItems and SimilarItems.

Nothing is decoded here: a picture's size is looked at, its pixels by the process that encodes queries.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mmrec.catalog.values import is_blank
from mmrec.config import SearchSettings
from mmrec.content.registry import modality_named
from mmrec.errors import InvalidRequestError, NotFoundError
from mmrec.recall.item_filter import EVERYTHING, ItemFilter
from mmrec.serving.filters import asked_filter
from mmrec.serving.messages import MAX_EXCLUDED, check_id, check_ids, named_user, number_of_items
from mmrec.serving.recommend import DEFAULT_ITEMS
from mmrec.v1 import recommender_pb2

_ALIKE: Final = (recommender_pb2.SIMILAR_KIND_UNSPECIFIED, recommender_pb2.SIMILAR_KIND_SIMILAR)
MAX_PARTS: Final = 8
MAX_WEIGHT: Final = 8.0
MAX_TEXT: Final = 1_000
"""Characters of one text."""


@dataclass(frozen=True, kw_only=True)
class AskedPart:
    """One part of what is looked for: exactly one of item_id, text and image is set."""

    item_id: str = ""
    text: str = ""
    image: bytes = b""
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """What a caller looks for."""

    parts: tuple[AskedPart, ...]
    as_of_s: float
    num_items: int = DEFAULT_ITEMS
    excluded_item_ids: tuple[str, ...] = ()
    item_filter: ItemFilter = EVERYTHING
    user_key: str = ""
    """Whose interest counts, where `is_personal`."""
    is_personal: bool = False
    shares: Mapping[str, float] = field(default_factory=dict)
    """Weight of each modality in items' likeness; empty: all alike."""


def search_request(
    message: recommender_pb2.SearchItemsRequest, *, now_s: float, limits: SearchSettings
) -> SearchRequest:
    """A SearchItems request.

    Raises:
        InvalidRequestError: it asks for something impossible; the message says which part and why.
    """
    key = named_user(message.user_id, message.anonymous_id)
    if message.personal and not key:
        raise InvalidRequestError("personal is set and nobody is named; give user_id or anonymous_id")
    if not 1 <= len(message.query) <= MAX_PARTS:
        raise InvalidRequestError(f"query has {len(message.query)} parts; give 1 to {MAX_PARTS}")
    parts = tuple(_part(f"query[{number}]", part, limits) for number, part in enumerate(message.query))
    if not any(part.weight > 0 for part in parts):
        raise InvalidRequestError("no part of query has a positive weight; say what is wanted, not only what is not")
    return SearchRequest(
        parts=parts,
        as_of_s=now_s,
        num_items=number_of_items(message.num_items),
        excluded_item_ids=_excluded(message),
        item_filter=asked_filter(message),
        user_key=key,
        is_personal=message.personal,
    )


def likeness_request(message: recommender_pb2.SimilarItemsRequest, *, now_s: float) -> SearchRequest:
    """A SimilarItems request that weighs modalities (METHODS M12).

    Raises:
        InvalidRequestError: a weight is none, names no modality, or all are 0.
    """
    if not message.item_id:
        raise InvalidRequestError("item_id is empty; name the item whose like you want")
    if message.kind not in _ALIKE:
        raise InvalidRequestError("modality_weights say how items are alike; give none beside another kind")
    check_id("item_id", message.item_id)
    for name, weight in message.modality_weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise InvalidRequestError(f"modality_weights[{name!r}] is {weight}; give a finite number >= 0")
        try:
            modality_named(name)
        except NotFoundError as error:
            raise InvalidRequestError(f"modality_weights: {error}") from None
    largest = max(message.modality_weights.values(), default=0.0)
    if not largest:
        raise InvalidRequestError('modality_weights are all 0; give one a weight, such as {"image": 1}')
    key = named_user(message.user_id, message.anonymous_id)
    return SearchRequest(
        parts=(AskedPart(item_id=message.item_id),),
        as_of_s=now_s,
        user_key=key,
        is_personal=bool(key),
        num_items=number_of_items(message.num_items),
        excluded_item_ids=_excluded(message),
        item_filter=asked_filter(message),
        shares={name: weight / largest for name, weight in message.modality_weights.items()},
    )


def _excluded(message: recommender_pb2.SearchItemsRequest | recommender_pb2.SimilarItemsRequest) -> tuple[str, ...]:
    if len(message.excluded_item_ids) > MAX_EXCLUDED:
        raise InvalidRequestError(f"at most {MAX_EXCLUDED} exclusions, not {len(message.excluded_item_ids)}")
    check_ids("excluded_item_ids", message.excluded_item_ids)
    return tuple(message.excluded_item_ids)


def _part(name: str, part: recommender_pb2.QueryPart, limits: SearchSettings) -> AskedPart:
    weight = part.weight or 1.0
    if not abs(weight) <= MAX_WEIGHT:  # NaN is not, either
        raise InvalidRequestError(
            f"{name}.weight is {part.weight}; give a number from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}, 0 for 1"
        )
    kind = part.WhichOneof("what")
    if kind == "item_id":
        if not part.item_id:
            raise InvalidRequestError(f"{name}.item_id is empty; name an item")
        check_id(f"{name}.item_id", part.item_id)
        return AskedPart(item_id=part.item_id, weight=weight)
    if kind == "text":
        if len(part.text) > MAX_TEXT:
            raise InvalidRequestError(f"{name}.text has {len(part.text)} characters; give at most {MAX_TEXT}")
        if is_blank(part.text):
            raise InvalidRequestError(f"{name}.text is empty; write what you look for")
        return AskedPart(text=part.text, weight=weight)
    if kind == "image":
        return AskedPart(image=_image(f"{name}.image", part.image, limits), weight=weight)
    raise InvalidRequestError(f"{name} is empty; give item_id, text or image")


def _image(name: str, image: recommender_pb2.QueryPart, limits: SearchSettings) -> bytes:
    if image.WhichOneof("source") == "uri":
        raise InvalidRequestError(f"{name}.uri is not fetched in a search; give the picture itself as content")
    content: bytes = image.content
    if not content:
        raise InvalidRequestError(f"{name}.content is empty; give an encoded picture file")
    if len(content) > limits.max_image_bytes:
        raise InvalidRequestError(
            f"{name}.content has {len(content)} bytes; give at most {limits.max_image_bytes} (search.max_image_bytes)"
        )
    return content
