"""Filters of requests as messages, read by the rules of mmrec.recall.item_filter."""

import math
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from mmrec.catalog.values import attribute_values
from mmrec.errors import InvalidRequestError
from mmrec.recall.item_filter import EVERYTHING, Condition, ConditionKind, ItemFilter, NumberRange
from mmrec.v1 import recommender_pb2
from mmrec.wire.instants import MAX_SECONDS, MIN_SECONDS

MAX_CONDITIONS: Final = 100
"""Conditions on attributes, and as many on numbers: each is a pass over the catalogue."""
MAX_VALUES: Final = 1_000
"""Values of one condition."""
_KINDS: Final = {
    recommender_pb2.CONDITION_KIND_UNSPECIFIED: ConditionKind.ANY,
    **{kind.value: kind for kind in ConditionKind},
}
Filtered = (
    recommender_pb2.RecommendItemsRequest
    | recommender_pb2.SimilarItemsRequest
    | recommender_pb2.SearchItemsRequest
    | recommender_pb2.ExplainItemRequest
    | recommender_pb2.RecommendRowsRequest
    | recommender_pb2.RecommendBatchRequest
)
"""Requests with a filter."""


def asked_filter(message: Filtered) -> ItemFilter:
    """The filter of a request; InvalidRequestError as item_filter()."""
    return item_filter(message.filter) if message.HasField("filter") else EVERYTHING


def item_filter(message: recommender_pb2.AttributeFilter) -> ItemFilter:
    """A filter.

    Raises:
        InvalidRequestError: a bound is no number or instant, bounds leave nothing between them, a condition names
            nothing or is of an unknown kind, or there are too many.
    """
    for name, most in (("conditions", MAX_CONDITIONS), ("numbers", MAX_CONDITIONS)):
        if (num_given := len(getattr(message, name))) > most:
            raise InvalidRequestError(f"filter has {num_given} {name}; give at most {most}")
    _check_prices(message)
    after_s = _instant(message, "published_after", -math.inf)
    before_s = _instant(message, "published_before", math.inf)
    if after_s >= before_s:
        raise InvalidRequestError(
            "filter.published_after is not before published_before; give the earlier instant as published_after"
        )
    return ItemFilter(
        conditions=tuple(_condition(each) for each in message.conditions),
        numbers=tuple(_number_range(each) for each in message.numbers),
        domain=message.domain,
        price_min=message.price_min,
        price_max=message.price_max,
        published_after_s=after_s,
        published_before_s=before_s,
        shown_until_s=_instant(message, "shown_until", -math.inf),
        includes_out_of_stock=message.includes_out_of_stock,
    )


def _check_prices(message: recommender_pb2.AttributeFilter) -> None:
    for bound in (message.price_min, message.price_max):
        if not (math.isfinite(bound) and bound >= 0):
            raise InvalidRequestError(f"price bound {bound} is no price; give numbers >= 0, 0 for no bound")
    if 0 < message.price_max < message.price_min:
        raise InvalidRequestError(
            f"price_min {message.price_min} is above price_max {message.price_max}; give the lower one as price_min"
        )


def _instant(message: recommender_pb2.AttributeFilter, name: str, absent_s: float) -> float:
    if not message.HasField(name):
        return absent_s
    return seconds(getattr(message, name), f"filter.{name}")


def seconds(message: Timestamp, name: str) -> float:
    """An instant of field `name` as float64 epoch seconds; InvalidRequestError beyond what Timestamp may hold."""
    if not (MIN_SECONDS <= message.seconds <= MAX_SECONDS and 0 <= message.nanos < 1_000_000_000):
        raise InvalidRequestError(
            f"{name} is {message.seconds} s and {message.nanos} ns; give an instant of the years 1 to 9999"
        )
    return float(message.seconds) + float(message.nanos) * 1e-9


def _condition(message: recommender_pb2.AttributeCondition) -> Condition:
    if not message.attribute or not message.values:
        raise InvalidRequestError("a condition needs an attribute and at least one value")
    if len(message.values) > MAX_VALUES:
        raise InvalidRequestError(
            f"the condition on {message.attribute!r} has {len(message.values)} values; give at most {MAX_VALUES}"
        )
    for value in message.values:
        if not attribute_values(value):
            raise InvalidRequestError(f"the condition on {message.attribute!r} has the value {value!r}; give a text")
    if message.kind not in _KINDS:
        right = ", ".join(name for name, number in recommender_pb2.ConditionKind.items() if number)
        raise InvalidRequestError(
            f"the condition on {message.attribute!r} has kind {message.kind}; give one of {right}, or none for any"
        )
    return Condition(attribute=message.attribute, values=tuple(message.values), kind=_KINDS[message.kind])


def _number_range(message: recommender_pb2.NumberRange) -> NumberRange:
    if not message.attribute:
        raise InvalidRequestError("a number range needs an attribute")
    name = f"the number range of {message.attribute!r}"
    if not (message.HasField("min") or message.HasField("max")):
        raise InvalidRequestError(f"{name} has no bound; give min, max or both")
    if not (math.isfinite(message.min) and math.isfinite(message.max)):
        raise InvalidRequestError(f"{name} is from {message.min} to {message.max}; give finite numbers")
    least = message.min if message.HasField("min") else -math.inf
    most = message.max if message.HasField("max") else math.inf
    if least > most:
        raise InvalidRequestError(f"{name} is from {least} to {most}; give the lower one as min")
    return NumberRange(attribute=message.attribute, least=least, most=most)
