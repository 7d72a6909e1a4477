"""Configuration of a deployment: frozen, complete, checked; read from a TOML file.

    settings = load_settings(Path("mmrec.toml"))

Every table of the file is one dataclass below; an unknown key is an error that names the known ones. Environment
variables override nothing but the file's place: MMREC_CONFIG.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mmrec.declared_types import build
from mmrec.errors import ConfigurationError
from mmrec.scoring.behaviors import Behavior, BehaviorSet, behavior_set, shop_behaviors
from mmrec.scoring.settings import ScoringConfig


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """The broker and its topics."""

    bootstrap: str = "127.0.0.1:19092"
    """host:port[,host:port...]"""
    behavior_events: str = "behavior-events"
    catalog_items: str = "catalog-items"
    item_embeddings: str = "item-embeddings"
    served_lists: str = "served-lists"
    rejected: str = "behavior-events.rejected"
    catalog_rejected: str = "catalog-items.rejected"
    num_partitions: int = 2
    """Partitions of topics that are created."""
    retention_days: float = 30.0
    """How long the broker keeps events, served lists and refused records; 0 for ever. The event log keeps events
    longer, and who is forgotten stands in the broker's own files until then."""

    def __post_init__(self) -> None:
        if self.retention_days < 0:
            raise ConfigurationError(f"kafka.retention_days is {self.retention_days}; give days, or 0 for ever")


@dataclass(frozen=True, kw_only=True)
class EventSettings:
    """What the codec accepts; judged against ingest time, never the wall clock."""

    max_future_s: float = 300.0
    """Clock skew allowed to producers."""
    horizon_s: float = 0.0
    """Events before this instant (epoch seconds) are refused."""
    max_value_bytes: int = 65_536


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Where state lives. Paths are folders or fsspec URLs."""

    event_log: str = "log"
    """Folder of the Parquet event log."""
    feature_repo: str = "feature_repo"
    """Folder of the applied Feast repository (feature_store.yaml, registry)."""
    online_store: str = "sqlite"
    """"sqlite" or "redis"."""
    redis_connection: str = ""
    """host:port[,host:port...][,password=...] where online_store is redis."""
    redis_cluster: bool = False
    """Whether those are nodes of a Redis Cluster."""
    overlay_connection: str = ""
    """A single Redis for the overlay; where empty, that of the online store, which a cluster cannot be."""
    content: str = "content"
    """Folder of content embeddings, cached by content hash."""
    releases: str = "releases"
    """Folder of releases and of the pointer to the one that serves."""
    milvus_uri: str = "http://127.0.0.1:19530"
    status: str = "status"
    """Folder where long-running processes keep their counters for `mmrec status`."""
    checkpoint: str = "checkpoint"
    """Folder of the stream's checkpoint."""


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """The recommender and the collector."""

    recommender: str = "127.0.0.1:18500"
    """host:port of the recommender's gRPC endpoint."""
    collector: str = "127.0.0.1:18501"
    """host:port of the collector's gRPC endpoint."""
    num_candidates: int = 400
    """Candidates that recall hands to ranking."""
    default_deadline_ms: float = 500.0
    """Deadline of a request that brings none."""
    hide_behaviors: tuple[str, ...] = ("purchase", "watch")
    """Items a user did one of these to are not listed for them again; names that are not configured say nothing."""
    diversity: float = 0.0
    """0 orders lists by score alone; towards 1 neighbors in a list look less alike."""


