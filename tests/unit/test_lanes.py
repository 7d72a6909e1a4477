"""Single changes overtake imports, and no import ever overwrites a newer change, restarts included."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.catalog.item import CatalogEntry, CatalogItem, to_json_value
from mmrec.content.catalog_feed import MAX_RECORDS
from mmrec.content.encode import FillHere, Filling
from mmrec.content.encoder import Encodings
from mmrec.content.feed_progress import FeedProgress
from mmrec.content.lanes import LARGEST, PORTION_S, Lanes
from mmrec.errors import StoreError
from mmrec.events.polled import Polled
from mmrec.events.producer import TopicRecord
from mmrec.serving.item_record import read_item_update
from tests.unit.test_catalog_feed import ENCODERS, REJECTED, Deployment

NOW_S = 1_767_225_600.0


@dataclass
class Topic:
    """Records of catalog-items, as a broker keeps them."""

    log: list[TopicRecord] = field(default_factory=list)

    def send(self, item_id: str, title: str = "", *, bulk: bool = False, price: float = 1.0) -> TopicRecord:
        value = to_json_value(CatalogItem(item_id=item_id, title=title, price=price)) if title else None
        partition = sum(item_id.encode()) % 2
        offset = sum(record.partition == partition for record in self.log)
        self.log.append(TopicRecord(item_id.encode(), value, partition, offset, NOW_S, is_bulk=bulk))
        return self.log[-1]

    def read(self, start: Mapping[int, int]) -> Iterator[TopicRecord]:
        return iter([record for record in self.log if record.offset >= start.get(record.partition, 0)])


class Process:
    """One life of encode_items on a deployment."""

    def __init__(self, deployment: Deployment, topic: Topic, *, elapsed_s=lambda: 0.0, filler=None) -> None:
        self.deployment, self.topic, self.feed = deployment, topic, deployment.feed()
        self.lanes = Lanes(self.feed, read=topic.read, elapsed_s=elapsed_s, filler=filler)

    def put_off(self) -> None:
        """What arrived since the last poll is a catalogue that was there before."""
        if news := list(self.topic.read(self.feed.mark.offsets)):
            self.lanes.put_off(news, now_s=NOW_S)
        self.describe()

    def arrive(self) -> None:
        """What arrived since the last poll, of this life or the one before."""
        if news := list(self.topic.read(self.feed.mark.offsets)):
            self.lanes.arrived(news, now_s=NOW_S)

    def poll(self) -> None:
        """The same, and serving fields of the bulk lane."""
        self.arrive()
        self.describe()

    def describe(self) -> None:
        while self.lanes.describe_some(now_s=NOW_S):
            pass

    def finish(self) -> None:
        while self.lanes.encode_some(now_s=NOW_S):
            pass


def titles(deployment: Deployment) -> dict[str, str | None]:
    """What readers have of each item in the end."""
    found: dict[str, str | None] = {}
    for record in deployment.broker.records("item-embeddings"):
        update = read_item_update(record.key, record.value)
        found[update.item_id] = update.entry.title if update.entry is not None else None
    return found


def encoded(deployment: Deployment) -> list[str]:
    """Ids of records with vectors, in the order they were sent, by partition."""
    updates = [read_item_update(r.key, r.value) for r in deployment.broker.records("item-embeddings")]
    return [update.item_id for update in updates if update.vectors]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def test_fields_of_an_import_are_published_at_once_and_its_content_when_there_is_time(deployment: Deployment) -> None:
    topic = Topic()
    process = Process(deployment, topic)
    for number in range(20):
        topic.send(f"many{number}", f"Lamp {number}", bulk=True)
    process.poll()
    assert len(titles(deployment)) == 20
    assert encoded(deployment) == []
    assert process.lanes.num_waiting == 20
    assert set(deployment.features.read_item_content(["many7"])) == {"many7"}
    topic.send("one", "A chair")
    process.poll()
    assert encoded(deployment) == ["one"]
    process.finish()
    assert Counter(encoded(deployment)) == Counter(["one", *(f"many{number}" for number in range(20))])
    assert not process.lanes.num_waiting
    assert set(deployment.store.item_ids()) == set(titles(deployment))
    assert process.feed.counts.num_items == 21


def test_a_newer_change_drops_what_waits_and_a_removal_waits_for_nothing(deployment: Deployment) -> None:
    topic = Topic()
    process = Process(deployment, topic)
    for item_id in "abcd":
        topic.send(item_id, "From the import", bulk=True)
    process.poll()
    topic.send("a", "Changed by hand")
    topic.send("b", bulk=True)  # removed, by an import
    topic.send("c", "Imported again", bulk=True)
    process.poll()
    assert process.lanes.num_waiting == 2
    process.finish()
    assert titles(deployment) == {"a": "Changed by hand", "b": None, "c": "Imported again", "d": "From the import"}
    assert Counter(encoded(deployment)) == Counter("acd")


def test_records_of_one_poll_count_in_their_order(deployment: Deployment) -> None:
    topic = Topic()
    topic.send("a", "first", bulk=True)
    topic.send("a", "last, by hand")
    topic.send("c", "first, by hand")
    topic.send("c", "last", bulk=True)
    process = Process(deployment, topic)
    process.poll()
    assert titles(deployment) == {"a": "last, by hand", "c": "last"}
    process.finish()
    assert titles(deployment) == {"a": "last, by hand", "c": "last"}


def test_what_is_refused_in_an_import_is_told_and_counted_once(deployment: Deployment) -> None:
    topic = Topic()
    topic.log.append(TopicRecord(b"bad", b"no json", 0, 0, NOW_S, is_bulk=True))
    process = Process(deployment, topic)
    process.poll()
    assert not process.lanes.num_waiting
    again = Process(deployment, topic)
    again.finish()
    assert len(deployment.broker.records(REJECTED)) == 1
    assert dict(again.feed.mark.rejected) == {"malformed_json": 1}
    assert dict(process.feed.counts.rejected) == {"malformed_json": 1}


actions = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from(["bulk", "single", "remove"])),
        st.sampled_from(["poll", "put_off", "encode", "restart"]),
    ),
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(actions)
def test_whatever_happens_in_whatever_order_each_item_ends_in_its_newest_state_encoded_once(
    tmp_path_factory: pytest.TempPathFactory, sequence: list
) -> None:
    deployment, topic = Deployment(tmp_path_factory.mktemp("lanes")), Topic()
    process, newest = Process(deployment, topic), {}
    for number, action in enumerate(sequence):
        if action == "poll":
            process.poll()
        elif action == "put_off":
            process.put_off()
        elif action == "encode":
            process.lanes.encode_some(now_s=NOW_S)
        elif action == "restart":
            process = Process(deployment, topic)
        else:
            item_id, kind = action
            newest[item_id] = None if kind == "remove" else f"Title {number}"
            topic.send(item_id, newest[item_id] or "", bulk=kind == "bulk")
        shown = titles(deployment)
        sent = {r.key.decode(): r for r in topic.log if r.offset < process.feed.mark.offsets.get(r.partition, 0)}
        for item_id, record in sent.items():  # as soon as a record has arrived, nothing older is served any more
            title = read_item_update(record.key, record.value).entry.title if record.value else None
            assert shown[item_id] == title
    process.poll()
    process.finish()
    assert titles(deployment) == newest
    left = {item_id for item_id, title in newest.items() if title is not None}
    assert set(deployment.store.item_ids()) == left
    final = {
        u.item_id: u for r in deployment.broker.records("item-embeddings") for u in [read_item_update(r.key, r.value)]
    }
    assert all(final[item_id].vectors for item_id in left)
    assert not Process(deployment, topic).lanes.num_waiting


def test_a_failure_of_a_store_has_the_same_items_encoded_again(deployment: Deployment) -> None:
    topic = Topic()
    topic.send("a", "Lamp", bulk=True)
    process = Process(deployment, topic)
    process.poll()
    deployment.broker.available = False
    with pytest.raises(StoreError):
        process.lanes.encode_some(now_s=NOW_S)
    assert process.lanes.num_waiting == 1
    deployment.broker.available = True
    process.finish()
    assert encoded(deployment) == ["a"]


def test_a_record_that_cannot_be_read_again_does_not_hold_up_the_lane(deployment: Deployment) -> None:
    topic = Topic()
    topic.send("a", "Lamp", bulk=True)
    process = Process(deployment, topic)
    process.poll()
    topic.log.clear()
    process.finish()
    assert not process.lanes.num_waiting


def test_portions_grow_while_they_are_quick_and_shrink_when_they_are_slow(deployment: Deployment) -> None:
    topic, clock = Topic(), iter(range(10**6))
    for number in range(64):
        topic.send(f"many{number}", "Lamp", bulk=True)
    quick = Process(deployment, topic)
    quick.poll()
    for size in (4, 8, 16, 32):
        before = quick.lanes.num_waiting
        quick.lanes.encode_some(now_s=NOW_S)
        assert before - quick.lanes.num_waiting == size
    slow_topic = Topic()
    for number in range(9):
        slow_topic.send(f"slow{number}", "Lamp", bulk=True)
    slow = Process(Deployment(deployment.folder / "slow"), slow_topic, elapsed_s=lambda: 2 * PORTION_S * next(clock))
    slow.poll()
    for size in (4, 2, 1, 1):
        before = slow.lanes.num_waiting
        slow.lanes.encode_some(now_s=NOW_S)
        assert before - slow.lanes.num_waiting == size
    assert LARGEST >= 64


def test_polls_are_read_ahead_and_end_or_fail_as_the_topic_does() -> None:
    record = Topic().send("a", "Lamp")
    polled = Polled(iter([[record], [], [record]]))
    assert [polled.next(wait_s=10), polled.next(wait_s=10), polled.next(wait_s=10)] == [[record], [record], None]

    def failing() -> Iterator[list[TopicRecord]]:
        yield [record]
        raise StoreError("no broker")

    broken = Polled(failing())
    assert broken.next(wait_s=10) == [record]
    with pytest.raises(StoreError, match="no broker"):
        broken.next(wait_s=10)
    closed = Polled([record] for _ in iter(int, 1))
    closed.close()
    closed._thread.join(10)
    assert not closed._thread.is_alive()


def test_fields_come_with_the_vectors_of_the_content_before_until_the_new_content_is_encoded(
    deployment: Deployment,
) -> None:
    topic = Topic()
    process = Process(deployment, topic)
    topic.send("a", "Lamp")
    process.poll()
    topic.send("a", "Lamp of another kind", bulk=True, price=2.0)
    topic.send("b", "Chair", bulk=True)
    process.poll()
    records = [read_item_update(r.key, r.value) for r in deployment.broker.records("item-embeddings")]
    before, described = [update for update in records if update.item_id == "a"]
    assert (described.entry.title, described.entry.price) == ("Lamp of another kind", 2.0)
    assert (described.vectors["text"] == before.vectors["text"]).all()
    assert not next(update for update in records if update.item_id == "b").vectors
    process.finish()
    final = [read_item_update(r.key, r.value) for r in deployment.broker.records("item-embeddings") if r.key == b"a"]
    assert (final[-1].vectors["text"] != before.vectors["text"]).any()


def test_fields_that_go_ahead_keep_what_was_inferred_and_is_not_given_now(deployment: Deployment) -> None:
    guessed = CatalogEntry(
        item_id="a", attributes={"color": "red", "kind": "lamp"}, inferred_attributes={"color": 0.9, "kind": 0.8}
    )
    deployment.features.write_item_content({"a": guessed}, write_time_s=NOW_S)
    topic = Topic()
    value = to_json_value(CatalogItem(item_id="a", title="Lamp", attributes={"kind": "chair"}))
    topic.log.append(TopicRecord(b"a", value, 0, 0, NOW_S, is_bulk=True))
    Process(deployment, topic).poll()
    entry = deployment.features.read_item_content(["a"])["a"]
    assert dict(entry.attributes) == {"kind": "chair", "color": "red"}
    assert dict(entry.inferred_attributes) == {"color": 0.9}


def refused_state(item_id: str, topic: Topic, *, bulk: bool) -> None:
    """A newer state of an item that the rules refuse."""
    partition = sum(item_id.encode()) % 2
    offset = sum(record.partition == partition for record in topic.log)
    topic.log.append(TopicRecord(item_id.encode(), b"no json", partition, offset, NOW_S, is_bulk=bulk))


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_a_refused_state_leaves_what_waits_and_is_told(deployment: Deployment, bulk: bool, together: bool) -> None:
    topic = Topic()
    process = Process(deployment, topic)
    topic.send("a", "Lamp", bulk=True)
    if not together:
        process.poll()
    refused_state("a", topic, bulk=bulk)
    process.poll()
    assert titles(deployment) == {"a": "Lamp"}
    again = Process(deployment, topic)  # what waited is found again
    assert again.lanes.num_waiting == 1
    again.finish()
    assert encoded(deployment) == ["a"]
    assert deployment.refused() == [("malformed_json", 1)]
    assert dict(again.feed.mark.rejected) == {"malformed_json": 1}


def test_a_refused_state_is_told_where_another_follows_it(deployment: Deployment) -> None:
    topic = Topic()
    refused_state("a", topic, bulk=True)
    topic.send("a", "Lamp", bulk=True)
    Process(deployment, topic).poll()
    assert deployment.refused() == [("malformed_json", 0)]
    assert titles(deployment) == {"a": "Lamp"}


def test_no_state_is_published_that_another_of_the_same_poll_follows(deployment: Deployment) -> None:
    topic = Topic()
    topic.send("a", "On sale")
    for number in range(20):
        topic.send(f"other{number}", "Chair")
    topic.send("a", "Hidden")
    Process(deployment, topic).poll()
    sent = [read_item_update(r.key, r.value) for r in deployment.broker.records("item-embeddings")]
    assert {update.entry.title for update in sent if update.item_id == "a"} == {"Hidden"}


class Watching:
    """The text encoder; tells whenever it is asked to encode."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._encoder, self._tell = ENCODERS["text"], tell
        self.name, self.modality, self.fingerprint = self._encoder.name, "text", self._encoder.fingerprint
        self.embedding_dim = self._encoder.embedding_dim

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        self._tell()
        return self._encoder.encode(payloads)


