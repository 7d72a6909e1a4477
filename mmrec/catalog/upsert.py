"""Catalogue changes on their way to the topic catalog-items: what an item must have, and its record."""

import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

from google.protobuf import json_format

from mmrec.events.producer import RecordPlace, RecordProducer
from mmrec.events.verdicts import Rejection
from mmrec.v1.catalog_pb2 import CatalogItem
from mmrec.v1.collector_pb2 import EventOutcome, ItemStatus
from mmrec.wire.ids import id_problem

MISSING_TITLE: Final = "missing_title"
"""Reason beside those of Rejection: an item without a title cannot be shown (METHODS M13)."""
MAX_VALUE_BYTES: Final = 7 * 1024 * 1024
"""Stays below what the topic takes."""
MAX_SHOWN_ID: Final = 512


def check_item(item: CatalogItem) -> tuple[str, str] | None:
    """Reason and detail why an item is refused; None where it is taken."""
    if not item.item_id:
        return Rejection.MISSING_ITEM_ID.value, "give item_id"
    if problem := id_problem("item_id", item.item_id):
        return Rejection.BAD_ID.value, problem
    if not item.title.strip():
        return MISSING_TITLE, "give a title"
    if not math.isfinite(item.price):
        return Rejection.WRONG_TYPE.value, f"price is {item.price}; give a finite number"
    return None


def encode_item(item: CatalogItem) -> tuple[bytes, bytes]:
    """Key and value of an item's record: proto3 JSON, snake_case.

    Raises:
        SerializeToJsonError: a time is outside the years 1 to 9999.
    """
    text = json_format.MessageToJson(
        item, preserving_proto_field_name=True, indent=None, sort_keys=True, ensure_ascii=False
    )
    return item.item_id.encode("utf-8"), text.encode("utf-8")


class CatalogWriter:
    """Brings catalogue changes to the topic."""

    def __init__(self, producer: RecordProducer, *, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._counts: Counter[str] = Counter()

    def figures(self) -> dict[str, int]:
        """Items so far by outcome and reason."""
        return dict(self._counts)

    def upsert(self, items: Sequence[CatalogItem], removed_item_ids: Sequence[str]) -> list[ItemStatus]:
        """Write and remove items; waits until the broker has them.

        Returns:
            One status per item, then one per removed id, each in their order.
        """
        waiting = [(item.item_id, *self._send_item(item)) for item in items]
        waiting += [(item_id, *self._send_removal(item_id)) for item_id in removed_item_ids]
        statuses = [_status(item_id, refused, sent) for item_id, refused, sent in waiting]
        for status in statuses:
            name = EventOutcome.Name(status.outcome).removeprefix("EVENT_OUTCOME_").lower()
            self._counts.update([f"items.{name}", *([f"items.{name}.{status.reason}"] if status.reason else [])])
        return statuses

    def _send_item(self, item: CatalogItem) -> "tuple[tuple[str, str] | None, Future[RecordPlace] | None]":
        if refused := check_item(item):
            return refused, None
        try:
            key, value = encode_item(item)
        except json_format.SerializeToJsonError as error:
            return (Rejection.BAD_TIME.value, str(error)), None
        if len(value) > MAX_VALUE_BYTES:
            return (Rejection.TOO_LARGE.value, f"the item has {len(value)} bytes; at most {MAX_VALUE_BYTES}"), None
        return None, self._producer.send(self._topic, key, value)

    def _send_removal(self, item_id: str) -> "tuple[tuple[str, str] | None, Future[RecordPlace] | None]":
        if not item_id:
            return (Rejection.MISSING_ITEM_ID.value, "give item_id"), None
        return None, self._producer.send(self._topic, item_id.encode("utf-8"), None)


def _status(item_id: str, refused: tuple[str, str] | None, sent: "Future[RecordPlace] | None") -> ItemStatus:
    shown = item_id[:MAX_SHOWN_ID]
    if refused is not None or sent is None:
        reason, detail = refused or ("", "")
        return ItemStatus(item_id=shown, outcome=EventOutcome.EVENT_OUTCOME_REJECTED, reason=reason, detail=detail)
    error = sent.exception()
    if error is not None:
        return ItemStatus(
            item_id=shown, outcome=EventOutcome.EVENT_OUTCOME_RETRY, reason="unavailable", detail=str(error)
        )
    return ItemStatus(item_id=shown, outcome=EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED)
