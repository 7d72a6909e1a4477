"""A user is forgotten in a deployment: its stores are opened, the request sent, everything removed and searched."""

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmrec.config import Settings
from mmrec.errors import InvalidRequestError, StoreError

if TYPE_CHECKING:
    import pyarrow as pa

    from mmrec.disk.objects import Objects
    from mmrec.events.producer import RecordPlace
    from mmrec.forgetting.erase import Forgotten

COLLECTOR_TIMEOUT_S = 5.0


def forget_user(
    settings: Settings,
    user: str,
    *,
    anonymous: bool = False,
    wait_s: float = 60.0,
    also: list[Path] | None = None,
    looked_at: bool = False,
    doing: Callable[[str], AbstractContextManager[Any]] = lambda what: nullcontext(),
) -> "Forgotten":
    """Open the deployment's stores and forget a user; the receipt holds keyed hashes, not ids.

    Args:
        also: Further folders to clean and search.
        looked_at: See mmrec.forgetting.erase.forget_user.
        doing: Entered with a short text for people during each long step.

    Raises:
        InvalidRequestError: the id is empty.
        DeadlineError: the stream did not read the request in time; nothing else was done yet.
        StoreError: an engine failed; the same call continues from there.
    """
    from mmrec.events.codec import decode_batch
    from mmrec.events.columns import user_key
    from mmrec.forgetting import erase
    from mmrec.forgetting.pending import pending_requests
    from mmrec.forgetting.removal import Stores
    from mmrec.wiring import (
        open_event_log,
        open_feature_store,
        open_forgotten_users,
        open_objects,
        open_overlay,
        open_topics,
    )

    if not user:
        raise InvalidRequestError("the user id is empty; name the user to forget")
    kafka = settings.kafka
    topics = open_topics(settings)
    topic = topics.describe(kafka.behavior_events)
    more = {str(folder): folder for folder in also or ()}

    def decode(records: "pa.Table") -> "pa.Table":
        source = {"cluster_id": topic.cluster_id, "topic_id": topic.topic_id}
        return decode_batch(records, **source, behaviors=settings.behaviors, settings=settings.events).control

    folders, buckets = _state_places(settings)
    parts = erase.Parts(
        store=open_feature_store(settings),
        users=open_forgotten_users(settings),
        stores=Stores(
            log=open_event_log(settings),
            overlay=open_overlay(settings),
            keep_s=settings.scoring.idle_horizon_s,
            folders={**folders, **more},
            parquet=["offline", *more],
            buckets=buckets,
        ),
        topic=topic,
        read_topic=lambda starts: topics.read(kafka.behavior_events, start=starts),
        decode=decode,
        send=lambda: _send(settings, user, anonymous=anonymous),
        pending=pending_requests(open_objects(settings.stores, "event_log")),
    )
    key = user_key("", user) if anonymous else user
    forgotten = erase.forget_user(parts, key, wait_s=wait_s, looked_at=looked_at, doing=doing)
    forgotten.document["request"]["topic"] = kafka.behavior_events
    forgotten.document.update(_beyond_the_stores(settings, instant_s=forgotten.document["forgotten_up_to_s"]))
    return forgotten


def _beyond_the_stores(settings: Settings, *, instant_s: float) -> dict[str, Any]:
    """What a receipt says of the places that no command can clean."""
    from mmrec.wiring import open_engine

    return {
        "redis": open_engine(settings).erasure_note,
        "kafka": _topics(settings, instant_s),
        "backups": "backups made before this receipt still hold the user; a restored one is swept by the registry, "
        "if the registry (the folder `forgotten` of the event log) is the newer one",
    }


def _state_places(settings: Settings) -> tuple[dict[str, Path], dict[str, "Objects"]]:
    """Every folder, and every bucket, of a deployment that may hold a user's bytes, by the name that receipts give."""
    from mmrec.forgetting.removal import offline_folder
    from mmrec.wiring import open_objects

    stores = settings.stores
    objects = {
        "event_log": open_objects(settings.stores, "event_log"),
        "releases": open_objects(settings.stores, "releases"),
    }
    folders = {
        "feature_repo": Path(stores.feature_repo),
        "offline": offline_folder(Path(stores.feature_repo)),
        "status": Path(stores.status),
        "checkpoint": Path(stores.checkpoint),
        "content": Path(stores.content),
    }
    in_folders = {name: Path(each.place()) for name, each in objects.items() if each.keeps_out}
    return in_folders | folders, {name: each for name, each in objects.items() if not each.keeps_out}


def _topics(settings: Settings, instant_s: float) -> list[dict[str, Any]]:
    from mmrec.forgetting.removal import retention_document
    from mmrec.wiring import open_topics

    kafka, topics = settings.kafka, open_topics(settings)
    return [
        retention_document(topic, partial(topics.setting, topic), forgotten_s=instant_s)
        for topic in (kafka.behavior_events, kafka.served_lists, kafka.rejected)
    ]


def _send(settings: Settings, user: str, *, anonymous: bool) -> "RecordPlace":
    """Through the collector if it answers, so that its overlay forgets at once; else straight onto the topic."""
    import grpc

    from mmrec.connections.grpc_credentials import client_channel
    from mmrec.events.control import forget_event
    from mmrec.events.encoding import encode_event
    from mmrec.events.producer import RecordPlace
    from mmrec.v1 import collector_pb2, collector_pb2_grpc
    from mmrec.wiring import open_producer

    if not anonymous:
        with client_channel(settings.serving.collector, settings.serving) as channel:
            stub: Any = collector_pb2_grpc.CollectorServiceStub  # generated, without types
            try:
                answer = stub(channel).ForgetUser(
                    collector_pb2.ForgetUserRequest(user_id=user), timeout=COLLECTOR_TIMEOUT_S
                )
                ingest_s = answer.ingest_time.seconds + answer.ingest_time.nanos / 1e9
                return RecordPlace(answer.partition, answer.offset, ingest_s)
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.INVALID_ARGUMENT:  # type: ignore[attr-defined]
                    raise InvalidRequestError(f"the collector refuses: {error.details()}") from None  # type: ignore[attr-defined]
    ids = {"anonymous_id": user} if anonymous else {"user_id": user}
    key, value = encode_event(forget_event(event_id=f"forget-{uuid.uuid4().hex}", **ids))
    with closing(open_producer(settings)) as producer:
        sent = producer.send(settings.kafka.behavior_events, key, value)
        producer.flush()
        try:
            return sent.result(timeout=30.0)
        except TimeoutError:
            raise StoreError(f"Kafka ({settings.kafka.bootstrap}) did not take the request within 30 s") from None
