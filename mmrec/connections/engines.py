"""[kafka] and [stores] of the configuration: where the engines are, and how they are spoken to."""

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from msgspec import Meta

from mmrec.connections.relations import refuse_half, refuse_unused
from mmrec.errors import SettingError
from mmrec.wire.declared import HOST_PORT, SECRET, Addresses, FilePath, check

OnlineStore = Literal["sqlite", "redis"]
"""Engines of the online store; code that treats them differently must match all of them (typing.assert_never)."""
Topic = Annotated[
    str,
    Meta(pattern=r"^(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}\Z", description="a topic: 1 to 249 of letters, digits, . _ -"),
]
SaslMechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]
"""How a password is proven to a broker; PLAIN shows it to the broker, so it needs TLS."""
Folder = Annotated[str, Meta(min_length=1, description="a folder or URL")]
RedisConnection = Annotated[
    str,
    Meta(
        pattern=rf"^(?:{HOST_PORT}(?:, *(?:{HOST_PORT}|[a-z_]+=[^,]*))*)?\Z",
        description="host:port[,host:port...][,password=...], or nothing",
        extra=SECRET,
    ),
]


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """The broker and its topics."""

    bootstrap: Addresses = "127.0.0.1:19092"
    """host:port[,host:port...]"""
    tls: bool = False
    """Whether brokers are spoken to by TLS."""
    ca_file: FilePath = ""
    """Certificates (PEM) that brokers' certificates are checked by; empty for those that this machine trusts."""
    certificate_file: FilePath = ""
    """This program's own certificate (PEM), where brokers ask for one (mTLS)."""
    key_file: FilePath = ""
    """Its key (PEM, PKCS#8, without a password); nobody but owner and group may read it."""
    username: str = ""
    """Where brokers ask for a login (SASL); the password is in `password_file`."""
    password_file: FilePath = ""
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    behavior_events: Topic = "behavior-events"
    catalog_items: Topic = "catalog-items"
    item_embeddings: Topic = "item-embeddings"
    served_lists: Topic = "served-lists"
    rejected: Topic = "behavior-events.rejected"
    catalog_rejected: Topic = "catalog-items.rejected"
    administrative_acts: Topic = "administrative-acts"
    """Who did what to the deployment (mmrec.operating.acts)."""
    num_partitions: Annotated[int, Meta(ge=1, le=10_000)] = 2
    """Number of partitions with which topics are created."""
    retention_days: Annotated[float, Meta(ge=0, le=1_000_000)] = 30.0
    """How long the broker keeps events, served lists and refused records; 0 (not inf) for ever. The event log keeps
    events longer. Records of forgotten users stay in the broker's own files until then."""
    acts_retention_days: Annotated[float, Meta(ge=1, le=1_000_000)] = 730.0
    """How long the broker keeps administrative acts."""

    def __post_init__(self) -> None:
        check(self, "kafka")
        refuse_unused(self, "kafka", "ca_file", "certificate_file", "key_file", needs="tls")
        refuse_half(self, "kafka", "certificate_file", "key_file")
        refuse_half(self, "kafka", "username", "password_file")
        if self.username and self.sasl_mechanism == "PLAIN" and not self.tls:
            raise SettingError(("kafka", "sasl_mechanism"), "is 'PLAIN' without kafka.tls; give a SCRAM mechanism")
        names = [f.name for f in fields(self) if f.type is Topic]
        for place, name in enumerate(names):
            for other in names[:place]:
                if getattr(self, name) == getattr(self, other):
                    raise SettingError(
                        ("kafka", name), f"is {getattr(self, name)!r}, as kafka.{other}; give each topic its own name"
                    )


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Where state lives: in folders, and in a bucket where that is said."""

    event_log: Folder = "log"
    """Folder of the Parquet event log, or s3://bucket/prefix."""
    feature_repo: Folder = "feature_repo"
    """Folder of the applied Feast repository (feature_store.yaml, registry)."""
    online_store: OnlineStore = "sqlite"
    """The engine of profiles and item views: a file in the feature repository's folder, or Redis."""
    redis_connection: RedisConnection = ""
    """host:port[,host:port...][,password=...] where online_store is redis."""
    redis_cluster: bool = False
    """Whether the addresses are nodes of a Redis Cluster."""
    overlay_connection: RedisConnection = ""
    """A single Redis for the overlay; if empty, the Redis of the online store, which must then be no cluster."""
    redis_tls: bool = False
    """Whether Redis is spoken to by TLS; of the online store's servers and of the overlay's."""
    redis_ca_file: FilePath = ""
    """Certificates (PEM) that the servers' certificates are checked by; empty for those that this machine trusts."""
    redis_certificate_file: FilePath = ""
    """This program's own certificate (PEM), where Redis asks for one (mTLS)."""
    redis_key_file: FilePath = ""
    """Its key (PEM); nobody but owner and group may read it."""
    redis_username: str = ""
    """User of Redis's access list; empty for the default user."""
    redis_password_file: FilePath = ""
    """A password may stand in redis_connection too, but there it is read by whoever reads the configuration."""
    overlay_username: str = ""
    overlay_password_file: FilePath = ""
    """Login at overlay_connection; empty for that of the online store."""
    content: Folder = "content"
    """Folder of content embeddings, cached by content hash."""
    releases: Folder = "releases"
    """Folder of releases and of the pointer to the one in use, or s3://bucket/prefix."""
    milvus_uri: Annotated[
        str,
        Meta(pattern=r"^(?:[a-z]+://.+|.+\.db)\Z", description="a URI such as http://127.0.0.1:19530", extra=SECRET),
    ] = "http://127.0.0.1:19530"
    """https:// for TLS."""
    milvus_ca_file: FilePath = ""
    """Certificates (PEM) that Milvus's certificate is checked by; empty for those that this machine trusts."""
    milvus_certificate_file: FilePath = ""
    """This program's own certificate (PEM), where Milvus asks for one (mTLS)."""
    milvus_key_file: FilePath = ""
    """Its key (PEM); nobody but owner and group may read it."""
    milvus_token_file: FilePath = ""
    """A file with user:password, or a token."""
    s3_endpoint: Annotated[
        str, Meta(pattern=r"^(?:https?://[^/@\s]+)?\Z", description="http(s)://host[:port], or nothing")
    ] = ""
    """Of the object store behind s3:// addresses; empty for AWS's of the region. https:// for TLS."""
    s3_region: Annotated[str, Meta(pattern=r"^[a-z0-9-]+\Z", description="a region such as eu-central-1")] = "us-east-1"
    s3_ca_file: FilePath = ""
    """Certificates (PEM) that its certificate is checked by, beside those that this machine trusts."""
    s3_key_file: FilePath = ""
    """A file with access key id:secret key; if empty, the environment's credentials or the pod's role."""
    status: Folder = "status"
    """Folder where long-running processes keep their counters for `mmrec status`."""
    checkpoint: Folder = "checkpoint"
    """Folder of the stream's checkpoint."""

    def __post_init__(self) -> None:
        check(self, "stores")
        refuse_unused(self, "stores", "redis_ca_file", "redis_certificate_file", "redis_key_file", needs="redis_tls")
        refuse_half(self, "stores", "redis_certificate_file", "redis_key_file")
        refuse_unused(self, "stores", "redis_username", needs="redis_password_file")
        refuse_unused(self, "stores", "overlay_username", needs="overlay_password_file")
        refuse_unused(self, "stores", "overlay_password_file", needs="overlay_connection")
        refuse_half(self, "stores", "milvus_certificate_file", "milvus_key_file")
        refuse_unused(self, "stores", "milvus_certificate_file", needs="milvus_ca_file")
        for name in ("feature_repo", "content", "status", "checkpoint"):
            if "://" in getattr(self, name):
                raise SettingError(
                    ("stores", name),
                    f"is {getattr(self, name)!r}; give a folder: only event_log and releases may be in a bucket",
                )
        for name in ("event_log", "releases"):
            scheme, found, _ = getattr(self, name).partition("://")
            if found and scheme not in {"file", "s3"}:
                raise SettingError(
                    ("stores", name), f"is {getattr(self, name)!r}; give a folder, a file:// URL or s3://bucket/prefix"
                )
        if self.s3_ca_file and self.s3_endpoint.startswith("http://"):
            raise SettingError(("stores", "s3_ca_file"), "is given, but stores.s3_endpoint is no https:// address")
        if not self.milvus_uri.startswith("https://"):
            for name in ("milvus_ca_file", "milvus_certificate_file"):
                if getattr(self, name):
                    raise SettingError(("stores", name), "is given, but stores.milvus_uri is no https:// address")
        if self.online_store == "redis" and not self.redis_connection:
            raise SettingError(
                ("stores", "redis_connection"), "is empty and online_store is redis; give host:port[,password=...]"
            )
        if self.online_store == "redis" and self.redis_cluster and not self.overlay_connection:
            raise SettingError(
                ("stores", "overlay_connection"), "is empty and redis_cluster is set; name a single Redis, host:port"
            )
