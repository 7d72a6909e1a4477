import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BehaviorEvent(_message.Message):
    __slots__ = ("event_id", "user_id", "anonymous_id", "item_id", "behavior", "event_time", "session_id", "request_id", "position", "quantity", "price", "currency", "domain", "context", "imported")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    BEHAVIOR_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    user_id: str
    anonymous_id: str
    item_id: str
    behavior: str
    event_time: _timestamp_pb2.Timestamp
    session_id: str
    request_id: str
    position: int
    quantity: float
    price: float
    currency: str
    domain: str
    context: _containers.ScalarMap[str, str]
    imported: bool
    def __init__(self, event_id: _Optional[str] = ..., user_id: _Optional[str] = ..., anonymous_id: _Optional[str] = ..., item_id: _Optional[str] = ..., behavior: _Optional[str] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., session_id: _Optional[str] = ..., request_id: _Optional[str] = ..., position: _Optional[int] = ..., quantity: _Optional[float] = ..., price: _Optional[float] = ..., currency: _Optional[str] = ..., domain: _Optional[str] = ..., context: _Optional[_Mapping[str, str]] = ..., imported: _Optional[bool] = ...) -> None: ...

class RejectedEvent(_message.Message):
    __slots__ = ("reason", "detail", "cluster_id", "topic_id", "partition", "offset", "original_key", "original_value", "ingest_time")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_KEY_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_VALUE_FIELD_NUMBER: _ClassVar[int]
    INGEST_TIME_FIELD_NUMBER: _ClassVar[int]
    reason: str
    detail: str
    cluster_id: str
    topic_id: str
    partition: int
    offset: int
    original_key: bytes
    original_value: bytes
    ingest_time: _timestamp_pb2.Timestamp
    def __init__(self, reason: _Optional[str] = ..., detail: _Optional[str] = ..., cluster_id: _Optional[str] = ..., topic_id: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., original_key: _Optional[bytes] = ..., original_value: _Optional[bytes] = ..., ingest_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ServedList(_message.Message):
    __slots__ = ("request_id", "user_id", "placement", "serve_time", "release_id", "items", "degraded", "anonymous_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    SERVE_TIME_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    user_id: str
    placement: str
    serve_time: _timestamp_pb2.Timestamp
    release_id: str
    items: _containers.RepeatedCompositeFieldContainer[ServedItem]
    degraded: _containers.RepeatedScalarFieldContainer[str]
    anonymous_id: str
    def __init__(self, request_id: _Optional[str] = ..., user_id: _Optional[str] = ..., placement: _Optional[str] = ..., serve_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., release_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[ServedItem, _Mapping]]] = ..., degraded: _Optional[_Iterable[str]] = ..., anonymous_id: _Optional[str] = ...) -> None: ...

class ServedItem(_message.Message):
    __slots__ = ("item_id", "rank", "ranking_score", "sources", "propensity")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    RANKING_SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    rank: int
    ranking_score: float
    sources: _containers.RepeatedScalarFieldContainer[str]
    propensity: float
    def __init__(self, item_id: _Optional[str] = ..., rank: _Optional[int] = ..., ranking_score: _Optional[float] = ..., sources: _Optional[_Iterable[str]] = ..., propensity: _Optional[float] = ...) -> None: ...
