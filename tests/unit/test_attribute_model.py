"""The attribute model: planted worlds, equations against closed forms, NumPy against the network, runs that go on."""

import json
import math
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional

from mmrec.catalog.item import CatalogEntry
from mmrec.content.attribute_heads import AttributeHeads, Head, all_patterns, softmax
from mmrec.content.matrix import ContentMatrix
from mmrec.errors import ConfigurationError, IncompatibleStateError, SettingError
from mmrec.models.attribute_model import (
    NO_LABEL,
    AttributeLoss,
    AttributeModelSettings,
    AttributeNetwork,
    class_weights,
    masked_cross_entropy,
)
from mmrec.training.attribute_data import AttributeDataConfig, AttributeExamples, attribute_examples
from mmrec.training.attribute_figures import judged, linear_probe, neighbor_accuracy, plain_figures, rows_of
from mmrec.training.fit_attributes import AttributeFit, AttributeFitConfig, fit_attributes, fitted_temperature
from tests.attribute_world import COLORS, planted

SMALL = AttributeFitConfig(
    model=AttributeModelSettings(hidden_dim=32, dropout=0.1, input_dropout=0.0),
    max_epochs=12,
    batch_size=64,
    learning_rate=1e-2,
)


@cache
def examples(**world: object) -> AttributeExamples:
    return attribute_examples(*planted(**world), AttributeDataConfig())  # type: ignore[arg-type]


@cache
def fitted() -> AttributeHeads:
    return fit_attributes(examples(), SMALL)


# What is learned


def test_attributes_that_are_linear_in_the_features_are_learned_nearly_without_error() -> None:
    found = judged(fitted(), examples())
    assert found["color"].accuracy > 0.95
    assert found["kind"].accuracy > 0.97
    assert found["color"].majority < 0.45
    assert found["color"].confusion.labels == ("green", "navy blue", "red", "white")
    assert neighbor_accuracy(fitted().embed(examples().content), examples(), "kind") > 0.95


def test_each_head_stands_beside_its_linear_probe_and_the_majority() -> None:
    probe = fit_attributes(examples(), linear_probe(SMALL))
    assert probe.num_layers == 0
    figures = plain_figures(judged(fitted(), examples()), judged(probe, examples()))
    assert figures["linear_probe.color"] > 0.9
    assert set(figures) == {
        f"{figure}.{name}"
        for name in ("color", "kind")
        for figure in ("items", "accuracy", "macro_f1", "majority", "ece", "ece_uncalibrated", "linear_probe")
    }


@pytest.mark.parametrize("kind", ["inverse-sqrt", "effective-number"])
def test_class_weights_find_rare_values_that_plain_counting_overlooks(kind) -> None:
    rare = examples(num_items=700, noise=0.6, shares=(0.85, 0.05, 0.05, 0.05), seed=3)
    plain = replace(SMALL, max_epochs=5)
    weighted = replace(plain, model=replace(plain.model, class_weights=kind, max_class_weight=10.0))
    without, with_weights = (judged(fit_attributes(rare, config), rare)["color"] for config in (plain, weighted))
    assert with_weights.macro_f1 > without.macro_f1 + 0.03


def test_learned_task_weights_give_little_to_an_attribute_that_is_noise() -> None:
    content, entries = planted()
    drawn = np.random.default_rng(5)
    noisy = {
        item_id: replace(entry, attributes={**entry.attributes, "luck": str(drawn.integers(4))})
        for item_id, entry in entries.items()
    }
    found = attribute_examples(content, noisy, AttributeDataConfig())
    fit = AttributeFit(found, replace(SMALL, model=replace(SMALL.model, task_weights="learned"), learning_rate=1e-2))
    for _ in range(6):
        fit.run_epoch()
    shares = dict(zip(found.attributes, (-fit.state()["loss"]["log_variances"]).exp().tolist(), strict=True))
    assert shares["luck"] < min(shares["color"], shares["kind"]) - 0.02


# Equations


