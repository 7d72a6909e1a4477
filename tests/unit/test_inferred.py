"""Attributes that nobody gave: filled where a model is sure, marked, never over a given value, on the way to lists."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from mmrec.catalog.item import CatalogEntry, CatalogItem
from mmrec.clock import ManualClock
from mmrec.config import ContentSettings, Settings
from mmrec.content.attribute_heads import AttributeHeads, Head
from mmrec.content.encoder import Encodings
from mmrec.content.feed import CatalogChanges, embedding_records
from mmrec.content.inferred import AttributeInference, is_missing
from mmrec.content.matrix import ContentMatrix
from mmrec.content.publish import ContentCounts, publish_content
from mmrec.content.store import ContentStore
from mmrec.errors import IncompatibleStateError, InvalidRequestError, SettingError
from mmrec.events.producer import MemoryRecordProducer
from mmrec.features.item_columns import NO_TOKEN, Vocabulary, content_columns
from mmrec.features.stores import MemoryFeatureStore
from mmrec.recall.item_filter import Condition, ItemFilter
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.serving.item_record import ItemUpdate, read_item_update
from mmrec.serving.keeper import CatalogueKeeper
from mmrec.v1 import recommender_pb2
from mmrec.wiring import open_attribute_inference

COLORS = ("Blue", "Green", "Red")


def heads(*, slope: float = 2.0) -> AttributeHeads:
    """Says the color whose number the text's vector is nearest to; the surer, the larger the vector."""
    zeros = np.zeros(3, np.float32)
    return AttributeHeads(
        content_dims={"text": 3},
        encoders={"text": "counting"},
        fingerprints={"text": "f1"},
        heads={"color": Head(classes=COLORS), "finish": Head(classes=("matte", "shiny"))},
        weights={
            "mean_F": zeros,
            "deviation_F": np.ones(3, np.float32),
            "heads.color.weight": np.concatenate([slope * np.eye(3), np.zeros((3, 1))], axis=1).astype(np.float32),
            "heads.color.bias": zeros,
            "heads.finish.weight": np.zeros((2, 4), np.float32),
            "heads.finish.bias": np.zeros(2, np.float32),
        },
    )


class CountingEncoder:
    """Words of a color's name in a text."""

    name, modality, embedding_dim, fingerprint = "counting", "text", 3, "f1"

    def encode(self, payloads: list[bytes]) -> Encodings:
        counts = [[text.lower().count(color.lower().encode()) for color in COLORS] for text in payloads]
        return Encodings(values_ND=np.array(counts, dtype=np.float32), reasons_N=("",) * len(payloads))


def content(**rows: list[float] | None) -> ContentMatrix:
    vectors = [row or [0.0] * 3 for row in rows.values()]
    return ContentMatrix(
        item_ids=tuple(rows),
        values={"text": np.array(vectors, dtype=np.float32)},
        present={"text": np.array([row is not None for row in rows.values()])},
        encoders={"text": "counting"},
        fingerprints={"text": "f1"},
    )


def entry(item_id: str = "a", **attributes: str) -> CatalogEntry:
    return CatalogEntry(item_id=item_id, title=item_id, attributes=attributes)


def completed(given: CatalogEntry, row: list[float] | None, *, least: float = 0.8) -> CatalogEntry:
    inference = AttributeInference(heads(), least=least)
    return inference.completed({given.item_id: given}, content(**{given.item_id: row}))[given.item_id]


# What is filled in


def test_a_missing_value_is_filled_with_its_confidence_where_the_model_is_sure() -> None:
    found = completed(entry(brand="Acme"), [0.0, 0.0, 2.0])
    confidence = np.exp(4) / (np.exp(4) + 2)
    assert found.attributes == {"brand": "Acme", "color": "Red"}
    assert found.inferred_attributes == {"color": pytest.approx(confidence, abs=1e-4)}
    assert found.given_attributes == {"brand": "Acme"}


@pytest.mark.parametrize("given", ["Purple", "blue", "Red|Green", "n/a"])
def test_a_given_value_is_never_written_over(given) -> None:
    assert completed(entry(color=given), [0.0, 0.0, 9.0], least=0.5).attributes["color"] == given
    assert "color" not in completed(entry(color=given), [0.0, 0.0, 9.0], least=0.5).inferred_attributes


