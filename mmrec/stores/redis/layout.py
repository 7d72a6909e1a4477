"""Where a Feast repository on Redis keeps the rows of a view."""

from mmrec.features.schema import View
from mmrec.stores.feast.engine import EntityKey, Value, serialize_entity_key
from mmrec.stores.feast.repository import FeastRepository
from mmrec.stores.feast.value_bytes import LENGTH
from mmrec.stores.redis.profile_rows import RedisLayout


def redis_layout(repository: FeastRepository, view: View) -> RedisLayout:
    """Everything another process needs to read and write the rows of `view` without Feast."""
    from feast.infra.online_stores.redis import RedisOnlineStore, _versioned_fv_name

    config = repository.config
    store = config.online_store
    nodes, options = RedisOnlineStore._parse_connection_string(store.connection_string)
    empty = EntityKey(join_keys=[view.join_key], entity_values=[Value(string_val="")])
    return RedisLayout(
        nodes=tuple((node["host"], int(node["port"])) for node in nodes),
        options=tuple(sorted(options.items())),
        is_cluster=store.redis_type == "redis_cluster",
        key_prefix=serialize_entity_key(empty, entity_key_serialization_version=3)[: -LENGTH.size],
        key_suffix=config.project.encode(),
        view=_versioned_fv_name(repository.views[view.name], config),
    )
