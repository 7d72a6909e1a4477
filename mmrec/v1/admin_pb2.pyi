import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from mmrec.v1 import catalog_pb2 as _catalog_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ValueOrigin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VALUE_ORIGIN_UNSPECIFIED: _ClassVar[ValueOrigin]
    VALUE_ORIGIN_DEFAULT: _ClassVar[ValueOrigin]
    VALUE_ORIGIN_FILE: _ClassVar[ValueOrigin]
    VALUE_ORIGIN_ENVIRONMENT: _ClassVar[ValueOrigin]

class RejectedKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REJECTED_KIND_UNSPECIFIED: _ClassVar[RejectedKind]
    REJECTED_KIND_EVENTS: _ClassVar[RejectedKind]
    REJECTED_KIND_ITEMS: _ClassVar[RejectedKind]

class IdentifiedBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IDENTIFIED_BY_UNSPECIFIED: _ClassVar[IdentifiedBy]
    IDENTIFIED_BY_CERTIFICATE: _ClassVar[IdentifiedBy]
    IDENTIFIED_BY_EDGE: _ClassVar[IdentifiedBy]
    IDENTIFIED_BY_LOOPBACK: _ClassVar[IdentifiedBy]
    IDENTIFIED_BY_COMMAND_LINE: _ClassVar[IdentifiedBy]
    IDENTIFIED_BY_PROGRAM: _ClassVar[IdentifiedBy]

class ActOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACT_OUTCOME_UNSPECIFIED: _ClassVar[ActOutcome]
    ACT_OUTCOME_BEGUN: _ClassVar[ActOutcome]
    ACT_OUTCOME_DONE: _ClassVar[ActOutcome]
    ACT_OUTCOME_FAILED: _ClassVar[ActOutcome]
VALUE_ORIGIN_UNSPECIFIED: ValueOrigin
VALUE_ORIGIN_DEFAULT: ValueOrigin
VALUE_ORIGIN_FILE: ValueOrigin
VALUE_ORIGIN_ENVIRONMENT: ValueOrigin
REJECTED_KIND_UNSPECIFIED: RejectedKind
REJECTED_KIND_EVENTS: RejectedKind
REJECTED_KIND_ITEMS: RejectedKind
IDENTIFIED_BY_UNSPECIFIED: IdentifiedBy
IDENTIFIED_BY_CERTIFICATE: IdentifiedBy
IDENTIFIED_BY_EDGE: IdentifiedBy
IDENTIFIED_BY_LOOPBACK: IdentifiedBy
IDENTIFIED_BY_COMMAND_LINE: IdentifiedBy
IDENTIFIED_BY_PROGRAM: IdentifiedBy
ACT_OUTCOME_UNSPECIFIED: ActOutcome
ACT_OUTCOME_BEGUN: ActOutcome
ACT_OUTCOME_DONE: ActOutcome
ACT_OUTCOME_FAILED: ActOutcome

class WorkProgress(_message.Message):
    __slots__ = ("unit", "num_done")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    NUM_DONE_FIELD_NUMBER: _ClassVar[int]
    unit: str
    num_done: int
    def __init__(self, unit: _Optional[str] = ..., num_done: _Optional[int] = ...) -> None: ...

class GetStandingRequest(_message.Message):
    __slots__ = ("interval_s",)
    INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    interval_s: float
    def __init__(self, interval_s: _Optional[float] = ...) -> None: ...

