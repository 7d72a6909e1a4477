"""Feast behind the ports of mmrec.features.ports.

Rows go to Feast's provider (its DataFrame path is half as fast) and to the same tables and registry, so `feast` and
get_online_features() see them too. Every write replaces what stands, whatever its instant: a clock that was set back
loses nothing.
"""

import copy
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mmrec.catalog.item import Availability, CatalogEntry
from mmrec.config import StoreSettings
from mmrec.errors import StoreError
from mmrec.features.packed_profiles import KeyedColumns, packed_profiles
from mmrec.features.progress_json import decode_progress, encode_progress
from mmrec.features.schema import (
    CONTROL_PREFIX,
    GENERATIONS,
    ITEM_CONTENT,
    ITEM_NEIGHBORS,
    ITEM_STATS,
    POPULAR_ITEMS,
    PROFILE_VIEWS,
    STREAM_PROGRESS_KEY,
    View,
    check_generation,
    feature_fingerprint,
)
from mmrec.features.values import Neighbors, PackedProfile, PopularItems, StreamProgress
from mmrec.scoring.item_statistics import ItemStatistics, pack_statistics, unpack_statistics
from mmrec.scoring.packing import unpack
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.stores.feast.engine import DoubleList, EntityKey, FloatList, StringList, Value
from mmrec.stores.feast.generation_pointer import GenerationPointer
from mmrec.stores.feast.repository import FeastRepository, open_repository
from mmrec.stores.online_engine import StoredRows, online_engine
from mmrec.stores.sqlite.busy import when_unlocked
from mmrec.stores.sqlite.engine import BUSY_TIMEOUT_S
from mmrec.wire.portions import portions

READ_CHUNK = 1_000
"""Keys per read: one SQL statement, or one Redis pipeline."""
DELETE_CHUNK = 20_000
"""Keys per transaction where a generation is emptied."""


