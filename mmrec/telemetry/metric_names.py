"""The fixed list of metrics: name, type, labels, processes that expose them, meaning. `mmrec metrics` prints it."""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class MetricKind(Enum):
    """Prometheus' types that are used here."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, kw_only=True)
class MetricName:
    """One metric."""

    name: str
    kind: MetricKind
    help: str
    processes: frozenset[str]
    """Which processes expose it; names of `[metrics]`."""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, ascending, without the infinite one."""

    def __post_init__(self) -> None:
        if (self.kind is MetricKind.COUNTER) != self.name.endswith("_total"):
            raise ValueError(f"{self.name} is a {self.kind.value}; names of counters, and no others, end in _total")
        if (self.kind is MetricKind.HISTOGRAM) != bool(self.buckets) or list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"{self.name} has buckets {self.buckets}; histograms have ascending ones, others none")


PROCESSES: Final = (
    "score_stream",
    "collector",
    "recommender",
    "build_neighbors",
    "tend_log",
    "follow_events",
    "encode_items",
    "admin",
    "refit",
    "console",
)
"""Processes with an endpoint, as `[metrics]` names them."""
LATENCY_S: Final = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5),
    *(0.75, 1.0, 2.0, 5.0, 10.0),
)
FRESHNESS_S: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
    *(1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0, 86_400.0),
)
PHASE_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
RECORDS: Final = (1.0, 10.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 20_000.0, 50_000.0, 100_000.0)

_STREAM = frozenset({"score_stream"})
_COLLECTOR = frozenset({"collector"})
_RECOMMENDER = frozenset({"recommender"})
_VIEWS = frozenset({"build_neighbors"})
_LOG = frozenset({"tend_log"})
_FOLLOWER = frozenset({"follow_events"})
_CONTENT = frozenset({"encode_items"})
_ADMIN = frozenset({"admin"})
_REFIT = frozenset({"refit"})
_CONSOLE = frozenset({"console"})
_READERS = _STREAM | _FOLLOWER


def _counter(name: str, of: frozenset[str], text: str, *labels: str) -> MetricName:
    return MetricName(name=name, kind=MetricKind.COUNTER, help=text, processes=of, labels=labels)


def _gauge(name: str, of: frozenset[str], text: str, *labels: str) -> MetricName:
    return MetricName(name=name, kind=MetricKind.GAUGE, help=text, processes=of, labels=labels)


def _histogram(name: str, of: frozenset[str], text: str, buckets: tuple[float, ...], *labels: str) -> MetricName:
    return MetricName(name=name, kind=MetricKind.HISTOGRAM, help=text, processes=of, labels=labels, buckets=buckets)