@pytest.mark.parametrize("nothing", ["", " ", "|", "Unknown", "unknown"])
def test_values_that_say_nothing_are_missing(nothing) -> None:
    assert is_missing(nothing)
    assert completed(entry(color=nothing), [0.0, 9.0, 0.0]).attributes["color"] == "Green"


def test_below_the_least_confidence_a_value_stays_missing_and_is_counted() -> None:
    inference = AttributeInference(heads(), least=0.97)
    rows = content(a=[0.0, 0.0, 2.0], b=[0.0, 0.0, 4.0])
    found = inference.completed({"a": entry("a"), "b": entry("b")}, rows)
    assert found["a"] == entry("a"), "a is sure by .965 of red and half of either finish"
    assert set(found["b"].attributes) == {"color"}


def test_an_item_without_any_modality_that_the_model_reads_stays_as_it_is() -> None:
    assert completed(entry(), None, least=0.5) == entry()


def test_vectors_of_another_fingerprint_are_refused_before_anything_is_filled() -> None:
    strange = replace(content(a=[1.0, 0.0, 0.0]), fingerprints={"text": "f2"})
    with pytest.raises(IncompatibleStateError, match="fingerprint f1, these have f2"):
        AttributeInference(heads(), least=0.5).completed({"a": entry()}, strange)


def test_a_confidence_is_never_above_one_and_what_is_stored_is_rounded() -> None:
    found = completed(entry(), [0.0, 0.0, 500.0])
    assert found.inferred_attributes == {"color": 1.0}


# On the way


class Deployment:
    """Store, features and topic of one deployment."""

    def __init__(self, folder) -> None:
        self.store, self.features = ContentStore(folder), MemoryFeatureStore()
        self.broker = MemoryRecordProducer(clock=ManualClock(0.0))
        self.inference = AttributeInference(heads(), least=0.8)

    def publish(self, item: CatalogItem, *, inference: AttributeInference | None) -> ItemUpdate:
        publish_content(
            CatalogChanges(items={item.item_id: item}, removed=()),
            encoders={"text": CountingEncoder()},
            store=self.store,
            features=self.features,
            producer=self.broker,
            topic="embeddings",
            counts=ContentCounts(),
            cleaning="none",
            write_time_s=0.0,
            inference=inference,
        )
        record = self.broker.records("embeddings")[-1]
        return read_item_update(record.key, record.value)


def test_what_is_inferred_reaches_the_store_and_replicas_and_a_given_value_takes_its_place(tmp_path) -> None:
    shop = Deployment(tmp_path)
    item = CatalogItem(item_id="a", title="Red red shirt")
    first = shop.publish(item, inference=shop.inference).entry
    assert first is not None
    assert first.attributes == {"color": "Red"}
    assert shop.features.read_item_content(["a"])["a"] == first
    assert set(first.inferred_attributes) == {"color"}
    given = shop.publish(replace(item, attributes={"color": "Crimson"}), inference=shop.inference).entry
    assert (given.attributes, given.inferred_attributes) == ({"color": "Crimson"}, {})
    gone = shop.publish(replace(item, title="A shirt"), inference=shop.inference).entry
    assert gone.attributes == {}, "nothing inferred is read back"
    assert shop.publish(item, inference=None).entry.attributes == {}
    assert shop.inference.counts.figures() == {"inferred": {"color": 1}, "unsure": {"color": 1, "finish": 3}}


def test_an_entry_goes_through_json_and_back_with_what_was_inferred() -> None:
    inferred = replace(entry(color="Red", brand="Acme"), inferred_attributes={"color": 0.9})
    ((key, value),) = embedding_records(content(a=[1.0, 0.0, 0.0]), {"a": inferred})
    assert read_item_update(key, value).entry == inferred
    assert CatalogEntry(**json.loads(json.dumps(asdict(inferred)))) == inferred


@pytest.mark.parametrize(
    ("inferred", "said"),
    [
        ({"color": 0}, "above 0, 1 at most"),
        ({"color": 1.5}, "above 0, 1 at most"),
        ({"color": True}, "above 0, 1 at most"),
        ({"color": "0.9"}, "above 0, 1 at most"),
        ({"size": 0.9}, "names that attributes has, too"),
        ([0.9], 'such as {"color": 0.93}'),
    ],
)
def test_confidences_that_are_none_are_refused(inferred, said) -> None:
    record = {"item_id": "a", "attributes": {"color": "Red"}, "inferred_attributes": inferred}
    with pytest.raises(InvalidRequestError, match=said):
        read_item_update(b"a", json.dumps(record).encode())


