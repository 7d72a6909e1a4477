"""Marks: the highest offset a profile has seen of each source, in the order in which sources last moved.

A user's events come from one partition of a topic, so a profile knows few sources: one more whenever the topic is
created anew, mirrored, or given more partitions. Beyond MAX_SOURCES, those that have not moved for longest are dropped.
That is exact as long as no dropped source is delivered from its beginning again; only the ring of ids would then find
its repeats.
"""

from collections.abc import Mapping
from typing import Final

from mmrec.scoring.source import Source

MAX_SOURCES: Final = 64
"""Sources a profile remembers."""


def moved(marks: Mapping[Source, int], source: Source, offset: int) -> dict[Source, int]:
    """Marks with one source at `offset`, which is beyond its mark."""
    found = dict(marks)
    found.pop(source, None)
    found[source] = offset
    return found if len(found) <= MAX_SOURCES else _newest(found)


def joined(older: Mapping[Source, int], newer: Mapping[Source, int]) -> dict[Source, int]:
    """The greater mark of each source; those of `newer` count as moved last."""
    found = {source: offset for source, offset in older.items() if source not in newer}
    found.update({source: max(offset, older.get(source, -1)) for source, offset in newer.items()})
    return found if len(found) <= MAX_SOURCES else _newest(found)


def _newest(marks: dict[Source, int]) -> dict[Source, int]:
    return dict(list(marks.items())[-MAX_SOURCES:])
