"""Up to where Spark has planned a micro-batch, from what it writes into its checkpoint before it runs the batch.

A transaction ends with a marker, and an aborted one leaves nothing but offsets. No record tells that they were passed,
so the records of a batch alone would leave the stream behind for ever.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from mmrec.scoring.source import Source
from mmrec.stream.rows import StreamTopic


def planned_ends(checkpoint: Path, batch_id: int, topics: Mapping[str, StreamTopic]) -> dict[Source, int]:
    """Highest offset of each source that the batch covers, whether or not it is one of a record.

    Args:
        checkpoint: The query's checkpointLocation; `offsets/<batch id>` in it holds a version, the batch's settings and
            one line of JSON for the only source: topic -> partition -> the offset after the last one.
        topics: By name.
    """
    _, _, line = (checkpoint / "offsets" / str(batch_id)).read_text(encoding="utf-8").splitlines()
    return {
        Source(cluster_id=topics[name].cluster_id, topic_id=topics[name].topic_id, partition=int(partition)): end - 1
        for name, ends in json.loads(line).items()
        for partition, end in ends.items()
    }
