"""From records of catalog-items to store, topic and rejected topic: nothing lost, nothing told twice."""

import io
import json
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from mmrec.catalog.cleaning import CleaningPolicy
from mmrec.catalog.item import Availability
from mmrec.catalog.pictures import picture_problem
from mmrec.catalog.refusals import ItemRefusal, ItemRejection
from mmrec.catalog.refused import RefusedItems, refused_record
from mmrec.catalog.resubmit import ItemDoor
from mmrec.catalog.values import decode_entities, shown_text
from mmrec.cli.rejected_report import print_groups
from mmrec.clock import ManualClock
from mmrec.content.catalog_feed import CatalogFeed, marked_choices
from mmrec.content.encoder import Encoder
from mmrec.content.matrix import content_matrix
from mmrec.content.publish import FeedMark
from mmrec.content.registry import encoder
from mmrec.content.remote_images import RemoteImages
from mmrec.content.store import ContentStore
from mmrec.errors import StoreError
from mmrec.events.producer import MemoryRecordProducer, TopicRecord
from mmrec.events.rejected import decode_rejected
from mmrec.events.resubmit import Fate, RefusedRecords, ResubmitTopics, resubmit
from mmrec.features.stores import MemoryFeatureStore
from mmrec.operating.reason_groups import by_reason
from mmrec.serving.item_record import read_item_update
from tests.picture_shop import LOCAL, Shop, png

NOW_S = 1_767_225_600.0
ENCODERS = {"text": encoder("text", "hashing-tf"), "attributes": encoder("attributes", "attribute-hash")}
REJECTED = "catalog-items.rejected"


