"""What is used of Spark 4.0.2 beyond its documented settings and calls, and why.

- planned_offsets. A transaction ends with a marker, and an aborted one leaves nothing but offsets: no record of a batch
  shows that they were passed. Spark's progress, the documented way, comes after the batch, and never after the last.
- CHECKPOINT_SETTINGS. Every micro-batch writes two files there. The default manager runs a shell for each file's state
  and rights, and makes a checksum: 37 and 41 ms; with these two settings 8 and 7 ms. The folder is emptied at every
  start, so what the checksums protect is never read again. A memory disk gains nothing more.
- shuffle_parts. The numbers that go to each partition are needed before the first batch; asking Spark itself is a job
  of its own, which takes a cold JVM 4 s.
"""

import json
from itertools import count
from pathlib import Path
from typing import Final

import mmh3

from mmrec.errors import IncompatibleStateError
from mmrec.programs.pinned import PinnedLibrary

SPARK: Final = PinnedLibrary(name="pyspark", version="4.0.2", module=__name__)
CHECKPOINT_SETTINGS: Final = {
    "spark.sql.streaming.checkpointFileManagerClass": (
        "org.apache.spark.sql.execution.streaming.FileSystemBasedCheckpointFileManager"
    ),
    "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
}
_OFFSETS_VERSION: Final = "v1"
_HASH_SEED: Final = 42


def planned_offsets(checkpoint: Path, batch_id: int) -> dict[str, dict[int, int]]:
    """Topic -> partition -> the offset after the last one that a batch covers, whether or not that holds a record.

    Spark writes `offsets/<batch id>` before it runs the batch: a version, the batch's settings, and one line of JSON
    for each source.

    Args:
        checkpoint: The query's checkpointLocation; the query reads one source.

    Raises:
        LibraryVersionError: another version of Spark is installed.
        IncompatibleStateError: the file is not of that form.
    """
    SPARK.check()
    path = checkpoint / "offsets" / str(batch_id)
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) != 3 or lines[0] != _OFFSETS_VERSION:
        raise IncompatibleStateError(
            f"{path} begins {lines[:1]} and has {len(lines)} lines; Spark {SPARK.version} writes "
            f"{_OFFSETS_VERSION!r}, the settings and the offsets of one source"
        )
    return {topic: {int(place): end for place, end in ends.items()} for topic, ends in json.loads(lines[2]).items()}


def shuffle_parts(num_partitions: int) -> list[int]:
    """For each of `num_partitions`, a number that Spark's shuffle sends there.

    If Spark's hash were a different one, partitions would be uneven, but nothing would be wrong.
    """
    found: dict[int, int] = {}
    for part in count():
        # Spark's hash of an int: MurmurHash3, 32 bits, of its four bytes; the place is that modulo the partitions.
        found.setdefault(mmh3.hash(part.to_bytes(4, "little"), _HASH_SEED) % num_partitions, part)
        if len(found) == num_partitions:
            break
    return [found[place] for place in range(num_partitions)]
