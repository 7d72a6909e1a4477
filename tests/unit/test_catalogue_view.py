"""The catalogue in a file: what its topic has now, page by page, by words, however the topic changes."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from mmrec.catalog.item import Availability, CatalogItem, to_json_value
from mmrec.clock import ManualClock
from mmrec.errors import NotFoundError
from mmrec.events.producer import MemoryRecordProducer, TopicRecord
from mmrec.events.topics import SkippedBatches, TopicIdentity
from mmrec.operating.catalogue_view import CatalogueView

TOPIC = "catalog-items"


class MemoryTopics:
    """The topics of a broker in memory."""

    def __init__(self) -> None:
        self.broker = MemoryRecordProducer(clock=ManualClock(5_000.0))
        self.topic_id = "t1"

    def read(
        self, topic: str, *, start: Mapping[int, int] | None = None, skipped: SkippedBatches | None = None
    ) -> Iterator[TopicRecord]:
        yield from (r for r in self.broker.records(topic) if r.offset >= (start or {}).get(r.partition, 0))

    def follow(
        self,
        topic: str,
        *,
        stop: Callable[[], bool],
        start: Mapping[int, int] | None = None,
        from_end: bool = False,
        skipped: SkippedBatches | None = None,
    ) -> Iterator[list[TopicRecord]]:
        yield list(self.read(topic, start=start))

    def describe(self, topic: str) -> TopicIdentity:
        return TopicIdentity(cluster_id="c", topic_id=self.topic_id, num_partitions=2)

    def ends(self, topic: str) -> dict[int, int]:
        found = {0: 0, 1: 0}
        for record in self.broker.records(topic):
            found[record.partition] = max(found[record.partition], record.offset + 1)
        return found

    def setting(self, topic: str, name: str) -> str:
        raise NotFoundError(name)


def send(topics: MemoryTopics, *items: CatalogItem) -> None:
    for item in items:
        topics.broker.send(TOPIC, item.item_id.encode(), to_json_value(item))


@pytest.fixture
def topics() -> MemoryTopics:
    return MemoryTopics()


@pytest.fixture
def view(topics: MemoryTopics, tmp_path: Path) -> CatalogueView:
    return CatalogueView(tmp_path / "sub" / "items.sqlite", topics, TOPIC)


def ids(view: CatalogueView, query: str = "", *, after: int = 0, num_items: int = 100) -> list[str]:
    return [row.summary.item_id for row in view.page(query, after=after, num_items=num_items)]


def test_pages_have_every_item_once(topics: MemoryTopics, view: CatalogueView) -> None:
    send(topics, *(CatalogItem(item_id=f"i{n}", title=f"Item {n}") for n in range(25)))
    view.catch_up()
    found, after = [], 0
    while rows := view.page("", after=after, num_items=7):
        found += [row.summary.item_id for row in rows]
        after = rows[-1].place
    assert sorted(found) == sorted(f"i{n}" for n in range(25))
    assert view.num_items() == 25
    assert view.num_behind() == 0


def test_the_newest_state_counts_removals_are_gone_and_refused_states_change_nothing(
    topics: MemoryTopics, view: CatalogueView
) -> None:
    send(topics, CatalogItem(item_id="a", title="Old"), CatalogItem(item_id="b", title="Stays"))
    send(topics, CatalogItem(item_id="a", title="New", price=3.0, availability=Availability.HIDDEN))
    topics.broker.send(TOPIC, b"b", b"no JSON")
    view.catch_up()
    assert view.row("a").summary.title == "New"
    assert view.row("b").summary.title == "Stays"
    assert ids(view, "old") == []
    topics.broker.send(TOPIC, b"a", None)
    assert view.num_behind() == 1
    view.catch_up()
    assert ids(view) == ["b"]
    with pytest.raises(NotFoundError, match="'a' is not in the catalogue"):
        view.row("a")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("red", ["i1", "i2"]),
        ("dress RED", ["i1"]),
        ("dre", ["i1"]),
        ("robe ete", ["i3"]),
        ("i2", ["i2"]),
        ("red OR blue", []),
        ('"red', ["i1", "i2"]),
        ("red* NEAR(", []),
        ("-'; drop table items", []),
        ("!!!", []),
        ("", ["i1", "i2", "i3"]),
    ],
)
def test_items_are_found_by_words_and_nothing_of_a_query_is_an_operator(
    topics: MemoryTopics, view: CatalogueView, query: str, found: list[str]
) -> None:
    send(topics, CatalogItem(item_id="i1", title="Red dress"), CatalogItem(item_id="i2", title="Red shoe"))
    send(topics, CatalogItem(item_id="i3", title="Robe d'été"))
    view.catch_up()
    assert sorted(ids(view, query)) == found


def test_another_topic_of_the_same_name_makes_the_file_anew(topics: MemoryTopics, view: CatalogueView) -> None:
    send(topics, CatalogItem(item_id="a", title="A"))
    view.catch_up()
    topics.broker, topics.topic_id = MemoryRecordProducer(clock=ManualClock(6_000.0)), "t2"
    send(topics, CatalogItem(item_id="b", title="B"))
    view.catch_up()
    assert ids(view) == ["b"]


def test_a_damaged_file_is_made_anew(topics: MemoryTopics, view: CatalogueView, tmp_path: Path) -> None:
    send(topics, CatalogItem(item_id="a", title="A"))
    view.catch_up()
    for path in (tmp_path / "sub").iterdir():
        path.write_bytes(b"damaged" * 1_000)
    view.catch_up()
    assert ids(view) == ["a"]


def test_pictures_stay_in_the_topic_and_are_found_there(topics: MemoryTopics, view: CatalogueView) -> None:
    send(topics, CatalogItem(item_id="x", title="X"))
    send(topics, CatalogItem(item_id="a", title="A", image=b"\x89PNG" * 1_000, media_type="image/png"))
    send(topics, CatalogItem(item_id="b", title="B", image_uri="https://cdn.example/b.jpg"))
    view.catch_up()
    row = view.row("a")
    assert row.summary.has_picture
    assert len(row.item.SerializeToString()) < 100
    assert b"iVBORw" not in row.item.SerializeToString()
    assert len(view.record(row).value or b"") > 4_000
    assert view.row("b").picture_uri == "https://cdn.example/b.jpg"


def test_before_the_first_look_there_is_nothing(view: CatalogueView) -> None:
    assert (ids(view), view.num_items()) == ([], 0)
    with pytest.raises(NotFoundError):
        view.row("a")
