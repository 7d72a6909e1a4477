import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from mmrec.v1 import behavior_pb2 as _behavior_pb2
from mmrec.v1 import catalog_pb2 as _catalog_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConditionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONDITION_KIND_UNSPECIFIED: _ClassVar[ConditionKind]
    CONDITION_KIND_ANY: _ClassVar[ConditionKind]
    CONDITION_KIND_ALL: _ClassVar[ConditionKind]
    CONDITION_KIND_NONE: _ClassVar[ConditionKind]

class SimilarKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIMILAR_KIND_UNSPECIFIED: _ClassVar[SimilarKind]
    SIMILAR_KIND_SIMILAR: _ClassVar[SimilarKind]
    SIMILAR_KIND_GOES_WITH: _ClassVar[SimilarKind]

class ItemOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ITEM_OUTCOME_UNSPECIFIED: _ClassVar[ItemOutcome]
    ITEM_OUTCOME_LISTED: _ClassVar[ItemOutcome]
    ITEM_OUTCOME_BELOW: _ClassVar[ItemOutcome]
    ITEM_OUTCOME_CUT: _ClassVar[ItemOutcome]
    ITEM_OUTCOME_NOT_PROPOSED: _ClassVar[ItemOutcome]
    ITEM_OUTCOME_DONE: _ClassVar[ItemOutcome]
    ITEM_OUTCOME_FILTERED: _ClassVar[ItemOutcome]
    ITEM_OUTCOME_EXCLUDED: _ClassVar[ItemOutcome]
    ITEM_OUTCOME_UNAVAILABLE: _ClassVar[ItemOutcome]

class RowKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROW_KIND_UNSPECIFIED: _ClassVar[RowKind]
    ROW_KIND_FOR_USER: _ClassVar[RowKind]
    ROW_KIND_BECAUSE: _ClassVar[RowKind]
    ROW_KIND_NEW: _ClassVar[RowKind]
    ROW_KIND_POPULAR: _ClassVar[RowKind]
    ROW_KIND_NEAR: _ClassVar[RowKind]
CONDITION_KIND_UNSPECIFIED: ConditionKind
CONDITION_KIND_ANY: ConditionKind
CONDITION_KIND_ALL: ConditionKind
CONDITION_KIND_NONE: ConditionKind
SIMILAR_KIND_UNSPECIFIED: SimilarKind
SIMILAR_KIND_SIMILAR: SimilarKind
SIMILAR_KIND_GOES_WITH: SimilarKind
ITEM_OUTCOME_UNSPECIFIED: ItemOutcome
ITEM_OUTCOME_LISTED: ItemOutcome
ITEM_OUTCOME_BELOW: ItemOutcome
ITEM_OUTCOME_CUT: ItemOutcome
ITEM_OUTCOME_NOT_PROPOSED: ItemOutcome
ITEM_OUTCOME_DONE: ItemOutcome
ITEM_OUTCOME_FILTERED: ItemOutcome
ITEM_OUTCOME_EXCLUDED: ItemOutcome
ITEM_OUTCOME_UNAVAILABLE: ItemOutcome
ROW_KIND_UNSPECIFIED: RowKind
ROW_KIND_FOR_USER: RowKind
ROW_KIND_BECAUSE: RowKind
ROW_KIND_NEW: RowKind
ROW_KIND_POPULAR: RowKind
ROW_KIND_NEAR: RowKind

class RecommendItemsRequest(_message.Message):
    __slots__ = ("user_id", "anonymous_id", "num_items", "placement", "excluded_item_ids", "filter", "session_events", "page_token", "include_explanations", "as_of", "context")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_ID_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SESSION_EVENTS_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    anonymous_id: str
    num_items: int
    placement: str
    excluded_item_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: AttributeFilter
    session_events: _containers.RepeatedCompositeFieldContainer[_behavior_pb2.BehaviorEvent]
    page_token: str
    include_explanations: bool
    as_of: _timestamp_pb2.Timestamp
    context: _containers.ScalarMap[str, str]
    def __init__(self, user_id: _Optional[str] = ..., anonymous_id: _Optional[str] = ..., num_items: _Optional[int] = ..., placement: _Optional[str] = ..., excluded_item_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[AttributeFilter, _Mapping]] = ..., session_events: _Optional[_Iterable[_Union[_behavior_pb2.BehaviorEvent, _Mapping]]] = ..., page_token: _Optional[str] = ..., include_explanations: _Optional[bool] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., context: _Optional[_Mapping[str, str]] = ...) -> None: ...