@dataclass(frozen=True, kw_only=True)
class ContentSettings:
    """Encoders by name; see mmrec.content.registry."""

    text_encoder: str = "minilm"
    image_encoder: str = "efficientnet-lite0"
    picture_timeout_s: float = 10.0
    """Processor time that decoding one picture may take; one that takes more is broken."""
    image_schemes: tuple[str, ...] = ("https", "http", "data")
    """Schemes of image URIs that are fetched; of others any that fsspec has installed, such as "s3" or "file", which
    are read with this process's own rights. Empty fetches nothing."""
    image_hosts: tuple[str, ...] = ()
    """Where not empty: the only hosts that http and https may ask, such as "img.shop.example" or "*.cdn.example"."""
    image_private_hosts: tuple[str, ...] = ()
    """Hosts, written in the same way, that may be at loopback, link-local, private and other addresses that are not
    public; "*" for all hosts."""
    image_fetch_timeout_s: float = 20.0
    """For one try: connecting, redirects and reading."""
    image_fetch_retries: int = 2
    """Tries after the first, at once; later ones follow with growing pauses."""
    max_image_bytes: int = 16 * 1024 * 1024
    """Of a fetched picture."""
    max_image_redirects: int = 5
    num_image_fetchers: int = 8
    """Pictures fetched at the same time."""
    image_cache_bytes: int = 10 * 1024**3
    """Bound of the fetched pictures kept in the cache folder; the oldest go first."""
    image_cache_days: float = 30.0
    """After this long a picture's host is asked whether it has changed, when its item comes again."""

    def __post_init__(self) -> None:
        for name in ("image_schemes", "image_hosts", "image_private_hosts"):
            names = getattr(self, name)
            if not isinstance(names, tuple) or not all(isinstance(n, str) and n and n == n.lower() for n in names):
                raise ConfigurationError(f"content.{name} is {names!r}; give a list of names in small letters")
        for scheme in self.image_schemes:
            if not scheme.replace("+", "").replace("-", "").replace(".", "").isalnum():
                raise ConfigurationError(f'content.image_schemes has {scheme!r}; give schemes such as "https"')
        for name in ("image_hosts", "image_private_hosts"):
            for host in getattr(self, name):
                if host != "*" and ("/" in host or "*" in host.removeprefix("*.")):
                    raise ConfigurationError(f'content.{name} has {host!r}; give names, "*." and a name, or "*"')
        lowest = {"image_fetch_retries": 0, "max_image_redirects": 0, "num_image_fetchers": 1, "max_image_bytes": 1}
        for name, least in {**lowest, "image_cache_bytes": 0}.items():
            number = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise ConfigurationError(f"content.{name} is {number!r}; give a whole number of {least} or more")
        for name in ("picture_timeout_s", "image_fetch_timeout_s", "image_cache_days"):
            number = getattr(self, name)
            if not isinstance(number, int | float) or isinstance(number, bool) or not 0 < number < float("inf"):
                raise ConfigurationError(f"content.{name} is {number!r}; give a number above 0")


