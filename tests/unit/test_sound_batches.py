"""Batches of Kafka that cannot be decoded: left out from first to last offset, said, counted, and no end of reading."""

from base64 import b64decode
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from kafka.consumer.fetcher import IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c
from kafka.structs import TopicPartition

from mmrec.events.topics import SkippedBatches
from mmrec.stores.kafka.sound_batches import SoundRecords, check_codecs

PLACE = TopicPartition("shop", 3)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HEADER_BYTES, CRC_AT, CRC_FROM, LAST_OFFSET_AT, COUNT_AT = 61, 17, 21, 23, 57


MADE_BY_JAVA = {
    "snappy": (
        "AAAAAAAAAAAAAAFD/////wJtDhoUAAIAAAATAAAAAAAAA+gAAAAAAAAD6P//////////////////AAAAFIJTTkFQUFkAAAAAAQAA"
        "AAEAAAD+ohEc2AEAAADIAWv+AQCKAQAIAjAAAW4AAv5uAJpuAAAxBW4ABP5uAJpuAAAyBW4ABv5uAJpuAAAzBW4ACP5uAJpuAAA0"
        "BW4ACv5uAJpuAAA1BW4ADP5uAJpuAAA2BW4ADv5uAJpuAAA3BW4AEP5uAJpuAAA4BW4AEv5uAJpuABg5ANoBAAAU/m4Alm4ACAQx"
        "MAVvABb+bwCebwAAMQVvABj+bwCebwAAMgVvABr+bwCebwAAMwVvABz+bwCebwAANAVvAB7+bwCebwAANQVvACD+bwCebwAANgVv"
        "ACL+bwCebwAANwVvACT+bwCebwAAOAVvACb+bwCebwAEOQA="
    ),
    "lz4": (
        "AAAAAAAAAAAAAAED/////wI0fgRBAAMAAAATAAAAAAAAA+gAAAAAAAAD6P//////////////////AAAAFAQiTRhgQILDAAAAj9gB"
        "AAAAyAFrAQBQMAIwAG4AHwJuAFQRMW4AHwRuAFQRMm4AHwZuAFQRM24AHwhuAFQRNG4AHwpuAFQRNW4AHwxuAFQRNm4AHw5uAFQR"
        "N24AHxBuAFQROG4AHxJuAFR/OQDaAQAAFG4AUzEEMTBvAB8WbwBVETFvAB8YbwBVETJvAB8abwBVETNvAB8cbwBVETRvAB8ebwBV"
        "ETVvAB8gbwBVETZvAB8ibwBVETdvAB8kbwBVEThvAB8mbwBSUGsEMTkAAAAAAA=="
    ),
    "zstd": (
        "AAAAAAAAAAAAAADA/////wIeGfWGAAQAAAATAAAAAAAAA+gAAAAAAAAD6P//////////////////AAAAFCi1L/0AWBwEANQD2AEA"
        "AADIAWsCMADYAQAAAjEEMgYzCDQKNQw2DjcQOBI5ANoBAAAUBDEwFjEYMhozHDQeNSA2IjckOCY5ACUg8HUDJYlwJTFBSjqBlSTC"
        "lcQEKdMJrCQRriQmSNl0ZWGM1Eg6gZEkwpGJCULSCYwkEY4kJghJJzAiCQiXxCkHKeMCAQAA"
    ),
}
"""MemoryRecords.withRecords() of kafka-clients 3.9.0: values "0" to "19" and keys of 100 bytes, in base64."""


class Aborted(NamedTuple):
    """As a fetch names an aborted transaction."""

    producer_id: int
    first_offset: int


class Latin(str):
    """A header's name as a client sends it that knows nothing of UTF-8."""

    __slots__ = ()

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        return super().encode("latin-1")


def batch(base: int, num_records: int, *, codec: str = "none", name: str = "h", of: int = -1) -> bytearray:
    """A batch with values "<offset>"; `of` is the id of the producer of a transaction."""
    state = {"transactional": True, "producer_id": of, "producer_epoch": 0, "base_sequence": 0} if of >= 0 else {}
    builder = MemoryRecordsBuilder(magic=2, compression_type=CODECS[codec], batch_size=1 << 20, **state)
    for offset in range(base, base + num_records):
        builder.append(timestamp=1_000, key=b"k" * 100, value=str(offset).encode(), headers=[(name, b"v")])
    builder.close()
    made = bytearray(builder.buffer())
    made[:8] = base.to_bytes(8, "big")
    return made


def marker(base: int, of: int, *, num_records: int = 1) -> bytearray:
    """What ends an aborted transaction; compaction leaves it without its record."""
    builder = MemoryRecordsBuilder(
        magic=2,
        compression_type=0,
        batch_size=1 << 20,
        transactional=True,
        producer_id=of,
        producer_epoch=0,
        base_sequence=0,
    )
    builder.append(timestamp=1_000, key=bytes(4), value=bytes(6), headers=[])
    builder.close()
    made = bytearray(builder.buffer())
    made[:8] = base.to_bytes(8, "big")
    made[22] |= 0x20
    if not num_records:
        del made[HEADER_BYTES:]
        made[8:12] = (len(made) - 12).to_bytes(4, "big")
        made[COUNT_AT:HEADER_BYTES] = bytes(4)
    return sealed(made)


def sealed(made: bytearray) -> bytearray:
    """With the checksum of what it holds now."""
    made[CRC_AT:CRC_FROM] = calc_crc32c(memoryview(made)[CRC_FROM:]).to_bytes(4, "big")
    return made