def test_a_removal_waits_for_no_content_of_other_items(deployment: Deployment) -> None:
    topic, seen = Topic(), []
    feed = deployment.feed(encoders={"text": Watching(lambda: seen.append(titles(deployment).get("gone")))})
    lanes = Lanes(feed, read=topic.read, elapsed_s=lambda: 0.0)
    topic.send("gone", "Lamp")
    lanes.arrived(topic.log, now_s=NOW_S)
    seen.clear()
    others = [topic.send(f"other{number}", f"Chair {number}") for number in range(20)]
    lanes.arrived([*others, topic.send("gone")], now_s=NOW_S)
    assert seen
    assert set(seen) == {None}
    assert titles(deployment)["gone"] is None


def test_what_brings_no_new_content_is_there_before_anything_else_of_its_poll_is_encoded(
    deployment: Deployment,
) -> None:
    topic, seen = Topic(), []

    def price() -> float | None:
        sent = [read_item_update(r.key, r.value) for r in deployment.broker.records("item-embeddings")]
        return next((update.entry.price for update in reversed(sent) if update.item_id == "dear"), None)

    feed = deployment.feed(encoders={"text": Watching(lambda: seen.append(price()))})
    lanes = Lanes(feed, read=topic.read, elapsed_s=lambda: 0.0)
    lanes.arrived([topic.send("dear", "Lamp", price=9.0)], now_s=NOW_S)
    assert seen == [None]
    others = [topic.send(f"other{number}", f"Chair {number}") for number in range(20)]
    lanes.arrived([*others, topic.send("dear", "Lamp", price=1.0)], now_s=NOW_S)
    assert set(seen[1:]) == {1.0}


