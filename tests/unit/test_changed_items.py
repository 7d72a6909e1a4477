"""Changing items: what one operator changes, another who changes the same item at the same time does not undo."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from mmrec.catalog.item import CatalogItem
from mmrec.clock import ManualClock
from mmrec.config import Settings
from mmrec.events.producer import MemoryRecordProducer, RecordPlace
from mmrec.operating.acts import COMMAND_LINE, ActLog
from mmrec.operating.catalogue_view import CatalogueView
from mmrec.operating.desk import Desk
from mmrec.operating.workplace import Workplace
from mmrec.v1 import admin_pb2, catalog_pb2
from tests.unit.test_catalogue_view import TOPIC, MemoryTopics, send

NOW_S = 1_767_225_600.0


class SlowProducer(MemoryRecordProducer):
    """Sends a change once two are about to be sent, or after a while."""

    def __init__(self, topics: MemoryTopics) -> None:
        super().__init__(clock=ManualClock(NOW_S))
        self._broker, self._two = topics.broker, threading.Barrier(2)

    def send(self, topic: str, key: bytes, value: bytes | None) -> "Future[RecordPlace]":
        with suppress(threading.BrokenBarrierError):
            self._two.wait(timeout=0.5)
        return self._broker.send(topic, key, value)


@pytest.fixture
def topics() -> MemoryTopics:
    return MemoryTopics()


@pytest.fixture
def desk(topics: MemoryTopics, tmp_path: Path) -> Iterator[Desk]:
    clock, acts = ManualClock(NOW_S), MemoryRecordProducer(clock=ManualClock(NOW_S))
    at = Workplace(
        settings=Settings(),
        acts=ActLog(lambda: acts, topic="administrative-acts", clock=clock),
        clock=clock,
        view=CatalogueView(tmp_path / "items.sqlite", topics, TOPIC),
        _producer=SlowProducer(topics),
    )
    yield Desk(at)
    at.close()


def test_an_item_that_is_hidden_and_repriced_at_once_is_both(desk: Desk, topics: MemoryTopics) -> None:
    send(topics, CatalogItem(item_id="a", title="A", price=20.0))
    changes = [
        admin_pb2.ChangeItemRequest(item_id="a", availability="AVAILABILITY_HIDDEN"),
        admin_pb2.ChangeItemRequest(item_id="a", price=15.0),
    ]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda change: desk.ask("ChangeItem", change, COMMAND_LINE), changes))
    assert desk.at.view is not None
    desk.at.view.catch_up()
    summary = desk.at.view.row("a").summary
    assert (summary.price, summary.availability) == (15.0, catalog_pb2.Availability.AVAILABILITY_HIDDEN)
