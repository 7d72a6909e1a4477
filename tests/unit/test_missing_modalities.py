"""A missing modality is legal everywhere: items with none, with each alone, and modalities that no item has."""

import io
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmrec.catalog.cleaning import CleaningPolicy, clean_item
from mmrec.catalog.item import CatalogItem, Media, catalog_entry, from_json_value, to_json_value
from mmrec.config import ContentSettings
from mmrec.content.encode import encode_items
from mmrec.content.feed import embedding_records
from mmrec.content.matrix import ContentMatrix
from mmrec.content.modalities.registry import MODALITIES
from mmrec.content.payloads import payloads
from mmrec.content.registry import LazyEncoder, chosen_encoders
from mmrec.content.store import ContentStore
from mmrec.models.bundle import ModelBundle, new_bundle
from mmrec.models.settings import RankerSettings, TowerSettings
from mmrec.serving.embedded_updates import embed_updates
from mmrec.serving.item_record import read_item_update

CHEAP = ContentSettings(text_encoder="hashing-tf", image_encoder="color-lab")


def image() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 20, 30)).save(file, "PNG")
    return file.getvalue()


def sound() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(np.arange(8_000, dtype="<i2").tobytes())
    return file.getvalue()


ALONE = {
    "text": CatalogItem(item_id="text", title="Red dress"),
    "image": CatalogItem(item_id="image", image=image()),
    "attributes": CatalogItem(item_id="attributes", attributes={"color": "red"}),
    "audio": CatalogItem(item_id="audio", media=(Media(modality="audio", content=sound()),)),
    "reviews": CatalogItem(item_id="reviews", media=(Media(modality="reviews", content=b"Fits &amp; looks well"),)),
}
NOTHING = CatalogItem(item_id="nothing")
WHOLE = CatalogItem(
    item_id="whole",
    title="Red dress",
    image=ALONE["image"].image,
    attributes={"color": "red"},
    media=ALONE["audio"].media + ALONE["reviews"].media,
)


def lazy(content: ContentSettings = CHEAP) -> dict[str, LazyEncoder]:
    return {modality: LazyEncoder(modality, name) for modality, name in chosen_encoders(content).items()}


def encoded(tmp_path: Path, *items: CatalogItem) -> ContentMatrix:
    return encode_items(items, lazy(), ContentStore(tmp_path / "store", cache_folder=tmp_path / "cache")).matrix


def model_of(content: ContentMatrix) -> ModelBundle:
    torch.manual_seed(1)
    made = new_bundle(
        tower_settings=TowerSettings(embedding_dim=16, projected_dim=8, hidden_dim=16),
        ranker_settings=RankerSettings(hidden_dims=(4,)),
        known_item_ids=("whole",),
        feature_names=("f",),
        behavior_ids=(1,),
        behavior_weights=(1.0,),
        content_dims={name: block.shape[1] for name, block in content.values.items()},
        encoders=dict(content.encoders),
        fingerprints=dict(content.fingerprints),
    )
    for name in content.modalities:
        block = np.random.default_rng(2).normal(size=(20, content.values[name].shape[1])).astype(np.float32)
        made.item_tower.projections[name].fit(block)
    return made


def test_every_modality_stands_alone_and_an_item_with_none_is_an_item() -> None:
    assert set(ALONE) == {each.name for each in MODALITIES}
    for name, item in ALONE.items():
        assert set(payloads(item)) == {name}
    assert payloads(NOTHING) == {}
    assert set(payloads(WHOLE)) == set(ALONE)


def test_items_keep_their_modalities_through_records_cleaning_and_encoders(tmp_path: Path) -> None:
    matrix = encoded(tmp_path, *ALONE.values(), NOTHING, WHOLE)
    for name, item in ALONE.items():
        row = matrix.row_of[item.item_id]
        assert {m for m in matrix.modalities if matrix.present[m][row]} == {name}
        assert from_json_value(to_json_value(item)) == item
    assert not any(matrix.present[m][matrix.row_of["nothing"]] for m in matrix.modalities)
    assert all(matrix.present[m][matrix.row_of["whole"]] for m in matrix.modalities)
    cleaned = clean_item(replace(WHOLE, title="T"), CleaningPolicy()).item
    assert cleaned is not None
    assert cleaned.media == WHOLE.media