class AttributeFilter(_message.Message):
    __slots__ = ("conditions", "domain", "price_min", "price_max", "numbers", "published_after", "published_before", "shown_until", "includes_out_of_stock")
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    PRICE_MIN_FIELD_NUMBER: _ClassVar[int]
    PRICE_MAX_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_AFTER_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    SHOWN_UNTIL_FIELD_NUMBER: _ClassVar[int]
    INCLUDES_OUT_OF_STOCK_FIELD_NUMBER: _ClassVar[int]
    conditions: _containers.RepeatedCompositeFieldContainer[AttributeCondition]
    domain: str
    price_min: float
    price_max: float
    numbers: _containers.RepeatedCompositeFieldContainer[NumberRange]
    published_after: _timestamp_pb2.Timestamp
    published_before: _timestamp_pb2.Timestamp
    shown_until: _timestamp_pb2.Timestamp
    includes_out_of_stock: bool
    def __init__(self, conditions: _Optional[_Iterable[_Union[AttributeCondition, _Mapping]]] = ..., domain: _Optional[str] = ..., price_min: _Optional[float] = ..., price_max: _Optional[float] = ..., numbers: _Optional[_Iterable[_Union[NumberRange, _Mapping]]] = ..., published_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., published_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., shown_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., includes_out_of_stock: _Optional[bool] = ...) -> None: ...

class AttributeCondition(_message.Message):
    __slots__ = ("attribute", "values", "kind")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    values: _containers.RepeatedScalarFieldContainer[str]
    kind: ConditionKind
    def __init__(self, attribute: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ..., kind: _Optional[_Union[ConditionKind, str]] = ...) -> None: ...

class NumberRange(_message.Message):
    __slots__ = ("attribute", "min", "max")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    min: float
    max: float
    def __init__(self, attribute: _Optional[str] = ..., min: _Optional[float] = ..., max: _Optional[float] = ...) -> None: ...

