"""The online feature store in memory: the reference for all ports in mmrec.features.ports, with the same laws."""

import copy
from collections.abc import Iterable, Iterator, Mapping

from mmrec.catalog.item import CatalogEntry
from mmrec.features.packed_profiles import KeyedColumns, packed_profiles
from mmrec.features.schema import GENERATIONS, check_generation, check_idle_generation, feature_fingerprint
from mmrec.features.values import Neighbors, PackedProfile, PopularItems, StreamProgress
from mmrec.scoring.item_statistics import ItemStatistics
from mmrec.scoring.packing import pack, unpack
from mmrec.scoring.profile import UserProfile


class MemoryFeatureStore:
    """Everything in dictionaries of one process; profiles are kept packed, as an engine would."""

    def __init__(self) -> None:
        self._profiles: dict[str, dict[str, bytes]] = {name: {} for name in GENERATIONS}
        self._progress: dict[str, StreamProgress | None] = dict.fromkeys(GENERATIONS)
        self._pointers: dict[str, str | None] = {"live": GENERATIONS[0], "requested": None}
        self._fixed = ""
        self._statistics: dict[str, ItemStatistics] = {}
        self._neighbors: dict[str, Neighbors] = {}
        self._entries: dict[str, CatalogEntry] = {}
        self._popular: dict[str, PopularItems] = {}

    @property
    def fingerprint(self) -> str:
        """Fingerprint of this code's schema."""
        return feature_fingerprint()

    def read_profiles(self, user_keys: Iterable[str]) -> dict[str, UserProfile]:
        """Profiles by key."""
        return {key: unpack(packed) for key, packed in self.read_packed(user_keys).items()}

    def read_packed(self, user_keys: Iterable[str]) -> dict[str, bytes]:
        """Packed profiles by key."""
        profiles = self._profiles[self._fixed or self.live_generation()]
        return {key: profiles[key] for key in user_keys if key in profiles}

    def packed(
        self, profiles: Mapping[str, UserProfile], *, columns: Iterable[KeyedColumns] = ()
    ) -> dict[str, PackedProfile]:
        """Packed profiles; no JSON text is kept."""
        return packed_profiles(profiles, columns, config=None)

    def write_profiles(
        self,
        profiles: Mapping[str, UserProfile | PackedProfile],
        *,
        write_time_s: float,
        progress: StreamProgress | None = None,
    ) -> None:
        """Replace profiles and progress in one step."""
        packed = {key: p.packed if isinstance(p, PackedProfile) else pack(p) for key, p in profiles.items()}
        name = self._fixed or self.live_generation()
        self._profiles[name].update(packed)
        if progress is not None:
            self._progress[name] = progress

    def read_progress(self) -> StreamProgress | None:
        """The progress of the last write."""
        return self._progress[self._fixed or self.live_generation()]

    def delete_profiles(self, user_keys: Iterable[str]) -> None:
        """Remove profiles."""
        keys = list(user_keys)
        for name in [self._fixed] if self._fixed else GENERATIONS:
            for key in keys:
                self._profiles[name].pop(key, None)

    def user_keys(self) -> Iterator[str]:
        """Keys as of the call."""
        return iter(list(self._profiles[self._fixed or self.live_generation()]))

    def live_generation(self) -> str:
        """Name of the live generation."""
        return self._pointers["live"] or GENERATIONS[0]

    def set_live_generation(self, name: str) -> None:
        """Move the pointer."""
        self._pointers.update(live=check_generation(name), requested=None)

    def generation(self, name: str) -> "MemoryFeatureStore":
        """The same dictionaries, fixed to one generation."""
        fixed = copy.copy(self)
        fixed._fixed = check_generation(name)
        return fixed

    def begin_generation(self, name: str) -> None:
        """Empty a generation; decay rates are not kept."""
        check_idle_generation(name, live=self.live_generation())
        if self.requested_flip() == name:
            self.request_flip(None)
        self._profiles[name].clear()
        self._progress[name] = None

    def requested_flip(self) -> str | None:
        """The requested generation."""
        return self._pointers["requested"]

    def request_flip(self, name: str | None) -> None:
        """Make or withdraw a request."""
        self._pointers["requested"] = name if name is None else check_generation(name)

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
