"""`mmrec forget USER`: the request on the topic of events, the removal from all other stores, and a receipt."""

import json
import time
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmrec.cli.terminal import ConfigOption, JsonOption, deployment_settings, err, print_json
from mmrec.config import Settings
from mmrec.errors import InvalidRequestError, StoreError

if TYPE_CHECKING:
    import pyarrow as pa

    from mmrec.disk.objects import Objects
    from mmrec.events.producer import RecordPlace
    from mmrec.forgetting.erase import Forgotten

COLLECTOR_TIMEOUT_S = 5.0


def forget(
    user: Annotated[str, typer.Argument(help="user id; with --anonymous an anonymous id")],
    *,
    config: ConfigOption = "",
    anonymous: Annotated[bool, typer.Option("--anonymous", help="USER is an anonymous id")] = False,
    receipt: Annotated[str, typer.Option("--receipt", help="file of the receipt; default: forgotten-HASH.json")] = "",
    wait: Annotated[float, typer.Option("--wait", min=0.0, help="seconds the stream has to read the request")] = 60.0,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", help="further folder to clean and search, such as training examples; repeatable"),
    ] = None,
    looked_at: Annotated[
        bool,
        typer.Option("--looked-at", help="the files that a run found were looked at, and hold only longer ids"),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove everything that is kept about a user, and search every store for what might be left.

    The exit code is 1 where something is left, was found or could not be read: the receipt is not complete, the request
    stays pending, and the same command then continues from there. An id that is part of a longer one is found in that
    one; once somebody has looked at the files, --looked-at completes the receipt in spite of them, and it says so.

    Example: `mmrec forget u00001`
    """
    settings = deployment_settings(config)
    folders = [Path(name) for name in also or ()]
    forgotten = forget_user(settings, user, anonymous=anonymous, wait_s=wait, also=folders, looked_at=looked_at)
    document = forgotten.document
    place = Path(receipt or f"forgotten-{document['user_hash'][:12]}.json")
    place.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    forgotten.settle()
    if as_json:
        print_json(document)
    else:
        _tell(document)
        typer.echo(f"receipt: {place}")
    if not forgotten.is_complete:
        err.print("not complete: mend what is named above and run the command again; it goes on from here")
        if any(store["found"] for store in document["stores"]):
            err.print("files that only hold longer ids which contain this one: add --looked-at")
        raise typer.Exit(1)


def _tell(document: dict[str, Any]) -> None:
    for store in document["stores"]:
        gone = ", ".join(f"{number:,} {name}" for name, number in store["removed"].items() if number) or "nothing to do"
        left = f"; STILL IN {', '.join(store['found'])}" if store["found"] else ""
        unread = f"; COULD NOT READ {', '.join(store['unread'])}" if store["unread"] else ""
        again = store["found_of_used_again"]
        told = f"; ids used again since the request are in {', '.join(again)}" if again else ""
        typer.echo(f"{store['name']}: {gone}; {store['num_bytes_scanned']:,} bytes searched{left}{unread}{told}")
    if document["not_forgotten_hashes"]:
        typer.echo(f"{len(document['not_forgotten_hashes'])} of the user's keys ARE NOT FORGOTTEN by the stream")
    if document["profiles_left"]:
        typer.echo(f"{document['profiles_left']} PROFILES ARE LEFT in the online store")
    for topic in document["kafka"]:
        until_s = topic["bytes_may_stand_until_s"]
        told = time.strftime("until %Y-%m-%d %H:%MZ", time.gmtime(until_s)) if until_s else "for ever (retention.ms=-1)"
        typer.echo(f"Kafka's own segments of {topic['topic']} may hold the id {told}")


def forget_user(
    settings: Settings,
    user: str,
    *,
    anonymous: bool = False,
    wait_s: float = 60.0,
    also: list[Path] | None = None,
    looked_at: bool = False,
) -> "Forgotten":
    """Open the deployment's stores and forget a user; the receipt holds keyed hashes, not ids.

    Args:
        also: Further folders to clean and search.
        looked_at: See mmrec.forgetting.erase.forget_user.

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
    forgotten = erase.forget_user(parts, key, wait_s=wait_s, looked_at=looked_at, doing=err.status)
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
    from contextlib import closing

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
