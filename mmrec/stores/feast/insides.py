"""What is used of Feast 0.67.0 beyond its documented calls: how it is imported, and how its stores lay rows out.

- Import. Two things take most of `import feast` and are of no use to us: it loads torch where torch is installed, and
  it rewrites its classes with run-time type checks (typeguard). So its module for torch is one that loads torch when it
  is asked for, and the checks are left out, as `python -O` would leave them.
- Rows. Profiles are read and written below Feast, in its tables and hashes: twice as fast as through its provider, with
  progress in the same transaction (SQLite), under the writer's lease (Redis), and by workers that never import Feast.
  Feast reads what is written so, and the other way round (tests/contract/test_feature_store.py).
- Redis's client. Feast makes it from one line of text, which has no room for the file of a password or for retries.
"""

import importlib
import struct
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import typeguard
from google.protobuf.message import DecodeError

from mmrec.programs.pinned import PinnedLibrary
from mmrec.v1.feature_value_pb2 import FeatureValue

FEAST: Final = PinnedLibrary(name="feast", version="0.67.0", module=__name__)
KEY_VERSION: Final = 3
"""entity_key_serialization_version of our repositories."""
_TORCH_MODULE: Final = "feast.torch_wrapper"
_LENGTH: Final = struct.Struct("<I")


def import_feast() -> ModuleType:
    """The package, imported without torch and without run-time type checks.

    Raises:
        LibraryVersionError: another version is installed.
    """
    FEAST.check()
    if "feast" not in sys.modules:
        lazy: Any = ModuleType(_TORCH_MODULE)
        lazy.get_torch = lambda: importlib.import_module("torch")
        sys.modules[_TORCH_MODULE] = lazy
        checked, typeguard.typechecked = typeguard.typechecked, _unchecked
        try:
            return importlib.import_module("feast")
        finally:
            typeguard.typechecked = checked
    return importlib.import_module("feast")


def _unchecked(target: Any = None, **_: Any) -> Any:
    """In place of typeguard's decorator, with and without arguments."""
    decorated: Callable[[Any], Any] = lambda plain: plain  # noqa: E731
    return decorated if target is None else target


def key_prefix(join_key: str) -> bytes:
    """A serialized entity key with one text, up to the length of the text."""
    import_feast()
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    empty = EntityKey(join_keys=[join_key], entity_values=[Value(string_val="")])
    prefix: bytes = serialize_entity_key(empty, entity_key_serialization_version=KEY_VERSION)[: -_LENGTH.size]
    return prefix


def entity_key(prefix: bytes, key: str) -> bytes:
    """The serialized entity key of `key`; `prefix` is key_prefix()'s."""
    encoded = key.encode()
    return b"".join((prefix, _LENGTH.pack(len(encoded)), encoded))


def key_start(prefix: bytes) -> int:
    """Where the text begins in a serialized entity key."""
    return len(prefix) + _LENGTH.size


def sqlite_table(config: Any, feature_view: Any) -> str:
    """Name of a view's table in the SQLite file."""
    from feast.infra.online_stores.helpers import compute_table_id

    name: str = compute_table_id(config.project, feature_view, config.registry.enable_online_feature_view_versioning)
    return name


def redis_view_name(config: Any, feature_view: Any) -> str:
    """A view's name within the fields of its hashes."""
    from feast.infra.online_stores.helpers import compute_versioned_name

    name: str = compute_versioned_name(feature_view, config.registry.enable_online_feature_view_versioning)
    return name


def redis_field(view: str, feature: str) -> bytes:
    """The field of a hash that holds a feature; `view` is redis_view_name()'s."""
    import mmh3

    return _LENGTH.pack(mmh3.hash(f"{view}:{feature}", signed=False))


def redis_stamp_field(view: str) -> bytes:
    """The field of a hash that holds the instant of writing."""
    return f"_ts:{view}".encode()


def value_message(value: bytes | str) -> bytes:
    """A stored value: a serialized feast.types.Value."""
    message = FeatureValue(bytes_val=value) if isinstance(value, bytes) else FeatureValue(string_val=value)
    serialized: bytes = message.SerializeToString()
    return serialized


def lend_redis_client(provider: Any, *, connect: Callable[[], Any]) -> None:
    """Let a provider's Redis store use the client that `connect` makes at the first call."""
    import_feast()
    from feast.infra.online_stores.redis import RedisOnlineStore

    class LentRedisOnlineStore(RedisOnlineStore):  # type: ignore[misc]
        """Feast's, with a client made elsewhere."""

        _client: Any = None

        def _get_client(self, online_store_config: Any) -> Any:
            del online_store_config
            if self._client is None:
                self._client = connect()
            return self._client

    provider._online_store = LentRedisOnlineStore()


def bytes_value(message: bytes) -> bytes:
    """The bytes of a stored value.

    Raises:
        ValueError: it holds something else, or is no stored value.
    """
    try:
        value = FeatureValue.FromString(message)
    except DecodeError as error:
        raise ValueError(f"what begins {message[:8]!r} is no stored value: {error}") from error
    if value.WhichOneof("val") != "bytes_val":
        raise ValueError(f"a stored value that begins {message[:8]!r} holds no bytes")
    held: bytes = value.bytes_val
    return held
