"""A search as a replica answers it: what is refused and how, what is left out, what counts beside relevance."""

import io
import json
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import replace

import grpc
import numpy as np
import pytest
from PIL import Image

from mmrec.catalog.item import Availability, CatalogEntry, CatalogItem, catalog_entry
from mmrec.config import SearchSettings
from mmrec.connections.statuses import code_of
from mmrec.content.encode import encode_items
from mmrec.content.feed import embedding_records
from mmrec.content.payloads import payloads
from mmrec.content.query_encoder import NoQueryEncoder, QueryEncoder
from mmrec.content.store import ContentStore
from mmrec.errors import DeadlineError, InvalidRequestError, NotFoundError, PreconditionError, StoreError
from mmrec.events.producer import TopicRecord
from mmrec.search.query import QueryPart
from mmrec.serving.item_record import read_item_update
from mmrec.serving.recommend import Deadline
from mmrec.serving.search import add_found, search
from mmrec.serving.search_backfill import Backfill
from mmrec.serving.search_content import SearchContent
from mmrec.serving.search_request import likeness_request, search_request
from mmrec.serving.search_side import SearchSide
from mmrec.v1 import recommender_pb2
from tests.query_encoder import NAMES, HereQueryEncoder
from tests.serving_world import ServingWorld, no_deadline, serving_world

COLORS = {"red": (220, 20, 30), "green": (20, 200, 40), "blue": (30, 40, 210)}
KINDS = ("dress", "shirt")


def picture(color: str, *, size: int = 32, form: str = "PNG") -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (size, size), COLORS[color]).save(sink, format=form)
    return sink.getvalue()


def items() -> list[CatalogItem]:
    """A dress and a shirt of each color, one more like the red dress, and one with no picture."""
    made = [
        CatalogItem(item_id=f"{color} {kind}", title=f"{color} {kind}", attributes={"kind": kind}, image=picture(color))
        for color in COLORS
        for kind in KINDS
    ]
    twin = CatalogItem(item_id="twin", title="crimson gown", attributes={"kind": "dress"}, image=picture("red"))
    return [*made, twin, CatalogItem(item_id="bare", title="red scarf", description="with fringes made of wool")]


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world(num_users=20, num_items=30, days=5)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> list[tuple[bytes, bytes]]:
    """Records of item-embeddings, as the encoding job makes them."""
    store = ContentStore(tmp_path_factory.mktemp("content"))
    encoders = HereQueryEncoder().encoders
    matrix = encode_items(items(), encoders, store).matrix
    entries = {item.item_id: catalog_entry(item) for item in items()}
    descriptions = {item.item_id: item.description for item in items()}
    return list(embedding_records(matrix, entries, descriptions=descriptions))


class Shop:
    """A replica's state and what it searches, without its thread."""

    def __init__(self, world: ServingWorld, records) -> None:
        self.world, self.encoder, self.content = world, HereQueryEncoder(), SearchContent()
        self.keeper = world.keeper()
        self.take(records)

    def take(self, records) -> None:
        updates = [read_item_update(key, value) for key, value in records]
        self.keeper.take(updates)
        self.content.take(updates)
        self.keeper.publish()
        self.content.introduce(self.keeper.catalogue.entries)

    def answer(self, request, *, encoder=None, deadline=None, **changes):
        return search(
            request,
            state=self.world.state(self.keeper, **changes),
            content=self.content,
            encoder=encoder or self.encoder,
            read_profile=self.world.read_profile,
            deadline=deadline or no_deadline(),
        )

    def search(self, *parts, encoder=None, deadline=None, limits=None, **fields):
        message = recommender_pb2.SearchItemsRequest(query=[recommender_pb2.QueryPart(**p) for p in parts], **fields)
        request = search_request(message, now_s=self.world.end_s, limits=limits or SearchSettings())
        return self.answer(request, encoder=encoder, deadline=deadline)

    def alike(self, item_id, weights, **fields):
        message = recommender_pb2.SimilarItemsRequest(item_id=item_id, modality_weights=weights, **fields)
        return self.answer(likeness_request(message, now_s=self.world.end_s))