class RecommendItemsResponse(_message.Message):
    __slots__ = ("request_id", "release_id", "items", "next_page_token", "state")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    release_id: str
    items: _containers.RepeatedCompositeFieldContainer[RecommendedItem]
    next_page_token: str
    state: ServingState
    def __init__(self, request_id: _Optional[str] = ..., release_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[RecommendedItem, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., state: _Optional[_Union[ServingState, _Mapping]] = ...) -> None: ...

class RecommendedItem(_message.Message):
    __slots__ = ("item_id", "rank", "ranking_score", "sources", "explanation", "title", "domain", "attributes", "price", "currency", "out_of_stock")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    RANKING_SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_STOCK_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    rank: int
    ranking_score: float
    sources: _containers.RepeatedScalarFieldContainer[str]
    explanation: Explanation
    title: str
    domain: str
    attributes: _containers.ScalarMap[str, str]
    price: float
    currency: str
    out_of_stock: bool
    def __init__(self, item_id: _Optional[str] = ..., rank: _Optional[int] = ..., ranking_score: _Optional[float] = ..., sources: _Optional[_Iterable[str]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ..., title: _Optional[str] = ..., domain: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ..., price: _Optional[float] = ..., currency: _Optional[str] = ..., out_of_stock: _Optional[bool] = ...) -> None: ...

class ServingState(_message.Message):
    __slots__ = ("as_of", "stream_lag", "degraded", "degraded_reasons", "num_candidates")
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    STREAM_LAG_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_REASONS_FIELD_NUMBER: _ClassVar[int]
    NUM_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    as_of: _timestamp_pb2.Timestamp
    stream_lag: _duration_pb2.Duration
    degraded: bool
    degraded_reasons: _containers.RepeatedScalarFieldContainer[str]
    num_candidates: int
    def __init__(self, as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stream_lag: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., degraded: _Optional[bool] = ..., degraded_reasons: _Optional[_Iterable[str]] = ..., num_candidates: _Optional[int] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("text", "behaviors", "modality_weights", "source_scores")
    class ModalityWeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class SourceScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BEHAVIORS_FIELD_NUMBER: _ClassVar[int]
    MODALITY_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_SCORES_FIELD_NUMBER: _ClassVar[int]
    text: str
    behaviors: _containers.RepeatedCompositeFieldContainer[BehaviorReason]
    modality_weights: _containers.ScalarMap[str, float]
    source_scores: _containers.ScalarMap[str, float]
    def __init__(self, text: _Optional[str] = ..., behaviors: _Optional[_Iterable[_Union[BehaviorReason, _Mapping]]] = ..., modality_weights: _Optional[_Mapping[str, float]] = ..., source_scores: _Optional[_Mapping[str, float]] = ...) -> None: ...

class BehaviorReason(_message.Message):
    __slots__ = ("item_id", "behavior", "event_time", "relation", "strength")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    BEHAVIOR_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    behavior: str
    event_time: _timestamp_pb2.Timestamp
    relation: str
    strength: float
    def __init__(self, item_id: _Optional[str] = ..., behavior: _Optional[str] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., relation: _Optional[str] = ..., strength: _Optional[float] = ...) -> None: ...

class SimilarItemsRequest(_message.Message):
    __slots__ = ("item_id", "num_items", "excluded_item_ids", "filter", "modality_weights", "user_id", "anonymous_id", "kind")
    class ModalityWeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MODALITY_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    num_items: int
    excluded_item_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: AttributeFilter
    modality_weights: _containers.ScalarMap[str, float]
    user_id: str
    anonymous_id: str
    kind: SimilarKind
    def __init__(self, item_id: _Optional[str] = ..., num_items: _Optional[int] = ..., excluded_item_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[AttributeFilter, _Mapping]] = ..., modality_weights: _Optional[_Mapping[str, float]] = ..., user_id: _Optional[str] = ..., anonymous_id: _Optional[str] = ..., kind: _Optional[_Union[SimilarKind, str]] = ...) -> None: ...

class SimilarItemsResponse(_message.Message):
    __slots__ = ("request_id", "release_id", "items", "state")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    release_id: str
    items: _containers.RepeatedCompositeFieldContainer[RecommendedItem]
    state: ServingState
    def __init__(self, request_id: _Optional[str] = ..., release_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[RecommendedItem, _Mapping]]] = ..., state: _Optional[_Union[ServingState, _Mapping]] = ...) -> None: ...

class SearchItemsRequest(_message.Message):
    __slots__ = ("query", "user_id", "anonymous_id", "num_items", "filter", "excluded_item_ids", "personal")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_ID_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_FIELD_NUMBER: _ClassVar[int]
    query: _containers.RepeatedCompositeFieldContainer[QueryPart]
    user_id: str
    anonymous_id: str
    num_items: int
    filter: AttributeFilter
    excluded_item_ids: _containers.RepeatedScalarFieldContainer[str]
    personal: bool
    def __init__(self, query: _Optional[_Iterable[_Union[QueryPart, _Mapping]]] = ..., user_id: _Optional[str] = ..., anonymous_id: _Optional[str] = ..., num_items: _Optional[int] = ..., filter: _Optional[_Union[AttributeFilter, _Mapping]] = ..., excluded_item_ids: _Optional[_Iterable[str]] = ..., personal: _Optional[bool] = ...) -> None: ...

