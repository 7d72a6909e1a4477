"""Records of events, which are written by hand: JSON and protobuf read them back, and json writes the same bytes."""

import json
import math

from google.protobuf.json_format import Parse
from hypothesis import given
from hypothesis import strategies as st

from mmrec.events.encoding import encode_event
from mmrec.v1.behavior_pb2 import BehaviorEvent

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = ("event_id", "user_id", "anonymous_id", "item_id", "behavior", "session_id", "request_id", "currency", "domain")
NUMBERS = st.floats() | st.sampled_from([0.0, 1.0, 0.1, 1e16, 1e-9, 123_456_789.123])


@st.composite
def events(draw: st.DrawFn) -> BehaviorEvent:
    event = BehaviorEvent(
        **{name: draw(TEXT) for name in NAMES},
        quantity=draw(NUMBERS),
        price=draw(NUMBERS),
        position=draw(st.integers(-(2**31), 2**31 - 1)),
        imported=draw(st.booleans()),
        context=draw(st.dictionaries(TEXT, TEXT, max_size=3)),
    )
    if draw(st.booleans()):
        event.event_time.seconds = draw(st.integers(-62_135_596_800, 253_402_300_799))
        event.event_time.nanos = draw(st.sampled_from([0, 1, 5_000, 5_000_000, 120_000_000, 999_999_999]))
    return event


@given(event=events())
def test_a_record_reads_back_as_the_event_and_is_written_as_json_writes_it(event: BehaviorEvent) -> None:
    key, value = encode_event(event)
    assert key == (event.user_id or event.anonymous_id).encode()
    assert json.dumps(json.loads(value), separators=(",", ":"), ensure_ascii=False).encode() == value
    again = Parse(value, BehaviorEvent())
    for name in ("quantity", "price"):
        number = getattr(event, name)
        if math.isnan(number):
            assert math.isnan(getattr(again, name))
            setattr(again, name, 0.0)
            setattr(event, name, 0.0)
        elif number == 0:  # minus nothing is nothing
            setattr(event, name, 0.0)
    assert again == event


def test_a_time_that_has_no_form_is_written_as_its_numbers() -> None:
    event = BehaviorEvent(event_id="e")
    event.event_time.seconds = 253_402_300_800
    event.event_time.nanos = -1
    assert encode_event(event)[1] == b'{"event_id":"e","event_time":"253402300800s -1ns"}'
