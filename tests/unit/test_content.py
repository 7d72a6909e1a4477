"""Content: encoders, cleaning, payloads, cache and matrix, feed."""

import io
import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrec.catalog.item import CatalogItem, catalog_entry, to_json_value
from mmrec.clock import ManualClock
from mmrec.content.cleaning import text_cleaning
from mmrec.content.encode import encode_items
from mmrec.content.feed import embedding_records, read_changes
from mmrec.content.matrix import content_matrix
from mmrec.content.modalities.attributes import AttributeHashEncoder
from mmrec.content.modalities.image import ColorHistogramEncoder
from mmrec.content.modalities.text import HashingTextEncoder
from mmrec.content.payloads import digest, payloads
from mmrec.content.publish import ContentCounts, FeedMark, publish_content
from mmrec.content.registry import LazyEncoder, encoder, encoder_names
from mmrec.content.store import CATALOG_MARK, MATRIX, ContentStore
from mmrec.content.vector_cache import VectorCache
from mmrec.errors import NotFoundError, StoreError
from mmrec.events.producer import MemoryRecordProducer
from mmrec.features.stores import MemoryFeatureStore
from mmrec.serving.item_record import read_item_update


def picture(color: tuple[int, ...], *, mode: str = "RGB", form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (40, 30), color).save(file, form)
    return file.getvalue()


def item(item_id: str = "a", **fields) -> CatalogItem:
    return CatalogItem(**{"item_id": item_id, "title": "Red dress", "attributes": {"color": "red"}, **fields})


NUM_PUTS = 32
NAMES = {"text": "hashing-tf", "image": "color-histogram", "attributes": "attribute-hash"}
ENCODERS = {modality: LazyEncoder(modality, name) for modality, name in NAMES.items()}


def test_a_broken_image_is_missing_with_its_reason_and_the_others_are_encoded() -> None:
    encodings = ColorHistogramEncoder().encode([picture((255, 0, 0)), b"no image", picture((0, 0, 255))])
    assert encodings.reasons_N == ("", "broken", "")
    assert not encodings.values_ND[1].any()
    np.testing.assert_allclose(np.linalg.norm(encodings.values_ND[[0, 2]], axis=1), 1.0, atol=1e-6)


def test_several_values_of_an_attribute_are_their_mean_direction() -> None:
    both, first, second = (
        AttributeHashEncoder()
        .encode([b'{"genre": "Comedy|Drama"}', b'{"genre": "comedy"}', b'{"genre": "drama"}'])
        .values_ND
    )
    np.testing.assert_allclose(np.linalg.norm([both, first, second], axis=1), 1.0, atol=1e-5)
    assert both @ first > 0.5
    assert both @ second > 0.5
    assert abs(first @ second) < 0.4


def test_attribute_vectors_are_the_same_on_every_machine() -> None:
    vector = AttributeHashEncoder(embedding_dim=4).encode([b'{"color": "red"}']).values_ND[0]
    np.testing.assert_allclose(vector, AttributeHashEncoder(embedding_dim=4).encode([b'{"color":"RED"}']).values_ND[0])


def test_hashing_text_knows_like_from_unlike() -> None:
    a, b, c = HashingTextEncoder().encode([b"red cotton dress", b"cotton dress, red", b"garden hose"]).values_ND
    assert a @ b > a @ c + 0.3


def test_classic_cleaning_removes_markup_advertising_and_stop_words() -> None:
    dirty = "<b>Free shipping!</b> The SOFT wool-blend coat, 50% off, see https://x.example/y"
    assert text_cleaning("classic")(dirty) == "soft wool-blend coat see"
    assert text_cleaning("plain")(dirty) == "The SOFT wool-blend coat see"
    assert text_cleaning("none")("  two   words ") == "two words"
    with pytest.raises(NotFoundError, match="classic"):
        text_cleaning("bleach")


def test_unknown_encoders_are_answered_with_the_known_names() -> None:
    assert "minilm" in encoder_names("text")
    with pytest.raises(NotFoundError, match="efficientnet-lite0"):
        encoder("image", "crystal-ball")
    with pytest.raises(NotFoundError, match="attributes"):
        encoder("smell", "nose")


def test_payloads_leave_out_what_an_item_lacks() -> None:
    assert set(payloads(CatalogItem(item_id="a"))) == set()
    assert set(payloads(item(image=b"x"))) == {"text", "image", "attributes"}
    assert payloads(item())["attributes"] == payloads(item(attributes={"color": "red", "size": " "}))["attributes"]