def test_class_weights_are_one_on_average_and_never_above_their_bound() -> None:
    counts = np.array([900, 90, 9, 0])
    for kind in ("none", "inverse-sqrt", "effective-number"):
        weights = class_weights(counts, kind, most=1e9)
        assert (weights * np.array([900, 90, 9, 1])).sum() / 1000 == pytest.approx(1.0, rel=1e-5)
        assert class_weights(counts, kind, most=2.0).max() <= 2.0
    inverse = class_weights(counts, "inverse-sqrt", most=1e9)
    assert inverse[1] / inverse[0] == pytest.approx(math.sqrt(10.0), rel=1e-5)
    effective = class_weights(counts, "effective-number", most=1e9)
    assert effective[2] / effective[1] == pytest.approx((1 - 0.999**90) / (1 - 0.999**9), rel=1e-4)


def test_the_loss_is_the_cross_entropy_of_labelled_items() -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, NO_LABEL, 2, 1, NO_LABEL])
    kept = torch.tensor([0, 2, 3])
    plain = masked_cross_entropy(logits, labels, torch.ones(3), 0.1)
    assert plain == pytest.approx(
        float(functional.cross_entropy(logits[kept], labels[kept], label_smoothing=0.1)), rel=1e-6
    )
    heavy = masked_cross_entropy(logits, labels, torch.tensor([1.0, 2.0, 1.0]), 0.0)
    own = functional.cross_entropy(logits[kept], labels[kept], reduction="none")
    assert heavy == pytest.approx(float((own[0] + own[1] + 2 * own[2]) / 4), rel=1e-6)


def test_missing_labels_never_influence_a_gradient() -> None:
    torch.manual_seed(0)
    network = AttributeNetwork(replace(SMALL.model, dropout=0.0), [4], {"a": 3, "b": 2})
    loss = AttributeLoss(SMALL.model, {"a": np.ones(3, np.float32), "b": np.ones(2, np.float32)})
    labels = torch.tensor([[0, NO_LABEL], [NO_LABEL, NO_LABEL], [2, NO_LABEL]])

    def gradients(inputs: torch.Tensor) -> list[torch.Tensor]:
        network.zero_grad(set_to_none=True)
        total, parts = loss(network(network.standard(inputs, torch.ones(3, 1, dtype=torch.bool))), labels)
        assert parts[1] == 0.0
        total.backward()
        return [parameter.grad.clone() for parameter in network.parameters()]

    inputs = torch.randn(3, 4)
    other = inputs.clone()
    other[1] = 1e3  # of the item that has no label at all
    for one, two in zip(gradients(inputs), gradients(other), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not network.heads[1].weight.grad.any(), "an attribute that no item has moves nothing"


def test_a_temperature_makes_confidence_right_and_changes_no_order() -> None:
    drawn = np.random.default_rng(2)
    true = drawn.normal(size=(4000, 5)).astype(np.float32)
    labels = (true + drawn.gumbel(size=true.shape)).argmax(axis=1)  # drawn from softmax(true)
    for sure in (0.25, 1.0, 4.0):
        temperature = fitted_temperature(true * sure, labels)
        assert temperature == pytest.approx(sure, rel=0.12)
        order = np.argsort(softmax(true * sure / temperature), axis=1, kind="stable")
        np.testing.assert_array_equal(order, np.argsort(true, axis=1, kind="stable"))
    assert fitted_temperature(true, np.full(4000, NO_LABEL)) == 1.0


def test_calibration_lowers_the_error_of_a_model_that_is_too_sure() -> None:
    world = examples(num_items=600, noise=0.9, seed=4)
    eager = replace(
        SMALL,
        model=replace(SMALL.model, label_smoothing=0.0, dropout=0.0, hidden_dim=128),
        learning_rate=5e-3, max_epochs=10, patience=10, weight_decay=0.0,
    )  # fmt: skip
    figures = judged(fit_attributes(world, eager), world)["color"]
    assert figures.reliability.error < figures.uncalibrated.error - 0.02
    assert figures.reliability.error < 0.15


# Early stopping and resuming


def test_early_stopping_ends_the_run_and_keeps_the_best_epoch() -> None:
    noise = examples(noise=3.0, seed=6)
    config = replace(SMALL, max_epochs=200, patience=4, learning_rate=5e-3, average_decay=0.0)
    fit = AttributeFit(noise, config)
    while not fit.is_over:
        fit.run_epoch()
    scores = [figures["score"] for figures in fit.curves]
    assert fit.epoch == fit.best_epoch + 4 < 200
    assert scores[fit.best_epoch - 1] == max(scores)
    found = judged(fit.finished(), noise, "validation")
    assert np.mean([each.accuracy for each in found.values()]) == pytest.approx(max(scores), abs=1e-6)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path) -> None:
    whole = AttributeFit(examples(), SMALL)
    for _ in range(4):
        whole.run_epoch()
    first = AttributeFit(examples(), SMALL)
    for _ in range(2):
        first.run_epoch()
    torch.save(first.state(), tmp_path / "state.pt")
    second = AttributeFit(examples(), SMALL)
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(2):
        second.run_epoch()
    timeless = [[{k: v for k, v in c.items() if k != "seconds"} for c in fit.curves] for fit in (whole, second)]
    assert timeless[0] == timeless[1]
    one, two = whole.finished(), second.finished()
    assert one.fingerprint == two.fingerprint


