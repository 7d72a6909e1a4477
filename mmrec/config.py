"""Configuration of a deployment: frozen, complete, checked; read from a TOML file.

    settings = load_settings(Path("mmrec.toml"))

Every table of the file is one dataclass below, and every field is declared with its type, range, choices or form
(mmrec.wire.declared). A value that does not fit is refused when the file is read: the error names file, line, key,
value and what would be right. MMREC_CONFIG names the file, and an environment variable such as MMREC__KAFKA__BOOTSTRAP
overrides one setting of it (mmrec.wire.environment). Secrets are files of their own, which settings name.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from mmrec.connections.console_settings import ConsoleSettings
from mmrec.connections.engines import Folder
from mmrec.connections.engines import KafkaSettings as KafkaSettings  # noqa: PLC0414 - read from here, as all tables
from mmrec.connections.engines import OnlineStore as OnlineStore  # noqa: PLC0414
from mmrec.connections.engines import StoreSettings as StoreSettings  # noqa: PLC0414
from mmrec.connections.relations import refuse_half, refuse_unused
from mmrec.errors import ConfigurationError, SettingError
from mmrec.scoring.behaviors import Behavior, BehaviorSet, behavior_set, shop_behaviors, usual_traits
from mmrec.scoring.settings import ScoringConfig
from mmrec.wire.declared import (
    Address,
    AddressOrNone,
    AtLeastOne,
    Count,
    FilePath,
    Name,
    NotNegative,
    Positive,
    Share,
    build,
    check,
    refuse_unknown,
)
from mmrec.wire.environment import overridden
from mmrec.wire.shown import shown
from mmrec.wire.toml_text import line_of, parse_toml, read_toml_text

TEXT_ENCODERS: Final = ("hashing-tf", "minilm", "minilm-first-last")
IMAGE_ENCODERS: Final = ("color-histogram", "color-lab", "efficientnet-lite0")
"""Names that mmrec.content.modalities.registry knows, beside hub ids and folders."""


def _encoder(names: tuple[str, ...]) -> Meta:
    known = ", ".join(f'"{name}"' for name in names)
    part = rf"(?:[0-9.]+\*)?(?:{'|'.join(names)})"
    return Meta(
        pattern=rf"^(?:{part}(?:\+{part})*|.*/.*)\Z",
        description=f'one of {known}, a hub id ("owner/model"), or a folder, with a "/" in it, or several joined by +',
    )


Edge = Literal["kafka", "redis", "milvus", "s3", "collector", "recommender", "admin", "console", "metrics"]
"""Connections of our programs, by what is at the other end."""
TextCleaning = Literal["none", "plain", "classic"]
"""As mmrec.content.cleaning has them."""
TextEncoder = Annotated[str, _encoder(TEXT_ENCODERS)]
ImageEncoder = Annotated[str, _encoder(IMAGE_ENCODERS)]
Scheme = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9+.-]*\Z", description='a scheme in small letters, such as "https"')
]
Host = Annotated[
    str,
    Meta(
        pattern=r"^(?:\*|(?:\*\.)?[^*/\sA-Z]+)\Z",
        description='a host in small letters, "*." and such a name, or "*" for all',
    ),
]


@dataclass(frozen=True, kw_only=True)
class EventSettings:
    """What the codec accepts; event times are compared with ingest time, never with the wall clock."""

    max_future_s: NotNegative = 300.0
    """Allowed clock skew of producers."""
    horizon_s: float = 0.0
    """Events before this instant (epoch seconds) are refused."""
    max_value_bytes: Annotated[int, Meta(ge=1, le=1 << 30)] = 65_536
    """Longest value of a record; longer ones are refused."""

    def __post_init__(self) -> None:
        check(self, "events")


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """The gRPC services: recommender, collector and administration."""

    recommender: Address = "127.0.0.1:18500"
    """host:port of the recommender's gRPC endpoint."""
    collector: Address = "127.0.0.1:18501"
    """host:port of the collector's gRPC endpoint."""
    admin: Address = "127.0.0.1:18515"
    """host:port of the administrative gRPC endpoint."""
    num_replicas: Annotated[int, Meta(ge=1, le=8)] = 1
    """Of the recommender; a file that tells a Ray cluster what to serve says its own."""
    serve_http_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    """Port of Ray Serve's HTTP side, which answers nothing but Serve's own health route; 0 for one that is free."""
    num_candidates: AtLeastOne = 400
    """Candidates that recall passes to ranking."""
    default_deadline_ms: Positive = 500.0
    """Deadline of a request that sets none."""
    substitutes_share: str = "category"
    """Attribute whose values items share that one would buy instead of each other: what goes with an item has another
    one. Empty where no attribute tells."""
    diversity: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """0 orders lists by score alone; closer to 1, adjacent items of a list are less similar."""
    certificate_file: FilePath = ""
    """Certificate of the collector and the administrative service, with those between it and its issuer (PEM): they
    then speak TLS alone. Renewed files are used from the next connection on."""
    key_file: FilePath = ""
    """Its key (PEM); nobody but owner and group may read it."""
    client_ca_file: FilePath = ""
    """Certificates (PEM) that callers' certificates are checked by; callers without one are refused (mTLS)."""
    ca_file: FilePath = ""
    """What this program's own calls to our gRPC services check their certificates by (PEM): those calls then speak
    TLS."""
    client_certificate_file: FilePath = ""
    """The certificate that such calls show (PEM)."""
    client_key_file: FilePath = ""
    """Its key (PEM)."""
    ranker_form: Literal["fastest", "numpy", "onnx", "onnx-int8", "pruned"] = "fastest"
    """How the ranking network runs (mmrec.models.forms); "fastest" of those that keep its quality, by training."""

    def __post_init__(self) -> None:
        check(self, "serving")
        refuse_half(self, "serving", "certificate_file", "key_file")
        refuse_unused(self, "serving", "client_ca_file", needs="certificate_file")
        refuse_half(self, "serving", "client_certificate_file", "client_key_file")
        refuse_unused(self, "serving", "client_certificate_file", needs="ca_file")