def test_the_same_input_is_encoded_once_whoever_asks(tmp_path) -> None:
    items = [item("a", image=picture((1, 2, 3))), item("b", image=picture((1, 2, 3)), title="Blue dress")]
    first = encode_items(items, ENCODERS, ContentStore(tmp_path / "one", cache_folder=tmp_path / "cache"))
    assert first.num_encoded == {"text": 2, "image": 1, "attributes": 1}
    other = ContentStore(tmp_path / "two", cache_folder=tmp_path / "cache")
    again = encode_items(items, ENCODERS, other)
    assert set(again.num_encoded.values()) == {0}
    np.testing.assert_array_equal(first.matrix.values["image"], again.matrix.values["image"])


def test_missing_and_broken_modalities_are_counted(tmp_path) -> None:
    items = [item("a", image=b"broken"), item("b", attributes={}), item("c", image=picture((0, 0, 0)))]
    encoded = encode_items(items, ENCODERS, ContentStore(tmp_path))
    assert encoded.num_absent == {"text": {}, "image": {"broken": 1, "missing": 1}, "attributes": {"missing": 1}}
    assert encoded.matrix.present["image"].tolist() == [False, False, True]


def test_the_matrix_is_what_was_put_last_however_often_was_put(tmp_path) -> None:
    store = ContentStore(tmp_path)
    for number in range(NUM_PUTS + 5):
        vectors = {"text": {"a": np.full(3, number, np.float32), f"b{number}": np.ones(3, np.float32)}}
        ids = ["a", f"b{number}"]
        store.put(content_matrix(ids, vectors, embedding_dims={"text": 3}, encoders={"text": "e"}))
    store.put(content_matrix([], {}, embedding_dims={"text": 3}, encoders={"text": "e"}), removed=["b0"])
    matrix = ContentStore(tmp_path).load_matrix()
    assert len(matrix) == NUM_PUTS + 5
    assert "b0" not in matrix.row_of
    assert matrix.values["text"][matrix.row_of["a"]][0] == NUM_PUTS + 4


TEXT = {"embedding_dims": {"text": 3}, "encoders": {"text": "e"}}


def rows(number: int) -> dict[str, dict[str, np.ndarray]]:
    return {"text": {item_id: np.full(3, number, np.float32) for item_id in ("a", "b")}}


def put_row(store: ContentStore, item_id: str) -> None:
    vectors = {"text": {item_id: np.ones(3, np.float32)}}
    store.put(content_matrix([item_id], vectors, embedding_dims={"text": 3}, encoders={"text": "e"}))


@pytest.mark.parametrize("damage", ["cut", "empty", "of_something_else"])
def test_a_damaged_matrix_is_named_and_never_taken_for_an_empty_one(tmp_path, damage) -> None:
    store = ContentStore(tmp_path)
    for number in range(40):
        put_row(store, f"i{number}")
    file = tmp_path / MATRIX
    whole = file.read_bytes()
    if damage == "of_something_else":
        file.unlink()
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("create table other (x)")
    else:
        file.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    for use in (lambda: put_row(store, "last"), store.load_matrix, store.item_ids, store.num_items):
        with pytest.raises(StoreError, match=f"{MATRIX} cannot be used .*backup.*{CATALOG_MARK}"):
            use()
    file.write_bytes(whole)
    put_row(store, "last")
    assert store.item_ids() == {*(f"i{number}" for number in range(40)), "last"}
    assert store.num_items() == 41


def test_a_matrix_that_was_removed_leaves_nothing_to_the_next(tmp_path) -> None:
    file, store = tmp_path / MATRIX, ContentStore(tmp_path)
    log = file.with_name(f"{MATRIX}-wal")
    put_row(store, "first")
    with closing(sqlite3.connect(file)) as reader:
        reader.execute("begin")
        reader.execute("select * from items").fetchall()
        for number in range(40):
            put_row(store, f"i{number}")
        left = log.read_bytes()
    file.unlink()
    log.write_bytes(left)  # as after a kill
    put_row(store, "next")
    assert store.item_ids() == {"next"}