class FeastFeatureStore:
    """The Feast repository of a deployment; threads of one process take turns."""

    def __init__(
        self,
        repo_folder: str,
        *,
        stores: StoreSettings | None = None,
        scoring: ScoringConfig | None = None,
        lease: bytes | None = None,
        wait_s: float | None = None,
    ) -> None:
        """Open an applied repository.

        Args:
            repo_folder: Folder of feature_store.yaml.
            stores: Addresses and logins of the engine; without them, those of feature_store.yaml, and no login.
            scoring: Weights for the values in the clear beside each profile, and the decay rates that a generation
                must have to be read; without it they are written empty, and any rates are read.
            lease: On Redis: the value that the writer's lease must have for profiles to be written
                (mmrec.stores.redis.writer_lease).
            wait_s: How long one call waits for the engine, where somebody waits for the answer; None for a job.

        Raises:
            StoreError: nothing was applied there.
            IncompatibleStateError: applied with another schema.
        """
        self._repository = open_repository(repo_folder, stores=stores, wait_s=wait_s)
        self._scoring = scoring
        self._lock = threading.Lock()
        self._lease = lease
        self._engine = online_engine(self._repository.online_store)
        self._errors: tuple[type[Exception], ...] = (*self._engine.errors, OSError)
        self._tables: dict[str, StoredRows] = {}
        self._fixed = ""
        self._fixed_fits = False
        self._pointer = GenerationPointer(
            read=lambda name, keys: dict(self._read_packed(name, keys)),
            write=lambda name, values: self._write_packed(
                name, {key: {"packed": value} for key, value in values.items()}, time.time()
            ),
            applied_rates=applied_rates(self._repository),
            rates=None if scoring is None else scoring.decay_per_day,
            where=str(self._repository.config.repo_path),
        )

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the schema; the repository was checked against it when it was opened."""
        return feature_fingerprint()

    def read_profiles(self, user_keys: Iterable[str]) -> dict[str, UserProfile]:
        """Profiles by key."""
        return {key: unpack(packed) for key, packed in self._read_packed(self._generation(), user_keys)}

    def read_packed(self, user_keys: Iterable[str]) -> dict[str, bytes]:
        """Packed profiles by key."""
        return dict(self._read_packed(self._generation(), user_keys))

    def packed(
        self, profiles: Mapping[str, UserProfile], *, columns: Iterable[KeyedColumns] = ()
    ) -> dict[str, PackedProfile]:
        """Packed profiles with their values in the clear."""
        return packed_profiles(profiles, columns, config=self._scoring)

    def write_profiles(
        self,
        profiles: Mapping[str, UserProfile | PackedProfile],
        *,
        write_time_s: float,
        progress: StreamProgress | None = None,
    ) -> None:
        """Replace profiles; on SQLite profiles and progress are one transaction, on Redis progress comes after."""
        packed = {key: profile for key, profile in profiles.items() if isinstance(profile, PackedProfile)}
        packed |= self.packed({k: p for k, p in profiles.items() if not isinstance(p, PackedProfile)})
        rows: dict[str, Mapping[str, bytes | str]] = {key: profile._asdict() for key, profile in packed.items()}
        if progress is not None:
            rows[STREAM_PROGRESS_KEY] = {"packed": encode_progress(progress)}
        self._write_packed(self._generation(), rows, write_time_s)

    def read_progress(self) -> StreamProgress | None:
        """What the last write with a progress left; of a fixed generation whatever its rates."""
        for _, packed in self._read_packed(self._fixed or self._generation(), [STREAM_PROGRESS_KEY]):
            return decode_progress(packed)
        return None

    def delete_profiles(self, user_keys: Iterable[str]) -> None:
        """Remove profiles; on SQLite their bytes are overwritten and the WAL is emptied."""
        keys = list(dict.fromkeys(user_keys))
        for name in [self._fixed] if self._fixed else GENERATIONS:
            self._delete(name, keys)

    def user_keys(self) -> Iterator[str]:
        """Keys of all profiles."""
        return (key for key in self._rows(self._generation()).keys("packed") if not key.startswith(CONTROL_PREFIX))

    def live_generation(self) -> str:
        """Name of the live generation, whatever its rates."""
        return self._pointer.live_of_any_rates()

    def set_live_generation(self, name: str) -> None:
        """Move the pointer."""
        self._pointer.set_live(name)

    def generation(self, name: str) -> "FeastFeatureStore":
        """The same store fixed to one generation; its rates are checked when profiles are first read or written."""
        fixed = copy.copy(self)
        fixed._fixed, fixed._fixed_fits = check_generation(name), False
        return fixed

    def begin_generation(self, name: str) -> None:
        """Empty a generation and note the configured rates with it."""
        self._pointer.begin(name, empty=lambda: self._empty(name))

    def requested_flip(self) -> str | None:
        """The generation asked for."""
        return self._pointer.requested()

    def request_flip(self, name: str | None) -> None:
        """Leave or take back a request."""
        self._pointer.request(name)

    @property
    def generations(self) -> GenerationPointer:
        """The pointer itself, for those who must look at generations of other rates."""
        return self._pointer

    def read_item_statistics(self, item_ids: Iterable[str]) -> dict[str, ItemStatistics]:
        """Item statistics by item."""
        rows = self._read(ITEM_STATS, item_ids, ["packed"])
        return {key: unpack_statistics(row["packed"].bytes_val) for key, row in rows}

    def write_item_statistics(self, statistics: Mapping[str, ItemStatistics], *, write_time_s: float) -> None:
        """Replace item statistics."""
        rows = {
            key: {
                "packed": Value(bytes_val=pack_statistics(value)),
                "reference_time_s": Value(double_val=value.reference_time_s),
            }
            for key, value in statistics.items()
        }
        self._write(ITEM_STATS, rows, write_time_s)

    def read_neighbors(self, item_ids: Iterable[str]) -> dict[str, Neighbors]:
        """Neighbors by item."""
        names = ["neighbor_ids", "weights", "built_time_s"]
        return {
            key: Neighbors(
                item_ids=tuple(row["neighbor_ids"].string_list_val.val),
                weights_K=np.array(row["weights"].float_list_val.val, dtype=np.float32),
                built_time_s=row["built_time_s"].double_val,
            )
            for key, row in self._read(ITEM_NEIGHBORS, item_ids, names)
        }

    def write_neighbors(self, neighbors: Mapping[str, Neighbors], *, write_time_s: float) -> None:
        """Replace neighbors."""
        rows = {
            key: {
                "neighbor_ids": Value(string_list_val=StringList(val=value.item_ids)),
                "weights": Value(float_list_val=FloatList(val=value.weights_K.tolist())),
                "built_time_s": Value(double_val=value.built_time_s),
            }
            for key, value in neighbors.items()
        }
        self._write(ITEM_NEIGHBORS, rows, write_time_s)

    def read_item_content(self, item_ids: Iterable[str]) -> dict[str, CatalogEntry]:
        """Serving fields by item."""
        return {key: _entry(row["entry"].string_val) for key, row in self._read(ITEM_CONTENT, item_ids, ["entry"])}

    def write_item_content(self, entries: Mapping[str, CatalogEntry], *, write_time_s: float) -> None:
        """Replace serving fields."""
        rows = {
            key: {
                "entry": Value(string_val=json.dumps(asdict(entry), separators=(",", ":"), ensure_ascii=False)),
                "title": Value(string_val=entry.title),
                "price": Value(double_val=entry.price),
                "availability": Value(int64_val=int(entry.availability)),
            }
            for key, entry in entries.items()
        }
        self._write(ITEM_CONTENT, rows, write_time_s)

    def read_popular(self, domain: str) -> PopularItems | None:
        """Popular items of a domain."""
        for _, row in self._read(POPULAR_ITEMS, [domain], ["item_ids", "popularity", "as_of_s"]):
            return PopularItems(
                item_ids=tuple(row["item_ids"].string_list_val.val),
                popularity_K=np.array(row["popularity"].double_list_val.val, dtype=np.float64),
                as_of_s=row["as_of_s"].double_val,
            )
        return None

    def write_popular(self, domain: str, popular: PopularItems, *, write_time_s: float) -> None:
        """Replace the popular items of a domain."""
        row = {
            "item_ids": Value(string_list_val=StringList(val=popular.item_ids)),
            "popularity": Value(double_list_val=DoubleList(val=popular.popularity_K.tolist())),
            "as_of_s": Value(double_val=popular.as_of_s),
        }
        self._write(POPULAR_ITEMS, {domain: row}, write_time_s)

    def _generation(self) -> str:
        """The generation this call is about."""
        if not self._fixed:
            return self._pointer.live()
        if not self._fixed_fits:
            self._pointer.check(self._fixed)
            self._fixed_fits = True
        return self._fixed

    def _rows(self, name: str) -> StoredRows:
        """Rows of a generation; called with the lock held, or by a store nobody shares yet."""
        if name not in self._tables:
            view, repository = PROFILE_VIEWS[name], self._repository
            self._tables[name] = self._engine.open_rows(repository, view, lease=self._lease)
        return self._tables[name]

    def _read_packed(self, name: str, keys: Iterable[str]) -> list[tuple[str, bytes]]:
        with self._lock:
            try:
                return list(self._rows(name).read(dict.fromkeys(keys), "packed"))
            except self._errors as error:
                raise _store_error("reading profiles", error) from error

    def _write_packed(self, name: str, rows: Mapping[str, Mapping[str, bytes | str]], write_time_s: float) -> None:
        # On Redis, what is written last is done last: progress must not be ahead of profiles.
        last = {key: row for key, row in rows.items() if key.startswith(CONTROL_PREFIX)}
        ordered = {**{key: row for key, row in rows.items() if key not in last}, **last}
        with self._lock:
            try:
                self._rows(name).write(ordered, write_time_s=write_time_s)
            except self._errors as error:
                raise _store_error(f"writing {len(rows)} profiles", error) from error

    def _delete(self, name: str, keys: Sequence[str]) -> None:
        if not keys:
            return
        with self._lock:
            try:
                self._rows(name).delete(keys)
            except self._errors as error:
                raise _store_error(f"deleting {len(keys)} profiles", error) from error

    def _empty(self, name: str) -> None:
        for chunk in portions(self._rows(name).keys("packed"), DELETE_CHUNK):
            self._delete(name, chunk)

    def _read(self, view: View, keys: Iterable[str], names: list[str]) -> Iterator[tuple[str, dict[str, Value]]]:
        repository = self._repository
        for chunk in portions(dict.fromkeys(keys), READ_CHUNK):
            entity_keys = [_entity_key(view, key) for key in chunk]
            with self._lock:
                try:
                    found = repository.provider.online_read(
                        repository.config,
                        repository.views[view.name],
                        entity_keys,
                        list(names),  # Feast adds to it
                    )
                except self._errors as error:
                    raise _store_error(f"reading {len(chunk)} rows of {view.name}", error) from error
            for key, (_, row) in zip(chunk, found, strict=True):
                # SQLite has no row for an absent key, Redis one of values that hold nothing.
                if row and all(name in row and row[name].WhichOneof("val") for name in names):
                    yield key, row

    def _write(self, view: View, rows: Mapping[str, Mapping[str, Value]], write_time_s: float) -> None:
        if not rows:
            return
        repository = self._repository
        instant = datetime.fromtimestamp(write_time_s, UTC)
        data = [(_entity_key(view, key), row, instant, None) for key, row in rows.items()]
        with self._lock:
            try:
                when_unlocked(
                    lambda: repository.provider.online_write_batch(
                        repository.config, repository.views[view.name], data, progress=None
                    ),
                    patience_s=BUSY_TIMEOUT_S,
                )
            except self._errors as error:
                raise _store_error(f"writing {len(rows)} rows of {view.name}", error) from error


def applied_rates(repository: FeastRepository) -> list[float]:
    """Decay rates the repository was applied with, per day."""
    rates: list[float] = json.loads(repository.tags.get("decay_per_day", "[]"))
    return rates


def check_rates(stores: StoreSettings, decay_per_day: Sequence[float]) -> None:
    """IncompatibleStateError where the live generation of an applied repository decays by other rates than these."""
    pointer = FeastFeatureStore(stores.feature_repo, stores=stores).generations.with_rates(decay_per_day)
    pointer.check(pointer.live_of_any_rates())


def _entity_key(view: View, key: str) -> EntityKey:
    return EntityKey(join_keys=[view.join_key], entity_values=[Value(string_val=key)])


def _entry(text: str) -> CatalogEntry:
    values: dict[str, Any] = json.loads(text)
    return CatalogEntry(**{**values, "availability": Availability(values["availability"])})


def _store_error(what: str, error: Exception) -> StoreError:
    return StoreError(f"the online store failed {what}: {type(error).__name__}: {error}")
