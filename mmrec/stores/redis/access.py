"""How a Redis is reached: addresses, TLS, login, and how long a call may take. The one place that makes clients.

    access = redis_access(settings.stores)                 of the online store; can be sent to another process
    client = access.connect(Patience.of_requests(0.25))    nothing is sent before the first call, except to a cluster

Worst cases, whether the server refuses, swallows, delays or half-opens: a try takes at most `wait_s` to connect, and
`wait_s` for each answer. With n retries a lost connection is made anew up to n + 1 times for each of n + 1 tries. The
library's own default tries four times with pauses of up to 10 seconds, and waits for an answer for ever; so every
client here is told both. Looking a host's name up is the system's, and is not bounded: who
answers requests reads in a thread (mmrec/serving/profile_reads.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from redis import CredentialProvider, Redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError, RedisClusterException
from redis.retry import Retry

from mmrec.config import StoreSettings
from mmrec.connections.secrets import read_secret
from mmrec.errors import ConfigurationError
from mmrec.stores.redis.connection import parse_connection

_PAUSE_S, _MAX_PAUSE_S = 0.1, 1.0
OVERLAY_OPTIONS = frozenset({"password", "username", "db", "ssl"})


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a client waits, and how often it tries again."""

    wait_s: float
    """For a connection, and for each answer."""
    num_retries: int

    @classmethod
    def of_requests(cls, wait_s: float) -> "Patience":
        """One try: somebody waits for the answer, and the next request tries again anyway."""
        return cls(wait_s=wait_s, num_retries=0)

    @classmethod
    def of_jobs(cls) -> "Patience":
        """A server that is replaced meanwhile ends no job; a call fails after a minute and a half at the latest."""
        return cls(wait_s=5.0, num_retries=2)

    @classmethod
    def of_leases(cls) -> "Patience":
        """Shorter than a lease (mmrec.stores.redis.writer_lease): its holder must learn in time that it is lost."""
        return cls(wait_s=1.5, num_retries=0)


@dataclass(frozen=True, kw_only=True)
class RedisAccess:
    """Where a Redis is and how its clients are made; it holds no secret, unless one stands in the configuration."""

    nodes: tuple[tuple[str, int], ...]
    """Host and port; more than one only of a cluster."""
    is_cluster: bool = False
    options: tuple[tuple[str, Any], ...] = field(default=(), repr=False)
    """Further arguments of the client, as they stand in the connection's text; a password may be among them."""
    tls: bool = False
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    username: str = ""
    password_file: str = ""
    password_setting: str = "stores.redis_password_file"  # noqa: S105

    def connect(
        self,
        patience: Patience,
        *,
        decode_responses: bool = False,
        on_connect: Callable[[Any], None] | None = None,
    ) -> "Redis | RedisCluster":
        """A client.

        Args:
            decode_responses: Whether answers are texts.
            on_connect: Called in place of the library's own greeting for each new connection to a single server.

        Raises:
            RedisError: no node of a cluster answers; a single server is not asked yet.
        """
        options = self._options(patience, decode_responses=decode_responses)
        retry = Retry(ExponentialWithJitterBackoff(cap=_MAX_PAUSE_S, base=_PAUSE_S), patience.num_retries)
        if not patience.num_retries:
            retry = Retry(NoBackoff(), 0)
        if self.is_cluster:
            try:
                nodes = [ClusterNode(host, port) for host, port in self.nodes]
                return RedisCluster(startup_nodes=nodes, retry=retry, **options)
            except RedisClusterException as error:  # which is no RedisError
                raise ConnectionError(str(error)) from error
        host, port = self.nodes[0]
        if on_connect is not None:
            options["redis_connect_func"] = on_connect
        return Redis(host=host, port=port, retry=retry, **options)

    def _options(self, patience: Patience, *, decode_responses: bool) -> dict[str, Any]:
        options = {
            "socket_timeout": patience.wait_s,
            "socket_connect_timeout": patience.wait_s,
            "decode_responses": decode_responses,
            **dict(self.options),
        }
        if self.tls:
            options |= {"ssl": True, "ssl_check_hostname": True}
            files = {
                "ssl_ca_certs": self.ca_file,
                "ssl_certfile": self.certificate_file,
                "ssl_keyfile": self.key_file,
            }
            options |= {name: file for name, file in files.items() if file}
        if self.password_file:
            for name in ("username", "password"):
                options.pop(name, None)
            options["credential_provider"] = _FileLogin(self.username, self.password_file, self.password_setting)
        return options


class _FileLogin(CredentialProvider):  # type: ignore[misc] # the library is not typed here
    """Reads the password for every new connection, so that a renewed one is used."""

    def __init__(self, username: str, password_file: str, setting: str) -> None:
        self._username, self._password_file, self._setting = username, password_file, setting

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """(user, password), or (password,) for the default user."""
        password = read_secret(self._password_file, setting=self._setting)
        return (self._username, password) if self._username else (password,)


def redis_access(stores: StoreSettings) -> RedisAccess:
    """Of the online store.

    Raises:
        ConfigurationError: stores.redis_connection names no server.
    """
    found = parse_connection(stores.redis_connection)
    return RedisAccess(
        nodes=found.nodes,
        is_cluster=stores.redis_cluster,
        options=tuple(sorted(found.options.items())),
        username=stores.redis_username,
        password_file=stores.redis_password_file,
        **_tls(stores),
    )


def overlay_access(stores: StoreSettings) -> RedisAccess:
    """Of the overlay: its own server, else that of the online store.

    Raises:
        ConfigurationError: the connection names no server, several, or has unknown options.
    """
    found = parse_connection(stores.overlay_connection or stores.redis_connection)
    unknown = sorted(set(found.options) - OVERLAY_OPTIONS)
    if len(found.nodes) > 1 or unknown:
        raise ConfigurationError(
            "redis_connection is not host:port[,password=...][,db=...][,ssl=true]; unknown here: "
            f"{unknown or 'more than one node'}"
        )
    login: dict[str, Any] = {"username": stores.redis_username, "password_file": stores.redis_password_file}
    if stores.overlay_password_file:
        login = {
            "username": stores.overlay_username,
            "password_file": stores.overlay_password_file,
            "password_setting": "stores.overlay_password_file",
        }
    return RedisAccess(nodes=found.nodes, options=tuple(sorted(found.options.items())), **login, **_tls(stores))


def _tls(stores: StoreSettings) -> dict[str, Any]:
    return {
        "tls": stores.redis_tls,
        "ca_file": stores.redis_ca_file,
        "certificate_file": stores.redis_certificate_file,
        "key_file": stores.redis_key_file,
    }
