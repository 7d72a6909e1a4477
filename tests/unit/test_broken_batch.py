"""What the stream takes before it passes a batch that cannot be decoded: all of that partition, none of others."""

from collections.abc import Iterator

from jobs.broken_batch import _before_the_first
from mmrec.events.producer import TopicRecord
from mmrec.events.topics import SkippedBatch, SkippedBatches


def record(partition: int, offset: int) -> TopicRecord:
    return TopicRecord(b"k", b"v", partition, offset, 1.0)


def test_records_of_other_partitions_neither_end_nor_enter_what_is_taken() -> None:
    skipped = SkippedBatches()

    def read() -> Iterator[TopicRecord]:
        skipped.add(SkippedBatch(topic="t", partition=0, first_offset=5, last_offset=6, reason="broken"))
        yield record(1, 900)  # came while the ends were looked up
        yield from (record(0, offset) for offset in range(5))
        yield from (record(0, offset) for offset in range(7, 9))

    assert [r.offset for r in _before_the_first(read(), 0, skipped)] == [0, 1, 2, 3, 4]


def test_a_broken_batch_of_another_partition_ends_nothing() -> None:
    skipped = SkippedBatches()
    skipped.add(SkippedBatch(topic="t", partition=1, first_offset=0, last_offset=6, reason="broken"))
    assert len(list(_before_the_first((record(0, n) for n in range(9)), 0, skipped))) == 9