def test_single_changes_stay_together_on_a_slow_machine(deployment: Deployment) -> None:
    topic, sizes, clock = Topic(), [], iter(range(10**6))
    encoder = Watching(lambda: None)
    feed = deployment.feed(encoders={"text": encoder})
    encoder.encode = lambda payloads: sizes.append(len(payloads)) or ENCODERS["text"].encode(payloads)
    lanes = Lanes(feed, read=topic.read, elapsed_s=lambda: 2 * PORTION_S * next(clock))
    lanes.arrived([topic.send(f"new{number}", f"Lamp {number}") for number in range(12)], now_s=NOW_S)
    assert sizes == [4, 4, 4]


def test_a_single_change_waits_for_no_import_that_arrived_before_it(deployment: Deployment) -> None:
    topic = Topic()
    process = Process(deployment, topic)
    for number in range(200):
        topic.send(f"many{number}", f"Lamp {number}", bulk=True)
    topic.send("one", "A chair")
    process.arrive()
    assert set(titles(deployment)) == {"one"}
    process.lanes.describe_some(now_s=NOW_S)
    assert process.lanes.num_undescribed in range(100, 200)
    topic.send("two", "Another chair")
    topic.send("many199", "Lamp 199, changed by hand")
    process.arrive()
    assert sorted(encoded(deployment)) == ["many199", "one", "two"]
    process.describe()
    assert len(titles(deployment)) == 202
    process.finish()
    assert Counter(encoded(deployment)) == Counter(titles(deployment).keys())
    assert titles(deployment)["many199"] == "Lamp 199, changed by hand"


