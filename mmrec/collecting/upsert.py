"""Sends catalogue changes to the topic catalog-items, checked by the rules of the topic itself."""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from mmrec.catalog.refusals import ItemRefusal
from mmrec.catalog.refused import refused_record
from mmrec.catalog.rules import ItemChange, parse_change
from mmrec.collecting.outcome_counts import OutcomeCounts
from mmrec.events.producer import RecordPlace, RecordProducer
from mmrec.v1.catalog_pb2 import CatalogItem
from mmrec.v1.collector_pb2 import EventOutcome, ItemStatus
from mmrec.wire.instants import rfc3339

MAX_SHOWN_ID: Final = 512
_TIMES: Final = ("publish_time", "update_time", "expire_time")


def encode_item(item: CatalogItem) -> tuple[bytes, bytes]:
    """Key and value of an item's record: proto3 JSON, snake_case.

    Every message can be written, those that the rules refuse included, so that a rejected record can hold it.
    """
    unwritable = {name: text for name in _TIMES if (text := _unwritable(item, name))}
    if unwritable:
        bare = CatalogItem()
        bare.CopyFrom(item)
        for name in unwritable:
            bare.ClearField(name)  # type: ignore[arg-type]
        item = bare
    document: dict[str, Any] = json_format.MessageToDict(item, preserving_proto_field_name=True)
    text = json.dumps({**document, **unwritable}, sort_keys=True, ensure_ascii=False)
    return item.item_id.encode("utf-8"), text.encode("utf-8")


def _unwritable(item: CatalogItem, name: str) -> str:
    """Seconds and nanoseconds of an instant that proto3 JSON cannot write; "" where it can, or where there is none."""
    time: Timestamp = getattr(item, name)
    if not item.HasField(name):  # type: ignore[arg-type]
        return ""
    try:
        time.ToJsonString()
    except (ValueError, OverflowError):
        return f"{time.seconds}s {time.nanos}ns"
    return ""


class CatalogWriter:
    """Sends catalogue changes to the topic, and those that are refused to the rejected topic."""

    def __init__(self, producer: RecordProducer, *, topic: str, rejected_topic: str) -> None:
        self._producer = producer
        self._topic, self._rejected_topic = topic, rejected_topic
        self._counts = OutcomeCounts()
        self._lock = threading.Lock()

    def counts(self) -> OutcomeCounts:
        """Answers so far, as a copy."""
        counts = OutcomeCounts()
        with self._lock:
            counts.update(self._counts)
        return counts

    def upsert(
        self, items: Sequence[CatalogItem], removed_item_ids: Sequence[str], *, now_s: float
    ) -> list[ItemStatus]:
        """Write and remove items; waits until the broker has them, or their refusals.

        Args:
            now_s: Instant they arrived.

        Returns:
            One status per item, then one per removed id, each in their order. The detail of an item that is taken and
            published later says when it will be shown.
        """
        records = [(item.item_id, *encode_item(item)) for item in items]
        removals = [(item_id, item_id.encode("utf-8"), None) for item_id in removed_item_ids]
        waiting = [
            (item_id, judged, self._send(key, value, judged, now_s))
            for item_id, key, value in [*records, *removals]
            for judged in [parse_change(key, value)]
        ]
        statuses = [_status(item_id, judged, sent, now_s) for item_id, judged, sent in waiting]
        with self._lock:
            for status in statuses:
                _count(status, self._counts)
        return statuses

    def _send(
        self, key: bytes, value: bytes | None, judged: ItemChange | ItemRefusal, now_s: float
    ) -> "Future[RecordPlace]":
        if isinstance(judged, ItemChange):
            return self._producer.send(self._topic, key, value)
        return self._producer.send(self._rejected_topic, *refused_record(key, value, judged, time_s=now_s))


def _count(status: ItemStatus, counts: OutcomeCounts) -> None:
    if status.outcome == EventOutcome.EVENT_OUTCOME_RETRY:
        counts.retry[status.reason] += 1
    elif status.outcome == EventOutcome.EVENT_OUTCOME_REJECTED:
        counts.rejected[status.reason] += 1
    else:
        counts.acknowledged += 1


def _status(item_id: str, judged: ItemChange | ItemRefusal, sent: "Future[RecordPlace]", now_s: float) -> ItemStatus:
    status = ItemStatus(item_id=item_id[:MAX_SHOWN_ID])
    if (error := sent.exception()) is not None:
        status.outcome = EventOutcome.EVENT_OUTCOME_RETRY
        status.reason, status.detail = "unavailable", str(error)
    elif isinstance(judged, ItemRefusal):
        status.outcome = EventOutcome.EVENT_OUTCOME_REJECTED
        status.reason, status.detail = judged.reason.value, judged.detail
    else:
        status.outcome = EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED
        if judged.item is not None and judged.item.publish_time_s > now_s:
            status.detail = f"not shown before its publish_time, {rfc3339(judged.item.publish_time_s)}"
        elif judged.item is not None and 0.0 < judged.item.expire_time_s <= now_s:
            status.detail = f"not shown since its expire_time, {rfc3339(judged.item.expire_time_s)}"
    return status
