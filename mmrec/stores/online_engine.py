"""What is peculiar to each engine of the online store; everything else is Feast's, and the same for all.

    engine = online_engine(settings.stores.online_store)

An engine is one folder in mmrec/stores/ with a class that keeps this port, its name in OnlineStore of
mmrec.connections.engines, and one case here. It passes tests/contract/test_feature_store.py and test_overlay.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from mmrec.config import OnlineStore, StoreSettings
from mmrec.features.schema import View

if TYPE_CHECKING:
    from mmrec.collecting.overlay import Overlay
    from mmrec.features.profile_rows import RowLayout
    from mmrec.stores.feast.repository import FeastRepository


class StoredRows(Protocol):
    """The rows of one view of profiles, past Feast; not for two threads at a time."""

    def read(self, keys: Iterable[str], name: str) -> Iterator[tuple[str, bytes]]:
        """(key, value) of the bytes feature `name` for the keys that have it."""
        ...

    def write(self, rows: Mapping[str, Mapping[str, bytes | str]], *, write_time_s: float) -> None:
        """Replace the named values of each key: all rows in one step, or in their order."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove rows, so that the engine keeps no byte of them where it can; absent keys do no harm."""
        ...

    def keys(self, name: str) -> Iterator[str]:
        """Keys that have the feature `name`, each once; rows may be written and deleted meanwhile."""
        ...


class Lease(Protocol):
    """The right to write, held in the engine itself until close(), and renewed meanwhile."""

    @property
    def holder(self) -> bytes:
        """What the engine must hold for a write to be made."""
        ...

    @property
    def lost(self) -> bool:
        """Whether another writer took over."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class OnlineEngine(Protocol):
    """One engine. Stateless; what it opens is the caller's."""

    @property
    def feast_type(self) -> str:
        """`type` of Feast's online store: a name that Feast knows, or the path of a class."""
        ...

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What its client raises where the engine fails."""
        ...

    @property
    def database(self) -> str:
        """File in the repository that holds everything, for backups; empty where they read profiles by the port."""
        ...

    @property
    def backup_note(self) -> str:
        """What a person must know of a backup; empty for nothing."""
        ...

    @property
    def erasure_note(self) -> str:
        """What a receipt of an erasure says of bytes that the engine may still have; empty for none."""
        ...

    def repository_lines(self, stores: StoreSettings) -> list[str]:
        """What `online_store` in feature_store.yaml has beside the type; it names no folder."""
        ...

    def before_apply(self, folder: Path) -> None:
        """Called before views are applied to a repository, for the first time or again."""
        ...

    def after_apply(self, folder: Path) -> None:
        """Called when they are."""
        ...

    def lend_client(self, provider: Any, stores: StoreSettings, *, wait_s: float | None) -> None:
        """Give Feast's provider a client, where its own would not be bounded in time or cannot log in.

        Args:
            provider: feast.infra.provider.Provider.
            wait_s: How long one call waits for the engine; None for the patience of a job.
        """
        ...

    def open_rows(self, repository: "FeastRepository", view: View, *, lease: bytes | None) -> StoredRows:
        """The rows of a profile view.

        Args:
            lease: What the engine must hold for a write to be made; None for no condition.
        """
        ...

    def take_lease(self, stores: StoreSettings) -> "tuple[Lease, dict[str, RowLayout]] | None":
        """A lease, and where the rows of each generation are, for workers without Feast.

        None where the lock on the repository's folder is enough and workers cannot write.

        Raises:
            StoreError: another process has it.
            UnreachableError: the engine does not answer.
        """
        ...

    def open_overlay(self, stores: StoreSettings, *, wait_s: float) -> "Overlay":
        """The overlay beside it; nothing is opened before its first call.

        Args:
            wait_s: How long a call waits for the engine.
        """
        ...


def online_engine(name: OnlineStore) -> OnlineEngine:
    """The engine of that name."""
    match name:
        case "sqlite":
            from mmrec.stores.sqlite.engine import SqliteEngine

            return SqliteEngine()
        case "redis":
            from mmrec.stores.redis.engine import RedisEngine

            return RedisEngine()
        case other:
            assert_never(other)
