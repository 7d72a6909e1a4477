"""The text that names a Redis, in Feast's form: host:port[,host:port...][,name=value...], separated by commas."""

import json
from dataclasses import dataclass
from typing import Any

from mmrec.errors import ConfigurationError

_TEXTS = ("password", "username")
"""Options that stay texts even if they look like numbers."""


@dataclass(frozen=True, kw_only=True)
class RedisConnection:
    """Where a Redis is, and how its client is made."""

    nodes: tuple[tuple[str, int], ...]
    """Host and port; more than one only of a cluster."""
    options: dict[str, Any]
    """Further arguments of the client."""

    def without_login(self) -> str:
        """The text again, without user and password."""
        options = [f"{name}={value}" for name, value in self.options.items() if name not in _TEXTS]
        return ",".join([*(f"{host}:{port}" for host, port in self.nodes), *options])


def parse_connection(connection: str) -> RedisConnection:
    """Take a connection apart.

    Raises:
        ConfigurationError: it names no node, or one without host or port.
    """
    parts = [part.strip() for part in connection.split(",")]
    addresses = [part.rpartition(":") for part in parts if "=" not in part]
    if not addresses or not all(host and port.isdecimal() for host, _, port in addresses):
        raise ConfigurationError("redis_connection is not host:port[,password=...][,db=...][,ssl=true]")
    given = dict(part.partition("=")[::2] for part in parts if "=" in part)
    return RedisConnection(
        nodes=tuple((host, int(port)) for host, _, port in addresses),
        options={name: value if name in _TEXTS else _plain(value) for name, value in given.items()},
    )


def _plain(value: str) -> Any:
    """A number or truth value where it reads as one, else the text."""
    try:
        return json.loads(value.lower())
    except json.JSONDecodeError:
        return value
