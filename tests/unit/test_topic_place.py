"""A replica reads on where it was, and shows no state of an item that a record already there has followed."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mmrec.catalog.item import Availability, CatalogEntry
from mmrec.errors import StoreError
from mmrec.events.producer import TopicRecord
from mmrec.serving.replica import Replica
from mmrec.serving.topic_place import TopicPlace
from tests.serving_world import ServingWorld, serving_world
from tests.unit.test_catalogue_keeper import record
from tests.unit.test_release import Deployment, untrained, wait_for


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world(num_users=40, num_items=60, days=10)


def at(offset: int, item_id: str, *, partition: int = 0, **fields) -> TopicRecord:
    return TopicRecord(*record(item_id, **fields), partition, offset, 0.0)


def test_a_place_moves_with_its_records_and_is_behind_until_all_that_was_there_has_come() -> None:
    place = TopicPlace(topic="c/t", start={0: 7}, ends={0: 9, 1: 1}, give_up_s=100.0)
    assert place.start == {0: 7}
    assert place.is_behind(0.0)
    place.passed([at(7, "a"), at(8, "a"), at(7, "a")])
    assert place.start == {0: 9}
    assert place.is_behind(0.0)
    assert not place.is_behind(100.0)
    place.passed([at(0, "b", partition=1)])
    assert not place.is_behind(0.0)


def test_a_place_at_the_beginning_is_not_behind_and_moves_too() -> None:
    place = TopicPlace(topic="c/t", start=None, ends={}, give_up_s=100.0)
    assert place.start is None
    assert not place.is_behind(0.0)
    place.passed([])
    assert place.start is None
    place.passed([at(3, "a")])
    assert place.start == {0: 4}


class Log:
    """A topic whose reader loses the broker after each poll of a few records."""

    def __init__(self, records: list[TopicRecord]) -> None:
        self.records, self.starts = records, []
        self.is_lossy = True

    def follow(self, start, stop) -> Iterator[list[TopicRecord]]:
        self.starts.append(dict(start or {}))
        place = self.starts[-1].get(0, 0)
        while not stop():
            time.sleep(0.005)
            polled = [each for each in self.records if each.offset >= place][:1]
            place += len(polled)
            yield polled
            if polled and self.is_lossy:
                raise StoreError("no broker")


def test_what_was_hidden_before_a_replica_came_is_never_shown_while_it_reads_how_it_was(tmp_path, world) -> None:
    deployment = Deployment(tmp_path, world)
    deployment.publish(untrained(tmp_path / "model"))  # its mark is at offset 7
    item_id = world.entries[0].item_id
    before = world.store.read_item_content([item_id])
    hidden = CatalogEntry(item_id=item_id, title="Hidden", availability=Availability.HIDDEN)
    log = Log([at(7, item_id, title="Shown"), at(8, item_id, title="Hidden", availability="HIDDEN")])
    parts = replace(deployment.replica()._parts, follow=log.follow, ends=lambda: {0: 9})
    shown = []

    class Watched(Replica):
        def _publish(self) -> bool:
            changed = super()._publish()
            catalogue = self.state.catalogue
            if item_id in catalogue.row_of:
                shown.append(bool(catalogue.showable_I[catalogue.row_of[item_id]]))
            return changed

    world.store.write_item_content({item_id: hidden}, write_time_s=0.0)
    replica = Watched(parts)
    replica.start()
    try:
        wait_for(lambda: len(log.starts) == 3)
        log.is_lossy = False
        log.records.append(at(9, "fresh", title="Fresh"))
        wait_for(lambda: "fresh" in replica.state.catalogue.row_of)
    finally:
        replica.close()
        world.store.write_item_content(before, write_time_s=0.0)
    assert [start[0] for start in log.starts] == [7, 8, 9]
    assert shown
    assert not any(shown)
