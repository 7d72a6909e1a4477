"""Where an event came from: one partition of one topic of one cluster."""

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, order=True)
class Source:
    """One partition of one topic of one cluster; a recreated or mirrored topic is another source."""

    cluster_id: str
    topic_id: str
    partition: int


@lru_cache(maxsize=4_096)
def source_of(cluster_id: str, topic_id: str, partition: int) -> Source:
    """One shared object per source, so that equal ones are found by identity, without comparing fields."""
    return Source(cluster_id=cluster_id, topic_id=topic_id, partition=partition)