class Deployment:
    """What outlives a process of the feed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = MemoryRecordProducer(clock=ManualClock(NOW_S))
        self.features = MemoryFeatureStore()
        self.store = ContentStore(folder)

    def feed(
        self,
        *,
        cleaning: str = "none",
        policy: CleaningPolicy | None = None,
        encoders: Mapping[str, Encoder] = ENCODERS,
    ) -> CatalogFeed:
        policy = policy or CleaningPolicy()
        return CatalogFeed(
            mark=FeedMark(topic="c/t", encoders=marked_choices(encoders, cleaning=cleaning, policy=policy)),
            mark_path=self.folder / "mark.json",
            policy=policy,
            refused=RefusedItems(
                self.broker,
                topic=REJECTED,
                cluster_id="c",
                topic_id="t",
                read=lambda: self.broker.records(REJECTED),
            ),
            images=RemoteImages(
                LOCAL,
                folder=self.folder,
                cache_folder=self.folder / "images",
                problem=picture_problem,
                clock=ManualClock(NOW_S),
            ),
            encoders=encoders,
            store=self.store,
            features=self.features,
            producer=self.broker,
            topic="item-embeddings",
            cleaning=cleaning,
        )

    def refused(self) -> list[tuple[str, int]]:
        rows = [decode_rejected(record.value or b"") for record in self.broker.records(REJECTED)]
        return sorted((row["reason"], row["offset"]) for row in rows)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def record(offset: int, key: bytes | None, value: Any) -> TopicRecord:
    given = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return TopicRecord(key, given, 0, offset, NOW_S + offset)


def item(item_id: str, **fields: Any) -> dict[str, Any]:
    return {"item_id": item_id, "title": "Red dress", **fields}


RECORDS = [
    record(0, b"a", item("a")),
    record(1, b"dear", item("dear", price="1,299.00")),
    record(2, None, item("a")),
    record(3, b"odd", item("odd", availability="discontinued")),
    record(4, b"i" * 3_002, item("i" * 3_002)),
    record(5, b"i" * 3_002, None),
    record(6, b"\xff", None),
    record(7, b"last", item("last")),
]


def test_refused_records_are_kept_with_reason_and_place_and_stop_nothing(deployment: Deployment) -> None:
    feed = deployment.feed()
    feed.take(RECORDS, now_s=NOW_S)
    assert deployment.store.item_ids() == {"a", "last"}
    assert deployment.refused() == [
        ("bad_id", 4),
        ("bad_id", 5),
        ("bad_id", 6),
        ("bad_price", 1),
        ("missing_item_id", 2),
        ("unknown_availability", 3),
    ]
    (dear,) = (
        row
        for kept in deployment.broker.records(REJECTED)
        if (row := decode_rejected(kept.value or b""))["offset"] == 1
    )
    assert json.loads(dear["original_value"])["price"] == "1,299.00"
    assert "1299.00" in dear["detail"]
    assert dear["ingest_time_s"] == NOW_S + 1


def test_figures_go_on_over_a_restart_and_come_from_the_store(deployment: Deployment) -> None:
    deployment.feed().take(RECORDS, now_s=NOW_S)
    again = deployment.feed().figures()
    assert again["num_catalogue_items"] == 2
    assert again["rejected_total"]["bad_id"] == 3
    assert again["num_items"] == 0


def test_a_catalogue_encoded_anew_tells_no_refusal_twice(deployment: Deployment) -> None:
    deployment.feed().take(RECORDS, now_s=NOW_S)
    before = deployment.refused()
    for other in (deployment.feed(cleaning="classic"), deployment.feed(policy=CleaningPolicy(decode_entities=False))):
        assert other.mark.offsets == {}
        other.take(RECORDS, now_s=NOW_S)
        assert deployment.refused() == before
        assert other.mark.rejected["bad_id"] == 3


def test_a_broker_that_fails_loses_no_refusal(deployment: Deployment) -> None:
    feed = deployment.feed()
    deployment.broker.available = False
    with pytest.raises(StoreError):
        feed.take(RECORDS, now_s=NOW_S)
    deployment.broker.available = True
    again = deployment.feed()
    assert again.mark.offsets == {}
    again.take(RECORDS, now_s=NOW_S)
    assert len(deployment.refused()) == 6


@pytest.mark.parametrize("together", [True, False])
def test_a_refused_state_of_an_item_leaves_the_one_before(deployment: Deployment, together: bool) -> None:
    records = [record(0, b"a", item("a", title="Good")), record(1, b"a", item("a", title="Bad", price="1,0"))]
    feed = deployment.feed()
    for portion in [records] if together else [[each] for each in records]:
        feed.take(portion, now_s=NOW_S)
    assert deployment.features.read_item_content(["a"])["a"].title == "Good"


def test_items_of_ids_that_were_taken_once_and_are_refused_now_go(deployment: Deployment) -> None:
    deployment.store.put(content_matrix(["a", "i" * 3_002], {}, embedding_dims={}, encoders={}))
    assert deployment.feed().drop_refused_ids(now_s=NOW_S) == 1
    assert deployment.store.item_ids() == {"a"}
    assert deployment.feed().drop_refused_ids(now_s=NOW_S) == 0


def test_ids_are_read_from_merged_and_unmerged_parts_alike(tmp_path: Path) -> None:
    store = ContentStore(tmp_path)
    assert store.item_ids() == set()
    for number in range(70):
        store.put(content_matrix([f"i{number}"], {}, embedding_dims={}, encoders={}), removed=[f"i{number - 2}"])
        assert store.item_ids() == set(store.load_matrix().item_ids)


def door(*records: TopicRecord) -> ItemDoor:
    return ItemDoor(lambda: records)


def looked_at(deployment: Deployment, *now: TopicRecord) -> dict[int, Fate]:
    refused = RefusedRecords(lambda: deployment.broker.records(REJECTED), cluster_id="c", topic_id="r", door=door(*now))
    return {record.row["offset"]: record.fate for record in refused}


def refuse(deployment: Deployment, offset: int, key: bytes, value: dict[str, Any]) -> None:
    refusal = ItemRefusal(ItemRejection.UNKNOWN_AVAILABILITY, "of rules that have changed since")
    deployment.broker.send(
        REJECTED,
        *refused_record(
            key,
            json.dumps(value).encode(),
            refusal,
            time_s=NOW_S + offset,
            cluster_id="c",
            topic_id="t",
            offset=offset,
        ),
    )


def test_a_refused_item_is_sent_again_once_and_only_where_nothing_newer_was_taken(deployment: Deployment) -> None:
    refuse(deployment, 10, b"a", item("a", title="Old"))
    refuse(deployment, 11, b"b", item("b"))
    refuse(deployment, 12, b"c", item("c"))
    refuse(deployment, 13, b"d", item("d", price="1,0"))
    refuse(deployment, 14, b"e", item("e"))
    now = (
        record(9, b"b", item("b")),
        record(15, b"a", item("a", title="New")),
        record(16, b"c", None),
        record(17, b"e", b"{newer, and refused itself"),
    )
    fates = looked_at(deployment, *now)
    assert fates == {
        10: Fate.SUPERSEDED,
        11: Fate.SENDABLE,
        12: Fate.SUPERSEDED,
        13: Fate.REFUSED,
        14: Fate.SENDABLE,
    }
    refused = RefusedRecords(lambda: deployment.broker.records(REJECTED), cluster_id="c", topic_id="r", door=door(*now))
    topics = ResubmitTopics(records="catalog-items", rejected=REJECTED)
    assert resubmit(refused, deployment.broker, topics) == 2
    assert resubmit(refused, deployment.broker, topics) == 0
    sent = deployment.broker.records("catalog-items")
    assert {each.key: json.loads(each.value or b"") for each in sent} == {b"b": item("b"), b"e": item("e")}


def test_refused_items_are_told_by_reason_with_a_sample(deployment: Deployment) -> None:
    deployment.feed().take(RECORDS, now_s=NOW_S)
    refused = RefusedRecords(
        lambda: deployment.broker.records(REJECTED), cluster_id="c", topic_id="r", door=door(*RECORDS)
    )
    console = Console(file=io.StringIO(), width=200)
    print_groups(by_reason(refused), console)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "bad_price" in told
    assert "1,299.00" in told
    assert 'dear "Red dress"' in told


def test_a_damaged_picture_is_a_finding_of_its_item_and_later_items_are_published(deployment: Deployment) -> None:
    avif = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(avif, "AVIF")
    whole = avif.getvalue()
    records = [
        record(n, b"a%d" % n, item(f"a{n}", images=[{"content": b64encode(damaged).decode()}]))
        for n, damaged in enumerate([whole[:-40], whole[: len(whole) // 2], whole.replace(b"av01", b"av99"), b"\x00"])
    ]
    feed = deployment.feed()
    feed.take([*records, record(9, b"b", item("b"))], now_s=NOW_S)
    figures = feed.figures()
    assert set(deployment.store.item_ids()) == {"a0", "a1", "a2", "a3", "b"}
    assert figures["mended"]["broken_image"] == 4
    assert [found["item_id"] for found in figures["samples"]["broken_image"]] == ["a0", "a1", "a2", "a3"]
    assert all(found["detail"] for found in figures["samples"]["broken_image"])


def test_an_item_is_published_again_with_the_picture_that_came_and_is_counted_once(
    deployment: Deployment, shop: Shop
) -> None:
    feed = deployment.feed()
    given = item("a", images=[{"uri": shop.gives("/a.png", png())}])
    feed.take([record(0, b"a", given), record(1, b"b", item("b"))], now_s=NOW_S)
    until_s = time.monotonic() + 60
    while len(deployment.broker.records("item-embeddings")) < 3 or feed.is_fetching:
        feed.take_pictures(now_s=NOW_S, in_portions=False)
        assert time.monotonic() < until_s
        time.sleep(0.01)
    assert [each.key for each in deployment.broker.records("item-embeddings")].count(b"a") == 2
    assert feed.figures()["images"] == {"fetched": 1, "failed": {}, "wanted": {}}
    assert feed.figures()["num_items"] == 2
    assert len(deployment.broker.records("item-embeddings")) == 3
    feed.close()


def test_a_picture_that_comes_late_does_not_bring_back_the_state_before_a_described_one(
    deployment: Deployment, shop: Shop
) -> None:
    feed = deployment.feed()
    uri = shop.gives("/a.png", png())
    feed.take([record(0, b"a", item("a", images=[{"uri": uri}]))], now_s=NOW_S)
    until_s = time.monotonic() + 60
    feed.take_pictures(now_s=NOW_S, in_portions=True)  # asked for
    while not shop.asked["/a.png"]:
        assert time.monotonic() < until_s
        time.sleep(0.01)
    hidden = record(1, b"a", item("a", images=[{"uri": uri}], availability="HIDDEN"))
    feed.describe([hidden], now_s=NOW_S)
    while feed.is_fetching:
        feed.take_pictures(now_s=NOW_S, in_portions=False)
        assert time.monotonic() < until_s
        time.sleep(0.01)
    newest = deployment.broker.records("item-embeddings")[-1]
    update = read_item_update(newest.key, newest.value)
    assert update.entry is not None
    assert update.entry.availability is Availability.HIDDEN
    feed.close()


@pytest.mark.parametrize("title", ["&amp;nbsp;", "&amp;shy;", "&nGt;" * 1_638])
def test_an_item_whose_text_decodes_to_what_the_rules_refuse_waits_for_its_picture_and_reaches_replicas(
    deployment: Deployment, shop: Shop, title: str
) -> None:
    feed = deployment.feed()
    given = {"item_id": "a", "title": title, "images": [{"uri": shop.gives("/a.png", png())}]}
    feed.take([record(0, b"a", given)], now_s=NOW_S)
    until_s = time.monotonic() + 60
    while len(deployment.broker.records("item-embeddings")) < 2 or feed.is_fetching:
        feed.take_pictures(now_s=NOW_S, in_portions=False)
        assert time.monotonic() < until_s
        time.sleep(0.01)
    shown = shown_text(decode_entities(title))
    for told in deployment.broker.records("item-embeddings"):
        update = read_item_update(told.key, told.value)
        assert update.entry is not None
        assert update.entry.title == shown
    assert len(deployment.broker.records("item-embeddings")) == 2
    feed.close()


@pytest.mark.parametrize("value", [b"5", b"1.5", b"true", b"null", b"[1]", b'"text"', b"{", b"\xff"])
def test_a_refused_value_of_any_kind_is_shown(deployment: Deployment, value: bytes) -> None:
    deployment.feed().take([record(0, b"a", value)], now_s=NOW_S)
    refused = RefusedRecords(lambda: deployment.broker.records(REJECTED), cluster_id="c", topic_id="r", door=door())
    console = Console(file=io.StringIO(), width=200)
    print_groups(by_reason(refused), console)
    assert ascii(value)[2:-1] in console.file.getvalue()
