"""The overlay on Redis, where the online store is Redis: one hash per user key, one sorted set per source.

    mmrec:overlay:user:<user key>                    hash, "<source>|<offset>" -> entry as JSON; expires as a backstop
    mmrec:overlay:source:<cluster>/<topic>/<part>    sorted set by offset, "<offset>|<ingest ms>|<user key>"
    mmrec:overlay:sources                            set of the sources that have one

The sorted sets show what to prune and which entries are oldest. Readers use only the hashes, which are written first.
"""

import json
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from redis.exceptions import RedisError

from mmrec.collecting.overlay import MAX_ENTRIES, OverlayEntry, OverlayFigures, in_order, outlives
from mmrec.errors import StoreError
from mmrec.scoring.source import Source
from mmrec.stores.redis.access import Patience, RedisAccess

PREFIX: Final = "mmrec:overlay:"
TIME_TO_LIVE_S: Final = 7 * 86_400
"""A user's entries expire when nothing was added for this long; normally, pruning removes them before."""
STEP: Final = 1_000
"""Entries removed in one round trip."""


class RedisOverlay:
    """Entries in one Redis for all processes of a deployment."""

    def __init__(self, access: RedisAccess, *, max_entries: int = MAX_ENTRIES, timeout_s: float = 0.25) -> None:
        """Connect at the first call.

        Args:
            access: Of a single server.
            timeout_s: How long a call waits to connect, and for each answer; nothing is tried twice.
        """
        self._redis: Any = access.connect(Patience.of_requests(timeout_s), decode_responses=True)
        self._max_entries = max_entries
        self._num_entries = 0
        self._num_dropped = 0
        self._lock = threading.Lock()

    def add(self, entries: Sequence[OverlayEntry]) -> None:
        """Add entries in one pipeline; remove the oldest where there are too many."""
        with self._failing("adding entries"):
            pipeline = self._redis.pipeline(transaction=False)
            by_user: dict[str, dict[str, str]] = {}
            by_source: dict[Source, dict[str, float]] = {}
            for entry in entries:
                by_user.setdefault(entry.user_key, {})[_place(entry.source, entry.offset)] = json.dumps(entry[3:])
                by_source.setdefault(entry.source, {})[_member(entry)] = entry.offset
            for user_key, fields in by_user.items():
                pipeline.hset(_user(user_key), mapping=fields)
                pipeline.expire(_user(user_key), TIME_TO_LIVE_S)
            for source, members in by_source.items():
                pipeline.zadd(_sorted(source), members)
            if by_source:
                pipeline.sadd(PREFIX + "sources", *(_name(source) for source in by_source))
            pipeline.execute()
            self._num_entries += len(entries)
            if self._num_entries > self._max_entries:
                self._drop_oldest()

    def read(self, user_keys: Iterable[str]) -> dict[str, list[OverlayEntry]]:
        """Entries by user key, in one round trip."""
        keys = list(dict.fromkeys(user_keys))
        with self._failing("reading entries"):
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.hgetall(_user(key))
            answers = pipeline.execute()
        return {
            key: in_order([_entry(key, place, value) for place, value in found.items()])
            for key, found in zip(keys, answers, strict=True)
            if found
        }

    def prune(self, marks: Mapping[Source, int]) -> int:
        """Remove what the marks have passed."""
        removed = 0
        with self._failing("pruning"):
            for source in self._sources():
                mark = marks.get(source, -1)
                while members := self._redis.zrange(_sorted(source), 0, mark, byscore=True, offset=0, num=STEP):
                    self._remove(source, members)
                    removed += len(members)
            self._count()
        return removed

    def keep_topic(self, cluster_id: str, topic_id: str) -> int:
        """Remove entries of other topics."""
        removed = 0
        with self._failing("dropping other topics"):
            for source in self._sources():
                if (source.cluster_id, source.topic_id) == (cluster_id, topic_id):
                    continue
                while members := self._redis.zrange(_sorted(source), 0, STEP - 1):
                    self._remove(source, members)
                    removed += len(members)
                self._redis.srem(PREFIX + "sources", _name(source))
            self._count()
        return removed

    def forget(self, user_key: str, request: OverlayEntry | None = None, *, known_up_to_s: float = math.inf) -> int:
        """Remove a user's entries."""
        with self._failing("forgetting"):
            found = [_entry(user_key, place, value) for place, value in self._redis.hgetall(_user(user_key)).items()]
            gone = [entry for entry in found if not outlives(entry, request, known_up_to_s)]
            pipeline = self._redis.pipeline(transaction=False)
            for entry in gone:
                pipeline.hdel(_user(user_key), _place(entry.source, entry.offset))
                pipeline.zrem(_sorted(entry.source), _member(entry))
            pipeline.execute()
            self._num_entries -= len(gone)
        return len(gone)

    def figures(self) -> OverlayFigures:
        """As of the last change."""
        return OverlayFigures(max(self._num_entries, 0), self._num_dropped)

    def close(self) -> None:
        """Disconnect."""
        self._redis.close()

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (RedisError, OSError) as error:
            raise StoreError(f"the overlay on Redis failed {what}: {type(error).__name__}: {error}") from error

    def _sources(self) -> list[Source]:
        return sorted(_source(name) for name in self._redis.smembers(PREFIX + "sources"))

    def _count(self) -> None:
        self._num_entries = sum(self._redis.zcard(_sorted(source)) for source in self._sources())

    def _remove(self, source: Source, members: Sequence[str]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for member in members:
            offset, _, user_key = member.split("|", 2)
            pipeline.hdel(_user(user_key), _place(source, int(offset)))
        pipeline.zrem(_sorted(source), *members)
        pipeline.execute()

    def _drop_oldest(self) -> None:
        """Remove entries down to a little below the bound, so that this is needed seldom."""
        self._count()
        left = self._num_entries - self._max_entries
        left += self._max_entries // 16 if left > 0 else 0
        while left > 0:
            heads = [
                (int(member.split("|", 2)[1]), source, member)
                for source in self._sources()
                for member in self._redis.zrange(_sorted(source), 0, min(left, STEP) - 1)
            ]
            oldest = sorted(heads)[: min(left, STEP)]
            if not oldest:
                return
            for source in {source for _, source, _ in oldest}:
                self._remove(source, [member for _, of, member in oldest if of == source])
            left -= len(oldest)
            self._num_entries -= len(oldest)
            self._num_dropped += len(oldest)


def _user(user_key: str) -> str:
    return f"{PREFIX}user:{user_key}"


def _name(source: Source) -> str:
    return f"{source.cluster_id}/{source.topic_id}/{source.partition}"


def _source(name: str) -> Source:
    cluster_id, topic_id, partition = name.rsplit("/", 2)
    return Source(cluster_id, topic_id, int(partition))


def _sorted(source: Source) -> str:
    return f"{PREFIX}source:{_name(source)}"


def _place(source: Source, offset: int) -> str:
    return f"{_name(source)}|{offset}"


def _member(entry: OverlayEntry) -> str:
    return f"{entry.offset}|{round(entry.ingest_time_s * 1_000)}|{entry.user_key}"


def _entry(user_key: str, place: str, value: str) -> OverlayEntry:
    name, _, offset = place.rpartition("|")
    return OverlayEntry(user_key, _source(name), int(offset), *json.loads(value))