def test_nothing_comes_of_a_fit_without_an_epoch() -> None:
    with pytest.raises(ValueError, match="run_epoch"):
        AttributeFit(examples(), SMALL).finished()


# The folder and NumPy


def test_numpy_says_what_the_network_says_whatever_is_missing() -> None:
    torch.manual_seed(1)
    content, _ = planted(60, seed=8)
    present = {"image": np.arange(60) % 3 != 0, "text": np.arange(60) % 4 != 0}
    content = replace(content, present=present)
    network = AttributeNetwork(AttributeModelSettings(hidden_dim=24), [12, 12], {"a.b": 5, "c": 2}).eval()
    both = np.concatenate([content.values[m] for m in ("image", "text")], axis=1)
    network.fit_scale(both + 3.0, np.ones_like(both, dtype=bool))
    heads = AttributeHeads(
        content_dims={"image": 12, "text": 12},
        encoders=content.encoders,
        fingerprints={},
        heads={"a.b": Head(classes=tuple("vwxyz"), temperatures={"image+text": 2.0}), "c": Head(classes=("p", "q"))},
        weights=network.arrays(),
    )
    flags = torch.from_numpy(np.stack([present["image"], present["text"]], axis=1))
    values = torch.from_numpy(both)
    # What stands where nothing is present must not matter.
    values[~flags[:, 0], :12] = 7.0
    with torch.inference_mode():
        inputs = network.standard(values, flags)
        logits, hidden = network(inputs), network.embed(inputs)
    np.testing.assert_allclose(heads.embed(content), hidden.numpy(), atol=1e-4)
    found = heads.probabilities(content)
    divided = torch.where((flags.sum(1) == 2)[:, None], logits[0] / 2.0, logits[0])
    np.testing.assert_allclose(found["a.b"], divided.softmax(1).numpy(), atol=1e-5)
    np.testing.assert_allclose(found["c"], logits[1].softmax(1).numpy(), atol=1e-5)


def test_a_saved_model_is_the_model(tmp_path) -> None:
    fitted().save(tmp_path)
    again = AttributeHeads.load(tmp_path)
    assert again.fingerprint == fitted().fingerprint
    for name, chances in fitted().probabilities(examples().content).items():
        np.testing.assert_array_equal(again.probabilities(examples().content)[name], chances)
    described = json.loads((tmp_path / "attributes.json").read_text())
    assert described["encoders"] == {"image": "eyes", "text": "words"}
    assert described["fingerprints"] == {"image": "f1", "text": "f2"}
    assert described["notes"]["split"] == {"train": 224, "validation": 56, "test": 120}
    assert set(described["heads"]["color"]["temperatures"]) == {"image+text", "image", "text"}