@dataclass(frozen=True, kw_only=True)
class ContentSettings:
    """Encoders by name; see mmrec.content.modalities."""

    text_encoder: TextEncoder = "minilm"
    image_encoder: ImageEncoder = "efficientnet-lite0+0.3*color-lab"
    text_cleaning: TextCleaning = "none"
    """What is taken off texts before they are encoded, of items and of queries alike (mmrec.content.cleaning); after a
    change the whole catalogue is encoded again."""
    encoders: Mapping[str, Name] = field(default_factory=dict)
    """Encoder by modality, for the other modalities; those that are not named use their default."""
    picture_timeout_s: Positive = 10.0
    """Processor time that decoding one picture may take; one that takes more counts as broken."""
    image_schemes: tuple[Scheme, ...] = ("https", "http", "data")
    """Schemes of image URIs that are fetched. Any other scheme that fsspec has installed may be added, such as "s3" or
    "file"; it is read with this process's own rights. Empty fetches nothing."""
    image_hosts: tuple[Host, ...] = ()
    """If not empty: the only hosts that http and https may contact, such as "img.shop.example" or "*.cdn.example"."""
    image_private_hosts: tuple[Host, ...] = ()
    """Hosts, written in the same way, that may have loopback, link-local, private and other addresses that are not
    public; "*" for all hosts."""
    image_fetch_timeout_s: Positive = 20.0
    """Time for one try: connecting, redirects and reading."""
    image_fetch_retries: Count = 2
    """Further tries that follow the first at once; later ones follow with growing pauses."""
    max_image_bytes: AtLeastOne = 16 * 1024 * 1024
    """Largest size of a fetched picture."""
    max_image_redirects: Count = 5
    num_image_fetchers: AtLeastOne = 8
    """Pictures fetched at the same time."""
    image_cache_bytes: Count = 10 * 1024**3
    """Bound on the fetched pictures kept in the cache folder; the oldest are removed first."""
    image_cache_days: Positive = 30.0
    """When an item comes again after this time, the host of its picture is asked whether the picture has changed."""
    attribute_model: str = ""
    """Folder of an attribute model (`python -m jobs.train --task attributes`), which fills attributes that items lack;
    empty infers nothing."""
    attribute_confidence: Annotated[float, Meta(ge=0.5, le=1)] = 0.8
    """Least calibrated probability of a value that is filled in."""
    trust_inferred: bool = False
    """Whether filters match inferred attributes and lists show them. Otherwise ranking alone uses them: a wrong guess
    must not break a promise such as "color: red"."""

    def __post_init__(self) -> None:
        check(self, "content")


