"""The one place where adapters are chosen from configuration.

Imports happen inside the functions, so that a process loads only the engines it uses.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mmrec.config import Settings, StoreSettings, load_settings
from mmrec.errors import ConfigurationError, StoreError
from mmrec.programs.plaintext import refuse_plaintext

if TYPE_CHECKING:
    from mmrec.catalog.item import CatalogItem
    from mmrec.collecting.overlay import Overlay
    from mmrec.collecting.overlay_writer import OverlayWriter
    from mmrec.content.catalog_feed import CatalogFeed
    from mmrec.content.encoder import Encoder
    from mmrec.content.inferred import AttributeInference
    from mmrec.content.query_encoder import EncodesQueries, QueryEncoder
    from mmrec.content.store import ContentStore
    from mmrec.disk.objects import Objects
    from mmrec.events.forgotten import ForgottenUsers
    from mmrec.events.log import EventLog
    from mmrec.events.producer import RecordProducer
    from mmrec.events.topics import Topics, TopicWatch
    from mmrec.features.ports import FeatureStore
    from mmrec.features.profile_rows import ProfileRows, RowLayout
    from mmrec.index.vectors import VectorStore
    from mmrec.publishing.release import ReleaseStore
    from mmrec.serving.live_collection import LiveCollection
    from mmrec.serving.replica import ReplicaParts
    from mmrec.serving.search_content import NamedAlignment
    from mmrec.stores.feast.offline import FeastOfflineStore
    from mmrec.stores.kafka.producer import KafkaRecordProducer
    from mmrec.stores.log.size import LogSize
    from mmrec.stores.online_engine import OnlineEngine
    from mmrec.stores.writer_right import HeldWriterRight
    from mmrec.stream.step import ScoringStream
    from mmrec.stream.topics import StreamTopics
    from mmrec.training.recipe import DeploymentData

CONFIG_VARIABLE = "MMREC_CONFIG"


def settings_from(path: str | None) -> Settings:
    """Settings of a program, from `path`, else from the file MMREC_CONFIG names; errors as load_settings().

    ConfigurationError also where connections would leave this machine unencrypted and are not allowed to.
    """
    chosen = path or os.environ.get(CONFIG_VARIABLE, "")
    if not chosen:
        raise ConfigurationError("no configuration named; pass --config FILE or set MMREC_CONFIG")
    settings = load_settings(Path(chosen))
    refuse_plaintext(settings)
    return settings


def open_feature_store(
    settings: Settings, *, lease: bytes | None = None, wait_s: float | None = None
) -> "FeatureStore":
    """A FeastFeatureStore of this deployment; IncompatibleStateError where its profiles decay by other rates."""
    store = open_generations(settings, lease=lease, wait_s=wait_s)
    store.read_progress()
    return store


def open_generations(settings: Settings, *, lease: bytes | None = None, wait_s: float | None = None) -> "FeatureStore":
    """The same repository, to rebuild or inspect it: its generations may have any decay rates."""
    from mmrec.stores.feast.store import FeastFeatureStore

    at = settings.stores
    return FeastFeatureStore(at.feature_repo, stores=at, scoring=settings.scoring, lease=lease, wait_s=wait_s)


WRITER_WAIT_S = 2.0
"""How long a writer of the overlay waits for another one; a reader waits for no writer, and gives up sooner."""


def open_overlay(settings: Settings, *, wait_s: float = 0.25) -> "Overlay":
    """The overlay of the online store; nothing is opened before its first call.

    Args:
        wait_s: How long a call waits for the engine.
    """
    return open_engine(settings).open_overlay(settings.stores, wait_s=wait_s)


def open_engine(settings: Settings) -> "OnlineEngine":
    """What is peculiar to the engine of the online store; nothing is connected."""
    from mmrec.stores.online_engine import online_engine

    return online_engine(settings.stores.online_store)


def open_overlay_writer(settings: Settings) -> "OverlayWriter":
    """The collector's overlay: the topic's identity comes from the broker, marks and logins from the feature store."""
    from functools import lru_cache

    from mmrec.collecting.overlay_writer import OverlayWriter

    @lru_cache(maxsize=1)  # a failure is not cached: the repository may be applied later
    def store() -> "FeatureStore":
        if not (Path(settings.stores.feature_repo) / "feature_store.yaml").is_file():
            raise StoreError(f"no feature repository at {settings.stores.feature_repo}; `mmrec up` applies one")
        return open_feature_store(settings, wait_s=WRITER_WAIT_S)

    def merged_from(user_key: str) -> tuple[str, ...]:
        profile = store().read_profiles([user_key]).get(user_key)
        return profile.merged_from if profile is not None else ()

    return OverlayWriter(
        open_overlay(settings, wait_s=WRITER_WAIT_S),
        topic=open_topic_watch(settings),
        read_marks=lambda: progress.marks if (progress := store().read_progress()) is not None else {},
        merged_from=merged_from,
    )


def open_event_log(settings: Settings) -> "EventLog":
    """The Parquet event log."""
    from mmrec.stores.log.parquet_log import ParquetEventLog

    return ParquetEventLog(open_objects(settings.stores, "event_log"))


def open_objects(stores: StoreSettings, name: str) -> "Objects":
    """What lies at an address of [stores], event_log or releases: in a folder or a bucket."""
    return open_objects_at(getattr(stores, name), stores, setting=f"stores.{name}")


def open_objects_at(address: str, stores: StoreSettings, *, setting: str) -> "Objects":
    """What lies at another address; see mmrec.stores.objects."""
    from mmrec.stores.objects import objects_at

    return objects_at(address, stores, setting=setting)


def open_forgotten_users(settings: Settings) -> "ForgottenUsers":
    """The registry of forgotten users, beside the event log."""
    from mmrec.stores.log.forgotten_file import FOLDER, FileForgottenUsers

    return FileForgottenUsers(open_objects(settings.stores, "event_log").within(FOLDER, private=True))


def open_scoring_stream(
    settings: Settings, *, timer: Callable[[], float], lease: bytes | None = None
) -> "tuple[ScoringStream, RecordProducer]":
    """The writer of profiles in this deployment's stores, and the producer it sends refused records with.

    Args:
        lease: On Redis: the value that the writer's lease must have for profiles to be written.
        timer: Seconds of a monotonic clock.
    """
    from mmrec.stream.step import ScoringStream

    producer = open_producer(settings)
    stream = ScoringStream(
        store=open_feature_store(settings, lease=lease),
        log=open_event_log(settings),
        producer=producer,
        forgotten=open_forgotten_users(settings),
        settings=settings,
        timer=timer,
    )
    return stream, producer


def open_producer(
    settings: Settings,
    *,
    delivery_timeout_s: float = 30.0,
    linger_s: float = 0.0,
    max_requests: int = 5,
    header: str = "",
) -> "KafkaRecordProducer":
    """An idempotent Kafka producer; its arguments are KafkaRecordProducer's."""
    from mmrec.stores.kafka.producer import KafkaRecordProducer

    return KafkaRecordProducer(
        settings.kafka,
        delivery_timeout_s=delivery_timeout_s,
        linger_s=linger_s,
        max_requests=max_requests,
        header=header,
    )