class QueryPart(_message.Message):
    __slots__ = ("item_id", "text", "image", "weight")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    text: str
    image: _catalog_pb2.Image
    weight: float
    def __init__(self, item_id: _Optional[str] = ..., text: _Optional[str] = ..., image: _Optional[_Union[_catalog_pb2.Image, _Mapping]] = ..., weight: _Optional[float] = ...) -> None: ...

class SearchItemsResponse(_message.Message):
    __slots__ = ("request_id", "release_id", "items", "state")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    release_id: str
    items: _containers.RepeatedCompositeFieldContainer[RecommendedItem]
    state: ServingState
    def __init__(self, request_id: _Optional[str] = ..., release_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[RecommendedItem, _Mapping]]] = ..., state: _Optional[_Union[ServingState, _Mapping]] = ...) -> None: ...

class RankItemsRequest(_message.Message):
    __slots__ = ("user_id", "anonymous_id", "item_ids", "session_events", "include_explanations")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    SESSION_EVENTS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    anonymous_id: str
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    session_events: _containers.RepeatedCompositeFieldContainer[_behavior_pb2.BehaviorEvent]
    include_explanations: bool
    def __init__(self, user_id: _Optional[str] = ..., anonymous_id: _Optional[str] = ..., item_ids: _Optional[_Iterable[str]] = ..., session_events: _Optional[_Iterable[_Union[_behavior_pb2.BehaviorEvent, _Mapping]]] = ..., include_explanations: _Optional[bool] = ...) -> None: ...

class RankItemsResponse(_message.Message):
    __slots__ = ("request_id", "release_id", "items", "unknown_item_ids", "state", "unavailable_item_ids")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    release_id: str
    items: _containers.RepeatedCompositeFieldContainer[RecommendedItem]
    unknown_item_ids: _containers.RepeatedScalarFieldContainer[str]
    state: ServingState
    unavailable_item_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request_id: _Optional[str] = ..., release_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[RecommendedItem, _Mapping]]] = ..., unknown_item_ids: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[ServingState, _Mapping]] = ..., unavailable_item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainItemRequest(_message.Message):
    __slots__ = ("user_id", "item_id", "anonymous_id", "num_items", "excluded_item_ids", "filter", "session_events")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_ID_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SESSION_EVENTS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    item_id: str
    anonymous_id: str
    num_items: int
    excluded_item_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: AttributeFilter
    session_events: _containers.RepeatedCompositeFieldContainer[_behavior_pb2.BehaviorEvent]
    def __init__(self, user_id: _Optional[str] = ..., item_id: _Optional[str] = ..., anonymous_id: _Optional[str] = ..., num_items: _Optional[int] = ..., excluded_item_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[AttributeFilter, _Mapping]] = ..., session_events: _Optional[_Iterable[_Union[_behavior_pb2.BehaviorEvent, _Mapping]]] = ...) -> None: ...

class SourceStanding(_message.Message):
    __slots__ = ("source", "rank", "score", "gain")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    GAIN_FIELD_NUMBER: _ClassVar[int]
    source: str
    rank: int
    score: float
    gain: float
    def __init__(self, source: _Optional[str] = ..., rank: _Optional[int] = ..., score: _Optional[float] = ..., gain: _Optional[float] = ...) -> None: ...

class ExplainItemResponse(_message.Message):
    __slots__ = ("release_id", "item", "features", "state", "outcome", "text", "place", "sources", "recall_score", "contributions", "candidates_score", "last_score")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ContributionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    RECALL_SCORE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_SCORE_FIELD_NUMBER: _ClassVar[int]
    LAST_SCORE_FIELD_NUMBER: _ClassVar[int]
    release_id: str
    item: RecommendedItem
    features: _containers.ScalarMap[str, float]
    state: ServingState
    outcome: ItemOutcome
    text: str
    place: int
    sources: _containers.RepeatedCompositeFieldContainer[SourceStanding]
    recall_score: float
    contributions: _containers.ScalarMap[str, float]
    candidates_score: float
    last_score: float
    def __init__(self, release_id: _Optional[str] = ..., item: _Optional[_Union[RecommendedItem, _Mapping]] = ..., features: _Optional[_Mapping[str, float]] = ..., state: _Optional[_Union[ServingState, _Mapping]] = ..., outcome: _Optional[_Union[ItemOutcome, str]] = ..., text: _Optional[str] = ..., place: _Optional[int] = ..., sources: _Optional[_Iterable[_Union[SourceStanding, _Mapping]]] = ..., recall_score: _Optional[float] = ..., contributions: _Optional[_Mapping[str, float]] = ..., candidates_score: _Optional[float] = ..., last_score: _Optional[float] = ...) -> None: ...