METRICS: Final[tuple[MetricName, ...]] = (
    # The scoring stream. Totals that the store keeps with its progress go on over restarts.
    _counter(
        "mmrec_events_total",
        _STREAM,
        "Records of behavior-events by what became of them; reason is set where they were refused.",
        *("verdict", "reason"),
    ),
    _counter("mmrec_served_lists_total", _STREAM, "Records of served-lists: logged, or malformed.", "outcome"),
    _counter("mmrec_unknown_fields_total", _STREAM, "Fields of events that this version does not know; ignored."),
    _counter(
        "mmrec_skipped_batches_total",
        _READERS,
        "Kafka's batches of records that cannot be decoded and were left out; the log has their offsets.",
    ),
    _counter(
        "mmrec_late_events_total",
        _STREAM,
        "Events read whose time is more than metrics.late_s before their ingest time; imported history is not counted.",
    ),
    _counter("mmrec_profiles_written_total", _STREAM, "Profile rows written."),
    _counter("mmrec_profile_items_pruned_total", _STREAM, "Items that left profiles: too many, or idle too long."),
    _counter("mmrec_identified_total", _STREAM, "Logins: an anonymous id said to be a user."),
    _counter("mmrec_forgotten_total", _STREAM, "Users and anonymous users forgotten."),
    _gauge(
        "mmrec_stream_lag_records",
        _STREAM,
        "Records of the partition that are on the broker and not in the store.",
        *("topic", "partition"),
    ),
    _gauge(
        "mmrec_stream_lag_seconds",
        _STREAM,
        "Now minus ingest time of the newest record processed of the partition; 0 where none is behind.",
        *("topic", "partition"),
    ),
    _histogram(
        "mmrec_stream_batch_seconds",
        _STREAM,
        "Duration of a micro-batch by phase; `decode` is reading and decoding in Spark, `whole` is all of it.",
        PHASE_S,
        "phase",
    ),
    _histogram("mmrec_stream_batch_records", _STREAM, "Records of a micro-batch.", RECORDS),
    _histogram("mmrec_store_seconds", _STREAM, "Time of the feature store for a micro-batch.", PHASE_S, "operation"),
    _histogram("mmrec_log_append_seconds", _STREAM, "Time of an append to the event log.", PHASE_S),
    _histogram(
        "mmrec_event_to_servable_seconds",
        _STREAM | _COLLECTOR | _FOLLOWER,
        "From ingest to the instant a request sees the event: in the stored profile (stream), from arrival at the "
        "collector to the overlay (overlay), from Kafka to the overlay (followed). Imported history is left out.",
        FRESHNESS_S,
        "path",
    ),
    _gauge("mmrec_live_generation", _VIEWS, "1 for the generation of profiles that serves.", "generation"),
    # The event log.
    _gauge("mmrec_log_sequence", _STREAM | _LOG | _VIEWS, "Appends of the event log that the process has taken in."),
    _gauge("mmrec_log_files", _LOG, "Files of the event log."),
    _gauge("mmrec_log_bytes", _LOG, "Bytes of the event log."),
    # The collector and its overlay.
    _counter(
        "mmrec_collector_events_total",
        _COLLECTOR,
        "Events by the collector's answer: acknowledged, rejected or retry, and the reason of the last two.",
        *("outcome", "reason"),
    ),
    _histogram("mmrec_collector_ack_seconds", _COLLECTOR, "From a request's arrival to its statuses.", LATENCY_S),
    _gauge("mmrec_collector_in_flight", _COLLECTOR, "Events handed to the broker and not answered yet."),
    _counter(
        "mmrec_followed_records_total",
        _FOLLOWER,
        "Records of behavior-events by what the follower did: followed into the overlay, or left out: passed "
        "(applied already, or the overlay fails), collected, imported, refused, behind.",
        "outcome",
    ),
    _gauge("mmrec_overlay_entries", _COLLECTOR, "Acknowledged events that the stored profiles may not have yet."),
    _counter("mmrec_overlay_dropped_total", _COLLECTOR, "Overlay entries that went early, since there were too many."),
    # The recommender.
    _counter("mmrec_requests_total", _RECOMMENDER, "Answers by method and gRPC status.", "method", "status"),
    _histogram("mmrec_request_seconds", _RECOMMENDER, "Time of an answer in the replica.", LATENCY_S, "method"),
    _counter(
        "mmrec_degraded_total", _RECOMMENDER, "Answers that lacked something, by what; one may lack more.", "reason"
    ),
    _counter("mmrec_search_parts_total", _RECOMMENDER, "Parts of searches: text, image or item_id.", "kind"),
    _counter(
        "mmrec_query_vectors_total",
        _RECOMMENDER,
        "Vectors of queries: encoded now, or kept from an equal query before.",
        *("modality", "source"),
    ),
    _histogram(
        "mmrec_query_encoding_seconds",
        _RECOMMENDER,
        "Time of encoding a query in its process, without waiting for others.",
        LATENCY_S,
        "modality",
    ),
    # The catalogue.
    _counter(
        "mmrec_collector_items_total",
        _COLLECTOR,
        "Items and removals by the collector's answer, and the reason of those that were not acknowledged.",
        *("outcome", "reason"),
    ),
    _counter(
        "mmrec_catalog_rejected_total",
        _CONTENT,
        "Records of catalog-items that were refused, by reason; goes on over restarts.",
        "reason",
    ),
    _counter("mmrec_catalog_mended_total", _CONTENT, "Items put right and taken, by what was found.", "reason"),
    _gauge("mmrec_catalog_items", _CONTENT, "Items of the content store."),
    _gauge("mmrec_catalog_items_waiting", _CONTENT, "Items of imports whose content is still to be encoded."),
    _gauge("mmrec_live_collection_ok", _CONTENT, "Whether the live release's collection follows the catalogue."),
    _counter(
        "mmrec_attributes_inferred_total",
        _CONTENT,
        "Missing attributes that the attribute model filled in; an item that comes again counts again.",
        "attribute",
    ),
    _counter(
        "mmrec_attributes_unsure_total",
        _CONTENT,
        "Missing attributes that the attribute model left missing, being less sure than it must be.",
        "attribute",
    ),
    _counter("mmrec_content_encoded_total", _CONTENT, "Payloads that went through an encoder.", "modality"),
    _counter("mmrec_content_cached_total", _CONTENT, "Payloads whose vector was in the cache.", "modality"),
    _counter("mmrec_content_absent_total", _CONTENT, "Items without a modality, by why.", "modality", "reason"),
    _counter("mmrec_refits_total", _REFIT, "Warm refits: promoted, refused, left_out, late, or failed.", "outcome"),
    _gauge("mmrec_refit_seconds", _REFIT, "The last warm refit, from the log to its end."),
    # Views made from the log.
    _gauge("mmrec_item_views_age_seconds", _VIEWS, "Since the view was last brought up to date.", "view"),
    # Rejected records sent again: counted by the stream when they come back.
    _counter("mmrec_resubmitted_total", _STREAM, "Refused records that came in again by `mmrec events rejected`."),
    # The administrative service.
    _counter("mmrec_admin_calls_total", _ADMIN, "Answers by method and gRPC status.", "method", "status"),
    _histogram("mmrec_admin_call_seconds", _ADMIN, "Time of an answer, long work included.", PHASE_S, "method"),
    _counter("mmrec_admin_acts_total", _ADMIN, "Administrative acts that ended, by how.", "kind", "outcome"),
    # The console.
    _counter(
        "mmrec_console_requests_total", _CONSOLE, "Answers to browsers by page and HTTP status.", "page", "status"
    ),
    _histogram("mmrec_console_request_seconds", _CONSOLE, "Time of an answer to a browser.", PHASE_S, "page"),
    _histogram(
        "mmrec_console_change_seconds", _CONSOLE, "From an event sent by the storefront to another list.", PHASE_S
    ),
)
"""All metrics of mmrec."""