def test_towers_and_replicas_take_items_with_any_of_their_modalities(tmp_path: Path) -> None:
    items = {item.item_id: item for item in (*ALONE.values(), NOTHING, WHOLE)}
    matrix = encoded(tmp_path, *items.values())
    model = model_of(matrix)
    vectors = model.item_embeddings(matrix)
    assert np.isfinite(vectors).all()
    lengths = dict(zip(matrix.item_ids, np.linalg.norm(vectors, axis=1).round(4), strict=True))
    assert lengths.pop("nothing") == 0
    assert set(lengths.values()) == {1.0}
    weights = model.modality_weights(matrix)
    for name, item in ALONE.items():
        assert weights[name][matrix.row_of[item.item_id]] == pytest.approx(1.0, abs=1e-6)
    updates = [read_item_update(*r) for r in embedding_records(matrix, {i: catalog_entry(x) for i, x in items.items()})]
    found = embed_updates(updates, model)
    assert set(found.item_ids) == set(items) - {"nothing"}
    assert found.num_unusable == 0
    for item_id, vector in zip(found.item_ids, found.vectors_ND, strict=True):
        np.testing.assert_allclose(vector, vectors[matrix.row_of[item_id]], atol=1e-4)


def test_a_modality_that_no_item_has_costs_nothing_and_leaves_releases_as_they_are(tmp_path: Path) -> None:
    items = [ALONE["text"], ALONE["image"], NOTHING]
    store = ContentStore(tmp_path / "store", cache_folder=tmp_path / "cache")
    encoders = lazy(
        ContentSettings(text_encoder="hashing-tf", image_encoder="color-lab", encoders={"reviews": "minilm"})
    )
    found = encode_items(items, encoders, store)
    assert found.matrix.modalities == ("image", "text")
    assert found.num_absent["audio"] == found.num_absent["reviews"] == {"missing": 3}
    store.put(found.matrix)
    assert store.load_matrix().modalities == ("image", "text")
    loaded = {name for name, each in encoders.items() if "_loaded" in vars(each)}
    assert loaded == {"text", "image"}


def test_a_release_made_before_a_modality_came_goes_on(tmp_path: Path) -> None:
    before = encoded(tmp_path, ALONE["text"], ALONE["image"])
    model = model_of(before)
    after = encoded(tmp_path, ALONE["text"], ALONE["image"], ALONE["audio"], replace(WHOLE, item_id="new"))
    was, now = model.item_embeddings(before), model.item_embeddings(after)
    for item_id in before.item_ids:
        np.testing.assert_allclose(was[before.row_of[item_id]], now[after.row_of[item_id]], atol=1e-6)
    assert np.linalg.norm(now[after.row_of["new"]]) == pytest.approx(1.0, abs=1e-5)
    assert not now[after.row_of["audio"]].any(), "what the release cannot read is missing to it"


def test_an_item_that_loses_a_modality_has_lost_it(tmp_path: Path) -> None:
    store, encoders = ContentStore(tmp_path / "store"), lazy()
    for item in (WHOLE, replace(WHOLE, media=(), image=None)):
        store.put(encode_items([item], encoders, store).matrix)
    matrix = store.load_matrix()
    assert {m for m in matrix.modalities if matrix.present[m][0]} == {"text", "attributes"}


def test_reviews_are_the_mean_of_their_texts_and_only_the_first_ones_are_read() -> None:
    reviews = LazyEncoder("reviews", "hashing-tf")
    texts = LazyEncoder("text", "hashing-tf")
    written = tuple(
        Media(modality="reviews", content=text) for text in (b"soft wool", b"", b"too <b>small</b>", b"\xff")
    )
    payload = payloads(CatalogItem(item_id="a", media=written))["reviews"]
    assert payload == '["soft wool", "too <b>small</b>", "\ufffd"]'.encode()
    found = reviews.encode([payload, b"[]", b"no list", b'{"a": 1}', b'["of the"]'])
    assert found.reasons_N == ("", "broken", "broken", "broken", "broken")
    mean = texts.encode([b"soft wool", b"too <b>small</b>"]).values_ND.mean(0)
    np.testing.assert_allclose(found.values_ND[0], mean / np.linalg.norm(mean), atol=1e-6)
    many = tuple(Media(modality="reviews", content=f"review {n}".encode()) for n in range(100))
    assert payloads(CatalogItem(item_id="a", media=many)) == payloads(CatalogItem(item_id="a", media=many[:32]))