@pytest.mark.parametrize("damage", ["no_folder", "cut_json", "cut_weights", "other_format", "other_classes"])
def test_a_damaged_folder_is_refused_by_name(tmp_path, damage) -> None:
    fitted().save(tmp_path / "model")
    described, weights = tmp_path / "model" / "attributes.json", tmp_path / "model" / "weights.safetensors"
    document = json.loads(described.read_text())
    match damage:
        case "no_folder":
            described.unlink()
        case "cut_json":
            described.write_text(described.read_text()[:100])
        case "cut_weights":
            weights.write_bytes(weights.read_bytes()[:200])
        case "other_format":
            described.write_text(json.dumps({**document, "format": 99}))
        case "other_classes":
            document["heads"]["color"]["classes"].append("Beige")
            described.write_text(json.dumps(document))
    with pytest.raises(
        IncompatibleStateError,
        match=r"no usable attribute model in .*; `python -m jobs.train --task attributes` makes one",
    ):
        AttributeHeads.load(tmp_path / "model")


def test_vectors_of_another_encoder_or_another_fingerprint_are_refused() -> None:
    heads = fitted()
    heads.refuse_others({"image": "eyes", "text": "words"}, {"image": "f1", "text": "f2"})
    with pytest.raises(IncompatibleStateError, match=r"image vectors of 'eyes', these are of 'glasses'"):
        heads.refuse_others({"image": "glasses", "text": "words"}, {})
    with pytest.raises(IncompatibleStateError, match=r"fingerprint f1, these have f2.*train the attribute model again"):
        heads.refuse_others({"image": "eyes", "text": "words"}, {"image": "f2", "text": "f2"})
    replace(heads, fingerprints={}).refuse_others({"image": "eyes", "text": "words"}, {"image": "f2"})
    own = examples().content
    other = replace(own, encoders={"image": "eyes", "text": "speech"})
    with pytest.raises(IncompatibleStateError, match="speech"):
        heads.probabilities(other)
    wide = replace(own, values={**examples().content.values, "text": np.zeros((400, 5), np.float32)})
    with pytest.raises(IncompatibleStateError, match="5 wide, the attribute model was trained with 12"):
        heads.probabilities(wide)


def test_patterns_are_every_set_of_modalities() -> None:
    assert all_patterns(("a", "b")) == [("a", "b"), ("a",), ("b",)]
    assert len(all_patterns(("a", "b", "c"))) == 7


# The examples


def entry(item_id: str, **fields: object) -> CatalogEntry:
    return CatalogEntry(**{"item_id": item_id, "title": f"Title of {item_id}", **fields})  # type: ignore[arg-type]


def changed(**of_row: dict[str, str]) -> AttributeExamples:
    content, entries = planted(200)
    for item_id, attributes in of_row.items():
        entries[item_id] = replace(entries[item_id], attributes=attributes)
    return attribute_examples(content, entries, AttributeDataConfig())


def test_values_that_are_blank_unknown_several_or_rare_teach_nothing_and_are_never_right() -> None:
    odd = {"i0001": {"color": " "}, "i0002": {"color": "Unknown"}, "i0003": {"color": "red|White"}}
    found = changed(**odd, i0004={"color": "Ultraviolet"}, i0005={"color": "RED "})
    row_of = found.content.row_of
    assert found.classes["color"] == tuple(sorted(COLORS))
    color = found.attributes.index("color")
    labels = {item_id: found.labels_IA[row_of[item_id], color] for item_id in (*odd, "i0004", "i0005")}
    assert [labels[f"i000{n}"] for n in (1, 2, 3, 4)] == [NO_LABEL] * 4
    assert found.classes["color"][labels["i0005"]] == "Red"
    said = {item_id: found.values["color"][row_of[item_id]] for item_id in labels}
    assert said == {"i0001": "", "i0002": "", "i0003": "red|white", "i0004": "ultraviolet", "i0005": "red"}


