"""StreamProgress as JSON, as stores keep it."""

import json

from mmrec.errors import IncompatibleStateError
from mmrec.features.record_counts import counts_in
from mmrec.features.values import StreamProgress
from mmrec.scoring.source import Source

FORMAT = 1


def encode_progress(progress: StreamProgress) -> bytes:
    """JSON of a progress; sources are sorted, so that equal progress gives equal bytes."""
    marks = [
        [source.cluster_id, source.topic_id, source.partition, offset]
        for source, offset in sorted(progress.marks.items())
    ]
    document = {
        "format": FORMAT,
        "marks": marks,
        "counts": progress.counts.document(),
        "newest_ingest_time_s": progress.newest_ingest_time_s,
        "log_sequence": progress.log_sequence,
        "num_forgotten": progress.num_forgotten,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode_progress(data: bytes) -> StreamProgress:
    """The progress that encode_progress wrote; IncompatibleStateError for another format."""
    document = json.loads(data)
    if document.get("format") != FORMAT:
        raise IncompatibleStateError(f"stream progress is of format {document.get('format')}, this code reads {FORMAT}")
    return StreamProgress(
        marks={
            Source(cluster_id=cluster_id, topic_id=topic_id, partition=partition): offset
            for cluster_id, topic_id, partition, offset in document["marks"]
        },
        counts=counts_in(document["counts"]),
        newest_ingest_time_s=document["newest_ingest_time_s"],
        log_sequence=document["log_sequence"],
        num_forgotten=document.get("num_forgotten", 0),
    )
