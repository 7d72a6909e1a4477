"""A Feast repository on disk: its configuration, its registry, and how its online store is opened.

repository_yaml(stores)                        text of feature_store.yaml
apply_objects(folder, objects, ...)            registry and tables, refused where stored state would not fit
repository = open_repository(folder)           provider and views, checked against this code's schema
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from mmrec.config import OnlineStore, StoreSettings
from mmrec.errors import IncompatibleStateError, StoreError
from mmrec.features.schema import USER_PROFILE, VIEWS, store_fingerprint
from mmrec.stores.feast.insides import KEY_VERSION
from mmrec.stores.online_engine import online_engine


@dataclass(frozen=True, kw_only=True)
class FeastRepository:
    """An opened repository."""

    config: Any
    """feast.RepoConfig"""
    provider: Any
    """feast Provider: online_write_batch and online_read."""
    views: dict[str, Any]
    """feast.FeatureView by name."""
    online_store: OnlineStore
    stores: StoreSettings
    """Addresses and logins of this process's configuration; what feature_store.yaml has of them, where it has none."""
    wait_s: float | None
    """How long one call waits for the engine; None for the patience of a job."""
    tags: dict[str, str]
    """Tags of user_profile: schema fingerprint and decay rates it was applied with."""


def repository_yaml(stores: StoreSettings) -> str:
    """feature_store.yaml; it names no folder, so the repository can be moved."""
    engine = online_engine(stores.online_store)
    lines = [
        "project: mmrec",
        "provider: local",
        "registry:",
        "  registry_type: file",
        "  path: registry.db",
        "  cache_ttl_seconds: 600",
        "offline_store:",
        "  type: file",
        "online_store:",
        f"  type: {engine.feast_type}",
        *engine.repository_lines(stores),
        f"entity_key_serialization_version: {KEY_VERSION}",
        "auth:",
        "  type: no_auth",
    ]
    return "\n".join(lines) + "\n"


def is_applied(folder: Path) -> bool:
    """Whether views were applied to the repository in `folder` before; its feature_store.yaml is written.

    Raises:
        IncompatibleStateError: they were, with another schema.
    """
    from mmrec.stores.feast.engine import feast

    tags = [dict(v.tags) for v in feast.FeatureStore(repo_path=str(folder)).list_feature_views()]
    for found in tags:
        _check_schema(found, str(folder))
    return bool(tags)


def apply_objects(folder: Path, objects: Sequence[Any], *, stores: StoreSettings) -> None:
    """Apply Feast objects to the repository in `folder`, whose feature_store.yaml is written.

    Raises:
        IncompatibleStateError: it was applied before with another schema, so stored state would be read wrongly.
    """
    from mmrec.stores.feast.engine import feast

    is_applied(folder)
    store = feast.FeatureStore(repo_path=str(folder))
    engine = online_engine(_engine(store, str(folder)))
    engine.lend_client(store.provider, stores, wait_s=None)
    engine.before_apply(folder)
    store.apply(list(objects))
    engine.after_apply(folder)


def _engine(store: Any, folder: str) -> OnlineStore:
    """The online store that feature_store.yaml names; nobody else than repository_yaml() should have written it."""
    for engine in get_args(OnlineStore):
        if store.config.online_store.type == online_engine(engine).feast_type:
            return engine  # type: ignore[no-any-return]
    raise IncompatibleStateError(
        f"{folder}/feature_store.yaml has the online store {store.config.online_store.type!r}; known:"
        f" {', '.join(get_args(OnlineStore))}"
    )


def open_repository(
    folder: str, *, stores: StoreSettings | None = None, wait_s: float | None = None
) -> FeastRepository:
    """Open an applied repository.

    Args:
        stores: Addresses and logins of the engine; without them, those that feature_store.yaml has, and no login.
        wait_s: How long one call waits for the engine; None for the patience of a job.

    Raises:
        StoreError: nothing was applied there.
        IncompatibleStateError: it was applied with another schema than this code's.
    """
    from mmrec.stores.feast.engine import feast

    if not (Path(folder) / "feature_store.yaml").is_file():
        raise StoreError(f"no feature repository at {folder}; run `python -m feature_repo.apply`")
    store = feast.FeatureStore(repo_path=folder)
    views = {view.name: view for view in store.list_feature_views()}
    for view in views.values():
        _check_schema(dict(view.tags), folder)
    missing = sorted({view.name for view in VIEWS} - set(views))
    if missing:
        raise StoreError(f"the feature repository at {folder} lacks {missing}; run `python -m feature_repo.apply`")
    tags = dict(views[USER_PROFILE.name].tags)
    online_store = _engine(store, folder)
    stores = stores or _stores(store.config, folder, online_store)
    online_engine(online_store).lend_client(store.provider, stores, wait_s=wait_s)
    return FeastRepository(
        config=store.config,
        provider=store.provider,
        views=views,
        online_store=online_store,
        stores=stores,
        wait_s=wait_s,
        tags=tags,
    )


def _stores(config: Any, folder: str, online_store: OnlineStore) -> StoreSettings:
    """What feature_store.yaml says of the engine."""
    online, is_redis = config.online_store, online_store == "redis"
    connection = online.connection_string if is_redis else ""
    is_cluster = is_redis and online.redis_type == "redis_cluster"
    return StoreSettings(
        feature_repo=folder,
        online_store=online_store,
        redis_connection=connection,
        redis_cluster=is_cluster,
        overlay_connection=connection.split(",")[0] if is_cluster else "",
    )


def _check_schema(tags: dict[str, str], folder: str) -> None:
    if tags.get("schema") != store_fingerprint():
        raise IncompatibleStateError(
            f"{folder} was applied with schema {tags.get('schema')}, this code has {store_fingerprint()}; move the "
            "folder away, run `python -m feature_repo.apply`, and the stream fills it from the event log at its start"
        )