def ids(found) -> list[str]:
    return [found.catalogue.item_ids[row] for row in found.rows_K]


@pytest.fixture
def shop(world, records) -> Shop:
    return Shop(world, records)


def test_a_text_finds_the_item_of_these_words(shop):
    found = shop.search({"text": "red dress"}, num_items=3)
    assert ids(found)[0] == "red dress"
    assert not found.degraded
    assert set(found.explanations[0].sources) == {"lexical", "text vectors"}
    assert found.explanations[0].text == 'It has "red", "dress" and is alike by text.'


def test_a_photo_finds_what_looks_like_it(shop):
    found = shop.search({"image": {"content": picture("green", size=48, form="JPEG")}}, num_items=2)
    assert set(ids(found)) == {"green dress", "green shirt"}
    assert list(found.explanations[0].sources) == ["image vectors"]


def test_this_but_blue_without_shirts(shop):
    parts = [{"item_id": "red dress"}, {"text": "blue", "weight": 2.0}, {"text": "shirt", "weight": -1.0}]
    found = ids(shop.search(*parts, num_items=10))
    assert found[0] == "blue dress"
    assert found.index("blue dress") < found.index("blue shirt")
    assert "red dress" not in found, "the item itself is not an answer"


def test_filters_exclusions_and_hidden_items_are_kept_out(shop, records):
    filtered = {"conditions": [{"attribute": "kind", "values": ["SHIRT"]}]}
    assert set(ids(shop.search({"text": "red"}, filter=filtered))) == {"red shirt", "green shirt", "blue shirt"}
    assert "red dress" not in ids(shop.search({"text": "red dress"}, excluded_item_ids=["red dress"]))
    hidden = {**json.loads(dict(records)[b"red dress"]), "availability": "AVAILABILITY_HIDDEN"}
    shop.take([(b"red dress", json.dumps(hidden).encode())])
    assert "red dress" not in ids(shop.search({"text": "red dress"}))
    shop.take([(b"red shirt", None)])
    assert "red shirt" not in ids(shop.search({"text": "red"}))


def test_a_new_item_is_found_with_its_description(shop):
    value = {"item_id": "new", "title": "Plain cap", "description": "Warm, of alpaca", "availability": 1}
    shop.take([(b"new", json.dumps(value).encode())])
    assert ids(shop.search({"text": "alpaca"}))[0] == "new"


def test_items_that_only_a_release_knows_are_found_by_title_and_attributes(shop):
    entry = next(e for e in shop.world.entries if e.title)
    found = ids(shop.search({"text": entry.title}, num_items=10, encoder=NoQueryEncoder()))
    assert entry.item_id in found


def test_alike_by_picture_leaves_out_the_same_picture(shop):
    found = ids(shop.alike("red dress", {"image": 1.0}, num_items=5))
    assert not {"red dress", "red shirt", "twin"} & set(found), "all three have one picture"
    assert "blue dress" in ids(shop.alike("red dress", {"text": 1.0}, num_items=3))
    both = ids(shop.alike("red dress", {"image": 0.5, "text": 0.5}, num_items=5))
    assert "twin" not in both


def test_without_an_encoder_texts_are_searched_by_words_and_the_answer_says_so(shop):
    found = shop.search({"text": "red dress"}, encoder=NoQueryEncoder())
    assert ids(found)[0] == "red dress"
    assert [each.value for each in found.degraded] == ["query_not_encoded"]
    with pytest.raises(StoreError, match="encodes_queries"):
        shop.search({"image": {"content": picture("red")}}, encoder=NoQueryEncoder())


class LateEncoder:
    """Never answers."""

    def ask(self, modality, payload):
        return Future()


