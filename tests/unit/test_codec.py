"""The vectorized codec and its per-record reference: same outcome for every record, every reason reachable."""

import json
import math
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.config import EventSettings
from mmrec.events.codec import decode_batch, encode_event
from mmrec.events.columns import EVENT_SCHEMA, RAW_SCHEMA, REJECTED_SCHEMA, user_key
from mmrec.events.control import CONTROL_BEHAVIORS, FORGET, IDENTIFY, forget_event, identify_event
from mmrec.events.encoding import check_record
from mmrec.events.plain_records import plain_events
from mmrec.events.rejection import Rejection
from mmrec.events.rules import EventFields, Refusal, decode_record
from mmrec.scoring.behaviors import Behavior, BehaviorSet, shop_behaviors
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.wire import documents as wire_documents
from mmrec.wire.instants import parse_time

BEHAVIORS = shop_behaviors()
INGEST_S = 1_767_225_600.25  # 2026-01-01T00:00:00.25Z
SETTINGS = EventSettings(horizon_s=946_684_800.0, max_value_bytes=4_096)
GOOD = {
    "event_id": "e1",
    "user_id": "u1",
    "item_id": "i1",
    "behavior": "cart",
    "event_time": "2025-12-31T23:59:59.5Z",
}


def line(**changes: object) -> bytes:
    document = {k: v for k, v in {**GOOD, **changes}.items() if v is not ...}
    return json.dumps(document, separators=(",", ":")).encode()


def raw_table(records: list[tuple[bytes | None, bytes | None]]) -> pa.Table:
    return pa.table(
        {
            "key": pa.array([k for k, _ in records], pa.binary()),
            "value": pa.array([v for _, v in records], pa.binary()),
            "partition": pa.array([n % 3 for n in range(len(records))], pa.int32()),
            "offset": pa.array([100 + n for n in range(len(records))], pa.int64()),
            "ingest_time_s": pa.array([INGEST_S + n / 7 for n in range(len(records))], pa.float64()),
        },
        schema=RAW_SCHEMA,
    )


Rows = list[dict[str, object]]


def by_reference(raw: pa.Table) -> tuple[Rows, Rows, Rows, int]:
    events, control, rejected, unknown = [], [], [], 0
    for record in raw.to_pylist():
        outcome = decode_record(
            record["key"],
            record["value"],
            ingest_time_s=record["ingest_time_s"],
            behaviors=BEHAVIORS,
            settings=SETTINGS,
        )
        place = {"cluster_id": "c", "topic_id": "t", **{n: record[n] for n in ("partition", "offset", "ingest_time_s")}}
        if isinstance(outcome, Refusal):
            originals = {"original_key": record["key"], "original_value": record["value"]}
            rejected.append({**place, **originals, "reason": outcome.reason.value, "detail": outcome.detail})
        else:
            fields = {name: getattr(outcome, name) for name in EventFields.__dataclass_fields__}
            del fields["num_unknown_fields"]
            user_id, anonymous_id = fields.pop("user_id"), fields.pop("anonymous_id")
            key = user_key(user_id, anonymous_id)
            if outcome.behavior == FORGET:
                fields.update(item_id="", imported=False)
            elif outcome.behavior == IDENTIFY:
                fields["item_id"] = "~" + anonymous_id
            known = outcome.event_time_s if fields["imported"] else record["ingest_time_s"]
            row = {**place, **fields, "user_key": key, "known_time_s": known}
            (control if outcome.behavior in CONTROL_BEHAVIORS else events).append(row)
            unknown += outcome.num_unknown_fields if outcome.behavior not in CONTROL_BEHAVIORS else 0
    return events, control, rejected, unknown


