"""Where a Feast repository on Redis keeps the rows of a view."""

from mmrec.features.schema import View
from mmrec.stores.feast.insides import key_prefix, redis_view_name
from mmrec.stores.feast.repository import FeastRepository
from mmrec.stores.redis.access import redis_access
from mmrec.stores.redis.profile_rows import RedisLayout


def redis_layout(repository: FeastRepository, view: View) -> RedisLayout:
    """Everything another process needs to read and write the rows of `view` without Feast."""
    config = repository.config
    return RedisLayout(
        access=redis_access(repository.stores),
        key_prefix=key_prefix(view.join_key),
        key_suffix=config.project.encode(),
        view=redis_view_name(config, repository.views[view.name]),
    )