def open_topics(settings: Settings) -> "Topics":
    """The topics of this deployment's broker, to be read; nothing is connected yet."""
    from mmrec.stores.kafka.reading_port import KafkaTopics

    return KafkaTopics(settings.kafka)


def open_topic_watch(settings: Settings) -> "TopicWatch":
    """A watch on the identity of the topic of behavior events."""
    from mmrec.stores.kafka.admin import KafkaTopicWatch

    return KafkaTopicWatch(settings.kafka, settings.kafka.behavior_events)


def open_stream_topics(settings: Settings) -> "StreamTopics":
    """What the scoring stream must know of its topics."""
    from mmrec.stores.kafka.stream_topics import KafkaStreamTopics

    return KafkaStreamTopics(settings.kafka)


def create_topics(settings: Settings) -> list[str]:
    """Create the topics that do not exist yet, wait until they can be written, and return the names of the new ones."""
    from mmrec.stores.kafka.admin import TopicAdmin

    with TopicAdmin(settings.kafka) as admin:
        return admin.create_topics(settings.kafka)


def take_writer_lock(settings: Settings) -> IO[str]:
    """The lock of the one writer of profiles; StoreError where another process has it."""
    from mmrec.stores.sqlite.writer_lock import take_writer_lock as take

    return take(Path(settings.stores.feature_repo))


def take_rebuild_lock(settings: Settings) -> IO[str]:
    """The lock for filling and flipping generations; StoreError where another process has it."""
    from mmrec.stores.sqlite.writer_lock import take_rebuild_lock as take

    return take(Path(settings.stores.feature_repo))


def take_writer_right(settings: Settings, *, lock: IO[str] | None = None) -> "HeldWriterRight":
    """The right to write profiles: the lock, and on Redis a lease; see mmrec.stores.writer_right."""
    from mmrec.stores.writer_right import take_writer_right as take

    return take(settings.stores, lock=lock)


def open_profile_rows(layout: "RowLayout", *, lease: bytes | None) -> "ProfileRows":
    """Rows of profiles on Redis, for a worker without Feast; the layout comes from the writer's right."""
    from mmrec.stores.redis.profile_rows import RedisLayout, RedisProfileRows

    assert isinstance(layout, RedisLayout), "made by the writer's right"
    return RedisProfileRows(layout, lease=lease)