FASHION_ATTRIBUTES: Final = (
    *("gender", "masterCategory", "subCategory", "articleType", "baseColour", "season", "year", "usage"),
)
"""Of the Fashion Product Images form."""


@dataclass(frozen=True, kw_only=True)
class CatalogSettings:
    """How items are cleaned (mmrec.catalog.cleaning); after a change the whole catalogue is encoded again."""

    missing_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By attribute: values, in upper or lower case, that mean "no value", such as { color = ["n/a", "-"] }. For other
    attributes only an empty value is missing."""
    import_missing_values: Mapping[str, Mapping[str, tuple[str, ...]]] = field(
        default_factory=lambda: {"fashion": dict.fromkeys(FASHION_ATTRIBUTES, ("NA",))}
    )
    """The same of files, by form and attribute, such as { fashion = { usage = ["NA"] } }: "NA" is no usage in the
    Fashion Product Images form, and Namibia elsewhere. A form that is given here replaces the default's."""
    rare_below: Mapping[str, AtLeastOne] = field(default_factory=dict)
    """By attribute: values that fewer items of an import have become "Other", such as { articleType = 10 }; those of
    other attributes stay. Single items that come later keep their value, because rareness is a whole catalogue's."""
    report_rare_below: AtLeastOne = 10
    """A cleaning report names values that stay, of attributes with classes, if fewer items than this have them."""
    junk_attributes: tuple[str, ...] = ()
    """Attributes that are removed."""
    unknown_attributes: tuple[str, ...] = ("usage",)
    """Attributes that become "Unknown" where their value is missing; others are then left out."""
    decode_entities: bool = True
    """Whether titles, descriptions, domains and values are HTML text, so that entities are decoded once."""

    def __post_init__(self) -> None:
        check(self, "catalog")


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Search by words, photos and items (mmrec.serving.search)."""

    encodes_queries: bool = True
    """Whether the recommender keeps a process that makes vectors of queries, with the encoders of [content]; without
    it, texts are searched by their words alone and photos are refused."""
    max_image_bytes: AtLeastOne = 3 * 1024 * 1024
    """Largest photo of a query. A whole request may have 4 MiB."""
    num_kept_queries: Count = 4_096
    """Queries whose vectors are kept in memory; the one asked for longest ago goes first."""
    num_threads: AtLeastOne = 4
    """Searches that are answered at the same time."""
    alignment: str = ""
    """Folder of a trained alignment (mmrec.content.alignment), in whose space texts find pictures and pictures texts;
    empty: texts are compared with texts, and pictures with pictures. Read at the start of the recommender."""

    def __post_init__(self) -> None:
        check(self, "search")


@dataclass(frozen=True, kw_only=True)
class StatisticsSettings:
    """Item statistics and neighbors, built from the log."""

    half_lives_days: Annotated[tuple[Positive, ...], Meta(min_length=1)] = (1.0, 7.0, 30.0)
    """Half-lives of item statistics, axis H; popularity uses the second, or the only one."""
    refresh_s: Positive = 3.0
    """Pause between two refreshes of item statistics."""
    neighbors_refresh_s: Positive = 20.0
    """Pause between two builds of neighbors."""
    num_neighbors: AtLeastOne = 50
    """Neighbors kept per item."""
    popular_by: tuple[Name, ...] = ()
    """Names in the context of events, such as "country" or "device", by whose values popular items are kept, too: for
    what is popular near a request that brings such a context."""

    def __post_init__(self) -> None:
        check(self, "statistics")


@dataclass(frozen=True, kw_only=True)
class PublishSettings:
    """Gates of a release; a release that misses one is kept but not promoted."""

    min_margin_over_popularity: float = 0.0
    """hr_at_10 must be at least that of decayed popularity plus this; checked where training measured both."""
    min_recall_at_100: Share = 0.95
    """Share of the exact 100 nearest items that the published collection must find."""
    max_loss_to_served: Share = 0.02
    """Share of the served release's ndcg_at_10 that a warm refit of it may lose on the newest lists, which are few;
    and of that of the last whole training."""
    num_collections: AtLeastOne = 5
    """Number of newest releases that keep their collection; the current release and the one before always keep it."""
    num_warm: AtLeastOne = 5
    """Number of newest warm refits that are kept at all, beside the current release and the one before: there are many
    of them. Releases of whole trainings stay."""

    def __post_init__(self) -> None:
        check(self, "publish")


@dataclass(frozen=True, kw_only=True)
class MetricsSettings:
    """Where processes show their metrics (mmrec.telemetry.metric_names): host:port each, "" for nowhere."""

    score_stream: AddressOrNone = ""
    collector: AddressOrNone = ""
    recommender: AddressOrNone = ""
    """Address of the replica on this machine; where there are several, of the one that was there first."""
    build_neighbors: AddressOrNone = ""
    tend_log: AddressOrNone = ""
    follow_events: AddressOrNone = ""
    encode_items: AddressOrNone = ""
    admin: AddressOrNone = ""
    console: AddressOrNone = ""
    refit: AddressOrNone = ""
    late_s: NotNegative = 3_600.0
    """Events whose time is more than this before their ingest time are counted as late."""
    certificate_file: FilePath = ""
    """Certificate of all these endpoints (PEM): they then speak TLS alone."""
    key_file: FilePath = ""
    """Its key (PEM); nobody but owner and group may read it."""
    client_ca_file: FilePath = ""
    """Certificates (PEM) that a reader's certificate is checked by; readers without one are refused (mTLS)."""
    ca_file: FilePath = ""
    """What `mmrec status` checks the endpoints' certificates by (PEM); it shows certificate_file itself."""

    def __post_init__(self) -> None:
        check(self, "metrics")
        refuse_unused(self, "metrics", "ca_file", needs="certificate_file")
        refuse_half(self, "metrics", "certificate_file", "key_file")
        refuse_unused(self, "metrics", "client_ca_file", needs="certificate_file")

    def address(self, process: str) -> str:
        """Where a process shows its metrics; empty for nowhere."""
        return str(getattr(self, process))