def assert_agrees(records: list[tuple[bytes | None, bytes | None]]) -> None:
    raw = raw_table(records)
    decoded = decode_batch(raw, cluster_id="c", topic_id="t", behaviors=BEHAVIORS, settings=SETTINGS)
    events, control, rejected, unknown = by_reference(raw)
    assert decoded.events.schema == EVENT_SCHEMA
    assert decoded.rejected.schema == REJECTED_SCHEMA
    assert decoded.events.to_pylist() == [{n: e[n] for n in EVENT_SCHEMA.names} for e in events]
    assert decoded.rejected.to_pylist() == [{n: r[n] for n in REJECTED_SCHEMA.names} for r in rejected]
    assert decoded.control.to_pylist() == [{n: c[n] for n in EVENT_SCHEMA.names} for c in control]
    assert decoded.unknown_fields_E.sum() == unknown
    assert len(decoded.unknown_fields_E) == decoded.events.num_rows


def outcome_of(key: bytes | None, value: bytes | None) -> EventFields | Refusal:
    return decode_record(key, value, ingest_time_s=INGEST_S, behaviors=BEHAVIORS, settings=SETTINGS)


REFUSED: list[tuple[Rejection, bytes | None, bytes | None]] = [
    (Rejection.MALFORMED_JSON, b"u1", b""),
    (Rejection.MALFORMED_JSON, b"u1", b"{"),
    (Rejection.MALFORMED_JSON, b"u1", b'{"a":"}'),
    (Rejection.MALFORMED_JSON, b"u1", b'{":1}'),
    (Rejection.MALFORMED_JSON, b"u1", line() + line()),
    (Rejection.MALFORMED_JSON, b"u1", line() + b"\n" + line()),
    (Rejection.MALFORMED_JSON, b"u1", b"\xff\xfe{}"),
    (Rejection.MALFORMED_JSON, b"u1", line()[:-1] + b',"x":"\xc3"}'),
    (Rejection.MALFORMED_JSON, b"u1", line()[:-1] + b',"price":NaN}'),
    (Rejection.MALFORMED_JSON, b"u1", line()[:-1] + b',"x":Infinity}'),
    (Rejection.MALFORMED_JSON, b"u1", line()[:-1] + b',"item_id":"i2"}'),
    (Rejection.MALFORMED_JSON, b"u1", line()[:-1] + b',"itemId":"i2"}'),
    (Rejection.MALFORMED_JSON, b"u1", line()[:-1] + b',"x":1,"x":2}'),
    (Rejection.MALFORMED_JSON, b"u1", line()[:-1] + b',"x":' + b"[" * 3000 + b"}"),
    (Rejection.MALFORMED_JSON, b"u1", line(item_id="\ud800")),
    (Rejection.MALFORMED_JSON, b"u1", line()[:-1] + b',"price":01}'),
    (Rejection.MALFORMED_JSON, b"u1", line()[:-1] + b',"domain":"a\nb"}'),
    (Rejection.NOT_AN_OBJECT, b"u1", None),
    (Rejection.NOT_AN_OBJECT, b"u1", b"[]"),
    (Rejection.NOT_AN_OBJECT, b"u1", b'["event_id"]'),
    (Rejection.NOT_AN_OBJECT, b"u1", b"null"),
    (Rejection.NOT_AN_OBJECT, b"u1", b'"{}"'),
    (Rejection.NOT_AN_OBJECT, b"u1", b"7"),
    (Rejection.WRONG_TYPE, b"u1", line(event_id=17)),
    (Rejection.WRONG_TYPE, b"u1", line(item_id=["i1"])),
    (Rejection.WRONG_TYPE, b"u1", line(user_id={"id": "u1"})),
    (Rejection.WRONG_TYPE, b"u1", line(event_time=1_767_225_600)),
    (Rejection.WRONG_TYPE, b"u1", line(price="NaN")),
    (Rejection.WRONG_TYPE, b"u1", line(price=True)),
    (Rejection.WRONG_TYPE, b"u1", line(price="cheap")),
    (Rejection.WRONG_TYPE, b"u1", line()[:-1] + b',"price":1e400}'),
    (Rejection.WRONG_TYPE, b"u1", line()[:-1] + b',"price":' + b"9" * 400 + b"}"),
    (Rejection.WRONG_TYPE, b"u1", line(position=1.5)),
    (Rejection.WRONG_TYPE, b"u1", line(position=2**31)),
    (Rejection.WRONG_TYPE, b"u1", line(imported="true")),
    (Rejection.WRONG_TYPE, b"u1", line(imported=1)),
    (Rejection.WRONG_TYPE, b"u1", line(context="")),
    (Rejection.WRONG_TYPE, b"u1", line(context=[])),
    (Rejection.WRONG_TYPE, b"u1", line(context={"a": 1})),
    (Rejection.WRONG_TYPE, b"u1", line(context={"a": {"b": "c"}})),
    (Rejection.MISSING_EVENT_ID, b"u1", line(event_id=...)),
    (Rejection.MISSING_EVENT_ID, b"u1", line(event_id="")),
    (Rejection.MISSING_EVENT_ID, b"u1", line(event_id=None)),
    (Rejection.MISSING_EVENT_ID, b"u1", b"{}"),
    (Rejection.MISSING_USER_ID, b"u1", line(user_id=...)),
    (Rejection.MISSING_USER_ID, b"", line(user_id="", anonymous_id="")),
    (Rejection.MISSING_ITEM_ID, b"u1", line(item_id="")),
    (Rejection.MISSING_BEHAVIOR, b"u1", line(behavior=...)),
    (Rejection.UNKNOWN_BEHAVIOR, b"u1", line(behavior="teleport")),
    (Rejection.UNKNOWN_BEHAVIOR, b"u1", line(behavior="Cart")),
    (Rejection.UNKNOWN_BEHAVIOR, b"u1", line(behavior="mmrec.forgot")),
    (Rejection.MISSING_USER_ID, b"u1", line(behavior="mmrec.identify")),
    (Rejection.MISSING_USER_ID, b"a1", line(behavior="mmrec.identify", user_id="", anonymous_id="a1")),
    (Rejection.KEY_MISMATCH, b"a1", line(behavior="mmrec.identify", anonymous_id="a1")),
    (Rejection.KEY_MISMATCH, b"u2", line(behavior="mmrec.forget")),
    (Rejection.MISSING_USER_ID, None, line(behavior="mmrec.forget", user_id="")),
    (Rejection.BAD_ID, b"u1", line(event_id="e" * 257)),
    (Rejection.BAD_ID, b"u1", line(item_id="é" * 129)),
    (Rejection.BAD_ID, b"u1", line(item_id="a\tb")),
    (Rejection.BAD_ID, b"u1", line(item_id="a\x7fb")),
    (Rejection.BAD_ID, b"u1", '{"event_id":"a\x85b","user_id":"u1","item_id":"i","behavior":"cart"}'.encode()),
    (Rejection.BAD_ID, b"~u1", line(user_id="~u1")),
    (Rejection.BAD_ID, b"u1", line(session_id="s" * 300)),
    (Rejection.BAD_TIME, b"u1", line(event_time="")),
    (Rejection.BAD_TIME, b"u1", line(event_time="yesterday")),
    (Rejection.BAD_TIME, b"u1", line(event_time="2025-12-31T23:59:59")),
    (Rejection.BAD_TIME, b"u1", line(event_time="2025-12-31 23:59:59Z")),
    (Rejection.BAD_TIME, b"u1", line(event_time="2025-02-29T00:00:00Z")),
    (Rejection.BAD_TIME, b"u1", line(event_time="2025-12-31T23:59:60Z")),
    (Rejection.BAD_TIME, b"u1", line(event_time="2025-12-31T23:59:59.1234567890Z")),
    (Rejection.BAD_TIME, b"u1", line(event_time="2025-12-31T23:59:59+24:00")),
    (Rejection.OUT_OF_RANGE, b"u1", line(behavior="purchase", quantity=-1)),
    (Rejection.OUT_OF_RANGE, b"u1", line(quantity="-2.5")),
    (Rejection.OUT_OF_RANGE, b"u1", line(price=-9.95)),
    (Rejection.OUT_OF_RANGE, b"u1", line(price=-5e-324)),
    (Rejection.OUT_OF_RANGE, b"u1", line(position=-1)),
    (Rejection.OUT_OF_RANGE, b"u1", line(position=-(2**31))),
    (Rejection.OUT_OF_RANGE, b"u1", line(quantity=1, price=-1e16, context={"a": "b"})),
    (Rejection.TIME_IN_FUTURE, b"u1", line(event_time="2026-01-01T00:05:01Z")),
    (Rejection.TIME_IN_FUTURE, b"u1", line(event_time="9999-12-31T23:59:59Z")),
    (Rejection.TIME_BEFORE_HORIZON, b"u1", line(event_time="1999-12-31T23:59:59.999Z")),
    (Rejection.TIME_BEFORE_HORIZON, b"u1", line(event_time="0001-01-01T00:00:00Z")),
    (Rejection.KEY_MISMATCH, b"u2", line()),
    (Rejection.KEY_MISMATCH, None, line()),
    (Rejection.KEY_MISMATCH, b"\xff", line()),
    (Rejection.KEY_MISMATCH, b"a1", line(anonymous_id="a1")),
    (Rejection.KEY_MISMATCH, b"~a1", line(user_id=..., anonymous_id="a1")),
    (Rejection.TOO_LARGE, b"u1", line(context={"a": "x" * 5000})),
    (Rejection.TOO_LARGE, b"u1", b"x" * 5000),
]

