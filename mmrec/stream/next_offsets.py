"""Where a reader of topics continues, given what it has read and what the broker has."""

from collections.abc import Mapping

from mmrec.errors import StoreError
from mmrec.scoring.source import Source


def next_offsets(held: Mapping[Source, tuple[int, int]], marks: Mapping[Source, int]) -> tuple[dict[Source, int], int]:
    """Where to continue reading.

    Args:
        held: Per source the first offset the broker has, and the one its next record will get.
        marks: Highest offset processed per source; sources without one start at their beginning.

    Returns:
        The first offset to read per source, and how many records behind the marks the broker has already deleted.

    Raises:
        StoreError: a partition ends before its mark. The broker lost records that it had acknowledged and will give
            their offsets to new ones, which the stream would take for repeats.
    """
    starts: dict[Source, int] = {}
    num_deleted = 0
    for source, (beginning, end) in held.items():
        next_offset = marks.get(source, -1) + 1
        if next_offset > end:
            raise StoreError(
                f"partition {source.partition} of topic {source.topic_id} was read to offset {next_offset} and ends at "
                f"{end}: the broker lost records; make the topic anew, and what is sent then has offsets of its own"
            )
        if source in marks:
            num_deleted += max(beginning - next_offset, 0)
        starts[source] = max(next_offset, beginning)
    return starts, num_deleted