def test_features_read_inferred_values_and_filters_do_not() -> None:
    sure = replace(entry("a", color="Red", brand="Acme"), inferred_attributes={"color": 0.9})
    columns = content_columns([sure, entry("b", color="red"), None], vocabulary=(vocabulary := Vocabulary()))
    red, acme = vocabulary.known("color", "red"), vocabulary.known("brand", "acme")
    assert set(columns.tokens_TX[:, 0].tolist()) == {red, acme, NO_TOKEN}
    assert set(columns.given_TX[:, 0].tolist()) == {acme, NO_TOKEN}
    assert red in columns.given_TX[:, 1]
    taken = columns.take(np.array([0, -1, 1]))
    assert set(taken.given_TX[:, 0].tolist()) == {acme, NO_TOKEN}
    assert not taken.given_TX[:, 1].any()
    plain = content_columns([entry("b", color="red")], vocabulary=vocabulary)
    assert plain.given_TX is plain.tokens_TX


def keeper(*, trusts: bool) -> CatalogueKeeper:
    kept = CatalogueKeeper(behaviors=shop_behaviors(), decay_per_day_H=np.array([0.1]), trusts_inferred=trusts)
    sure = replace(entry("a", color="Red"), inferred_attributes={"color": 0.9})
    kept.take([ItemUpdate(item_id="b", entry=entry("b", color="Red"))])
    kept.publish()
    kept.take([ItemUpdate(item_id="a", entry=sure)])
    kept.publish()
    return kept


@pytest.mark.parametrize(("trusts", "passing"), [(False, {"b"}), (True, {"a", "b"})])
def test_filters_and_lists_use_inferred_values_only_where_a_deployment_trusts_them(trusts, passing) -> None:
    catalogue = keeper(trusts=trusts).catalogue
    through = catalogue.passing(ItemFilter(conditions=(Condition(attribute="color", values=("red",)),)))
    assert {catalogue.item_ids[row] for row in np.flatnonzero(through)} == passing
    listed = recommender_pb2.RecommendedItem.FromString(catalogue.entries[catalogue.row_of["a"]].listed)
    assert dict(listed.attributes) == ({"color": "Red"} if trusts else {})


def test_a_value_that_is_given_later_passes_filters_again() -> None:
    kept = keeper(trusts=False)
    kept.take([ItemUpdate(item_id="a", entry=entry("a", color="Red", brand="Acme"))])
    kept.publish()
    assert kept.catalogue.passing(ItemFilter(conditions=(Condition(attribute="color", values=("red",)),))).all()


# What a deployment names


def test_a_deployment_opens_the_model_it_names_and_refuses_one_for_other_encoders(tmp_path) -> None:
    heads().save(tmp_path)
    settings = Settings(content=ContentSettings(attribute_model=str(tmp_path), attribute_confidence=0.9))
    found = open_attribute_inference(settings, {"text": CountingEncoder()})
    assert found is not None
    assert found.identity == AttributeInference(heads(), least=0.9).identity
    assert found.identity != AttributeInference(heads(), least=0.8).identity
    assert found.identity != AttributeInference(heads(slope=3.0), least=0.9).identity
    assert open_attribute_inference(Settings(), {}) is None
    other = CountingEncoder()
    other.fingerprint = "f2"
    with pytest.raises(IncompatibleStateError, match="fingerprint f1, these have f2"):
        open_attribute_inference(settings, {"text": other})
    with pytest.raises(IncompatibleStateError, match=r"no usable attribute model in .*elsewhere"):
        open_attribute_inference(
            Settings(content=ContentSettings(attribute_model=str(tmp_path / "elsewhere"))), {"text": other}
        )


def test_a_confidence_below_one_half_is_no_setting() -> None:
    with pytest.raises(SettingError, match=r"attribute_confidence is 0\.4; give a number from 0.5 to 1"):
        ContentSettings(attribute_confidence=0.4)
