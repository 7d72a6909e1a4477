"""Which connections would leave this machine unencrypted, and the refusal to start with them.

    refuse_plaintext(settings)          unless security.plaintext_allowed names each of them

On the loopback address nothing needs to be encrypted: the embedded stack runs there without any certificate.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from mmrec.config import Edge, MetricsSettings, Settings
from mmrec.errors import ConfigurationError
from mmrec.wire.declared import AddressOrNone


@dataclass(frozen=True, kw_only=True)
class OpenConnection:
    """A connection that would be unencrypted beyond this machine."""

    edge: Edge
    setting: str
    """The setting with the address, such as "kafka.bootstrap"."""
    host: str
    remedy: str
    """What would encrypt it."""

    def __str__(self) -> str:
        return f"{self.setting} leads to {self.host} unencrypted; {self.remedy}"


def refuse_plaintext(settings: Settings) -> None:
    """ConfigurationError where a connection would be unencrypted beyond this machine and nothing allows that."""
    refused = [found for found in open_connections(settings) if found.edge not in settings.security.plaintext_allowed]
    if refused:
        edges = ", ".join(f'"{edge}"' for edge in dict.fromkeys(found.edge for found in refused))
        raise ConfigurationError(
            f"{'; '.join(map(str, refused))}; or, where something else encrypts, add {edges} to "
            "security.plaintext_allowed"
        )


def open_connections(settings: Settings) -> Iterator[OpenConnection]:
    """Connections of a deployment that would be unencrypted beyond this machine, allowed or not."""
    kafka, stores, serving = settings.kafka, settings.stores, settings.serving
    if not kafka.tls:
        yield from _open("kafka", "kafka.bootstrap", kafka.bootstrap, "set kafka.tls")
    if stores.online_store == "redis" and not stores.redis_tls:
        for setting in ("redis_connection", "overlay_connection"):
            connection = getattr(stores, setting)
            if "ssl=true" not in connection.lower().replace(" ", "").split(","):
                yield from _open("redis", f"stores.{setting}", connection, "set stores.redis_tls")
    if not stores.milvus_uri.startswith("https://") and "://" in stores.milvus_uri:
        where = urlsplit(stores.milvus_uri).netloc.rpartition("@")[2]
        yield from _open("milvus", "stores.milvus_uri", where, "give an https:// address")
    if stores.s3_endpoint.startswith("http://"):
        yield from _open("s3", "stores.s3_endpoint", urlsplit(stores.s3_endpoint).netloc, "give an https:// address")
    if not serving.certificate_file:
        yield from _open("collector", "serving.collector", serving.collector, "set serving.certificate_file")
        yield from _open("admin", "serving.admin", serving.admin, "set serving.certificate_file")
    if not settings.console.certificate_file:
        yield from _open("console", "console.address", settings.console.address, "set console.certificate_file")
    remedy = "let a proxy beside it speak TLS, since Ray Serve does not, and listen on 127.0.0.1"
    yield from _open("recommender", "serving.recommender", serving.recommender, remedy)
    if not settings.metrics.certificate_file:
        for name in (f.name for f in fields(MetricsSettings) if f.type is AddressOrNone):
            address = settings.metrics.address(name)
            yield from _open("metrics", f"metrics.{name}", address, "set metrics.certificate_file")


def _open(edge: Edge, setting: str, addresses: str, remedy: str) -> Iterator[OpenConnection]:
    """One for the first host that is not this machine, where there is one."""
    for address in filter(None, (part.strip() for part in addresses.split(","))):
        host = address.rpartition(":")[0].strip("[]") or address
        if "=" not in address and not is_loopback(host):
            yield OpenConnection(edge=edge, setting=setting, host=host, remedy=remedy)
            return


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback address, or the name localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