class GetStandingResponse(_message.Message):
    __slots__ = ("as_of_time", "home", "pid", "start_time", "programs", "events", "rejected", "catalogue_rejected", "collector", "figures", "rates", "stale", "lags")
    class EventsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class RejectedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class CatalogueRejectedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class CollectorEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class RatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REJECTED_FIELD_NUMBER: _ClassVar[int]
    COLLECTOR_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    LAGS_FIELD_NUMBER: _ClassVar[int]
    as_of_time: _timestamp_pb2.Timestamp
    home: str
    pid: int
    start_time: _timestamp_pb2.Timestamp
    programs: _containers.RepeatedCompositeFieldContainer[ProgramState]
    events: _containers.ScalarMap[str, int]
    rejected: _containers.ScalarMap[str, int]
    catalogue_rejected: _containers.ScalarMap[str, int]
    collector: _containers.ScalarMap[str, int]
    figures: _containers.RepeatedCompositeFieldContainer[Figure]
    rates: _containers.ScalarMap[str, float]
    stale: _containers.RepeatedScalarFieldContainer[str]
    lags: _containers.RepeatedCompositeFieldContainer[PartitionLag]
    def __init__(self, as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., home: _Optional[str] = ..., pid: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., programs: _Optional[_Iterable[_Union[ProgramState, _Mapping]]] = ..., events: _Optional[_Mapping[str, int]] = ..., rejected: _Optional[_Mapping[str, int]] = ..., catalogue_rejected: _Optional[_Mapping[str, int]] = ..., collector: _Optional[_Mapping[str, int]] = ..., figures: _Optional[_Iterable[_Union[Figure, _Mapping]]] = ..., rates: _Optional[_Mapping[str, float]] = ..., stale: _Optional[_Iterable[str]] = ..., lags: _Optional[_Iterable[_Union[PartitionLag, _Mapping]]] = ...) -> None: ...

class ProgramState(_message.Message):
    __slots__ = ("name", "state", "pid", "restarts", "since_time", "port")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    pid: int
    restarts: int
    since_time: _timestamp_pb2.Timestamp
    port: int
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., pid: _Optional[int] = ..., restarts: _Optional[int] = ..., since_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., port: _Optional[int] = ...) -> None: ...

class Figure(_message.Message):
    __slots__ = ("name", "number", "whole", "text", "flag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: float
    whole: int
    text: str
    flag: bool
    def __init__(self, name: _Optional[str] = ..., number: _Optional[float] = ..., whole: _Optional[int] = ..., text: _Optional[str] = ..., flag: _Optional[bool] = ...) -> None: ...

class PartitionLag(_message.Message):
    __slots__ = ("topic", "partition", "num_records", "lag_s")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    NUM_RECORDS_FIELD_NUMBER: _ClassVar[int]
    LAG_S_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    num_records: int
    lag_s: float
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., num_records: _Optional[int] = ..., lag_s: _Optional[float] = ...) -> None: ...

class CheckEnginesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckEnginesResponse(_message.Message):
    __slots__ = ("as_of_time", "engines")
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    ENGINES_FIELD_NUMBER: _ClassVar[int]
    as_of_time: _timestamp_pb2.Timestamp
    engines: _containers.RepeatedCompositeFieldContainer[EngineHealth]
    def __init__(self, as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., engines: _Optional[_Iterable[_Union[EngineHealth, _Mapping]]] = ...) -> None: ...

class EngineHealth(_message.Message):
    __slots__ = ("name", "address", "is_well", "detail", "answer_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    IS_WELL_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ANSWER_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    address: str
    is_well: bool
    detail: str
    answer_s: float
    def __init__(self, name: _Optional[str] = ..., address: _Optional[str] = ..., is_well: _Optional[bool] = ..., detail: _Optional[str] = ..., answer_s: _Optional[float] = ...) -> None: ...

class GetConfigurationRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetConfigurationResponse(_message.Message):
    __slots__ = ("file", "values", "version")
    FILE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    file: str
    values: _containers.RepeatedCompositeFieldContainer[ConfiguredValue]
    version: str
    def __init__(self, file: _Optional[str] = ..., values: _Optional[_Iterable[_Union[ConfiguredValue, _Mapping]]] = ..., version: _Optional[str] = ...) -> None: ...

class ConfiguredValue(_message.Message):
    __slots__ = ("name", "value", "origin", "place")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    origin: ValueOrigin
    place: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., origin: _Optional[_Union[ValueOrigin, str]] = ..., place: _Optional[str] = ...) -> None: ...

class ListReleasesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListReleasesResponse(_message.Message):
    __slots__ = ("releases", "current_release_id", "previous_release_id")
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    CURRENT_RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    releases: _containers.RepeatedCompositeFieldContainer[ReleaseRecord]
    current_release_id: str
    previous_release_id: str
    def __init__(self, releases: _Optional[_Iterable[_Union[ReleaseRecord, _Mapping]]] = ..., current_release_id: _Optional[str] = ..., previous_release_id: _Optional[str] = ...) -> None: ...

class ReleaseRecord(_message.Message):
    __slots__ = ("release_id", "create_time", "collection", "num_items", "embedding_dim", "metrics", "encoders", "feature_fingerprint", "tower_fingerprint", "refusal", "problem", "missed_gates", "behavior_weights")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class EncodersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class BehaviorWeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIM_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    ENCODERS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    TOWER_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    MISSED_GATES_FIELD_NUMBER: _ClassVar[int]
    BEHAVIOR_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    release_id: str
    create_time: _timestamp_pb2.Timestamp
    collection: str
    num_items: int
    embedding_dim: int
    metrics: _containers.ScalarMap[str, float]
    encoders: _containers.ScalarMap[str, str]
    feature_fingerprint: str
    tower_fingerprint: str
    refusal: str
    problem: str
    missed_gates: str
    behavior_weights: _containers.ScalarMap[str, float]
    def __init__(self, release_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., collection: _Optional[str] = ..., num_items: _Optional[int] = ..., embedding_dim: _Optional[int] = ..., metrics: _Optional[_Mapping[str, float]] = ..., encoders: _Optional[_Mapping[str, str]] = ..., feature_fingerprint: _Optional[str] = ..., tower_fingerprint: _Optional[str] = ..., refusal: _Optional[str] = ..., problem: _Optional[str] = ..., missed_gates: _Optional[str] = ..., behavior_weights: _Optional[_Mapping[str, float]] = ...) -> None: ...

class PromoteReleaseRequest(_message.Message):
    __slots__ = ("release_id",)
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    release_id: str
    def __init__(self, release_id: _Optional[str] = ...) -> None: ...

class PromoteReleaseResponse(_message.Message):
    __slots__ = ("release", "previous_release_id")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    release: ReleaseRecord
    previous_release_id: str
    def __init__(self, release: _Optional[_Union[ReleaseRecord, _Mapping]] = ..., previous_release_id: _Optional[str] = ...) -> None: ...

class RollBackReleaseRequest(_message.Message):
    __slots__ = ("expected_release_id",)
    EXPECTED_RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    expected_release_id: str
    def __init__(self, expected_release_id: _Optional[str] = ...) -> None: ...

class RollBackReleaseResponse(_message.Message):
    __slots__ = ("release", "previous_release_id")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    release: ReleaseRecord
    previous_release_id: str
    def __init__(self, release: _Optional[_Union[ReleaseRecord, _Mapping]] = ..., previous_release_id: _Optional[str] = ...) -> None: ...

