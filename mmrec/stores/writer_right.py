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

from mmrec.config import StoreSettings
from mmrec.features.profile_rows import RowLayout
from mmrec.stores.online_engine import Lease, online_engine
from mmrec.stores.sqlite.writer_lock import take_writer_lock


@dataclass(frozen=True, kw_only=True)
class HeldWriterRight:
    """Held until close(), or until the process ends."""

    lock: IO[str]
    lease: Lease | None
    layouts: dict[str, RowLayout]
    """Where the rows of each generation are for workers without Feast; none where there is no lease."""

    @property
    def holder(self) -> bytes | None:
        """What the lease must hold for a write to be made; None where there is no lease."""
        return self.lease.holder if self.lease is not None else None

    @property
    def lost(self) -> bool:
        """Whether another writer took over."""
        return self.lease is not None and self.lease.lost

    def __enter__(self) -> "HeldWriterRight":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give it back."""
        if self.lease is not None:
            self.lease.close()
        self.lock.close()


def take_writer_right(stores: StoreSettings, *, lock: IO[str] | None = None) -> HeldWriterRight:
    """Take it; on Redis after the lease of a writer that died has run out.

    Args:
        lock: The lock on the folder, where the caller has taken it; it is closed with the right.

    Raises:
        StoreError: another process has it.
        UnreachableError: Redis does not answer.
    """
    held = lock or take_writer_lock(Path(stores.feature_repo))
    try:
        taken = online_engine(stores.online_store).take_lease(stores)
    except BaseException:
        if lock is None:
            held.close()
        raise
    lease, layouts = taken if taken is not None else (None, {})
    return HeldWriterRight(lock=held, lease=lease, layouts=layouts)