TAKEN: list[tuple[bytes, bytes]] = [
    (b"u1", line()),
    (b"u1", b'{"eventId":"e1","userId":"u1","itemId":"i1","behavior":"cart","eventTime":"2025-12-31T23:59:59.5Z"}'),
    (b"u1", line(event_time=...)),
    (b"u1", line(event_time=None, price=None, context=None)),
    (b"u1", line(event_time="2026-01-01T00:05:00.25Z")),
    (b"u1", line(event_time="2025-12-31T23:59:59.123456789+05:30")),
    (b"u1", line(event_time="2025-12-31t12:59:59.1-11:00")),
    (b"u1", line(event_time="2024-02-29T12:00:00Z")),
    (b"u1", line(event_time="2000-01-01T00:00:00Z", imported=True)),
    (b"u1", line(position="3", price="12.5", quantity="2")),
    (b"u1", line(position=3.0, price=12, quantity=2)),
    (b"u1", line(position=2**31 - 1, price=1e-300, quantity=1.7e308)),
    (b"u1", line(quantity=0, price=0.0, position=0)),
    (b"u1", line(quantity=-0.0, price="-0", position=-0.0)),
    (b"u1", line(behavior="mmrec.forget", quantity=-1, price=-1, position=-1)),
    (b"u1", line()[:-1] + b',"price":0.1000000000000000055511151231257827,"quantity":1E5}'),
    (b"u1", line(context={"device": "phone", "app": "3"})),
    (b"u1", line(context={"b": "1", "a": "ü"}, domain="beauty", currency="EUR")),
    (b"u1", line(context={})),
    (b"u1", line(context={"a": '":', "b": "\\"})),
    (b"u1", line(color="red", size=[1, {"a": "b"}])),
    (b"u1", line(context={"a": "b"}, other={"context": {"c": "d"}})),
    (b"u1", line(domain=":x")),
    (b"u1", line(domain="é\U0001f600", session_id="s", request_id="r")),
    (b"u1", json.dumps(GOOD).encode()),
    (b"u1", json.dumps(GOOD, indent=2).encode()),
    (b"u1", b'  { "event_id" : "e1" ,"user_id":"u1","item_id":"i1","behavior":"cart","unknown" :1}  '),
    (b"u1", line(event_id="e" * 256)),
    (b"u1", line(event_id="~e", item_id="~i")),
    (b"u1", line(user_id="u1", anonymous_id="a1")),
    (b"a1", line(user_id=..., anonymous_id="a1")),
    (b"~a1", line(user_id="", anonymous_id="~a1")),
    ("ü".encode(), line(user_id="ü")),
    (b"u1", line()[:-1] + b',"x":' + b"[" * 50 + b"]" * 50 + b"}"),
]