class RejectedFilter(_message.Message):
    __slots__ = ("kind", "reason", "since_time")
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_FIELD_NUMBER: _ClassVar[int]
    kind: RejectedKind
    reason: str
    since_time: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[_Union[RejectedKind, str]] = ..., reason: _Optional[str] = ..., since_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CountRejectedRequest(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: RejectedFilter
    def __init__(self, filter: _Optional[_Union[RejectedFilter, _Mapping]] = ...) -> None: ...

class CountRejectedResponse(_message.Message):
    __slots__ = ("groups", "num_unreadable", "num_malformed_served_lists")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    NUM_UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    NUM_MALFORMED_SERVED_LISTS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[RejectedGroup]
    num_unreadable: int
    num_malformed_served_lists: int
    def __init__(self, groups: _Optional[_Iterable[_Union[RejectedGroup, _Mapping]]] = ..., num_unreadable: _Optional[int] = ..., num_malformed_served_lists: _Optional[int] = ...) -> None: ...

class RejectedGroup(_message.Message):
    __slots__ = ("reason", "num_records", "num_sendable", "num_refused_still", "num_cut", "num_sent", "num_superseded", "first_time", "last_time", "newest")
    REASON_FIELD_NUMBER: _ClassVar[int]
    NUM_RECORDS_FIELD_NUMBER: _ClassVar[int]
    NUM_SENDABLE_FIELD_NUMBER: _ClassVar[int]
    NUM_REFUSED_STILL_FIELD_NUMBER: _ClassVar[int]
    NUM_CUT_FIELD_NUMBER: _ClassVar[int]
    NUM_SENT_FIELD_NUMBER: _ClassVar[int]
    NUM_SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    FIRST_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    reason: str
    num_records: int
    num_sendable: int
    num_refused_still: int
    num_cut: int
    num_sent: int
    num_superseded: int
    first_time: _timestamp_pb2.Timestamp
    last_time: _timestamp_pb2.Timestamp
    newest: RejectedRecord
    def __init__(self, reason: _Optional[str] = ..., num_records: _Optional[int] = ..., num_sendable: _Optional[int] = ..., num_refused_still: _Optional[int] = ..., num_cut: _Optional[int] = ..., num_sent: _Optional[int] = ..., num_superseded: _Optional[int] = ..., first_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., newest: _Optional[_Union[RejectedRecord, _Mapping]] = ...) -> None: ...

class RejectedRecord(_message.Message):
    __slots__ = ("place", "reason", "detail", "ingest_time", "fate", "now", "original_key", "original_value")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    INGEST_TIME_FIELD_NUMBER: _ClassVar[int]
    FATE_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_KEY_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_VALUE_FIELD_NUMBER: _ClassVar[int]
    place: str
    reason: str
    detail: str
    ingest_time: _timestamp_pb2.Timestamp
    fate: str
    now: str
    original_key: bytes
    original_value: bytes
    def __init__(self, place: _Optional[str] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., ingest_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fate: _Optional[str] = ..., now: _Optional[str] = ..., original_key: _Optional[bytes] = ..., original_value: _Optional[bytes] = ...) -> None: ...

class ListRejectedRequest(_message.Message):
    __slots__ = ("filter", "num_records")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    NUM_RECORDS_FIELD_NUMBER: _ClassVar[int]
    filter: RejectedFilter
    num_records: int
    def __init__(self, filter: _Optional[_Union[RejectedFilter, _Mapping]] = ..., num_records: _Optional[int] = ...) -> None: ...

class ListRejectedResponse(_message.Message):
    __slots__ = ("records", "num_records")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NUM_RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[RejectedRecord]
    num_records: int
    def __init__(self, records: _Optional[_Iterable[_Union[RejectedRecord, _Mapping]]] = ..., num_records: _Optional[int] = ...) -> None: ...

class ResubmitRejectedRequest(_message.Message):
    __slots__ = ("filter", "max_records", "as_they_were")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MAX_RECORDS_FIELD_NUMBER: _ClassVar[int]
    AS_THEY_WERE_FIELD_NUMBER: _ClassVar[int]
    filter: RejectedFilter
    max_records: int
    as_they_were: bool
    def __init__(self, filter: _Optional[_Union[RejectedFilter, _Mapping]] = ..., max_records: _Optional[int] = ..., as_they_were: _Optional[bool] = ...) -> None: ...

class ResubmitRejectedResponse(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: WorkProgress
    result: ResubmitRejectedResult
    def __init__(self, progress: _Optional[_Union[WorkProgress, _Mapping]] = ..., result: _Optional[_Union[ResubmitRejectedResult, _Mapping]] = ...) -> None: ...

class ResubmitRejectedResult(_message.Message):
    __slots__ = ("num_sent",)
    NUM_SENT_FIELD_NUMBER: _ClassVar[int]
    num_sent: int
    def __init__(self, num_sent: _Optional[int] = ...) -> None: ...

class GetProfileRequest(_message.Message):
    __slots__ = ("user_key", "num_rows", "as_of_time")
    USER_KEY_FIELD_NUMBER: _ClassVar[int]
    NUM_ROWS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    user_key: str
    num_rows: int
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, user_key: _Optional[str] = ..., num_rows: _Optional[int] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetProfileResponse(_message.Message):
    __slots__ = ("user_key", "as_of_time", "num_events", "num_items", "num_pruned_items", "items", "newest_events", "overlay", "marks", "decay_per_day", "weights", "merged_from", "merged_into", "newest_ingest_time")
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    USER_KEY_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    NUM_EVENTS_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    NUM_PRUNED_ITEMS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEWEST_EVENTS_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    DECAY_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    MERGED_FROM_FIELD_NUMBER: _ClassVar[int]
    MERGED_INTO_FIELD_NUMBER: _ClassVar[int]
    NEWEST_INGEST_TIME_FIELD_NUMBER: _ClassVar[int]
    user_key: str
    as_of_time: _timestamp_pb2.Timestamp
    num_events: int
    num_items: int
    num_pruned_items: int
    items: _containers.RepeatedCompositeFieldContainer[ProfileItem]
    newest_events: _containers.RepeatedCompositeFieldContainer[ProfileEvent]
    overlay: _containers.RepeatedCompositeFieldContainer[ProfileEvent]
    marks: _containers.RepeatedCompositeFieldContainer[ProfileMark]
    decay_per_day: float
    weights: _containers.ScalarMap[str, float]
    merged_from: _containers.RepeatedScalarFieldContainer[str]
    merged_into: str
    newest_ingest_time: _timestamp_pb2.Timestamp
    def __init__(self, user_key: _Optional[str] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., num_events: _Optional[int] = ..., num_items: _Optional[int] = ..., num_pruned_items: _Optional[int] = ..., items: _Optional[_Iterable[_Union[ProfileItem, _Mapping]]] = ..., newest_events: _Optional[_Iterable[_Union[ProfileEvent, _Mapping]]] = ..., overlay: _Optional[_Iterable[_Union[ProfileEvent, _Mapping]]] = ..., marks: _Optional[_Iterable[_Union[ProfileMark, _Mapping]]] = ..., decay_per_day: _Optional[float] = ..., weights: _Optional[_Mapping[str, float]] = ..., merged_from: _Optional[_Iterable[str]] = ..., merged_into: _Optional[str] = ..., newest_ingest_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ProfileItem(_message.Message):
    __slots__ = ("item_id", "affinity", "counts", "reference_time")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_TIME_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    affinity: float
    counts: _containers.ScalarMap[str, float]
    reference_time: _timestamp_pb2.Timestamp
    def __init__(self, item_id: _Optional[str] = ..., affinity: _Optional[float] = ..., counts: _Optional[_Mapping[str, float]] = ..., reference_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ProfileEvent(_message.Message):
    __slots__ = ("item_id", "behavior", "event_time")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    BEHAVIOR_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    behavior: str
    event_time: _timestamp_pb2.Timestamp
    def __init__(self, item_id: _Optional[str] = ..., behavior: _Optional[str] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ProfileMark(_message.Message):
    __slots__ = ("cluster_id", "topic_id", "partition", "offset")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    topic_id: str
    partition: int
    offset: int
    def __init__(self, cluster_id: _Optional[str] = ..., topic_id: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class ExportUserRequest(_message.Message):
    __slots__ = ("user_key",)
    USER_KEY_FIELD_NUMBER: _ClassVar[int]
    user_key: str
    def __init__(self, user_key: _Optional[str] = ...) -> None: ...

class ExportUserResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: bytes
    def __init__(self, document: _Optional[bytes] = ...) -> None: ...

class AdminServiceForgetUserRequest(_message.Message):
    __slots__ = ("user_key", "wait_s", "looked_at")
    USER_KEY_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    LOOKED_AT_FIELD_NUMBER: _ClassVar[int]
    user_key: str
    wait_s: float
    looked_at: bool
    def __init__(self, user_key: _Optional[str] = ..., wait_s: _Optional[float] = ..., looked_at: _Optional[bool] = ...) -> None: ...

class AdminServiceForgetUserResponse(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: WorkProgress
    result: ForgetUserResult
    def __init__(self, progress: _Optional[_Union[WorkProgress, _Mapping]] = ..., result: _Optional[_Union[ForgetUserResult, _Mapping]] = ...) -> None: ...

class ForgetUserResult(_message.Message):
    __slots__ = ("receipt", "is_complete")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    IS_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    receipt: bytes
    is_complete: bool
    def __init__(self, receipt: _Optional[bytes] = ..., is_complete: _Optional[bool] = ...) -> None: ...

class ListItemsRequest(_message.Message):
    __slots__ = ("query", "page_size", "page_token")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    query: str
    page_size: int
    page_token: str
    def __init__(self, query: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListItemsResponse(_message.Message):
    __slots__ = ("items", "next_page_token", "num_catalogue_items", "content_coverage", "num_records_behind")
    class ContentCoverageEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NUM_CATALOGUE_ITEMS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_COVERAGE_FIELD_NUMBER: _ClassVar[int]
    NUM_RECORDS_BEHIND_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ItemSummary]
    next_page_token: str
    num_catalogue_items: int
    content_coverage: _containers.ScalarMap[str, int]
    num_records_behind: int
    def __init__(self, items: _Optional[_Iterable[_Union[ItemSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., num_catalogue_items: _Optional[int] = ..., content_coverage: _Optional[_Mapping[str, int]] = ..., num_records_behind: _Optional[int] = ...) -> None: ...

class ItemSummary(_message.Message):
    __slots__ = ("item_id", "title", "domain", "price", "currency", "availability", "has_picture")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    HAS_PICTURE_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    title: str
    domain: str
    price: float
    currency: str
    availability: _catalog_pb2.Availability
    has_picture: bool
    def __init__(self, item_id: _Optional[str] = ..., title: _Optional[str] = ..., domain: _Optional[str] = ..., price: _Optional[float] = ..., currency: _Optional[str] = ..., availability: _Optional[_Union[_catalog_pb2.Availability, str]] = ..., has_picture: _Optional[bool] = ...) -> None: ...

class GetItemRequest(_message.Message):
    __slots__ = ("item_id",)
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    def __init__(self, item_id: _Optional[str] = ...) -> None: ...

class GetItemResponse(_message.Message):
    __slots__ = ("item", "has_picture", "shown", "modalities", "inferred_attributes", "ingest_time", "serving_attributes")
    class InferredAttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ServingAttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ITEM_FIELD_NUMBER: _ClassVar[int]
    HAS_PICTURE_FIELD_NUMBER: _ClassVar[int]
    SHOWN_FIELD_NUMBER: _ClassVar[int]
    MODALITIES_FIELD_NUMBER: _ClassVar[int]
    INFERRED_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    INGEST_TIME_FIELD_NUMBER: _ClassVar[int]
    SERVING_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    item: _catalog_pb2.CatalogItem
    has_picture: bool
    shown: str
    modalities: _containers.RepeatedScalarFieldContainer[str]
    inferred_attributes: _containers.ScalarMap[str, float]
    ingest_time: _timestamp_pb2.Timestamp
    serving_attributes: _containers.ScalarMap[str, str]
    def __init__(self, item: _Optional[_Union[_catalog_pb2.CatalogItem, _Mapping]] = ..., has_picture: _Optional[bool] = ..., shown: _Optional[str] = ..., modalities: _Optional[_Iterable[str]] = ..., inferred_attributes: _Optional[_Mapping[str, float]] = ..., ingest_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., serving_attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GetPictureRequest(_message.Message):
    __slots__ = ("item_id",)
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    def __init__(self, item_id: _Optional[str] = ...) -> None: ...

class GetPictureResponse(_message.Message):
    __slots__ = ("content", "media_type", "uri")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    media_type: str
    uri: str
    def __init__(self, content: _Optional[bytes] = ..., media_type: _Optional[str] = ..., uri: _Optional[str] = ...) -> None: ...

class ChangeItemRequest(_message.Message):
    __slots__ = ("item_id", "availability", "price")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    availability: _catalog_pb2.Availability
    price: float
    def __init__(self, item_id: _Optional[str] = ..., availability: _Optional[_Union[_catalog_pb2.Availability, str]] = ..., price: _Optional[float] = ...) -> None: ...

class ChangeItemResponse(_message.Message):
    __slots__ = ("before", "after", "ingest_time")
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    INGEST_TIME_FIELD_NUMBER: _ClassVar[int]
    before: ItemSummary
    after: ItemSummary
    ingest_time: _timestamp_pb2.Timestamp
    def __init__(self, before: _Optional[_Union[ItemSummary, _Mapping]] = ..., after: _Optional[_Union[ItemSummary, _Mapping]] = ..., ingest_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RebuildRequest(_message.Message):
    __slots__ = ("back", "without_flip", "wait_s")
    BACK_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_FLIP_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    back: bool
    without_flip: bool
    wait_s: float
    def __init__(self, back: _Optional[bool] = ..., without_flip: _Optional[bool] = ..., wait_s: _Optional[float] = ...) -> None: ...

class RebuildResponse(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: WorkProgress
    result: RebuildResult
    def __init__(self, progress: _Optional[_Union[WorkProgress, _Mapping]] = ..., result: _Optional[_Union[RebuildResult, _Mapping]] = ...) -> None: ...

class RebuildResult(_message.Message):
    __slots__ = ("generation", "num_rows", "work_s", "flipped_by")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    NUM_ROWS_FIELD_NUMBER: _ClassVar[int]
    WORK_S_FIELD_NUMBER: _ClassVar[int]
    FLIPPED_BY_FIELD_NUMBER: _ClassVar[int]
    generation: str
    num_rows: int
    work_s: float
    flipped_by: str
    def __init__(self, generation: _Optional[str] = ..., num_rows: _Optional[int] = ..., work_s: _Optional[float] = ..., flipped_by: _Optional[str] = ...) -> None: ...

class AuditScoresRequest(_message.Message):
    __slots__ = ("num_sample", "seed")
    NUM_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    num_sample: int
    seed: int
    def __init__(self, num_sample: _Optional[int] = ..., seed: _Optional[int] = ...) -> None: ...

class AuditScoresResponse(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: WorkProgress
    result: AuditScoresResult
    def __init__(self, progress: _Optional[_Union[WorkProgress, _Mapping]] = ..., result: _Optional[_Union[AuditScoresResult, _Mapping]] = ...) -> None: ...

class AuditScoresResult(_message.Message):
    __slots__ = ("profiles", "item_statistics")
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    ITEM_STATISTICS_FIELD_NUMBER: _ClassVar[int]
    profiles: AuditedPart
    item_statistics: AuditedPart
    def __init__(self, profiles: _Optional[_Union[AuditedPart, _Mapping]] = ..., item_statistics: _Optional[_Union[AuditedPart, _Mapping]] = ...) -> None: ...

class AuditedPart(_message.Message):
    __slots__ = ("num_compared", "num_left_out", "num_values", "largest_error", "num_differences", "differences")
    NUM_COMPARED_FIELD_NUMBER: _ClassVar[int]
    NUM_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    NUM_VALUES_FIELD_NUMBER: _ClassVar[int]
    LARGEST_ERROR_FIELD_NUMBER: _ClassVar[int]
    NUM_DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    num_compared: int
    num_left_out: int
    num_values: int
    largest_error: float
    num_differences: int
    differences: _containers.RepeatedCompositeFieldContainer[ScoreDifference]
    def __init__(self, num_compared: _Optional[int] = ..., num_left_out: _Optional[int] = ..., num_values: _Optional[int] = ..., largest_error: _Optional[float] = ..., num_differences: _Optional[int] = ..., differences: _Optional[_Iterable[_Union[ScoreDifference, _Mapping]]] = ...) -> None: ...

class ScoreDifference(_message.Message):
    __slots__ = ("key", "name", "error")
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    key: str
    name: str
    error: float
    def __init__(self, key: _Optional[str] = ..., name: _Optional[str] = ..., error: _Optional[float] = ...) -> None: ...

class BackUpRequest(_message.Message):
    __slots__ = ("name", "with_content", "overwrite")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WITH_CONTENT_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FIELD_NUMBER: _ClassVar[int]
    name: str
    with_content: bool
    overwrite: bool
    def __init__(self, name: _Optional[str] = ..., with_content: _Optional[bool] = ..., overwrite: _Optional[bool] = ...) -> None: ...

class BackUpResponse(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: WorkProgress
    result: BackUpResult
    def __init__(self, progress: _Optional[_Union[WorkProgress, _Mapping]] = ..., result: _Optional[_Union[BackUpResult, _Mapping]] = ...) -> None: ...

class BackUpResult(_message.Message):
    __slots__ = ("folder", "num_files", "num_bytes", "note")
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    NUM_FILES_FIELD_NUMBER: _ClassVar[int]
    NUM_BYTES_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    folder: str
    num_files: int
    num_bytes: int
    note: str
    def __init__(self, folder: _Optional[str] = ..., num_files: _Optional[int] = ..., num_bytes: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class ListActsRequest(_message.Message):
    __slots__ = ("kind", "who", "since_time", "num_acts")
    KIND_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_FIELD_NUMBER: _ClassVar[int]
    NUM_ACTS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    who: str
    since_time: _timestamp_pb2.Timestamp
    num_acts: int
    def __init__(self, kind: _Optional[str] = ..., who: _Optional[str] = ..., since_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., num_acts: _Optional[int] = ...) -> None: ...

class ListActsResponse(_message.Message):
    __slots__ = ("acts", "num_unreadable")
    ACTS_FIELD_NUMBER: _ClassVar[int]
    NUM_UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    acts: _containers.RepeatedCompositeFieldContainer[AdministrativeAct]
    num_unreadable: int
    def __init__(self, acts: _Optional[_Iterable[_Union[AdministrativeAct, _Mapping]]] = ..., num_unreadable: _Optional[int] = ...) -> None: ...

class AdministrativeAct(_message.Message):
    __slots__ = ("act_id", "kind", "who", "identified_by", "begin_time", "end_time", "subject", "details", "outcome", "problem")
    class DetailsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ACT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIED_BY_FIELD_NUMBER: _ClassVar[int]
    BEGIN_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    act_id: str
    kind: str
    who: str
    identified_by: IdentifiedBy
    begin_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    subject: str
    details: _containers.ScalarMap[str, str]
    outcome: ActOutcome
    problem: str
    def __init__(self, act_id: _Optional[str] = ..., kind: _Optional[str] = ..., who: _Optional[str] = ..., identified_by: _Optional[_Union[IdentifiedBy, str]] = ..., begin_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., subject: _Optional[str] = ..., details: _Optional[_Mapping[str, str]] = ..., outcome: _Optional[_Union[ActOutcome, str]] = ..., problem: _Optional[str] = ...) -> None: ...