def test_an_encoder_that_is_late_costs_a_text_its_vector_and_a_photo_its_answer(shop):
    soon = Deadline(at_s=time.monotonic() + 0.05, clock=time.monotonic)
    found = shop.search({"text": "red dress"}, encoder=LateEncoder(), deadline=soon)
    assert ids(found)[0] == "red dress"
    assert [each.value for each in found.degraded] == ["query_not_encoded"]
    soon = Deadline(at_s=time.monotonic() + 0.05, clock=time.monotonic)
    with pytest.raises(DeadlineError, match=r"query\[0\]\.image"):
        shop.search({"image": {"content": picture("red")}}, encoder=LateEncoder(), deadline=soon)


class OtherWeights(HereQueryEncoder):
    """The same encoders with other weights."""

    def ask(self, modality, payload):
        encoded: Future = Future()
        encoded.set_result(replace(super().ask(modality, payload).result(), fingerprint="0" * 32))
        return encoded


def test_vectors_of_other_weights_are_refused(shop):
    found = shop.search({"text": "red dress"}, encoder=OtherWeights())
    assert [each.value for each in found.degraded] == ["vectors_incompatible"]
    assert list(found.explanations[0].sources) == ["lexical"]
    shop.content.backfilled()
    with pytest.raises(PreconditionError, match=r"color-histogram.*encode the catalogue") as refused:
        shop.search({"image": {"content": picture("red")}}, encoder=OtherWeights())
    assert code_of(refused.value) is grpc.StatusCode.FAILED_PRECONDITION


def test_a_photo_is_asked_for_again_while_no_vector_of_the_past_was_read_yet(shop):
    shop.content = SearchContent()
    with pytest.raises(StoreError, match="try again") as refused:
        shop.search({"image": {"content": picture("red")}})
    assert code_of(refused.value) is grpc.StatusCode.UNAVAILABLE
    shop.content.backfilled()
    with pytest.raises(PreconditionError):
        shop.search({"image": {"content": picture("red")}})


