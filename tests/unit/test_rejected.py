"""A refused record keeps its bytes on the rejected topic."""

from google.protobuf import json_format

from mmrec.events.rejected import decode_rejected, encode_rejected
from mmrec.v1.behavior_pb2 import RejectedEvent

ROW = {
    "reason": "malformed_json",
    "detail": "no UTF-8 at byte 0",
    "cluster_id": "c",
    "topic_id": "t",
    "partition": 3,
    "offset": 2**40,
    "original_key": b"\x00u",
    "original_value": b"\xff{",
    "ingest_time_s": 1_767_225_600.25,
}


def test_a_refused_record_comes_back_whole() -> None:
    key, value = encode_rejected(ROW)
    assert key == b"\x00u"
    assert decode_rejected(value) == ROW


def test_any_reader_of_the_proto_understands_it() -> None:
    message = json_format.Parse(encode_rejected(ROW)[1], RejectedEvent())
    assert message.original_value == b"\xff{"
    assert message.offset == 2**40
    assert message.ingest_time.nanos == 250_000_000


def test_a_tombstone_is_kept_as_empty_bytes() -> None:
    key, value = encode_rejected({**ROW, "original_key": None, "original_value": None})
    assert key == b""
    assert decode_rejected(value)["original_value"] == b""
