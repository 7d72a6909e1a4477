"""The offsets up to which Spark has planned a micro-batch, whether or not they hold records."""

from collections.abc import Mapping
from pathlib import Path

from jobs.spark_insides import planned_offsets
from mmrec.scoring.source import Source
from mmrec.stream.rows import StreamTopic


def planned_ends(checkpoint: Path, batch_id: int, topics: Mapping[str, StreamTopic]) -> dict[Source, int]:
    """Highest offset of each source that the batch covers, whether or not it holds a record.

    Args:
        checkpoint: The query's checkpointLocation.
        topics: By name.
    """
    return {
        Source(cluster_id=topics[name].cluster_id, topic_id=topics[name].topic_id, partition=partition): end - 1
        for name, ends in planned_offsets(checkpoint, batch_id).items()
        for partition, end in ends.items()
    }