class RecommendRowsRequest(_message.Message):
    __slots__ = ("user_id", "anonymous_id", "num_rows", "num_items", "excluded_item_ids", "filter", "session_events", "include_explanations", "context")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_ID_FIELD_NUMBER: _ClassVar[int]
    NUM_ROWS_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SESSION_EVENTS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    anonymous_id: str
    num_rows: int
    num_items: int
    excluded_item_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: AttributeFilter
    session_events: _containers.RepeatedCompositeFieldContainer[_behavior_pb2.BehaviorEvent]
    include_explanations: bool
    context: _containers.ScalarMap[str, str]
    def __init__(self, user_id: _Optional[str] = ..., anonymous_id: _Optional[str] = ..., num_rows: _Optional[int] = ..., num_items: _Optional[int] = ..., excluded_item_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[AttributeFilter, _Mapping]] = ..., session_events: _Optional[_Iterable[_Union[_behavior_pb2.BehaviorEvent, _Mapping]]] = ..., include_explanations: _Optional[bool] = ..., context: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ItemRow(_message.Message):
    __slots__ = ("kind", "title", "item_id", "items")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    kind: RowKind
    title: str
    item_id: str
    items: _containers.RepeatedCompositeFieldContainer[RecommendedItem]
    def __init__(self, kind: _Optional[_Union[RowKind, str]] = ..., title: _Optional[str] = ..., item_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[RecommendedItem, _Mapping]]] = ...) -> None: ...

class RecommendRowsResponse(_message.Message):
    __slots__ = ("request_id", "release_id", "rows", "state")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    release_id: str
    rows: _containers.RepeatedCompositeFieldContainer[ItemRow]
    state: ServingState
    def __init__(self, request_id: _Optional[str] = ..., release_id: _Optional[str] = ..., rows: _Optional[_Iterable[_Union[ItemRow, _Mapping]]] = ..., state: _Optional[_Union[ServingState, _Mapping]] = ...) -> None: ...

class RecommendBatchRequest(_message.Message):
    __slots__ = ("users", "num_items", "placement", "excluded_item_ids", "filter", "include_explanations")
    USERS_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[BatchUser]
    num_items: int
    placement: str
    excluded_item_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: AttributeFilter
    include_explanations: bool
    def __init__(self, users: _Optional[_Iterable[_Union[BatchUser, _Mapping]]] = ..., num_items: _Optional[int] = ..., placement: _Optional[str] = ..., excluded_item_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[AttributeFilter, _Mapping]] = ..., include_explanations: _Optional[bool] = ...) -> None: ...

class BatchUser(_message.Message):
    __slots__ = ("user_id", "anonymous_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    anonymous_id: str
    def __init__(self, user_id: _Optional[str] = ..., anonymous_id: _Optional[str] = ...) -> None: ...

class RecommendBatchResponse(_message.Message):
    __slots__ = ("lists",)
    LISTS_FIELD_NUMBER: _ClassVar[int]
    lists: _containers.RepeatedCompositeFieldContainer[UserList]
    def __init__(self, lists: _Optional[_Iterable[_Union[UserList, _Mapping]]] = ...) -> None: ...

class UserList(_message.Message):
    __slots__ = ("user", "list")
    USER_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    user: BatchUser
    list: RecommendItemsResponse
    def __init__(self, user: _Optional[_Union[BatchUser, _Mapping]] = ..., list: _Optional[_Union[RecommendItemsResponse, _Mapping]] = ...) -> None: ...