def test_an_import_whose_process_ended_before_its_fields_were_published_loses_nothing(deployment: Deployment) -> None:
    topic = Topic()
    for number in range(100):
        topic.send(f"many{number}", f"Lamp {number}", bulk=True)
    Process(deployment, topic).arrive()
    again = Process(deployment, topic)
    assert again.lanes.num_undescribed == 100
    again.describe()
    assert len(titles(deployment)) == 100
    again.finish()
    assert len(encoded(deployment)) == 100
    assert not Process(deployment, topic).lanes.num_waiting


def test_a_catalogue_that_was_there_before_lets_single_changes_go_first(deployment: Deployment) -> None:
    topic = Topic()
    for number in range(20):
        topic.send(f"old{number}", f"Lamp {number}")
    topic.send("gone")
    process = Process(deployment, topic)
    process.put_off()
    assert titles(deployment)["gone"] is None
    assert not encoded(deployment)
    topic.send("one", "A chair")
    topic.send("old3", "Lamp 3, changed")
    process.poll()
    assert sorted(encoded(deployment)) == ["old3", "one"]
    process.lanes.encode_some(now_s=NOW_S)
    again = Process(deployment, topic)
    again.finish()
    assert {*encoded(deployment)} == {"one", *(f"old{number}" for number in range(20))}
    assert titles(deployment)["old3"] == "Lamp 3, changed"
    assert deployment.store.item_ids() == {*encoded(deployment)}


