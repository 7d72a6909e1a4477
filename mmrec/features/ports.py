"""Ports to the online feature store, by concern: ask for the smallest one that has what you call.

    ProfileReader, ProfileStore            profiles of users by key, and how far the stream has come
    GenerationStore                        which generation of profiles is live, and its change
    ProfileGenerations                     both: what the stream and a rebuild work on
    ItemViewReader, ItemViewStore          statistics and neighbors by item, popular items by domain
    ItemContentReader, ItemContentStore    serving fields by item
    ServingFeatures                        everything a replica reads
    FeatureStore                           all of it: what an engine provides and mmrec.wiring opens

Reads leave absent keys out. A value once written is read by every process at once. Writes are absolute (the whole
value of a key), so writing again is harmless. One process writes profiles, one writes item views.

Profiles and their progress are kept in two generations, "a" and "b"; a pointer names the live one. A store reads and
writes the live one as of each call; store.generation(name) is the same store fixed to one of them. A rebuild fills the
other one and has the pointer moved (mmrec/stream/rebuild.py).

mmrec.features.stores.MemoryFeatureStore is the reference; the laws are in tests/contract/test_feature_store.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from mmrec.catalog.item import CatalogEntry
from mmrec.features.packed_profiles import KeyedColumns
from mmrec.features.values import Neighbors, PackedProfile, PopularItems, StreamProgress
from mmrec.scoring.item_statistics import ItemStatistics
from mmrec.scoring.profile import UserProfile


class ProfileReader(Protocol):
    """Profiles of users by key, and how far the stream has come with them."""

    def read_profiles(self, user_keys: Iterable[str]) -> dict[str, UserProfile]:
        """Profiles by key.

        Raises:
            IncompatibleStateError: a stored profile is of a format this code does not read.
        """
        ...

    def read_progress(self) -> StreamProgress | None:
        """The progress of the last write_profiles() that had one; None before the first."""
        ...


class ProfileStore(ProfileReader, Protocol):
    """ProfileReader, and what the one writer of profiles needs."""

    def read_packed(self, user_keys: Iterable[str]) -> dict[str, bytes]:
        """The same as read_profiles, packed (mmrec.scoring.packing)."""
        ...

    def packed(
        self, profiles: Mapping[str, UserProfile], *, columns: Iterable[KeyedColumns] = ()
    ) -> dict[str, PackedProfile]:
        """The profiles as write_profiles() will store them; writes nothing.

        Args:
            columns: Further profiles held as columns, with their keys.
        """
        ...

    def write_profiles(
        self,
        profiles: Mapping[str, UserProfile | PackedProfile],
        *,
        write_time_s: float,
        progress: StreamProgress | None = None,
    ) -> None:
        """Replace profiles.

        Args:
            profiles: Either form; packed ones come from packed() of this store.
            write_time_s: Instant of the write, for people: the last write wins, even where clocks went back.
            progress: Replaces the stored progress, in one step with the profiles where the engine can, else after them.
        """
        ...

    def delete_profiles(self, user_keys: Iterable[str]) -> None:
        """Remove profiles, so that the engine keeps no byte of them where it can; absent keys do no harm.

        They are removed from all generations, or from the one this store is fixed to.
        """
        ...

    def user_keys(self) -> Iterator[str]:
        """Keys of all profiles, each once, in any order; profiles may be written and deleted meanwhile.

        Those of the generation that is live as of the call, or of the one this store is fixed to.
        """
        ...


class GenerationStore(Protocol):
    """Which generation of profiles is live, and how another one takes its place."""

    def live_generation(self) -> str:
        """Name of the generation that readers see."""
        ...

    def set_live_generation(self, name: str) -> None:
        """Let readers see another generation, all of it at once; this fulfils a request for a flip.

        Raises:
            NotFoundError: no generation has this name.
        """
        ...

    def generation(self, name: str) -> ProfileStore:
        """The same store fixed to one generation, whichever is live; connections are shared.

        Raises:
            NotFoundError: no generation has this name.
        """
        ...

    def begin_generation(self, name: str) -> None:
        """Empty a generation, progress included, and record the configured decay rates with it.

        A request to make it live is withdrawn.

        Raises:
            NotFoundError: no generation has this name.
            InvalidRequestError: it is live.
        """
        ...

    def requested_flip(self) -> str | None:
        """The generation that was requested to become live; None where there is no request."""
        ...

    def request_flip(self, name: str | None) -> None:
        """Ask the writer of profiles to bring a generation up to date and make it live; None withdraws the request.

        Raises:
            NotFoundError: no generation has this name.
        """
        ...


class ProfileGenerations(ProfileStore, GenerationStore, Protocol):
    """The live profiles, and the change to others: what the stream and a rebuild work on."""


class ItemViewReader(Protocol):
    """What the item jobs derive from the event log."""

    def read_item_statistics(self, item_ids: Iterable[str]) -> dict[str, ItemStatistics]:
        """Item statistics by item."""
        ...

    def read_neighbors(self, item_ids: Iterable[str]) -> dict[str, Neighbors]:
        """Neighbors by item."""
        ...

    def read_popular(self, domain: str) -> PopularItems | None:
        """Popular items of a domain, "" for all domains; None where none were written."""
        ...


class ItemViewStore(ItemViewReader, Protocol):
    """The same, for their one writer."""

    def write_item_statistics(self, statistics: Mapping[str, ItemStatistics], *, write_time_s: float) -> None:
        """Replace item statistics."""
        ...

    def write_neighbors(self, neighbors: Mapping[str, Neighbors], *, write_time_s: float) -> None:
        """Replace neighbors."""
        ...

    def write_popular(self, domain: str, popular: PopularItems, *, write_time_s: float) -> None:
        """Replace the popular items of a domain."""
        ...


class ItemContentReader(Protocol):
    """The fields of an item that a list shows."""

    def read_item_content(self, item_ids: Iterable[str]) -> dict[str, CatalogEntry]:
        """Serving fields by item."""
        ...


class ItemContentStore(ItemContentReader, Protocol):
    """The same, for its one writer."""

    def write_item_content(self, entries: Mapping[str, CatalogEntry], *, write_time_s: float) -> None:
        """Replace serving fields; a removed item is written as hidden."""
        ...


class ServingFeatures(ProfileReader, ItemViewReader, ItemContentReader, Protocol):
    """Everything a replica reads; it writes nothing."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the schema this store was made for (mmrec.features.schema)."""
        ...


class FeatureStore(ServingFeatures, ProfileGenerations, ItemViewStore, ItemContentStore, Protocol):
    """Online features by key: all ports, as one engine provides them."""