class Listening(HereQueryEncoder):
    """Keeps what it is asked to encode."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []

    def ask(self, modality, payload):
        self.asked.append(payload)
        return super().ask(modality, payload)


@pytest.mark.parametrize("cleaning", ["none", "plain", "classic"])
def test_texts_of_queries_are_cleaned_as_those_of_items(shop, cleaning):
    text = "The <b>red</b> dress, 50% off"
    shop.content, listening = SearchContent(cleaning=cleaning), Listening()
    shop.search({"text": text}, encoder=listening)
    assert listening.asked == [payloads(CatalogItem(item_id="i", title=text), cleaning=cleaning)["text"]]


def test_a_personal_list_holds_the_same_items_in_an_order_of_the_users_own(shop):
    user = shop.world.user_ids[0]
    entries = [entry for entry in shop.world.entries if entry.attributes]
    words = " ".join(dict.fromkeys(value for entry in entries for value in entry.attributes.values()))[:400]
    plain = shop.search({"text": words}, num_items=20)
    personal = shop.search({"text": words}, num_items=20, user_id=user, personal=True)
    assert ids(plain) != ids(personal)
    everything = shop.search({"text": words}, num_items=200)
    assert sorted(ids(everything)) == sorted(
        ids(shop.search({"text": words}, num_items=200, user_id=user, personal=True))
    )
    assert (np.diff(personal.scores_K) <= 0).all()


def test_a_personal_list_without_a_release_is_one_by_relevance(shop):
    message = recommender_pb2.SearchItemsRequest(query=[{"text": "red"}], user_id="ann", personal=True)
    request = search_request(message, now_s=shop.world.end_s, limits=SearchSettings())
    found = shop.answer(request, model=None)
    assert [each.value for each in found.degraded] == ["no_release"]
    assert ids(found) == ids(shop.search({"text": "red"}))


NAN = float("nan")
RED = picture("red")


@pytest.mark.parametrize(
    ("parts", "fields", "says"),
    [
        ([], {}, "0 parts; give 1 to 8"),
        ([{"text": "a"}] * 9, {}, "9 parts; give 1 to 8"),
        ([{}], {}, r"query\[0\] is empty"),
        ([{"text": " \t"}], {}, r"query\[0\].text is empty"),
        ([{"text": "a" * 1_001}], {}, "1001 characters; give at most 1000"),
        ([{"text": "a", "weight": NAN}], {}, r"query\[0\].weight is nan"),
        ([{"text": "a", "weight": 9.0}], {}, "weight is 9.0; give a number from -8 to 8"),
        ([{"text": "a", "weight": -1.0}], {}, "positive weight"),
        ([{"item_id": ""}], {}, r"query\[0\].item_id is empty"),
        ([{"image": {}}], {}, "content is empty"),
        ([{"image": {"uri": "https://shop.example/a.jpg"}}], {}, "uri is not fetched"),
        ([{"image": {"content": bytes(600)}}], {}, "600 bytes; give at most 500"),
        ([{"image": {"content": RED[:60]}}], {}, r"query\[0\].image"),
        ([{"image": {"content": b"GIF89a nothing"}}], {}, r"query\[0\].image"),
        ([{"text": "a"}], {"num_items": 201}, "201"),
        ([{"text": "a"}], {"personal": True}, "user_id"),
        ([{"text": "a"}], {"user_id": "~a"}, "anonymous_id"),
        ([{"text": "a"}], {"excluded_item_ids": ["\x00"]}, "excluded_item_ids"),
        ([{"text": "a"}], {"filter": {"price_min": -1.0}}, "price"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_reason(shop, parts, fields, says):
    with pytest.raises(InvalidRequestError, match=says):
        shop.search(*parts, limits=SearchSettings(max_image_bytes=500), **fields)


def test_an_unknown_item_and_one_that_is_not_out_yet_are_not_found(shop):
    with pytest.raises(NotFoundError, match="no such item"):
        shop.search({"item_id": "no such item"})
    later = {"item_id": "later", "title": "Cap", "publish_time": "2100-01-01T00:00:00Z", "availability": 1}
    shop.take([(b"later", json.dumps(later).encode())])
    with pytest.raises(NotFoundError, match="publish_time"):
        shop.search({"item_id": "later"})
    assert "later" not in ids(shop.search({"text": "cap"}))


@pytest.mark.parametrize(
    ("item_id", "weights", "says"),
    [
        ("red dress", {"image": NAN}, "nan"),
        ("red dress", {"image": -1.0}, "-1.0"),
        ("red dress", {"smell": 1.0}, "smell"),
        ("red dress", {"image": 0.0}, "all 0"),
        ("", {"image": 1.0}, "item_id is empty"),
        ("bare", {"image": 1.0}, "'bare' has no vector of image"),
    ],
)
def test_weights_that_say_nothing_are_refused(shop, item_id, weights, says):
    with pytest.raises(InvalidRequestError, match=says):
        shop.alike(item_id, weights)


def test_an_answer_holds_what_lists_hold_and_why(shop):
    response = recommender_pb2.SearchItemsResponse()
    add_found(response, shop.search({"text": "red dress"}, num_items=2))
    first = response.items[0]
    assert (first.item_id, first.rank, first.title) == ("red dress", 1, "red dress")
    assert set(first.sources) == {"lexical", "text vectors"}
    assert dict(first.explanation.source_scores).keys() == {"lexical", "text vectors"}
    assert [item.rank for item in response.items] == [1, 2]


@pytest.mark.parametrize("was_followed_from_the_beginning", [False, True])
def test_the_past_never_replaces_what_came_since(records, world, was_followed_from_the_beginning):
    content, stopping = SearchContent(), threading.Event()
    newer = json.dumps({"item_id": "red dress", "title": "Sold as rags", "availability": 1}).encode()
    past = [TopicRecord(partition=0, offset=n, key=k, value=v, timestamp_s=0.0) for n, (k, v) in enumerate(records)]
    past.append(TopicRecord(partition=0, offset=99, key=b"broken", value=b"no JSON", timestamp_s=0.0))

    def read() -> list[TopicRecord]:  # the record of now comes after the past was asked for
        content.take([read_item_update(b"red dress", newer)])
        return past

    backfill = Backfill(content, read, stopping=stopping)
    if was_followed_from_the_beginning:  # as before the first release
        backfill.not_needed()
    backfill.start()
    for _ in range(1_000):
        if backfill.is_done:
            break
        stopping.wait(0.01)
    assert backfill.is_done
    assert backfill.num_broken == 1
    assert content.index.num_rows == len(items())
    assert not content.index.knows("red dress", modality="text")
    assert content.index.knows("blue dress", modality="image")


def test_records_taken_while_the_past_is_read_are_never_lost():
    def update(number: int, title: str):
        return read_item_update(b"i%d" % number, json.dumps({"title": title, "availability": 1}).encode())

    numbers, switched = range(400), sys.getswitchinterval()
    content = SearchContent()
    past, new = ([update(number, title) for number in numbers] for title in ("old", "new"))
    sys.setswitchinterval(1e-6)
    try:
        reads = threading.Thread(target=lambda: [content.backfill([each]) for each in past])
        reads.start()
        for each in new:
            content.take([each])
        reads.join()
    finally:
        sys.setswitchinterval(switched)
    found = content.index.find([QueryPart(words="new")], allowed_I=np.ones(400, dtype=np.bool_), num_candidates=400)
    assert len(found.rows_N) == 400


def test_what_nothing_speaks_for_is_not_found(shop):
    assert ids(shop.search({"text": "zzzz"})) == []
    found = shop.search({"item_id": "red dress"}, num_items=200)
    assert set(ids(found)) <= {item.item_id for item in items()}


def test_only_the_ratio_of_weights_counts(shop):
    plain, large = (shop.alike("red dress", {"image": w, "text": w / 2}) for w in (1.0, 1e308))
    assert ids(plain) == ids(large)
    np.testing.assert_allclose(plain.scores_K, large.scores_K)


def test_a_process_of_its_own_encodes_queries_as_items_are_encoded(shop):
    encoder = QueryEncoder(NAMES, picture_timeout_s=10.0)
    with pytest.raises(StoreError, match="being loaded"):
        encoder.ask("text", b"red dress").result(1.0)
    encoder.start()
    try:
        assert encoder.wait_ready(120.0)
        payload = picture("red")
        for modality, asked in (("text", b"red dress"), ("image", payload)):
            expected = HereQueryEncoder().ask(modality, asked).result()
            got = encoder.ask(modality, asked).result(60.0)
            assert (got.encoder, got.fingerprint) == (expected.encoder, expected.fingerprint)
            np.testing.assert_array_equal(got.values_D, expected.values_D)
        assert encoder.ask("text", b"red dress").result(60.0) is encoder.ask("text", b"red dress").result(60.0)
        assert encoder.figures()["num_queries_encoded"] == 2
        for bad, says in ((b"no picture", "that are no AVIF"), (payload[:60], "truncated|broken|Error")):
            with pytest.raises(InvalidRequestError, match=says):
                encoder.ask("image", bad).result(60.0)
        found = shop.search({"image": {"content": payload}}, encoder=encoder)
        assert ids(found)[0] in {"red dress", "red shirt", "twin"}
    finally:
        encoder.close()


def test_entries_that_are_hidden_have_nothing_to_be_found_by():
    content = SearchContent()
    content.introduce([CatalogEntry(item_id="gone", availability=Availability.HIDDEN)])
    assert not content.index.knows("gone")


def test_items_of_a_catalogue_are_introduced_a_portion_at_a_time(world):
    side = SearchSide(
        encoder=NoQueryEncoder(), alignment=None, cleaning="none", read_past=tuple, stopping=threading.Event()
    )
    first, second = world.keeper(), world.keeper()
    second.take([read_item_update(b"more", json.dumps({"item_id": "more", "title": "More"}).encode())])
    second.publish()
    for catalogue in (first.catalogue, second.catalogue, second.catalogue):
        side.introduce(catalogue)
    assert side.figures()["num_items_searched"] == len(second.catalogue.item_ids)
    assert side.content.index.knows("more")
