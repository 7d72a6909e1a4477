"""Rows of a profile view that Feast keeps in Redis: removing them and listing their keys, which Feast cannot do.

Feast keeps one hash per entity; a view has a field per feature in it, named by a hash of view and feature.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key_prefix
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from mmrec.features.schema import View

SCAN_COUNT: Final = 1_000
"""Keys that Redis looks at per SCAN."""


class RedisRows:
    """One view."""

    def __init__(self, client: Any, *, project: str, view: View) -> None:
        """Speak about a view.

        Args:
            client: redis.Redis, Feast's own.
        """
        self._client = client
        self._project = project
        self._view = view

    def delete(self, keys: Sequence[str]) -> None:
        """Remove the view's fields of each key, in one pipeline; other views of the same entity stay."""
        fields = [f"_ts:{self._view.name}", *(self._field(field.name) for field in self._view.fields)]
        with self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                entity_key = EntityKey(join_keys=[self._view.join_key], entity_values=[Value(string_val=key)])
                pipe.hdel(_redis_key(self._project, entity_key), *fields)
            pipe.execute()

    def keys(self, name: str) -> Iterator[str]:
        """Every key that has the feature `name`, each once."""
        prefix = serialize_entity_key_prefix([self._view.join_key])
        tail, field, seen = self._project.encode(), self._field(name), set()
        for entity in self._client.scan_iter(b"".join([prefix, b"*", tail]), count=SCAN_COUNT):
            if entity not in seen and self._client.hexists(entity, field):
                seen.add(entity)
                value = deserialize_entity_key(entity.removesuffix(tail)).entity_values[0]
                yield value.string_val

    def _field(self, name: str) -> bytes:
        return bytes(_mmh3(f"{self._view.name}:{name}"))
