"""Popular items near requests, as a replica keeps them: read by its thread, never while a request waits.

    places = NearPlaces(("country", "device"))
    places.of({"country": "SE"})            what is known of these values now; notes that they were asked for
    places.refresh(store, now_s=...)        reads what was asked for and is new or old; called every second or so

The first request from a new place gets what is popular as a whole, the next ones what is popular there.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from mmrec.features.ports import ItemViewReader
from mmrec.features.values import PopularItems
from mmrec.recall.near import near_keys

MAX_KEPT: Final = 1_000
"""Values that are kept; more are not noted until the replica starts again."""
AGE_S: Final = 15.0
"""Lists are read again after this time."""
READ_AT_ONCE: Final = 20
"""Lists of one refresh()."""


class NearPlaces:
    """Any number of threads ask; one refreshes."""

    def __init__(self, popular_by: Sequence[str]) -> None:
        """Start with nothing known."""
        self._popular_by = tuple(popular_by)
        self._found: dict[str, PopularItems | None] = {}
        self._read_s: dict[str, float] = {}

    def of(self, context: Mapping[str, str]) -> tuple[PopularItems, ...]:
        """Popular items of each value of a context that is known."""
        if not self._popular_by or not context:
            return ()
        found = []
        for key in near_keys(self._popular_by, context):
            if key not in self._found and len(self._found) < MAX_KEPT:
                self._found[key] = None
            if (near := self._found.get(key)) is not None:
                found.append(near)
        return tuple(found)

    def refresh(self, store: ItemViewReader, *, now_s: float) -> None:
        """Read the lists that are new or were read longest ago; a clock that only goes forward gives `now_s`."""
        due = [key for key in tuple(self._found) if now_s - self._read_s.get(key, -AGE_S) >= AGE_S]
        for key in sorted(due, key=lambda each: self._read_s.get(each, -AGE_S))[:READ_AT_ONCE]:
            self._found[key] = store.read_popular(key)
            self._read_s[key] = now_s

    @property
    def num_kept(self) -> int:
        """Values that were asked for."""
        return len(self._found)