class Reader:
    """Reads one partition again and again from where it stands, as a consumer's polls do."""

    def __init__(self, *batches: bytearray, end: int, aborted: tuple[Aborted, ...] = ()) -> None:
        self.skipped, self.position, self.end = SkippedBatches(), 0, end
        self._batches, self._aborted = batches, aborted

    def poll(self) -> list[int]:
        """Offsets, as the values say them; a broker sends whole batches, from the one that holds the position on."""
        held = [b for b in self._batches if int.from_bytes(b[:8], "big") + last_delta(b) >= self.position]
        part = SoundRecords(
            self.position,
            PLACE,
            MemoryRecords(b"".join(held)),
            isolation_level=IsolationLevel.READ_COMMITTED,
            aborted_transactions=self._aborted,
            skipped=self.skipped,
            highwater=lambda _: self.end,
        )
        records = part.take()
        self.position = part.next_fetch_offset
        return [int(r.value) for r in records]


def last_delta(made: bytearray) -> int:
    return int.from_bytes(made[LAST_OFFSET_AT : LAST_OFFSET_AT + 4], "big", signed=True)


def garbage(made: bytearray) -> bytearray:
    made[HEADER_BYTES:] = bytes(range(1, 200)) * 2
    made[8:12] = (len(made) - 12).to_bytes(4, "big")
    return sealed(made)


def cut(made: bytearray) -> bytearray:
    del made[HEADER_BYTES + (len(made) - HEADER_BYTES) // 2 :]
    made[8:12] = (len(made) - 12).to_bytes(4, "big")
    return sealed(made)


def flipped(made: bytearray) -> bytearray:
    made[HEADER_BYTES + 5] ^= 0xFF
    return made


def unknown_codec(made: bytearray) -> bytearray:
    made[22] = made[22] & ~7 | 6
    return sealed(made)


def too_many(made: bytearray) -> bytearray:
    made[COUNT_AT:HEADER_BYTES] = (2_000).to_bytes(4, "big")
    return sealed(made)


def lying_about_its_end(made: bytearray) -> bytearray:
    made[LAST_OFFSET_AT : LAST_OFFSET_AT + 4] = (1_000_000).to_bytes(4, "big")
    return made


def test_every_codec_of_kafka_is_there() -> None:
    check_codecs()


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read(codec: str) -> None:
    reader = Reader(batch(0, 300, codec=codec), end=300)
    assert reader.poll() == list(range(300))
    assert (reader.position, reader.skipped.num_batches) == (300, 0)


@pytest.mark.parametrize("codec", MADE_BY_JAVA)
def test_what_java_compressed_is_read(codec: str) -> None:
    """Its snappy is framed in blocks of its own."""
    reader = Reader(bytearray(b64decode(MADE_BY_JAVA[codec])), end=20)
    assert (reader.poll(), reader.skipped.num_batches) == (list(range(20)), 0)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("broken", [garbage, cut, flipped, unknown_codec, too_many, lying_about_its_end])
def test_a_batch_that_cannot_be_decoded_is_left_out_as_a_whole_and_what_follows_is_read(
    codec: str, broken: Callable[[bytearray], bytearray]
) -> None:
    reader = Reader(batch(0, 3), broken(batch(3, 50, codec=codec)), batch(53, 2, codec=codec), end=55)
    assert reader.poll() == [0, 1, 2, 53, 54]
    assert (reader.position, reader.skipped.by_topic()) == (55, {"shop": 1})


@pytest.mark.parametrize("broken", [garbage, cut, flipped, unknown_codec, too_many, lying_about_its_end])
def test_a_broken_batch_at_the_end_is_passed_once(broken: Callable[[bytearray], bytearray]) -> None:
    reader = Reader(batch(0, 3), broken(batch(3, 50, codec="zstd")), end=53)
    assert reader.poll() == [0, 1, 2]
    assert (reader.position, reader.skipped.num_batches) == (53, 1)


def test_a_skipped_batch_is_said_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    Reader(batch(0, 3), flipped(batch(3, 50)), end=53).poll()
    (said,) = [fields(r) for r in caplog.records if r.getMessage() == "batch_skipped"]
    place = {"topic": "shop", "partition": 3, "first_offset": 3, "last_offset": 52}
    assert {name: said[name] for name in place} == place
    assert "checksum" in said["reason"]


def fields(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = record.mmrec_fields
    return found


@pytest.mark.parametrize("codec", CODECS)
def test_a_header_name_in_another_encoding_breaks_no_batch(codec: str) -> None:
    reader = Reader(batch(0, 5, codec=codec, name=Latin("h\xe9")), end=5)
    assert reader.poll() == [0, 1, 2, 3, 4]
    assert reader.skipped.num_batches == 0


@pytest.mark.parametrize("end", [marker(5, 7), flipped(marker(5, 7)), marker(5, 7, num_records=0)])
def test_an_aborted_transaction_is_left_out_whatever_became_of_its_marker(end: bytearray) -> None:
    reader = Reader(batch(0, 2), batch(2, 3, of=7), end, batch(6, 1, of=8), end=7, aborted=(Aborted(7, 2),))
    assert reader.poll() == [0, 1, 6]
    assert reader.position == 7


def test_what_comes_after_an_aborted_transaction_of_the_same_producer_counts() -> None:
    for end in (marker(3, 7), flipped(marker(3, 7))):
        reader = Reader(batch(0, 3, of=7), end, batch(4, 2, of=7), end=6, aborted=(Aborted(7, 0),))
        assert reader.poll() == [4, 5]
