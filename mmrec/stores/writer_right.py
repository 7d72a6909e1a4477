"""The right to write profiles: a lock on the feature repository's folder, and on Redis a lease as well.

lock = take_writer_lock(Path(settings.stores.feature_repo))      at once or not at all
right = take_writer_right(settings.stores, lock=lock)
store = FeastFeatureStore(..., lease=right.holder)
...  right.lost says that another writer took over
right.close()
"""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from redis.exceptions import RedisError

from mmrec.config import StoreSettings
from mmrec.features.schema import PROFILE_VIEWS
from mmrec.stores.feast.repository import open_repository
from mmrec.stores.redis.layout import redis_layout
from mmrec.stores.redis.profile_rows import RedisLayout
from mmrec.stores.redis.writer_lease import WriterLease, lease_failure, take_lease
from mmrec.stores.sqlite.writer_lock import take_writer_lock


@dataclass(frozen=True, kw_only=True)
class WriterRight:
    """Held until close(), or until the process ends."""

    lock: IO[str]
    lease: WriterLease | None
    layouts: dict[str, RedisLayout]
    """Where the rows of each generation are in Redis; none on SQLite."""

    @property
    def holder(self) -> bytes | None:
        """What the lease must hold for a write to be made; None where there is no lease."""
        return self.lease.holder if self.lease is not None else None

    @property
    def lost(self) -> bool:
        """Whether another writer took over."""
        return self.lease is not None and self.lease.lost

    def __enter__(self) -> "WriterRight":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give it back."""
        if self.lease is not None:
            self.lease.close()
        self.lock.close()


def take_writer_right(stores: StoreSettings, *, lock: IO[str] | None = None) -> WriterRight:
    """Take it; on Redis after the lease of a writer that died has run out.

    Args:
        lock: The lock on the folder, where the caller has taken it; it is closed with the right.

    Raises:
        StoreError: another process has it.
        UnreachableError: Redis does not answer.
    """
    held = lock or take_writer_lock(Path(stores.feature_repo))
    try:
        if stores.online_store != "redis":
            return WriterRight(lock=held, lease=None, layouts={})
        repository = open_repository(stores.feature_repo)
        layouts = {name: redis_layout(repository, view) for name, view in PROFILE_VIEWS.items()}
        client = next(iter(layouts.values())).connect()
        return WriterRight(lock=held, lease=take_lease(client), layouts=layouts)
    except BaseException as error:
        if lock is None:
            held.close()
        if isinstance(error, RedisError):
            raise lease_failure(error) from error
        raise