def apply_features(stores: StoreSettings, objects: Sequence[object], *, decay_per_day: tuple[float, ...]) -> None:
    """Create or confirm the Feast repository with these definitions.

    Raises:
        IncompatibleStateError: the folder was applied with another schema, or its profiles decay by other rates.
    """
    from mmrec.stores.feast.repository import apply_objects, repository_yaml

    folder = Path(stores.feature_repo)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "feature_store.yaml").write_text(repository_yaml(stores), encoding="utf-8")
    check_rates(stores, decay_per_day=decay_per_day)
    apply_objects(folder, objects, stores=stores)


def check_rates(stores: StoreSettings, *, decay_per_day: tuple[float, ...]) -> None:
    """IncompatibleStateError where there are live profiles and they decay by other rates than these."""
    from mmrec.stores.feast.repository import is_applied
    from mmrec.stores.feast.store import check_rates as check

    folder = Path(stores.feature_repo)
    if (folder / "feature_store.yaml").is_file() and is_applied(folder):
        check(stores, decay_per_day)


def open_offline_store(settings: Settings) -> "FeastOfflineStore":
    """Feast's offline store."""
    from mmrec.stores.feast.offline import FeastOfflineStore

    return FeastOfflineStore(settings.stores.feature_repo)


def measure_event_log(settings: Settings) -> "LogSize":
    """How many files and bytes the event log has."""
    from mmrec.stores.log.size import log_size

    return log_size(open_objects(settings.stores, "event_log"))


def open_vector_store(settings: Settings) -> "VectorStore":
    """Milvus."""
    from mmrec.stores.milvus import MilvusSecurity, MilvusVectorStore

    return MilvusVectorStore(settings.stores.milvus_uri, secured=MilvusSecurity.of(settings.stores))


def open_content_store(settings: Settings) -> "ContentStore":
    """Content embeddings by content hash."""
    from mmrec.content.store import ContentStore

    return ContentStore(settings.stores.content)


def open_deployment_data(settings: Settings) -> "DeploymentData":
    """What trainings read of a deployment."""
    from mmrec.catalog.cleaning import cleaning_policy
    from mmrec.content.feed import read_changes
    from mmrec.training.recipe import DeploymentData

    def items() -> Iterator["CatalogItem"]:
        records = open_topics(settings).read(settings.kafka.catalog_items)
        pairs = [(record.key, record.value) for record in records]
        yield from read_changes(pairs, policy=cleaning_policy(settings.catalog)).items.values()

    return DeploymentData(
        settings=settings,
        content=lambda: open_content_store(settings).load_matrix(),
        entries=lambda item_ids: open_feature_store(settings).read_item_content(item_ids),
        items=items,
    )


def open_catalog_feed(
    settings: Settings,
    *,
    encoders: "Mapping[str, Encoder]",
    store: "ContentStore",
    producer: "RecordProducer",
    picture_problem: Callable[[bytes], str],
    inference: "AttributeInference | None" = None,
) -> "CatalogFeed":
    """The feed from `catalog-items` to everything that serves content; it continues where the last run stopped.

    Args:
        encoders: By modality.
        picture_problem: Says why a picture cannot be read, or nothing; see mmrec.content.picture_worker.
        inference: Fills attributes that items lack; see open_attribute_inference().
    """
    from mmrec.catalog.cleaning import cleaning_policy
    from mmrec.catalog.refused import RefusedItems
    from mmrec.clock import SystemClock
    from mmrec.content.catalog_feed import CatalogFeed, marked_choices
    from mmrec.content.publish import FeedMark
    from mmrec.content.remote_images import RemoteImages
    from mmrec.content.store import CATALOG_MARK
    from mmrec.home import cache_folder

    kafka, policy = settings.kafka, replace(cleaning_policy(settings.catalog), picture_problem=picture_problem)
    topics = open_topics(settings)
    identity = topics.describe(kafka.catalog_items)
    return CatalogFeed(
        mark=FeedMark(
            topic=f"{identity.cluster_id}/{identity.topic_id}",
            encoders=marked_choices(
                encoders, cleaning=settings.content.text_cleaning, policy=policy, inference=inference
            ),
        ),
        mark_path=Path(settings.stores.content) / CATALOG_MARK,
        policy=policy,
        refused=RefusedItems(
            producer,
            topic=kafka.catalog_rejected,
            cluster_id=identity.cluster_id,
            topic_id=identity.topic_id,
            read=lambda: topics.read(kafka.catalog_rejected),
        ),
        images=RemoteImages(
            settings.content,
            folder=Path(settings.stores.content),
            cache_folder=cache_folder() / "images",
            problem=picture_problem,
            clock=SystemClock(),
        ),
        encoders=encoders,
        store=store,
        features=open_feature_store(settings),
        producer=producer,
        topic=kafka.item_embeddings,
        cleaning=settings.content.text_cleaning,
        inference=inference,
    )