@pytest.mark.parametrize(("reason", "key", "value"), REFUSED)
def test_a_record_is_refused_for_the_right_reason(reason: Rejection, key: bytes | None, value: bytes | None) -> None:
    outcome = outcome_of(key, value)
    assert isinstance(outcome, Refusal)
    assert outcome.reason is reason, outcome
    assert outcome.detail
    assert len(outcome.detail) <= 300
    assert_agrees([(key, value)])


def test_every_reason_is_reachable() -> None:
    by_apply = {Rejection.RATE_CAPPED, Rejection.BOT}
    assert {reason for reason, _, _ in REFUSED} == set(Rejection) - by_apply


@pytest.mark.parametrize("name", ["quantity", "price", "position"])
def test_a_negative_number_is_refused_alike_on_every_way_in_and_the_undo_is_named(name: str) -> None:
    refund = Behavior(name="refund", behavior_id=9, weight=-10.0, undo_of="purchase")
    for behaviors, hint in ((BEHAVIORS, False), (BehaviorSet((*BEHAVIORS, refund)), True)):
        event = BehaviorEvent(event_id="e1", user_id="u1", item_id="i1", behavior="purchase", **{name: -1})
        key, value = encode_event(event)
        refusal = check_record(event, key, value, ingest_time_s=INGEST_S, behaviors=behaviors, settings=SETTINGS)
        assert refusal is not None
        assert refusal.reason is Rejection.OUT_OF_RANGE
        assert ("to take back a purchase send refund" in refusal.detail) is hint
        raw = raw_table([(key, value)])
        decoded = decode_batch(raw, cluster_id="c", topic_id="t", behaviors=behaviors, settings=SETTINGS)
        assert decoded.rejected["detail"].to_pylist() == [refusal.detail]
        assert plain_events(raw, behaviors, SETTINGS)[0].tolist() == []


