"""SQLite as the engine of the online store: one file in the repository's folder, and the lock on that folder."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mmrec.config import StoreSettings
from mmrec.features.schema import View
from mmrec.stores.sqlite.overlay import SqliteOverlay
from mmrec.stores.sqlite.profile_rows import SqliteProfileRows

if TYPE_CHECKING:
    from mmrec.stores.feast.repository import FeastRepository

BUSY_TIMEOUT_S: Final = 60.0
"""How long a write waits for the other writer's transaction."""
DATABASE: Final = "online.db"
PAGE_BYTES: Final = 16_384
"""Of a new online store; writing profiles takes a quarter less than with the default."""


class SqliteEngine:
    """See OnlineEngine."""

    feast_type = "sqlite"
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    database = DATABASE
    backup_note = ""
    erasure_note = ""

    def repository_lines(self, stores: StoreSettings) -> list[str]:
        """The file's name."""
        del stores
        return [f"  path: {DATABASE}"]

    def before_apply(self, folder: Path) -> None:
        """Profiles are some 10 KB: in the default pages of 4 KB each takes a chain of them."""
        if not (folder / DATABASE).exists():
            with _connected(folder) as connection:
                connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
                connection.execute("VACUUM")

    def after_apply(self, folder: Path) -> None:
        """Writing ahead is a property of the file: it holds for every process."""
        with _connected(folder) as connection:
            connection.execute("PRAGMA journal_mode=WAL")

    def lend_client(self, provider: Any, stores: StoreSettings, *, wait_s: float | None) -> None:
        """Feast's own opens the same file."""
        del provider, stores, wait_s

    def open_rows(self, repository: "FeastRepository", view: View, *, lease: bytes | None) -> SqliteProfileRows:
        """Rows of Feast's own table; there is no lease."""
        from mmrec.stores.feast.insides import sqlite_table

        del lease
        config = repository.config
        return SqliteProfileRows(
            str(Path(config.repo_path) / config.online_store.path),
            table=sqlite_table(config, repository.views[view.name]),
            join_key=view.join_key,
            busy_timeout_s=BUSY_TIMEOUT_S,
        )

    def take_lease(self, stores: StoreSettings) -> None:
        """None: the database lies in the folder whose lock the writer has."""
        del stores

    def open_overlay(self, stores: StoreSettings, *, wait_s: float) -> SqliteOverlay:
        """A file beside the profiles."""
        return SqliteOverlay(stores.feature_repo, busy_timeout_s=wait_s)


@contextmanager
def _connected(folder: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(folder / DATABASE, timeout=BUSY_TIMEOUT_S)
    try:
        with connection:
            yield connection
    finally:
        connection.close()
