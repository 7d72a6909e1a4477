"""What becomes of items whose pictures are given by URI: with a picture, without it for now, or for good."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from mmrec.catalog.item import CatalogItem
from mmrec.catalog.pictures import picture_problem
from mmrec.clock import ManualClock
from mmrec.config import ContentSettings
from mmrec.content.feed import CatalogChanges
from mmrec.content.remote_images import LONGEST_PAUSE_S, REFUSED_PAUSE_S, ArrivedImages, RemoteImages
from mmrec.errors import ConfigurationError
from tests.picture_shop import LOCAL, Shop, png


class Feed:
    """RemoteImages as the job drives it."""

    def __init__(self, folder: Path, settings: ContentSettings = LOCAL, *, now_s: float = 1e9) -> None:
        self.clock = ManualClock(now_s)
        self.images = RemoteImages(
            settings, folder=folder, cache_folder=folder / "cache", problem=picture_problem, clock=self.clock
        )

    def read(self, *items: CatalogItem, removed: tuple[str, ...] = ()) -> dict[str, bytes | None]:
        changes = CatalogChanges(items={item.item_id: item for item in items}, removed=removed)
        return {item_id: item.image for item_id, item in self.images.arrange(changes).items.items()}

    def settle(self) -> ArrivedImages:
        """Everything that is due now."""
        until_s, seen = time.monotonic() + 60, ArrivedImages()
        while True:
            arrived = self.images.arrived()
            self.images.published(arrived)
            seen = ArrivedImages(
                items=seen.items + arrived.items,
                wanted=seen.wanted + arrived.wanted,
                failures=seen.failures + arrived.failures,
            )
            if not self.images.is_busy:
                return seen
            assert time.monotonic() < until_s
            time.sleep(0.01)

    @property
    def wanted(self) -> Any:
        return self.images.figures()["wanted"]


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    feed = Feed(tmp_path)
    yield feed
    feed.images.close()


def by_uri(item_id: str, uri: str, update_time_s: float = 5.0) -> CatalogItem:
    return CatalogItem(item_id=item_id, title="Red", image_uri=uri, update_time_s=update_time_s)


def test_an_item_goes_on_without_its_picture_and_gets_it_when_it_has_come(shop: Shop, feed: Feed) -> None:
    uri = shop.gives("/a.png", png())
    plain = CatalogItem(item_id="plain", title="Blue")
    assert feed.read(by_uri("a", uri), plain) == {"a": None, "plain": None}
    assert feed.wanted == {"awaited": 1}
    arrived = feed.settle()
    assert [(item.item_id, item.image, item.title) for item in arrived.items] == [("a", png(), "Red")]
    assert feed.wanted == {}


def test_encoding_again_asks_nobody_again(shop: Shop, feed: Feed, tmp_path: Path) -> None:
    uri = shop.gives("/a.png", png())
    feed.read(by_uri("a", uri))
    feed.settle()
    again = Feed(tmp_path)
    assert again.read(by_uri("a", uri), by_uri("other", uri)) == {"a": png(), "other": png()}
    assert again.settle() == ArrivedImages()
    again.images.close()
    assert shop.asked["/a.png"] == 1


def test_items_with_one_picture_all_get_it(shop: Shop, feed: Feed) -> None:
    uri = shop.gives("/a.png", png())
    items = [by_uri(str(number), uri) for number in range(50)]
    assert set(feed.read(*items).values()) == {None}
    assert {item.item_id for item in feed.settle().items} == {item.item_id for item in items}
    assert shop.asked["/a.png"] <= LOCAL.num_image_fetchers


def test_a_newer_item_keeps_its_picture_and_the_host_is_asked_whether_it_changed(shop: Shop, feed: Feed) -> None:
    uri = shop.gives("/a.png", png(), ETag='"1"')
    feed.read(by_uri("a", uri))
    feed.settle()
    conditions = []

    def unchanged(handler: BaseHTTPRequestHandler) -> None:
        conditions.append(handler.headers["If-None-Match"])
        handler.send_response(304)
        handler.end_headers()

    shop.pages["/a.png"] = unchanged
    assert feed.read(by_uri("a", uri, 6.0)) == {"a": png()}
    assert feed.settle().items == ()
    assert conditions == ['"1"']
    shop.gives("/a.png", png((0, 0, 255)), ETag='"2"')
    assert feed.read(by_uri("a", uri, 7.0)) == {"a": png()}
    assert [item.image for item in feed.settle().items] == [png((0, 0, 255))]


def test_a_picture_is_asked_for_again_when_it_is_old(shop: Shop, feed: Feed) -> None:
    uri = shop.gives("/a.png", png())
    feed.read(by_uri("a", uri, 0.0))
    feed.settle()
    feed.clock.advance(LOCAL.image_cache_days * 86_400 + 1)
    shop.gives("/a.png", png((0, 0, 255)))
    assert feed.read(by_uri("a", uri, 0.0)) == {"a": png()}
    assert [item.image for item in feed.settle().items] == [png((0, 0, 255))]


def test_a_host_that_is_away_costs_an_item_its_picture_for_as_long(shop: Shop, feed: Feed) -> None:
    uri = shop.gives("/a.png", b"", status=503)
    feed.read(by_uri("a", uri))
    assert [failure[:2] for failure in feed.settle().failures] == [("a", "unreachable")]
    assert feed.wanted == {"unreachable": 1}
    asked = shop.asked["/a.png"]
    assert feed.settle() == ArrivedImages()  # not before its time
    assert shop.asked["/a.png"] == asked
    shop.gives("/a.png", png())
    feed.clock.advance(61)
    assert [item.image for item in feed.settle().items] == [png()]


def test_pauses_grow_to_a_bound(shop: Shop, feed: Feed) -> None:
    feed.read(by_uri("a", shop.gives("/a.png", b"", status=503)))
    for pause_s in (60, 120, 240, 480):
        assert feed.settle().failures
        feed.clock.advance(pause_s - 1)
        assert not feed.settle().failures
        feed.clock.advance(1)
    for _ in range(20):
        assert feed.settle().failures
        feed.clock.advance(LONGEST_PAUSE_S)


@pytest.mark.parametrize(("body", "status", "reason"), [(b"no picture", 200, "broken"), (b"", 404, "refused")])
def test_what_is_refused_or_broken_is_tried_daily(
    shop: Shop, feed: Feed, body: bytes, status: int, reason: str
) -> None:
    feed.read(by_uri("a", shop.gives("/a.png", body, status=status)))
    ((item_id, found, detail),) = feed.settle().failures
    assert (item_id, found) == ("a", reason)
    assert detail
    feed.clock.advance(REFUSED_PAUSE_S - 1)
    assert feed.settle() == ArrivedImages()
    shop.gives("/a.png", png())
    feed.clock.advance(1)
    assert [item.image for item in feed.settle().items] == [png()]


def test_a_new_process_tries_everything_again(shop: Shop, tmp_path: Path) -> None:
    first = Feed(tmp_path, replace(LOCAL, image_private_hosts=()))
    first.read(by_uri("a", shop.gives("/a.png", png())))
    assert [failure[1] for failure in first.settle().failures] == ["forbidden_address"]
    first.images.close()
    second = Feed(tmp_path)
    assert [item.image for item in second.settle().items] == [png()]
    second.images.close()


def test_a_picture_of_a_record_that_is_no_more_is_not_published(shop: Shop, feed: Feed) -> None:
    gate = threading.Event()
    shop.gives("/old.png", png())
    slow = shop.pages["/old.png"]
    shop.pages["/old.png"] = lambda handler: slow(handler) if gate.wait(30) else None
    items = [by_uri(item_id, shop.url + "/old.png") for item_id in ("new", "gone", "own")]
    feed.read(*items)
    feed.images.arrived()  # handed out
    own = CatalogItem(item_id="own", title="Red", image=png((1, 1, 1)))
    feed.read(by_uri("new", shop.gives("/new.png", png((0, 0, 255)))), own, removed=("gone",))
    gate.set()
    assert {(item.item_id, item.image) for item in feed.settle().items} == {("new", png((0, 0, 255)))}
    assert feed.wanted == {}


def test_what_a_version_with_other_rules_kept_is_dropped_and_the_rest_goes_on(shop: Shop, tmp_path: Path) -> None:
    first = Feed(tmp_path)
    uri = shop.gives("/a.png", png())
    first.read(by_uri("a", uri), by_uri("b", uri))
    first.images.close()
    with closing(sqlite3.connect(tmp_path / "wanted_images.sqlite")) as database, database:
        database.execute("update wanted set value = ? where item_id = 'a'", (b"{no json",))
    second = Feed(tmp_path)
    assert [item.item_id for item in second.settle().items] == ["b"]
    assert second.wanted == {}
    second.images.close()


def test_where_nothing_may_be_fetched_nothing_is_wanted(shop: Shop, tmp_path: Path) -> None:
    feed = Feed(tmp_path, replace(LOCAL, image_schemes=()))
    assert feed.read(by_uri("a", shop.gives("/a.png", png()))) == {"a": None}
    assert feed.wanted == {}
    feed.images.close()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"image_schemes": "https"}, "image_schemes"),
        ({"image_schemes": ("HTTPS",)}, "image_schemes"),
        ({"image_schemes": ("https://",)}, "image_schemes"),
        ({"image_hosts": ("https://shop.example",)}, "image_hosts"),
        ({"image_hosts": ("a.*.b",)}, "image_hosts"),
        ({"image_private_hosts": True}, "image_private_hosts"),
        ({"image_fetch_timeout_s": 0}, "image_fetch_timeout_s"),
        ({"image_fetch_timeout_s": float("nan")}, "image_fetch_timeout_s"),
        ({"picture_timeout_s": float("inf")}, "picture_timeout_s"),
        ({"max_image_bytes": 1.5}, "max_image_bytes"),
        ({"num_image_fetchers": 0}, "num_image_fetchers"),
        ({"max_image_redirects": -1}, "max_image_redirects"),
        ({"image_fetch_retries": True}, "image_fetch_retries"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"content.{says}"):
        ContentSettings(**wrong)
