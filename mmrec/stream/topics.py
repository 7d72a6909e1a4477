"""What the stream knows of its topics before it reads: which ones they are, and where each partition starts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mmrec.scoring.source import Source
from mmrec.stream.rows import StreamTopic


@dataclass(frozen=True, kw_only=True)
class StreamReading:
    """What a stream reads, and from where."""

    topics: Mapping[str, StreamTopic]
    """By name."""
    starts: Mapping[Source, int]
    """First offset per source."""

    @property
    def spark_offsets(self) -> str:
        """Spark's option `startingOffsets`."""
        return spark_offsets(self.starts, self.topics)


class StreamTopics(Protocol):
    """The topics that the stream reads."""

    def begin(self, marks: Mapping[Source, int]) -> StreamReading:
        """Where a stream continues when its store is at `marks`; logs how many unread records the broker has deleted.

        Raises:
            ConfigurationError: the broker does not stamp events itself.
            NotFoundError: a topic does not exist.
            UnreachableError: no broker answers at the moment.
            StoreError: the broker has lost records that were read from it.
        """
        ...

    def check(self, topics: Mapping[str, StreamTopic]) -> bool:
        """Whether the broker answers; StoreError where a topic was deleted and created again since."""
        ...

    def ends(self, topics: Mapping[str, StreamTopic]) -> dict[Source, int]:
        """Where each source can be read to now; errors as Topics.ends()."""
        ...


def spark_offsets(starts: Mapping[Source, int], topics: Mapping[str, StreamTopic]) -> str:
    """Spark's option `startingOffsets`: JSON of topic -> partition -> first offset to read."""
    names = {topic.topic_id: name for name, topic in topics.items()}
    offsets: dict[str, dict[str, int]] = {name: {} for name in topics}
    for source, offset in starts.items():
        offsets[names[source.topic_id]][str(source.partition)] = offset
    return json.dumps(offsets)
