"""A refused record keeps its bytes on the rejected topic."""

import json

import pytest
from google.protobuf import json_format

from mmrec.errors import InvalidRequestError
from mmrec.events.rejected import MAX_KEPT_BYTES, MAX_KEPT_KEY_BYTES, decode_rejected, encode_rejected
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


def test_a_refusal_fits_the_topic_however_long_the_record_was() -> None:
    key, value = encode_rejected({**ROW, "original_key": bytes(1 << 22), "original_value": bytes(9_800_000)})
    assert len(key) == MAX_KEPT_KEY_BYTES
    assert len(value) < 2 << 20
    row = decode_rejected(value)
    assert row["original_value"] == bytes(MAX_KEPT_BYTES)
    assert "the first 1048576 of 9800000 bytes of original_value are kept" in row["detail"]


@pytest.mark.parametrize(
    "change",
    [
        {"topic_id": None},
        {"detail": 7},
        {"partition": "one"},
        {"partition": True},
        {"offset": "1e3"},
        {"original_value": "no base64!"},
        {"original_key": None},
        {"ingest_time": "yesterday"},
        {"reason": "\ud83d"},
    ],
)
def test_what_somebody_else_wrote_is_told_from_a_refusal(change: dict) -> None:
    document = {**json.loads(encode_rejected(ROW)[1]), **change}
    with pytest.raises(InvalidRequestError, match="is no refusal: .*" + next(iter(change)).split("_")[0]):
        decode_rejected(json.dumps(document).encode())


@pytest.mark.parametrize("value", [b"", b"null", b"[1]", b"\xff", b"[" * 100_000, b'{"reason":"x"}'])
def test_values_that_are_no_objects_are_no_refusals(value: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="is no refusal"):
        decode_rejected(value)