def test_inferred_values_are_no_labels() -> None:
    content, entries = planted(200)
    entries["i0001"] = replace(entries["i0001"], inferred_attributes={"color": 0.9})
    found = attribute_examples(content, entries, AttributeDataConfig())
    assert found.values["color"][found.content.row_of["i0001"]] == ""


def test_items_of_one_title_or_one_picture_stand_in_one_part() -> None:
    content, entries = planted(300)
    image = content.values["image"].copy()
    image[1], image[3] = image[0], image[2]
    entries |= {f"i{n:04d}": replace(entries[f"i{n:04d}"], title="  the SAME title") for n in (3, 4, 5)}
    found = attribute_examples(
        replace(content, values={**content.values, "image": image}), entries, AttributeDataConfig()
    )
    part_of = {row: name for name, rows in found.parts.items() for row in rows.tolist()}
    assert part_of[0] == part_of[1]
    assert len({part_of[row] for row in (2, 3, 4, 5)}) == 1


def test_attributes_that_are_no_categories_are_left_out_with_the_reason() -> None:
    content, entries = planted(200)
    for number, item_id in enumerate(list(entries)):
        more = {"serial": str(number), "origin": "here", "seldom": "ab"[number % 2] if number < 60 else ""}
        entries[item_id] = replace(entries[item_id], attributes={**entries[item_id].attributes, **more})
    found = attribute_examples(content, entries, AttributeDataConfig())
    assert set(found.classes) == {"color", "kind"}
    assert found.left_out["serial"].startswith("0 of its values have 5 training items")
    assert found.left_out["origin"].startswith("1 of its values")
    assert "training items have it, 50 must" in found.left_out["seldom"]
    asked = attribute_examples(content, entries, AttributeDataConfig(attributes=("seldom",)))
    assert asked.attributes == ("seldom",), "what is asked for by name is learned from few items, too"


def test_what_cannot_be_learned_is_said() -> None:
    content, entries = planted(60)
    with pytest.raises(ConfigurationError, match="no attribute can be learned: color"):
        attribute_examples(content, entries, AttributeDataConfig(attributes=("color",), min_class_items=1000))
    with pytest.raises(ConfigurationError, match="no item has an entry"):
        attribute_examples(content, {}, AttributeDataConfig())
    with pytest.raises(ConfigurationError, match="cannot read 'smell'; the content store has: image, text"):
        attribute_examples(content, entries, AttributeDataConfig(modalities=("smell",)))
    with pytest.raises(SettingError, match="min_class_items is 0"):
        AttributeDataConfig(min_class_items=0)


def test_the_classes_of_an_attribute_never_depend_on_items_held_out() -> None:
    content, entries = planted(200)
    found = attribute_examples(content, entries, AttributeDataConfig())
    held = [found.content.item_ids[row] for row in found.parts["test"].tolist()]
    for item_id in held:
        entries[item_id] = replace(entries[item_id], attributes={"color": "Ochre", "kind": "hat"})
    again = attribute_examples(content, entries, AttributeDataConfig())
    assert again.classes == found.classes
    train = rows_of(found.content, found.parts["train"])
    assert isinstance(train, ContentMatrix)
    assert Counter(again.values["kind"][row] for row in again.parts["test"].tolist()) == {"hat": len(held)}


def test_the_same_picture_stands_in_one_part_whatever_its_vectors_last_digits() -> None:
    content, entries = planted()
    noisy = {m: np.round(values, 3) for m, values in content.values.items()}
    half = len(content) // 2
    for values in noisy.values():  # every item a second time, encoded in another batch
        values[half : 2 * half] = values[:half] + np.float32(2e-6)
    present = {m: np.concatenate([has[:half], has[:half], has[2 * half :]]) for m, has in content.present.items()}
    found = attribute_examples(replace(content, values=noisy, present=present), entries, AttributeDataConfig())
    part_of = {found.content.item_ids[row]: part for part, rows in found.parts.items() for row in rows.tolist()}
    for first, second in zip(content.item_ids[:half], content.item_ids[half : 2 * half], strict=True):
        assert part_of.get(first) == part_of.get(second)
