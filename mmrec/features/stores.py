"""The port to the online feature store, and its reference: a store in memory that keeps the same laws.

Reads leave absent keys out. A value once written is read by every process at once. Writes are absolute (the whole
value of a key), so writing again is harmless. One process writes profiles, one writes item views.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from mmrec.catalog.item import CatalogEntry
from mmrec.features.schema import feature_fingerprint
from mmrec.features.values import Neighbors, PopularItems, StreamProgress
from mmrec.scoring.item_statistics import ItemStatistics
from mmrec.scoring.packing import pack, unpack
from mmrec.scoring.profile import UserProfile


class FeatureStore(Protocol):
    """Online features by key."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the schema this store was made for (mmrec.features.schema)."""
        ...

    def read_profiles(self, user_keys: Iterable[str]) -> dict[str, UserProfile]:
        """Profiles by key.

        Raises:
            IncompatibleStateError: a stored profile is of a format this code does not read.
        """
        ...

    def write_profiles(
        self, profiles: Mapping[str, UserProfile], *, write_time_s: float, progress: StreamProgress | None = None
    ) -> None:
        """Replace profiles.

        Args:
            write_time_s: Instant of the write, for people: the last write stands, even where clocks went back.
            progress: Replaces the stored progress, in one step with the profiles where the engine can, else after them.
        """
        ...

    def read_progress(self) -> StreamProgress | None:
        """What the last write_profiles with a progress left; None before the first."""
        ...

    def delete_profiles(self, user_keys: Iterable[str]) -> None:
        """Remove profiles, so that the engine keeps no byte of them where it can; absent keys do no harm."""
        ...

    def user_keys(self) -> Iterator[str]:
        """Keys of all profiles, each once, in any order; profiles may be written and deleted meanwhile."""
        ...

    def read_item_statistics(self, item_ids: Iterable[str]) -> dict[str, ItemStatistics]:
        """Item statistics by item."""
        ...

    def write_item_statistics(self, statistics: Mapping[str, ItemStatistics], *, write_time_s: float) -> None:
        """Replace item statistics."""
        ...

    def read_neighbors(self, item_ids: Iterable[str]) -> dict[str, Neighbors]:
        """Neighbors by item."""
        ...

    def write_neighbors(self, neighbors: Mapping[str, Neighbors], *, write_time_s: float) -> None:
        """Replace neighbors."""
        ...

    def read_item_content(self, item_ids: Iterable[str]) -> dict[str, CatalogEntry]:
        """Serving fields by item."""
        ...

    def write_item_content(self, entries: Mapping[str, CatalogEntry], *, write_time_s: float) -> None:
        """Replace serving fields; an item that is gone is written as hidden."""
        ...

    def read_popular(self, domain: str) -> PopularItems | None:
        """Popular items of a domain, "" for all domains; None where none were written."""
        ...

    def write_popular(self, domain: str, popular: PopularItems, *, write_time_s: float) -> None:
        """Replace the popular items of a domain."""
        ...


class MemoryFeatureStore:
    """Everything in dictionaries of one process; profiles are kept packed, as an engine would."""

    def __init__(self) -> None:
        self._profiles: dict[str, bytes] = {}
        self._statistics: dict[str, ItemStatistics] = {}
        self._neighbors: dict[str, Neighbors] = {}
        self._entries: dict[str, CatalogEntry] = {}
        self._popular: dict[str, PopularItems] = {}
        self._progress: StreamProgress | None = None

    @property
    def fingerprint(self) -> str:
        """Fingerprint of this code's schema."""
        return feature_fingerprint()

    def read_profiles(self, user_keys: Iterable[str]) -> dict[str, UserProfile]:
        """Profiles by key."""
        return {key: unpack(self._profiles[key]) for key in user_keys if key in self._profiles}

    def write_profiles(
        self, profiles: Mapping[str, UserProfile], *, write_time_s: float, progress: StreamProgress | None = None
    ) -> None:
        """Replace profiles and progress in one step."""
        packed = {key: pack(profile) for key, profile in profiles.items()}
        self._profiles.update(packed)
        if progress is not None:
            self._progress = progress

    def read_progress(self) -> StreamProgress | None:
        """What the last write left."""
        return self._progress

    def delete_profiles(self, user_keys: Iterable[str]) -> None:
        """Remove profiles."""
        for key in user_keys:
            self._profiles.pop(key, None)

    def user_keys(self) -> Iterator[str]:
        """Keys as of the call."""
        return iter(list(self._profiles))

    def read_item_statistics(self, item_ids: Iterable[str]) -> dict[str, ItemStatistics]:
        """Item statistics by item."""
        return {key: self._statistics[key] for key in item_ids if key in self._statistics}

    def write_item_statistics(self, statistics: Mapping[str, ItemStatistics], *, write_time_s: float) -> None:
        """Replace item statistics."""
        self._statistics.update(statistics)

    def read_neighbors(self, item_ids: Iterable[str]) -> dict[str, Neighbors]:
        """Neighbors by item."""
        return {key: self._neighbors[key] for key in item_ids if key in self._neighbors}

    def write_neighbors(self, neighbors: Mapping[str, Neighbors], *, write_time_s: float) -> None:
        """Replace neighbors."""
        self._neighbors.update(neighbors)

    def read_item_content(self, item_ids: Iterable[str]) -> dict[str, CatalogEntry]:
        """Serving fields by item."""
        return {key: self._entries[key] for key in item_ids if key in self._entries}

    def write_item_content(self, entries: Mapping[str, CatalogEntry], *, write_time_s: float) -> None:
        """Replace serving fields."""
        self._entries.update(entries)

    def read_popular(self, domain: str) -> PopularItems | None:
        """Popular items of a domain."""
        return self._popular.get(domain)

    def write_popular(self, domain: str, popular: PopularItems, *, write_time_s: float) -> None:
        """Replace the popular items of a domain."""
        self._popular[domain] = popular