@dataclass(frozen=True, kw_only=True)
class AdminSettings:
    """The administrative service (services.admin)."""

    backups: Folder = "backups"
    """Folder that backups are made in, each a folder of its own."""
    callers: tuple[Name, ...] = ()
    """Names in certificates of those who may call, such as "edge"; if empty, everybody whose certificate
    serving.client_ca_file has signed."""
    edges: tuple[Name, ...] = ()
    """Names in certificates of proxies that are believed who their caller is, by the header x-client."""

    def __post_init__(self) -> None:
        check(self, "admin")


@dataclass(frozen=True, kw_only=True)
class SecuritySettings:
    """What may be done without encryption beyond this machine."""

    plaintext_allowed: tuple[Edge, ...] = ()
    """Connections that may be unencrypted although they leave the loopback address, such as where a service mesh
    encrypts them. A program that would open any other one does not start (mmrec.programs.plaintext)."""

    def __post_init__(self) -> None:
        check(self, "security")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a process of mmrec needs to know."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    events: EventSettings = field(default_factory=EventSettings)
    stores: StoreSettings = field(default_factory=StoreSettings)
    serving: ServingSettings = field(default_factory=ServingSettings)
    content: ContentSettings = field(default_factory=ContentSettings)
    catalog: CatalogSettings = field(default_factory=CatalogSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    statistics: StatisticsSettings = field(default_factory=StatisticsSettings)
    publish: PublishSettings = field(default_factory=PublishSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    admin: AdminSettings = field(default_factory=AdminSettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    security: SecuritySettings = field(default_factory=SecuritySettings)
    scoring: ScoringConfig = field(default_factory=lambda: ScoringConfig(behaviors=shop_behaviors()))
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """[training.NAME]: options of recipes by name; each recipe declares its own and checks them when it is run
    (mmrec.training.recipe)."""
    config_file: str = ""
    """The file that the settings were read from; empty where they were made in code."""

    @property
    def behaviors(self) -> BehaviorSet:
        """The configured behaviors."""
        return self.scoring.behaviors


TABLES: Final = {
    f.name: f.default_factory for f in fields(Settings) if f.name not in ("scoring", "training", "config_file")
}
"""Tables of the file that are one dataclass each; their classes make the defaults."""


def load_settings(path: Path) -> Settings:
    """Settings from a TOML file and the environment; relative paths are taken from the file's own folder.

    Raises:
        ConfigurationError: the file is missing, no TOML, or has unknown or impossible values; it names the line.
    """
    try:
        text = read_toml_text(path)
    except FileNotFoundError:
        raise ConfigurationError(
            f"no configuration at {path}; start a stack with `mmrec up` or set MMREC_CONFIG"
        ) from None
    document = overridden(parse_toml(text, where=str(path)), os.environ, TABLES)
    settings = parse_settings(document, where=str(path), folder=path.parent.resolve(), text=text)
    return replace(settings, config_file=str(path.resolve()))


def parse_settings(
    document: dict[str, Any],
    *,
    where: str,
    folder: Path,
    text: str = "",
    beside: Mapping[str, Any] = MappingProxyType({}),
) -> Settings:
    """Settings from a parsed TOML document.

    Args:
        document: As returned by tomllib.
        where: What the document is, for messages.
        folder: Folder that relative paths start from.
        text: The text it was parsed from, if available; messages then name the line.
        beside: Further tables that the document may have, as dataclasses by name; they are checked and left out.

    Raises:
        ConfigurationError: it has unknown or impossible values.
    """
    try:
        for name, cls in beside.items():
            build(cls, document.get(name, {}), at=(name,))
        return _built({name: table for name, table in document.items() if name not in beside}, folder)
    except SettingError as error:
        line = line_of(text, error.path)
        place = where if line is None else f"{where}, line {line}"
        raise ConfigurationError(f"{place}: {error}") from None


def _built(document: dict[str, Any], folder: Path) -> Settings:
    refuse_unknown(document, [*TABLES, "behaviors", "scoring", "training"], at=())
    document, hidden = _taken_out(document)
    built: dict[str, Any] = {name: build(cls, document.get(name, {}), at=(name,)) for name, cls in TABLES.items()}
    scoring = document.get("scoring", {})
    if isinstance(scoring, dict):
        refuse_unknown(scoring, {f.name for f in fields(ScoringConfig)} - {"behaviors"}, at=("scoring",))
        behaviors = _behaviors(document.get("behaviors"))
        if hidden is not None:
            if any("hides" in table for table in document.get("behaviors") or ()):
                raise SettingError(
                    ("serving", "hide_behaviors"), "stands beside hides of [[behaviors]]; keep only those"
                )
            behaviors = BehaviorSet(tuple(replace(b, hides=b.name in hidden) for b in behaviors))
        scoring = {**scoring, "behaviors": behaviors}
    built["scoring"] = build(ScoringConfig, scoring, at=("scoring",))
    built["training"] = _training(document.get("training", {}))
    return Settings(**{**built, **{name: _located(built[name], folder) for name in TABLES}})


def _located(table: Any, folder: Path) -> Any:
    """A table whose relative folders and files are taken from `folder`."""
    paths = {f.name: getattr(table, f.name) for f in fields(table) if f.type in (Folder, FilePath)}
    absolute = {name: value if "://" in value else str(folder / value) for name, value in paths.items() if value}
    return replace(table, **absolute) if absolute else table


def _training(table: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(table, dict):
        raise SettingError(("training",), f"is {shown(table)}; give a table [training.NAME] for each recipe")
    for name, options in table.items():
        if not isinstance(options, dict):
            raise SettingError(("training", name), f"is {shown(options)}; give a table [training.{name}]")
    return table


@dataclass(frozen=True, kw_only=True)
class _EarlierServing:
    """A key that [serving] had before it became a property of behaviors."""

    hide_behaviors: tuple[Name, ...]
    """Names of the behaviors that hide an item; unknown names are ignored."""


def _taken_out(document: dict[str, Any]) -> tuple[dict[str, Any], frozenset[str] | None]:
    """A document without `serving.hide_behaviors`, and the names it had; None where it had none."""
    serving = document.get("serving")
    if not isinstance(serving, dict) or "hide_behaviors" not in serving:
        return document, None
    table = {"hide_behaviors": serving["hide_behaviors"]}
    names = frozenset(build(_EarlierServing, table, at=("serving",)).hide_behaviors)
    return {**document, "serving": {n: v for n, v in serving.items() if n != "hide_behaviors"}}, names


def _behaviors(tables: Any) -> BehaviorSet:
    if tables is None:
        return shop_behaviors()
    if not isinstance(tables, list):
        raise SettingError(("behaviors",), f"is {shown(tables)}; give a table [[behaviors]] for each")
    return behavior_set(
        [build(Behavior, _with_traits(table), at=("behaviors", place)) for place, table in enumerate(tables)]
    )


def _with_traits(table: Any) -> Any:
    """A table of [[behaviors]], with the usual phrase and hiding of a behavior of that name where it gives none."""
    name = table.get("name") if isinstance(table, dict) else None
    return {**usual_traits(name), **table} if isinstance(name, str) else table