@pytest.mark.parametrize(("key", "value"), TAKEN)
def test_a_good_record_is_taken_alone(key: bytes, value: bytes) -> None:
    assert isinstance(outcome_of(key, value), EventFields), outcome_of(key, value)
    assert_agrees([(key, value)])


def test_one_bad_record_costs_the_others_nothing() -> None:
    corpus = [(key, value) for _, key, value in REFUSED] + list(TAKEN)
    assert_agrees(corpus * 3)
    assert_agrees(([(b"u1", line())] * 100 + corpus) * 2)


ODD_ONES = {
    "a number as a string": line(quantity="2"),
    "a wrong type": line(event_id=17),
    "a name twice": line()[:-1] + b',"item_id":"i2"}',
    "no JSON": line()[:-1] + b',"price":01}',
    "a number too big": line()[:-1] + b',"price":1e400}',
}


@pytest.mark.parametrize("kind", ODD_ONES)
def test_odd_records_leave_the_others_to_the_columns(kind: str) -> None:
    records = [(b"u1", ODD_ONES[kind] if n % 20 == 7 else line(item_id=f"i{n}")) for n in range(2_000)]
    assert_agrees(records)
    rows_P, _ = plain_events(raw_table(records), BEHAVIORS, SETTINGS)
    assert sorted(set(range(2_000)) - set(rows_P.tolist())) == list(range(7, 2_000, 20))


def test_an_empty_batch_gives_empty_tables() -> None:
    assert_agrees([])


def test_a_record_that_reaches_into_the_next_line_is_refused_alone() -> None:
    assert_agrees([(b"u1", line()[:-1]), (b"u1", b',"price":1}'), (b"u1", line())])
    assert_agrees([(b"u1", line() + b'{"event_id":"x","z":['), (b"u1", line() + b"]}")])


