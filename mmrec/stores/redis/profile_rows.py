"""Rows of a profile view in Redis, read and written as Feast does but without it, for workers that must start fast.

    layout = redis_layout(repository, view)          where and under which names; can be sent to another process
    rows = RedisProfileRows(layout, lease=holder)    the port mmrec.features.profile_rows.ProfileRows

A row is a hash under (entity key, project); a field is the 32-bit hash of "view:feature". With a lease, writes happen
only while its holder has it. On a single server, check and write are one step (WATCH, MULTI), and a server that was
restarted is refused. On a cluster the lease is read just before each portion, so a writer that lost it can still finish
the portion it had begun.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from redis import Redis
from redis.cluster import RedisCluster
from redis.exceptions import WatchError

from mmrec.stores.feast.insides import bytes_value, entity_key, key_start, redis_field, redis_stamp_field, value_message
from mmrec.stores.redis.access import Patience, RedisAccess
from mmrec.stores.redis.writer_lease import BATCH_KEY, LEASE_KEY, LeaseLostError, StaleBatchError, connect_to_server_of
from mmrec.wire.portions import portions

PORTION: Final = 500
"""Keys per round trip."""
STORED_NAMES: Final = ("packed", "clear")
"""Features of a profile view."""


@dataclass(frozen=True, kw_only=True)
class RedisLayout:
    """What a process needs to know to read and write the rows of one view."""

    access: RedisAccess
    key_prefix: bytes
    """Serialized entity key up to the length of the value."""
    key_suffix: bytes
    """The project."""
    view: str
    """Feast's name of the view."""

    @property
    def is_cluster(self) -> bool:
        """Whether it is a Redis Cluster."""
        return self.access.is_cluster

    def connect(self, *, lease: bytes | None = None, patience: Patience | None = None) -> "Redis | RedisCluster":
        """A client; RedisError where no node of a cluster answers.

        Args:
            lease: Connect only to the run of the server that gave this lease; on a cluster this is not checked.
            patience: That of a job, if None.
        """
        greeting = None if lease is None else connect_to_server_of(lease)
        return self.access.connect(patience or Patience.of_jobs(), on_connect=greeting)


class RedisProfileRows:
    """One view's rows; not for two threads at a time."""

    def __init__(self, layout: RedisLayout, *, lease: bytes | None = None, patience: Patience | None = None) -> None:
        """Connect.

        Args:
            patience: That of a job, if None.
            lease: The value that the lease must have for a write to happen; a single server must be the run that gave
                it. With None, writes always happen.
        """
        self._layout = layout
        self._lease = lease
        self._client: Any = layout.connect(lease=lease, patience=patience)
        self._stamp_field = redis_stamp_field(layout.view)

    def read(self, keys: Iterable[str], name: str) -> Iterator[tuple[str, bytes]]:
        """(key, value) of the bytes feature `name` for the keys that have it."""
        field = self._field(name)
        for chunk in portions(keys, PORTION):
            with self._client.pipeline(transaction=False) as pipe:
                for key in chunk:
                    pipe.hget(self._key(key), field)
                messages = pipe.execute()
            yield from ((key, bytes_value(m)) for key, m in zip(chunk, messages, strict=True) if m)

    def begin_batch(self, batch: bytes) -> None:
        """Refuse writes for any other micro-batch from now on."""
        self._do([partial(_name_batch, batch=batch)])

    def write(
        self, rows: Mapping[str, Mapping[str, bytes | str]], *, write_time_s: float, batch: bytes | None = None
    ) -> None:
        """Replace the named values of each key, each key in one step; text becomes string_val, bytes bytes_val.

        Args:
            batch: The micro-batch this is for, so that a worker that was given up cannot overwrite later profiles.

        Raises:
            LeaseLostError: another writer took over, or the server was restarted.
            StaleBatchError: a later micro-batch has begun. In both cases, a single server has written nothing of the
                current portion.
        """
        stamp = Timestamp()
        stamp.FromNanoseconds(int(write_time_s * 1e9))
        stamped = {self._stamp_field: stamp.SerializeToString()}
        fields = {name: self._field(name) for values in rows.values() for name in values}
        for chunk in portions(rows.items(), PORTION):
            self._do(
                [
                    partial(
                        _put,
                        place=self._key(key),
                        values={**stamped, **{fields[name]: value_message(value) for name, value in values.items()}},
                    )
                    for key, values in chunk
                ],
                batch=batch,
            )

    def delete(self, keys: Sequence[str]) -> None:
        """Remove the view's values of each key; other views stay, and Redis drops rows that are then empty."""
        fields = (self._stamp_field, *(self._field(name) for name in STORED_NAMES))
        for chunk in portions(keys, PORTION):
            self._do([partial(_remove, place=self._key(key), fields=fields) for key in chunk])

    def keys(self, name: str) -> Iterator[str]:
        """Every key that has the feature `name`; keys written meanwhile may be among them."""
        layout, field = self._layout, self._field(name)
        start, end = key_start(layout.key_prefix), len(layout.key_suffix)
        pattern = _literal(layout.key_prefix) + b"*" + _literal(layout.key_suffix)
        found: set[bytes] = set()
        for place in self._client.scan_iter(pattern, count=PORTION):
            if place in found or not self._client.hexists(place, field):
                continue
            found.add(place)
            yield place[start : len(place) - end].decode()

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def _do(self, commands: Sequence[Callable[[Any], None]], *, batch: bytes | None = None) -> None:
        """Send one portion."""
        if self._lease is None or self._layout.is_cluster:
            self._check(self._client, batch)
            with self._client.pipeline(transaction=False) as pipe:
                for command in commands:
                    command(pipe)
                pipe.execute()
            return
        while True:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.watch(LEASE_KEY, BATCH_KEY)
                self._check(pipe, batch)
                pipe.multi()
                for command in commands:
                    command(pipe)
                try:
                    pipe.execute()
                except WatchError:  # renewed or taken meanwhile: check again
                    continue
                return

    def _check(self, client: Any, batch: bytes | None) -> None:
        if self._lease is not None and client.get(LEASE_KEY) != self._lease:
            raise LeaseLostError(self._lease)
        if batch is not None and client.get(BATCH_KEY) != batch:
            raise StaleBatchError(batch)

    def _key(self, key: str) -> bytes:
        return entity_key(self._layout.key_prefix, key) + self._layout.key_suffix

    def _field(self, name: str) -> bytes:
        return redis_field(self._layout.view, name)


def _put(pipe: Any, *, place: bytes, values: Mapping[bytes, bytes]) -> None:
    pipe.hset(place, mapping=values)


def _name_batch(pipe: Any, *, batch: bytes) -> None:
    pipe.set(BATCH_KEY, batch)


def _remove(pipe: Any, *, place: bytes, fields: Sequence[bytes]) -> None:
    pipe.hdel(place, *fields)


def _literal(text: bytes) -> bytes:
    """`text` as a pattern that matches itself only."""
    return b"".join(b"\\" + bytes((c,)) if c in b"*?[]\\^-" else bytes((c,)) for c in text)
