"""A batch of Kafka's that cannot be decoded, in the scoring stream: Spark's reader fails at it, at every start again.

What stands before it is taken here, record by record, and progress moves past it: the next start reads on behind it.
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
"""Records taken together."""
_PLACE = re.compile(r"fetching the next record from (\S+)-(\d+)\b")
"""In what Kafka's Java client says of such a batch."""


def pass_broken_batch(
    stream: ScoringStream, settings: Settings, topics: Mapping[str, StreamTopic], broker: Topics, failure: str
) -> str:
    """Move the stream past the batch at which Spark failed, with all records before it.

    Args:
        broker: Where the topics are read.
        failure: What Spark says; it names topic and partition.

    Returns:
        What was done, for the log; Spark's own first line where it was something else that failed.

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
            continue  # of another one, where it goes on is nobody's concern here
        first = skipped.first
        if first is not None and first.partition == partition and record.offset > first.first_offset:
            return
        yield record


def _raw(records: list[TopicRecord], topic: StreamTopic, settings: Settings) -> pa.Table:
    """As decoded_stream() has them: of long keys and values only as much as refusing them takes."""
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
