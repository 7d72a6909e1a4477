"""Redis as the engine of the online store: a server or a cluster, with a lease on top of the writer's lock."""

import json
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from mmrec.config import StoreSettings
from mmrec.features.schema import PROFILE_VIEWS, View
from mmrec.stores.redis.access import Patience, overlay_access, redis_access
from mmrec.stores.redis.connection import parse_connection
from mmrec.stores.redis.overlay import RedisOverlay
from mmrec.stores.redis.profile_rows import RedisProfileRows
from mmrec.stores.redis.writer_lease import WriterLease, lease_failure, take_lease

if TYPE_CHECKING:
    from pathlib import Path

    from mmrec.features.profile_rows import RowLayout
    from mmrec.stores.feast.repository import FeastRepository


class RedisEngine:
    """See OnlineEngine."""

    feast_type = "redis"
    errors: tuple[type[Exception], ...] = (RedisError,)
    database = ""
    backup_note = "of Redis the profiles; item views are made anew from the log and the catalogue"
    erasure_note = (
        "keys were deleted; files that Redis itself writes (RDB, AOF) lose them with its next BGSAVE or BGREWRITEAOF"
    )

    def repository_lines(self, stores: StoreSettings) -> list[str]:
        """Where the servers are; who may log in is for every reader's own configuration."""
        return [
            *(["  redis_type: redis_cluster"] if stores.redis_cluster else []),
            f"  connection_string: {json.dumps(parse_connection(stores.redis_connection).without_login())}",
            # Without it Feast skips, in silence, a row that is not newer than the stored one.
            "  skip_dedup: true",
        ]

    def before_apply(self, folder: "Path") -> None:
        """Nothing."""

    def after_apply(self, folder: "Path") -> None:
        """Nothing."""

    def lend_client(self, provider: "Any", stores: StoreSettings, *, wait_s: float | None) -> None:
        """Feast's own client waits for ever, tries again for up to 12 seconds, and knows no file of a password."""
        from mmrec.stores.feast.insides import lend_redis_client

        access, patience = redis_access(stores), _patience(wait_s)
        lend_redis_client(provider, connect=lambda: access.connect(patience))

    def open_rows(self, repository: "FeastRepository", view: View, *, lease: bytes | None) -> RedisProfileRows:
        """Rows of Feast's own keys."""
        from mmrec.stores.redis.layout import redis_layout

        return RedisProfileRows(redis_layout(repository, view), lease=lease, patience=_patience(repository.wait_s))

    def take_lease(self, stores: StoreSettings) -> "tuple[WriterLease, dict[str, RowLayout]]":
        """After the lease of a writer that died has run out."""
        from mmrec.stores.feast.repository import open_repository
        from mmrec.stores.redis.layout import redis_layout

        try:
            repository = open_repository(stores.feature_repo, stores=stores)
            layouts = {name: redis_layout(repository, view) for name, view in PROFILE_VIEWS.items()}
            return take_lease(redis_access(stores).connect(Patience.of_leases())), dict(layouts)
        except RedisError as error:
            raise lease_failure(error) from error

    def open_overlay(self, stores: StoreSettings, *, wait_s: float) -> RedisOverlay:
        """In the same server, or in the one that the configuration names for it."""
        return RedisOverlay(overlay_access(stores), timeout_s=wait_s)


def _patience(wait_s: float | None) -> Patience:
    return Patience.of_jobs() if wait_s is None else Patience.of_requests(wait_s)