def test_original_bytes_and_place_survive_refusal() -> None:
    raw = raw_table([(b"u1", line()), (b"\x00\xff", b"\xfe broken")])
    decoded = decode_batch(raw, cluster_id="c", topic_id="t", behaviors=BEHAVIORS, settings=SETTINGS)
    assert decoded.rejected.to_pylist() == [
        {
            "reason": "malformed_json",
            "detail": "no UTF-8 at byte 0",
            "cluster_id": "c",
            "topic_id": "t",
            "partition": 1,
            "offset": 101,
            "original_key": b"\x00\xff",
            "original_value": b"\xfe broken",
            "ingest_time_s": INGEST_S + 1 / 7,
        }
    ]


def test_nanoseconds_and_zones_are_read_exactly() -> None:
    assert parse_time("1970-01-01T00:00:00.000000001Z") == 1e-9
    assert parse_time("1970-01-01T01:00:00+01:00") == 0.0
    assert parse_time("1969-12-31T19:00:00.5-05:00") == 0.5
    assert parse_time("2025-12-31T23:59:59.5Z") == INGEST_S - 0.75


def test_control_records_stand_apart_from_events_and_need_no_item() -> None:
    login = identify_event(event_id="c1", user_id="u1", anonymous_id="a1")
    forget = forget_event(event_id="c2", user_id="u1")
    stranger = forget_event(event_id="c3", anonymous_id="a2")
    for event in (login, forget, stranger):
        record = encode_event(event)
        assert check_record(event, *record, ingest_time_s=INGEST_S, behaviors=BEHAVIORS, settings=SETTINGS) is None
    raw = raw_table([encode_event(login), (b"u1", line()), encode_event(forget), encode_event(stranger)])
    decoded = decode_batch(raw, cluster_id="c", topic_id="t", behaviors=BEHAVIORS, settings=SETTINGS)
    assert decoded.events["behavior"].to_pylist() == ["cart"]
    assert [(c["user_key"], c["behavior"], c["item_id"], c["offset"]) for c in decoded.control.to_pylist()] == [
        ("u1", IDENTIFY, "~a1", 100),
        ("u1", FORGET, "", 102),
        ("~a2", FORGET, "", 103),
    ]
    assert decoded.control["known_time_s"].to_pylist() == decoded.control["ingest_time_s"].to_pylist()
    assert not decoded.rejected.num_rows
    for ids in ({"user_id": "u1"}, {"anonymous_id": "a1"}):
        with pytest.raises(ValueError, match="three ids"):
            identify_event(event_id="c1", **{"user_id": "", "anonymous_id": "", **ids})
    with pytest.raises(ValueError, match="one of user_id and anonymous_id"):
        forget_event(event_id="c1", user_id="u1", anonymous_id="a1")


ids = st.text(max_size=6) | st.sampled_from(["u1", "~u", "", "a" * 257, "é" * 128, "\x7f", "\u0085"])
texts = st.text(max_size=8) | st.sampled_from(['":', "}{", "\n", "\\", " :"])
odd = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just([1]) | st.just({"a": "b"})
times = st.sampled_from(
    ["2025-12-31T23:59:59.5Z", "2025-12-30T10:00:00+02:00", "2026-01-01T00:05:03Z", "1999-01-01T00:00:00Z", "", "x"]
) | st.datetimes().map(lambda moment: moment.isoformat() + "Z")
field = {
    "event_id": ids,
    "user_id": ids,
    "anonymous_id": ids,
    "item_id": ids,
    "behavior": st.sampled_from(["browse", "cart", "mmrec.x", "mmrec.identify", "mmrec.forget", "nope", ""]),
    "event_time": times,
    "position": st.integers(-(2**32), 2**32) | st.floats() | st.just("7"),
    "quantity": st.floats() | st.integers(),
    "price": st.floats() | st.just("1e5") | st.just("01"),
    "domain": texts,
    "context": st.dictionaries(texts, texts, max_size=3),
    "imported": st.booleans(),
    "eventId": ids,
    "surprise": odd,
}
required = ("event_id", "user_id", "item_id", "behavior")
documents = st.fixed_dictionaries(
    {name: field[name] for name in required},
    optional={name: strategy for name, strategy in field.items() if name not in required},
) | st.fixed_dictionaries({}, optional={name: odd | strategy for name, strategy in field.items()})