def test_a_catalogue_is_put_off_at_every_start_until_a_portion_or_less_is_left(deployment: Deployment) -> None:
    topic = Topic()
    records = [topic.send(f"old{number}", f"Lamp {number}") for number in range(4)]
    ends = {record.partition: record.offset + 1 for record in records}
    process = Process(deployment, topic)
    assert process.lanes.is_catalogue(ends)
    process.lanes.put_off(records[:1], now_s=NOW_S)  # and it ends
    again = Process(deployment, topic)
    assert not again.lanes.is_catalogue(ends)
    left = sum(ends.values()) - 1
    first = records[0].partition
    assert not again.lanes.is_catalogue({**ends, first: ends[first] + MAX_RECORDS - left})
    assert again.lanes.is_catalogue({**ends, first: ends[first] + MAX_RECORDS - left + 1})


def test_content_that_was_only_put_off_is_no_progress(deployment: Deployment) -> None:
    topic = Topic()
    records = [topic.send(f"old{number}", f"Lamp {number}") for number in range(20)]
    ends = {record.partition: record.offset + 1 for record in records}
    process = Process(deployment, topic)
    progress = FeedProgress(start=process.feed.mark.encoded, end=ends, started_s=NOW_S)

    def num_done() -> int:
        return progress.figures(process.feed.mark.encoded, now_s=NOW_S + 1, num_items=0)["num_done"]

    process.put_off()
    assert num_done() == 0
    process.lanes.encode_some(now_s=NOW_S)
    assert 0 < num_done() < 20
    process.finish()
    assert num_done() == 20


def test_a_filler_is_given_portions_ahead_and_none_of_them_overwrites_what_came_since(deployment: Deployment) -> None:
    begun: list[int] = []

    class Ahead(FillHere):
        def begin(self, misses: Mapping[str, Mapping[bytes, bytes]]) -> Filling:
            begun.append(len(misses["text"]))
            return super().begin(misses)

    topic = Topic()
    process = Process(deployment, topic, filler=Ahead(ENCODERS, deployment.store))
    for number in range(LARGEST + 40):
        topic.send(f"many{number:04}", f"Lamp {number}", bulk=True)
    process.arrive()
    process.lanes.encode_some(now_s=NOW_S)
    assert sorted(begun) == [40, LARGEST]
    published = titles(deployment)
    left = next(r.key.decode() for r in topic.log if r.key.decode() not in published)
    topic.send(left, "Changed by hand")
    process.arrive()
    process.finish()
    assert titles(deployment)[left] == "Changed by hand"
    assert Counter(encoded(deployment)) == Counter(r.key.decode() for r in topic.log[:-1])
    assert not process.lanes.num_waiting