def open_attribute_inference(settings: Settings, encoders: "Mapping[str, Encoder]") -> "AttributeInference | None":
    """The attribute model that the configuration names; None where it names none.

    Args:
        encoders: By modality; they are not loaded.

    Raises:
        IncompatibleStateError: the folder holds no usable model, or one that reads vectors of other encoders.
    """
    if not settings.content.attribute_model:
        return None
    from mmrec.content.attribute_heads import AttributeHeads
    from mmrec.content.inferred import AttributeInference

    heads = AttributeHeads.load(Path(settings.content.attribute_model))
    heads.refuse_others(
        {modality: encoder.name for modality, encoder in encoders.items()},
        {modality: encoder.fingerprint for modality, encoder in encoders.items()},
    )
    return AttributeInference(heads, least=settings.content.attribute_confidence)


def live_collection(settings: Settings) -> "LiveCollection":
    """Keeps the live release's collection up to the catalogue, once it is started; nothing is opened yet."""
    from mmrec.events.topics import SkippedBatches
    from mmrec.serving.live_collection import LiveCollection, LiveCollectionParts

    embeddings, topics, skipped = settings.kafka.item_embeddings, open_topics(settings), SkippedBatches()
    return LiveCollection(
        LiveCollectionParts(
            releases=open_release_store(settings),
            open_vectors=lambda: open_vector_store(settings),
            follow=lambda start, stop: topics.follow(embeddings, start=start, stop=stop, skipped=skipped),
            topic_name=lambda: _named(topics, embeddings),
        )
    )


def _named(topics: "Topics", name: str) -> str:
    topic = topics.describe(name)
    return f"{topic.cluster_id}/{topic.topic_id}"


def open_release_store(settings: Settings) -> "ReleaseStore":
    """Releases and the pointer to the one in use."""
    from mmrec.publishing.release import ReleaseStore

    return ReleaseStore(open_objects(settings.stores, "releases"))


def open_query_encoder(
    settings: Settings, *, told: "Callable[[str, float | None], None]" = lambda modality, seconds: None
) -> "QueryEncoder":
    """The process that makes vectors of queries, started where the configuration wants one.

    Args:
        told: As in QueryEncoder.
    """
    from mmrec.content.query_encoder import QueryEncoder
    from mmrec.content.registry import chosen_encoders

    names = chosen_encoders(settings.content) if settings.search.encodes_queries else {}
    encoder = QueryEncoder(
        {modality: names[modality] for modality in ("text", "image") if modality in names},
        picture_timeout_s=settings.content.picture_timeout_s,
        num_kept=settings.search.num_kept_queries,
        told=told,
    )
    encoder.start()
    return encoder


def open_alignment(settings: Settings) -> "NamedAlignment | None":
    """The alignment that search.alignment names; None where it names none.

    Raises:
        IncompatibleStateError: files are missing or damaged, or this code cannot use them.
    """
    from hashlib import sha256

    from mmrec.content.alignment import WEIGHTS, AlignmentModel
    from mmrec.serving.search_content import NamedAlignment

    if not settings.search.alignment:
        return None
    folder = Path(settings.config_file).parent / settings.search.alignment
    model = AlignmentModel.load(folder)
    return NamedAlignment(model=model, name=sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:16])


def replica_parts(settings: Settings, *, encoder: "EncodesQueries | None" = None) -> "ReplicaParts":
    """The parts of a recommender replica; nothing but the release folder is opened yet.

    Args:
        encoder: Makes vectors of queries; without one, texts are searched by their words alone.
    """
    from mmrec.clock import SystemClock
    from mmrec.content.query_encoder import NoQueryEncoder
    from mmrec.events.topics import SkippedBatches
    from mmrec.serving.profile_reads import OVERLAY_WAIT_S, STORE_WAIT_S
    from mmrec.serving.replica import ReplicaParts

    embeddings, topics, skipped = settings.kafka.item_embeddings, open_topics(settings), SkippedBatches()
    return ReplicaParts(
        settings=settings,
        open_features=lambda: open_feature_store(settings, wait_s=STORE_WAIT_S),
        open_overlay=lambda: open_overlay(settings, wait_s=OVERLAY_WAIT_S),
        open_vectors=lambda: open_vector_store(settings),
        releases=open_release_store(settings),
        follow=lambda start, stop: topics.follow(embeddings, start=start, stop=stop, skipped=skipped),
        num_skipped_batches=lambda: skipped.num_batches,
        topic_name=lambda: _named(topics, embeddings),
        ends=lambda: topics.ends(embeddings),
        clock=SystemClock(),
        read_past=lambda: topics.read(embeddings),
        encoder=encoder or NoQueryEncoder(),
        open_alignment=lambda: open_alignment(settings),
    )
