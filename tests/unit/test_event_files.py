"""Files of events become records; times move together; a feed keeps its pace."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmrec.clock import ManualClock
from mmrec.config import EventSettings, KafkaSettings
from mmrec.errors import InvalidRequestError, StoreError
from mmrec.events.columns import EVENT_SCHEMA
from mmrec.events.event_files import newest_event_time_s, open_event_file, read_records, retimed
from mmrec.events.feed import feed
from mmrec.events.producer import MemoryRecordProducer
from mmrec.events.rules import EventFields, Refusal, decode_record
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.simulator.live import live_records, storefront_until
from mmrec.simulator.settings import StorefrontConfig
from mmrec.wire.instants import parse_time, rfc3339

NOW_S = 1_767_225_600.0
TOPIC = KafkaSettings().behavior_events
LINES = [
    b'{"event_id":"a","user_id":"u1","item_id":"i1","behavior":"browse","event_time":"2025-01-01T00:00:00Z"}',
    b'{"eventId":"b","anonymousId":"x","itemId":"i2","behavior":"cart","eventTime":"2025-01-01T00:01:30.25Z"}',
    b'{"event_id": "cut o',
    b'{"event_id":"c","user_id":"u1","item_id":"i3","behavior":"browse"}',
    b"[1, 2]",
]


def decoded(key: bytes, value: bytes) -> EventFields:
    fields = decode_record(key, value, ingest_time_s=NOW_S, behaviors=shop_behaviors(), settings=EventSettings())
    assert isinstance(fields, EventFields), fields
    return fields


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n\n".join(LINES) + b"\n")
    return path


def test_lines_go_out_byte_for_byte_with_their_users_as_keys(lines: Path) -> None:
    producer = MemoryRecordProducer(clock=ManualClock(NOW_S))
    assert feed(read_records(lines), producer, TOPIC) == len(LINES)
    sent = producer.records(TOPIC)
    assert sorted((r.key, r.value) for r in sent) == sorted(zip([b"u1", b"x", b"", b"u1", b""], LINES, strict=True))


def test_a_shift_moves_the_last_event_to_now_and_keeps_gaps(lines: Path) -> None:
    newest_s = newest_event_time_s(read_records(lines))
    assert newest_s is not None
    moved = list(retimed(read_records(lines), shift_s=NOW_S - newest_s, imported=True))
    first, second = decoded(*moved[0]), decoded(*moved[1])
    assert second.event_time_s == NOW_S
    assert first.event_time_s == NOW_S - 90.25
    assert first.imported
    assert second.imported
    assert moved[2] == (b"", LINES[2])
    assert "event_time" not in json.loads(moved[3][1])
    assert moved[4] == (b"", LINES[4])


def test_a_file_without_times_has_no_newest_event() -> None:
    assert newest_event_time_s([(b"u", LINES[3]), (b"", LINES[2])]) is None


def test_parquet_of_any_making_becomes_the_same_events(tmp_path: Path) -> None:
    ids = {"event_id": ["a", "b"], "item_id": ["i1", "i2"], "behavior": ["browse", "cart"], "colour": ["red", None]}
    times_s = [NOW_S - 60.5, NOW_S - 0.25]
    users = {"user_id": ["u1", None], "anonymous_id": [None, "x"]}
    forms = [
        {**ids, **users, "event_time": pa.array([int(t * 1e6) for t in times_s], type=pa.timestamp("us", tz="UTC"))},
        {**ids, **users, "event_time": [rfc3339(t) for t in times_s]},
        {**ids, "user_key": ["u1", "~x"], "event_time_s": times_s},
    ]
    for number, columns in enumerate(forms):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table(columns), path)
        records = list(read_records(path))
        assert [key for key, _ in records] == [b"u1", b"x"]
        events = [decoded(key, value) for key, value in records]
        assert [e.event_time_s for e in events] == times_s
        assert [(e.user_id, e.anonymous_id) for e in events] == [("u1", ""), ("", "x")]
        assert [e.num_unknown_fields for e in events] == [0, 0]


def test_a_file_of_the_event_log_can_be_replayed(tmp_path: Path) -> None:
    row = {f.name: 0 if pa.types.is_integer(f.type) or pa.types.is_floating(f.type) else "" for f in EVENT_SCHEMA}
    row |= {"event_id": "a", "user_key": "u1", "item_id": "i1", "behavior": "cart", "event_time_s": NOW_S - 5.0}
    row |= {"imported": True, "context": '{"page":"home"}', "price": 9.5, "position": 3}
    pq.write_table(pa.Table.from_pylist([row], schema=EVENT_SCHEMA), tmp_path / "log.parquet")
    ((key, value),) = read_records(tmp_path / "log.parquet")
    event = decoded(key, value)
    assert (event.user_id, event.event_time_s, event.price, event.position) == ("u1", NOW_S - 5.0, 9.5, 3)
    assert event.imported
    assert json.loads(event.context) == {"page": "home"}


def test_a_file_that_cannot_be_events_says_why(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["i1"]}), tmp_path / "short.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR?")
    (tmp_path / "events.csv").write_text("a,b\n")
    for name, said in [
        ("short.parquet", "lacks the columns"),
        ("broken.parquet", "no Parquet"),
        ("events.csv", ".csv"),
    ]:
        with pytest.raises(InvalidRequestError, match=said):
            read_records(tmp_path / name)


def refusals(path: Path, *, imported: bool) -> list[str]:
    """Reason of each record of a file, "" where it is taken."""
    reasons = []
    for key, value in retimed(read_records(path), imported=imported):
        fields = decode_record(key, value, ingest_time_s=NOW_S, behaviors=shop_behaviors(), settings=EventSettings())
        reasons.append(fields.reason.value if isinstance(fields, Refusal) else "")
    return reasons


HALF = LINES[0].replace(b'"i1"', b'"\\ud83d"')
ODD_LINES = {
    "half a surrogate pair": (HALF, "malformed_json"),
    "half a pair in a field that nobody reads": (LINES[0][:-1] + b',"title":"\\ud83d"}', ""),
    "a number that JSON cannot write again, unread": (LINES[0][:-1] + b',"size":1e400}', ""),
    "the same as a price": (LINES[0][:-1] + b',"price":1e400}', "wrong_type"),
    "a byte order mark": (b"\xef\xbb\xbf" + LINES[0], ""),
    "no UTF-8": (LINES[0].replace(b"i1", b"\xff"), "malformed_json"),
    "a name twice": (LINES[0][:-1] + b',"item_id":"i2"}', "malformed_json"),
    "NaN": (LINES[0][:-1] + b',"price":NaN}', "malformed_json"),
    "deep nesting": (LINES[0][:-1] + b',"x":' + b"[" * 30_000 + b"}", "malformed_json"),
    "a flag of another type": (LINES[0][:-1] + b',"imported":1}', "wrong_type"),
    "a carriage return at its end": (LINES[0] + b"\r", ""),
    "a line longer than the codec reads": (LINES[0] + b" " * 70_000 + b"x", "too_large"),
    "a line of megabytes": (b"[" * (3 << 20), "too_large"),
    "an instant that a shift cannot move": (LINES[0].replace(b"2025", b"9999"), "time_in_future"),
    "an array": (b"[1, 2]", "not_an_object"),
}


@pytest.mark.parametrize("kind", ODD_LINES)
@pytest.mark.parametrize("imported", [False, True])
def test_an_odd_line_is_judged_by_the_codecs_rules_and_the_others_go_on(
    kind: str, imported: bool, tmp_path: Path
) -> None:
    odd, reason = ODD_LINES[kind]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join([LINES[0], b"", odd, LINES[3]]))  # the last line has no end
    assert refusals(path, imported=imported) == ["", reason, ""]
    assert [row.number for row in open_event_file(path).rows()] == [1, 3, 4]
    assert max(len(value) for _, value in read_records(path)) <= EventSettings().max_value_bytes + 1
    path.write_bytes(b"\n".join([odd, LINES[0]]))
    assert refusals(path, imported=imported) == [reason, ""]


def test_lines_are_flagged_and_moved_without_losing_a_digit() -> None:
    times = ["2025-01-01T00:00:00.123456789Z", "2025-01-01T00:00:01.000001Z", "2025-01-01T02:00:02+02:00"]
    lines = [b'{"event_time":"%s"}' % time.encode() for time in times]
    moved = [json.loads(value)["event_time"] for _, value in retimed(((b"", v) for v in lines), shift_s=3_600.0)]
    before = [parse_time(time) for time in times]
    assert [parse_time(time) for time in moved] == [time_s + 3_600.0 for time_s in before if time_s is not None]


@pytest.mark.parametrize(
    "text", ['[{"event_id":"a"},{"event_id":"b"}]', '[\n{"event_id":"a"},\n', " [", '[ {"event_id":' + "1" * 99_999]
)
def test_a_json_array_is_told_from_lines(text: str, tmp_path: Path) -> None:
    (tmp_path / "events.json").write_text(text)
    with pytest.raises(InvalidRequestError, match="one JSON array; give one event a line"):
        open_event_file(tmp_path / "events.json")


def test_a_paced_feed_is_never_ahead_of_its_rate() -> None:
    clock = ManualClock(0.0)
    producer = MemoryRecordProducer(clock=clock)
    told: list[tuple[float, int]] = []
    records = ((b"u", str(n).encode()) for n in range(100))
    count = feed(
        records,
        producer,
        TOPIC,
        rate=40.0,
        told=lambda n: told.append((clock.now_s(), n)),
        now_s=clock.now_s,
        sleep=clock.advance,
    )
    assert count == 100
    assert clock.now_s() == pytest.approx(100 / 40)
    sent = 0
    for time_s, number in told:
        assert sent <= time_s * 40 + 1e-6
        sent += number


def test_a_feed_stops_after_so_many_and_says_when_the_broker_is_down() -> None:
    producer = MemoryRecordProducer(clock=ManualClock(NOW_S))
    endless = ((b"u", b"{}") for _ in iter(int, 1))
    assert feed(endless, producer, TOPIC, max_records=2_500) == 2_500
    producer.available = False
    with pytest.raises(StoreError):
        feed([(b"u", b"{}")], producer, TOPIC)
    with pytest.raises(InvalidRequestError):
        feed([], producer, TOPIC, rate=-1.0)


def test_live_events_happen_as_they_are_sent_and_tell_another_story_each_run() -> None:
    config = StorefrontConfig(num_users=40, num_items=60, days=5.0)
    clock = ManualClock(NOW_S + 3_600.0)
    world = storefront_until(clock.now_s(), config)
    assert world.config == storefront_until(clock.now_s() + 7_200.0, config).config

    def take(run: str) -> list[EventFields]:
        records = live_records(world, from_s=clock.now_s(), run=run, now_s=clock.now_s)
        return [decoded_now(*next(records)) for _ in range(300)]

    def decoded_now(key: bytes, value: bytes) -> EventFields:
        clock.advance(0.01)
        fields = decode_record(
            key, value, ingest_time_s=clock.now_s(), behaviors=shop_behaviors(), settings=EventSettings()
        )
        assert isinstance(fields, EventFields), fields
        return fields

    started_s = clock.now_s()
    one, two = take("one"), take("two")
    assert not {e.event_id for e in one} & {e.event_id for e in two}
    assert len({e.event_id for e in one}) < len(one) or len(one) == 300
    on_time = [e for e in one if e.event_time_s is not None and e.event_time_s >= started_s - 5.0]
    assert len(on_time) > 0.9 * len(one)
    assert all(e.event_time_s is not None and e.event_time_s <= clock.now_s() for e in (*one, *two))