@st.composite
def records(draw: st.DrawFn) -> tuple[bytes | None, bytes | None]:
    document = draw(documents)
    text = json.dumps(
        document, separators=draw(st.sampled_from([(",", ":"), (", ", ": ")])), ensure_ascii=draw(st.booleans())
    )
    value = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(value)))
        value = value[:at] + draw(st.binary(max_size=3)) + value[at + draw(st.integers(0, 3)) :]
    user = document.get("user_id") or document.get("anonymous_id")
    key = (
        user.encode("utf-8", "surrogatepass")
        if isinstance(user, str) and draw(st.integers(0, 9))
        else draw(st.none() | st.binary(max_size=3))
    )
    return key, value


@settings(max_examples=150, deadline=None)
@given(st.lists(records(), max_size=8))
def test_the_columns_say_what_the_reference_says(corpus: list[tuple[bytes | None, bytes | None]]) -> None:
    assert_agrees(corpus)


@settings(max_examples=100, deadline=None)
@given(
    st.builds(
        BehaviorEvent,
        event_id=st.text(max_size=4),
        user_id=st.text(max_size=4),
        anonymous_id=st.text(max_size=4),
        item_id=st.text(max_size=4),
        behavior=st.sampled_from(["browse", "cart", "mmrec.x", "mmrec.identify", "mmrec.forget", ""]),
        session_id=st.text(max_size=4),
        position=st.integers(-(2**31), 2**31 - 1),
        quantity=st.floats(),
        price=st.floats(),
        domain=st.text(max_size=4),
        context=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
        imported=st.booleans(),
    ),
    st.none()
    | st.tuples(st.integers(-(10**12), 10**12) | st.integers(1_767_225_500, 1_767_226_000), st.integers(-5, 10**9 + 5)),
)
def test_the_check_before_sending_is_the_codecs_own(event: BehaviorEvent, time: tuple[int, int] | None) -> None:
    if time is not None:
        event.event_time.seconds, event.event_time.nanos = time
    key, value = encode_event(event)
    checked = check_record(event, key, value, ingest_time_s=INGEST_S, behaviors=BEHAVIORS, settings=SETTINGS)
    outcome = outcome_of(key, value)
    if checked is None:
        assert isinstance(outcome, EventFields)
        assert outcome == replace(
            outcome,
            event_id=event.event_id,
            user_id=event.user_id,
            item_id=event.item_id,
            position=event.position,
            price=event.price,
            event_time_s=INGEST_S if time is None else time[0] + time[1] / 1e9,
            imported=event.imported,
            num_unknown_fields=0,
        )
        assert json.loads(outcome.context or "{}") == dict(event.context)
        assert math.isfinite(outcome.quantity)
    else:
        assert isinstance(outcome, Refusal)
        assert outcome.reason is checked.reason


class NameThatCounts(str):
    """A name that counts how often it is compared with another."""

    __slots__ = ()
    num_compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        NameThatCounts.num_compared += 1
        return str.__eq__(self, other)


def test_the_work_for_a_repeated_name_grows_with_the_names_not_with_their_square() -> None:
    names = [NameThatCounts(f"n{number}") for number in range(1_000)]
    with pytest.raises(Exception, match="'n999' stands twice"):
        wire_documents._unique_pairs([(name, 0) for name in [*names, NameThatCounts("n999")]])
    assert NameThatCounts.num_compared < 10 * len(names)