def test_readers_see_a_put_as_a_whole(tmp_path) -> None:
    store, stop = ContentStore(tmp_path), threading.Event()
    put_rows = [content_matrix(["a", "b"], rows(number), **TEXT) for number in range(2)]
    store.put(put_rows[0])

    def write() -> None:
        while not stop.is_set():
            for each in put_rows:
                store.put(each)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(40):
            a, b = ContentStore(tmp_path).load_matrix().values["text"][:, 0]
            assert a == b
    finally:
        stop.set()
        writer.join()


@contextmanager
def reader_of(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody who reads a file whole, and is not done."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("begin")
        database.execute("select count(*) from vectors").fetchone()
        yield database


def test_a_put_goes_through_while_somebody_reads_the_whole_matrix(tmp_path) -> None:
    store = ContentStore(tmp_path)
    put_row(store, "a")
    with reader_of(tmp_path / MATRIX) as reader:
        put_row(store, "b")
        assert store.item_ids() == {"a", "b"}
        assert reader.execute("select count(*) from items").fetchone() == (1,)
    put_row(store, "c")
    assert store.num_items() == 3


def test_a_matrix_older_than_the_log_of_writes_gets_it_with_the_next_put(tmp_path) -> None:
    store = ContentStore(tmp_path)
    put_row(store, "a")
    with closing(sqlite3.connect(tmp_path / MATRIX)) as database:
        assert database.execute("pragma journal_mode = delete").fetchone() == ("delete",)
    put_row(store, "b")
    with reader_of(tmp_path / MATRIX):
        put_row(store, "c")
    assert store.item_ids() == {"a", "b", "c"}


def test_what_was_encoded_is_kept_while_somebody_reads_the_cache(tmp_path) -> None:
    cache = VectorCache(tmp_path)
    cache.remember("e", [digest(b"x")], np.ones((1, 3), np.float32))
    with reader_of(tmp_path / "e.sqlite"):
        cache.remember("e", [digest(b"y")], np.ones((1, 3), np.float32))
        assert len(cache.lookup("e", [digest(b"x"), digest(b"y")])) == 2


def test_writers_at_the_same_time_lose_nothing(tmp_path) -> None:
    start = threading.Barrier(4)

    def write(writer: int) -> None:
        store = ContentStore(tmp_path)
        for number in range(12):
            item_id = f"{writer}-{number}"
            row = {"text": {item_id: np.full(3, writer, dtype=np.float32)}}
            matrix = content_matrix([item_id], row, embedding_dims={"text": 3}, encoders={"text": "e"})
            start.wait(30)
            store.put(matrix)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert set(ContentStore(tmp_path).load_matrix().item_ids) == {f"{w}-{n}" for w in range(4) for n in range(12)}


def test_rows_of_another_encoder_count_as_missing(tmp_path) -> None:
    store = ContentStore(tmp_path)
    for name, item_id in (("old", "a"), ("new", "b")):
        vectors = {"text": {item_id: np.ones(3, np.float32)}}
        store.put(content_matrix([item_id], vectors, embedding_dims={"text": 3}, encoders={"text": name}))
    matrix = store.load_matrix()
    assert matrix.encoders == {"text": "new"}
    assert matrix.present["text"].tolist() == [False, True]


@pytest.mark.parametrize("damage", [b"no database", b"SQLite format 3\x00 and then nothing of it" * 20])
def test_a_damaged_cache_is_begun_anew(tmp_path, damage) -> None:
    cache = VectorCache(tmp_path)
    cache.remember("e", [digest(b"x")], np.ones((1, 3), np.float32))
    (tmp_path / "e.sqlite").write_bytes(damage)
    assert cache.lookup("e", [digest(b"x")]) == {}
    cache.remember("e", [digest(b"y")], np.ones((1, 3), np.float32))
    assert list(VectorCache(tmp_path).lookup("e", [digest(b"x"), digest(b"y")])) == [digest(b"y")]
    assert cache.width("e") == 3


def test_a_cache_answers_for_one_fingerprint_and_however_much_is_asked_at_once(tmp_path) -> None:
    cache = VectorCache(tmp_path)
    digests = [digest(str(number).encode()) for number in range(1_200)]
    cache.remember("e", digests, np.arange(1_200, dtype=np.float32)[:, None])
    found = cache.lookup("e", digests)
    assert [float(found[d][0]) for d in digests] == list(range(1_200))
    assert cache.lookup("another", digests) == {}
    assert cache.width("another") == 0
    cache.remember("e", digests[:1], np.full((1, 1), 7.0, np.float32))
    assert cache.lookup("e", digests[:1])[digests[0]].tolist() == [7.0]


def test_content_of_another_fingerprint_counts_as_missing_in_the_matrix(tmp_path) -> None:
    store = ContentStore(tmp_path)
    for fingerprint, item_id in (("before", "a"), ("after", "b")):
        vectors = {"text": {item_id: np.ones(3, np.float32)}}
        store.put(content_matrix([item_id], vectors, **TEXT, fingerprints={"text": fingerprint}))
    matrix = store.load_matrix()
    assert matrix.fingerprints == {"text": "after"}
    assert matrix.present["text"].tolist() == [False, True]


def test_selecting_unknown_items_gives_rows_without_content() -> None:
    matrix = content_matrix(
        ["a"], {"text": {"a": np.ones(2, np.float32)}}, embedding_dims={"text": 2}, encoders={"text": "e"}
    )
    chosen = matrix.select(["x", "a", "x"])
    assert chosen.present["text"].tolist() == [False, True, False]


def test_bad_catalogue_records_are_counted_and_the_rest_is_taken() -> None:
    good = item("a", image=picture((1, 1, 1)))
    records = [
        (b"a", to_json_value(item("a", title="Old title"))),
        (b"a", to_json_value(good)),
        (b"b", b"{no json"),
        (b"c", to_json_value(item("other"))),
        (b"d", to_json_value(item("d", title=""))),
        (b"e", to_json_value(item("e", image=b"broken"))),
        (None, b"{}"),
        (b"f", None),
    ]
    changes = read_changes(records)
    assert set(changes.items) == {"a", "e"}
    assert changes.items["a"].title == "Red dress"
    assert changes.removed == ("f",)
    assert [(each.position, each.refusal.reason.value) for each in changes.refused] == [
        (2, "malformed_json"),
        (3, "key_mismatch"),
        (4, "missing_title"),
        (6, "missing_item_id"),
    ]
    assert changes.mended == {"broken_image": 1}
    assert set(changes.broken_images) == {"e"}
    assert "6 bytes that are no AVIF" in changes.broken_images["e"]


def test_what_is_published_is_what_a_replica_reads(tmp_path) -> None:
    producer = MemoryRecordProducer(clock=ManualClock(0.0))
    features, counts = MemoryFeatureStore(), ContentCounts()
    whole = item("a", image=picture((200, 10, 10)), price=3.5, publish_time_s=1_700_000_000.25)
    changes = read_changes([(b"a", to_json_value(whole)), (b"gone", None)])
    store = ContentStore(tmp_path)
    publish_content(
        changes,
        encoders=ENCODERS,
        store=store,
        features=features,
        producer=producer,
        topic="item-embeddings",
        counts=counts,
        cleaning="none",
        write_time_s=1.0,
    )
    matrix = store.load_matrix()
    records = list(embedding_records(matrix, {"a": catalog_entry(whole)}, removed=["gone"]))
    assert records[0] == (b"gone", None)
    update = read_item_update(*records[1])
    assert update.entry == catalog_entry(whole)
    assert update.encoders == NAMES
    assert update.fingerprints == {m: e.fingerprint for m, e in ENCODERS.items()} == matrix.fingerprints
    np.testing.assert_allclose(update.vectors["image"], matrix.values["image"][0], atol=1e-6)
    assert features.read_item_content(["a"])["a"] == catalog_entry(whole)
    assert not features.read_item_content(["gone"])["gone"].availability.can_be_shown
    assert (counts.num_items, counts.num_removed) == (1, 1)
    json.dumps(counts.figures())


def test_a_mark_goes_on_with_the_same_topic_and_encoders_only(tmp_path) -> None:
    mark = FeedMark(topic="c/t", encoders={"text": "minilm"}).moved([(0, 4), (1, 0), (0, 2)])
    assert mark.offsets == {0: 5, 1: 1}
    mark.save(tmp_path / "mark.json")
    assert FeedMark(topic="c/t", encoders={"text": "minilm"}).resumed(tmp_path / "mark.json") == mark
    assert FeedMark(topic="c/other", encoders={"text": "minilm"}).resumed(tmp_path / "mark.json").offsets == {}
    assert FeedMark(topic="c/t", encoders={"text": "bert"}).resumed(tmp_path / "mark.json").offsets == {}
