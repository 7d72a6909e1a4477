"""Gets the scoring stream past a batch of Kafka that cannot be decoded, where Spark's reader fails at every start.

The records before it are read here, one by one, and progress moves past the batch, so that the next start continues
after it.
"""

import re
import time
from collections.abc import Iterator, Mapping

import pyarrow as pa

from mmrec.config import Settings
from mmrec.events.columns import RAW_SCHEMA
from mmrec.events.producer import TopicRecord
from mmrec.events.topics import SkippedBatches, Topics
from mmrec.scoring.source import Source
from mmrec.stream.rows import MAX_KEY_BYTES, StreamTopic, decode_rows, split_rows
from mmrec.stream.step import ScoringStream
from mmrec.wire.portions import portions

PORTION = 10_000
"""Records processed together."""
_PLACE = re.compile(r"fetching the next record from (\S+)-(\d+)\b")
"""Finds the place in the error message of Kafka's Java client."""


def pass_broken_batch(
    stream: ScoringStream, settings: Settings, topics: Mapping[str, StreamTopic], broker: Topics, failure: str
) -> str:
    """Move the stream past the batch at which Spark failed, with all records before it.

    Args:
        broker: Reads the topics.
        failure: Spark's error message; it names topic and partition.

    Returns:
        What was done, for the log; the first line of Spark's message where something else failed.

    Raises:
        StoreError: the broker or a store fails.
    """
    unexplained = f"Spark: {failure.splitlines()[0]}"
    found = _PLACE.search(failure)
    if found is None or found[1] not in topics:
        return unexplained
    topic, partition = topics[found[1]], int(found[2])
    source = Source(cluster_id=topic.cluster_id, topic_id=topic.topic_id, partition=partition)
    start = broker.ends(topic.name)
    start[partition] = stream.progress.marks.get(source, -1) + 1
    skipped = SkippedBatches()
    records = _before_the_first(broker.read(topic.name, start=start, skipped=skipped), partition, skipped)
    for portion in portions(records, PORTION):
        rows = decode_rows(
            _raw(portion, topic, settings), topics, behaviors=settings.behaviors, settings=settings.events
        )
        stream.process(split_rows(rows, topics), write_time_s=time.time())
    broken = skipped.first
    if broken is None or broken.partition != partition:
        return unexplained
    stream.pass_over({source: broken.last_offset}, num_skipped=1, write_time_s=time.time())
    return (
        f"a batch of Kafka's cannot be decoded and was left out: topic {broken.topic}, partition {broken.partition}, "
        f"offsets {broken.first_offset} to {broken.last_offset} ({broken.reason}); the next start reads on behind it"
    )


def _before_the_first(records: Iterator[TopicRecord], partition: int, skipped: SkippedBatches) -> Iterator[TopicRecord]:
    for record in records:
        if record.partition != partition:
            continue  # a record of another partition, which does not matter here
        first = skipped.first
        if first is not None and first.partition == partition and record.offset > first.first_offset:
            return
        yield record


def _raw(records: list[TopicRecord], topic: StreamTopic, settings: Settings) -> pa.Table:
    """Records as in decoded_stream(): long keys and values are cut to the length needed to refuse them."""
    longest = topic.max_bytes(settings.events)
    columns = {
        "key": [None if r.key is None else r.key[:MAX_KEY_BYTES] for r in records],
        "value": [None if r.value is None else r.value[:longest] for r in records],
        "partition": [r.partition for r in records],
        "offset": [r.offset for r in records],
        "ingest_time_s": [r.timestamp_s for r in records],
    }
    table = pa.table(columns, schema=RAW_SCHEMA)
    return table.append_column("topic", pa.array([topic.name] * len(records), type=pa.string()))