@dataclass(frozen=True, kw_only=True)
class CatalogSettings:
    """How items are cleaned (mmrec.catalog.cleaning); another choice has the catalogue encoded again."""

    missing_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By attribute: values that mean that there is none, in any case, such as { color = ["n/a", "-"] }. Without it
    only an empty value is missing."""
    junk_attributes: tuple[str, ...] = ()
    """Attributes that are removed."""
    unknown_attributes: tuple[str, ...] = ("usage",)
    """Attributes whose missing value becomes "Unknown"; others without a value are left out."""
    decode_entities: bool = True
    """Whether titles, descriptions, domains and values are HTML text, whose entities are decoded once."""

    def __post_init__(self) -> None:
        if not isinstance(self.missing_values, Mapping) or not all(
            isinstance(values, tuple | list) and all(isinstance(value, str) for value in values)
            for values in self.missing_values.values()
        ):
            raise ConfigurationError(
                f'catalog.missing_values is {self.missing_values!r}; give lists by attribute: {{ color = ["n/a"] }}'
            )
        for name in ("junk_attributes", "unknown_attributes"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(each, str) for each in value):
                raise ConfigurationError(f"catalog.{name} is {value!r}; give a list of names of attributes")
        if not isinstance(self.decode_entities, bool):
            raise ConfigurationError(f"catalog.decode_entities is {self.decode_entities!r}; give true or false")


@dataclass(frozen=True, kw_only=True)
class StatisticsSettings:
    """Item statistics and neighbors, built from the log."""

    half_lives_days: tuple[float, ...] = (1.0, 7.0, 30.0)
    """Half-lives of item statistics, axis H; popularity uses the second."""
    refresh_s: float = 3.0
    """Pause between two refreshes of item statistics."""
    neighbors_refresh_s: float = 20.0
    """Pause between two builds of neighbors."""
    num_neighbors: int = 50
    """Neighbors kept per item."""


@dataclass(frozen=True, kw_only=True)
class PublishSettings:
    """Gates of a release; a release that misses one is kept but not promoted."""

    min_margin_over_popularity: float = 0.0
    """hr_at_10 must reach that of decayed popularity plus this; judged where training measured both."""
    min_recall_at_100: float = 0.95
    """Share of the exact 100 nearest items that the published collection must find."""
    num_collections: int = 5
    """Releases, the newest ones, whose collections are kept; those of the current one and the one before always are."""

    def __post_init__(self) -> None:
        if self.num_collections < 1:
            raise ConfigurationError(f"publish.num_collections is {self.num_collections}; keep 1 or more")


@dataclass(frozen=True, kw_only=True)
class MetricsSettings:
    """Where processes show their metrics to Prometheus: host:port each, "" for nowhere. See mmrec.metric_names."""

    score_stream: str = ""
    collector: str = ""
    recommender: str = ""
    """Of the one replica on this machine."""
    build_neighbors: str = ""
    tend_log: str = ""
    follow_events: str = ""
    encode_items: str = ""
    late_s: float = 3_600.0
    """Events whose time is more than this before their ingest time are counted as late."""

    def __post_init__(self) -> None:
        for field_ in fields(self):
            address = getattr(self, field_.name)
            if isinstance(address, str) and address and not address.rpartition(":")[2].isdigit():
                raise ConfigurationError(f"metrics.{field_.name} is {address!r}; give host:port, or nothing")

    def address(self, process: str) -> str:
        """Where a process shows its metrics; empty for nowhere."""
        return str(getattr(self, process))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a process of mmrec needs to know."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    events: EventSettings = field(default_factory=EventSettings)
    stores: StoreSettings = field(default_factory=StoreSettings)
    serving: ServingSettings = field(default_factory=ServingSettings)
    content: ContentSettings = field(default_factory=ContentSettings)
    catalog: CatalogSettings = field(default_factory=CatalogSettings)
    statistics: StatisticsSettings = field(default_factory=StatisticsSettings)
    publish: PublishSettings = field(default_factory=PublishSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    scoring: ScoringConfig = field(default_factory=lambda: ScoringConfig(behaviors=shop_behaviors()))
    config_file: str = ""
    """The file all this was read from; empty where it was made in code."""

    @property
    def behaviors(self) -> BehaviorSet:
        """The configured behaviors."""
        return self.scoring.behaviors


def load_settings(path: Path) -> Settings:
    """Settings from a TOML file; relative folders in [stores] are taken from the file's own folder.

    Raises:
        ConfigurationError: the file is missing, no TOML, or has unknown or impossible values.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"no configuration at {path}; start a stack with `mmrec up` or set MMREC_CONFIG"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{path} is no TOML: nested too deeply") from None
    settings = parse_settings(document, where=str(path), folder=path.parent.resolve())
    return replace(settings, config_file=str(path.resolve()))


def parse_settings(document: dict[str, Any], *, where: str, folder: Path) -> Settings:
    """Settings from a parsed TOML document; `folder` is what relative folders start from."""
    tables = dict(document)
    behaviors = tables.pop("behaviors", None)
    sections = {
        "kafka": KafkaSettings,
        "events": EventSettings,
        "stores": StoreSettings,
        "serving": ServingSettings,
        "content": ContentSettings,
        "catalog": CatalogSettings,
        "statistics": StatisticsSettings,
        "publish": PublishSettings,
        "metrics": MetricsSettings,
    }
    unknown = sorted(set(tables) - set(sections) - {"scoring"})
    if unknown:
        raise ConfigurationError(
            f"{where} has unknown tables {unknown}; known: {sorted([*sections, 'behaviors', 'scoring'])}"
        )
    built = {name: build(cls, tables.get(name, {}), where=f"{where} [{name}]") for name, cls in sections.items()}
    known_behaviors = shop_behaviors()
    if behaviors is not None:
        if not isinstance(behaviors, list):
            raise ConfigurationError(f"{where} [[behaviors]] is {behaviors!r:.80}; give a table for each behavior")
        known_behaviors = behavior_set([build(Behavior, b, where=f"{where} [[behaviors]]") for b in behaviors])
    scoring = tables.get("scoring", {})
    if isinstance(scoring, dict):
        scoring = {**scoring, "behaviors": known_behaviors}
    scoring = build(ScoringConfig, scoring, where=f"{where} [scoring]")
    stores = built["stores"]
    paths = {
        name: value if "://" in value else str(folder / value)
        for name in ("event_log", "feature_repo", "content", "releases", "status", "checkpoint")
        if (value := getattr(stores, name))
    }
    built["stores"] = replace(stores, **paths)
    return Settings(**built, scoring=scoring)
