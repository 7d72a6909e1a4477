"""Alignment: planted pairs whose recall is known, gradients and limits of the loss, NumPy as torch, whole folders."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmrec.catalog.item import CatalogEntry
from mmrec.content.alignment import (
    ALIGNED,
    DESCRIPTION,
    IMAGE,
    SIDES,
    TEXT,
    WEIGHTS,
    AlignmentModel,
    unit,
    with_aligned,
)
from mmrec.content.matrix import ContentMatrix
from mmrec.errors import ConfigurationError, IncompatibleStateError
from mmrec.evaluation.content_metrics import first_right_ranks
from mmrec.evaluation.metrics import hit_rate
from mmrec.models.alignment import Aligner, AlignmentSettings, exported, fitted_projections
from mmrec.models.bundle import ModelBundle, new_bundle
from mmrec.models.losses import info_nce, multi_positive_info_nce, paired_info_nce, paired_multi_positive
from mmrec.models.settings import RankerSettings, TowerSettings
from mmrec.training.alignment_data import AlignmentPairs, alignment_pairs
from mmrec.training.fit_alignment import AlignmentFit, AlignmentFitConfig, mean_size
from mmrec.training.same_content import vector_digests

NUM_ITEMS, HIDDEN = 400, 6
SMALL = AlignmentSettings(embedding_dim=16, projected_dim=16, hidden_dim=32, dropout=0.1, input_dropout=0.1)
CONFIG = AlignmentFitConfig(model=SMALL, max_epochs=15, batch_size=64, learning_rate=5e-3, weight_decay=1e-3)


def planted_content(*, noise: float = 0.1, seed: int = 0, num_items: int = NUM_ITEMS) -> ContentMatrix:
    """Pictures and texts of hidden things, each seen through its own random matrix."""
    drawn = np.random.default_rng(seed)
    things = drawn.standard_normal((num_items, HIDDEN))
    values = {}
    for modality, width in ((IMAGE, 24), (TEXT, 18)):
        seen = things @ drawn.standard_normal((HIDDEN, width))
        values[modality] = (seen + noise * drawn.standard_normal(seen.shape) + 3.0).astype(np.float32)
    return ContentMatrix(
        item_ids=tuple(f"i{number:04d}" for number in range(num_items)),
        values=values,
        present={modality: np.ones(num_items, dtype=bool) for modality in values},
        encoders={IMAGE: "eyes", TEXT: "reader"},
    )


def pairs_of(content: ContentMatrix, *, seed: int = 1) -> AlignmentPairs:
    return alignment_pairs(content, {}, label_attribute="kind", seed=seed)


def units(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_with_one_right_key_the_loss_is_info_nce() -> None:
    left, right, rows = units(7, 5), units(7, 5, seed=1), torch.arange(7)
    plain = info_nce(left, right, rows, temperature=0.2)
    several = multi_positive_info_nce(left, right, torch.eye(7, dtype=torch.bool), temperature=0.2)
    torch.testing.assert_close(several, plain)
    torch.testing.assert_close(
        paired_multi_positive(left, right, rows, temperature=0.2), paired_info_nce(left, right, temperature=0.2)
    )


def test_equal_vectors_lose_the_log_of_a_right_key_among_the_wrong_ones() -> None:
    same = torch.ones(6, 4) / 2
    groups = torch.tensor([0, 0, 0, 1, 1, 2])
    # Each right key stands against the wrong ones alone: log(1 + number of wrong keys).
    expected = (3 * math.log(1 + 3) + 2 * math.log(1 + 4) + math.log(1 + 5)) / 6
    assert float(paired_multi_positive(same, same, groups, temperature=0.1)) == pytest.approx(expected, rel=1e-5)


def test_items_of_one_title_do_not_push_each_other_away() -> None:
    left, right = units(2, 4).requires_grad_(), units(2, 4, seed=1)
    torch.autograd.backward(paired_multi_positive(left, right, torch.tensor([5, 5]), temperature=0.1))
    assert left.grad is not None and float(left.grad.abs().max()) == 0.0, "no wrong key, nothing to learn"
    left.grad = None
    torch.autograd.backward(paired_multi_positive(left, right, torch.tensor([5, 6]), temperature=0.1))
    assert left.grad is not None and float(left.grad.abs().max()) > 0.01


def test_the_loss_falls_to_zero_where_right_pairs_are_alike_and_all_else_opposite() -> None:
    left = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    losses = [float(paired_multi_positive(left, left, torch.arange(2), temperature=tau)) for tau in (1.0, 0.2, 0.05)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-6


def test_gradients_of_the_loss_are_those_of_its_equation() -> None:
    left = units(4, 3).double().requires_grad_()
    right, mask = units(5, 3, seed=2).double(), torch.zeros(4, 5, dtype=torch.bool)
    mask[torch.arange(4), torch.arange(4)] = True
    mask[0, 4] = True
    assert torch.autograd.gradcheck(lambda x: multi_positive_info_nce(x, right, mask, temperature=0.5), (left,))


def fitted(pairs: AlignmentPairs, config: AlignmentFitConfig = CONFIG) -> AlignmentFit:
    fit = AlignmentFit(pairs, config)
    while not fit.is_over:
        fit.run_epoch()
    return fit


def test_planted_pairs_find_each_other_and_unaligned_ones_do_not() -> None:
    pairs = pairs_of(planted_content())
    test = pairs.parts["test"]
    fit = fitted(pairs)
    model = exported([fit.best()], fit.projections, encoders=pairs.encoders)
    found = {modality: model.embed(modality, values) for modality, values in pairs.of(test).items()}
    chance = 10 / len(test)
    for asked, searched in ((TEXT, IMAGE), (IMAGE, TEXT)):
        ranks = first_right_ranks(found[asked], found[searched], query_keys=test, gallery_keys=test)
        assert hit_rate(ranks, 10) > 0.95
        shuffled = first_right_ranks(found[asked], found[searched][::-1], query_keys=test, gallery_keys=test)
        assert hit_rate(shuffled, 10) < 4 * chance
    assert fit.curves[-1]["loss"] < fit.curves[0]["loss"]


def test_pairs_that_have_nothing_in_common_stay_at_chance() -> None:
    content = planted_content()
    shuffled = ContentMatrix(
        item_ids=content.item_ids,
        values={**content.values, TEXT: np.random.default_rng(5).permutation(content.values[TEXT])},
        present=content.present,
        encoders=content.encoders,
    )
    pairs = pairs_of(shuffled)
    fit = fitted(pairs, AlignmentFitConfig(model=SMALL, max_epochs=5, batch_size=64))
    assert fit.measured(pairs.parts["test"])["recall_at_10"] < 0.2


def test_a_fit_that_was_restored_ends_where_an_unbroken_one_does() -> None:
    pairs = pairs_of(planted_content(num_items=120))
    config = AlignmentFitConfig(model=SMALL, max_epochs=4, batch_size=32)
    whole, broken, resumed = (AlignmentFit(pairs, config) for _ in range(3))
    for _ in range(4):
        whole.run_epoch()
    broken.run_epoch()
    broken.run_epoch()
    resumed.restore(broken.state())
    resumed.run_epoch()
    resumed.run_epoch()
    for name, tensor in whole.best().state_dict().items():
        torch.testing.assert_close(resumed.best().state_dict()[name], tensor)


def test_a_learned_temperature_moves_within_its_bounds_and_a_fixed_one_stays() -> None:
    pairs = pairs_of(planted_content(num_items=120))
    for learned in (True, False):
        fit = AlignmentFit(
            pairs, AlignmentFitConfig(model=SMALL, max_epochs=3, batch_size=32, learned_temperature=learned)
        )
        values = [fit.run_epoch()["temperature"] for _ in range(3)]
        assert (values[-1] != pytest.approx(0.07, abs=1e-6)) == learned
        assert all(0.01 <= value <= 1.0 for value in values)
    aligner = Aligner(SMALL, fit.projections)
    with torch.no_grad():
        aligner.temperature.log_tau.fill_(-20.0)
    assert float(aligner.temperature().detach()) == pytest.approx(0.01)


def untrained(content: ContentMatrix, fingerprints: dict[str, str] | None = None) -> AlignmentModel:
    projections = fitted_projections(content.values, projected_dim=16)
    return exported(
        [Aligner(SMALL, projections).eval()], projections, encoders=content.encoders, fingerprints=fingerprints
    )


def test_numpy_says_what_the_networks_say_and_several_heads_average_their_cosines(tmp_path) -> None:
    content = planted_content(num_items=50)
    projections = fitted_projections(content.values, projected_dim=16)
    aligners = [Aligner(SMALL, projections).eval() for _ in range(3)]
    model = exported(aligners, projections, encoders=content.encoders, fingerprints={TEXT: "f1"}, notes={"seed": 1})
    model.save(tmp_path / "model")
    loaded = AlignmentModel.load(tmp_path / "model")
    assert loaded.embedding_dim == 48 and loaded.content_dims == {IMAGE: 24, TEXT: 18}
    assert (loaded.encoders, loaded.fingerprints, loaded.notes) == (content.encoders, {TEXT: "f1"}, {"seed": 1})
    cosines = 0.0
    for aligner in aligners:
        with torch.inference_mode():
            vectors = aligner.embed({m: projections[m](torch.from_numpy(content.values[m])) for m in SIDES})
        cosines = cosines + (vectors[TEXT] @ vectors[IMAGE].T).numpy() / 3
    found = loaded.embed_texts(content.values[TEXT]) @ loaded.embed_images(content.values[IMAGE]).T
    np.testing.assert_allclose(found, cosines, atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(loaded.embed_texts(content.values[TEXT]), axis=1), 1.0, atol=1e-5)


def test_an_item_is_the_mean_of_what_it_has() -> None:
    content = planted_content(num_items=4)
    has = {IMAGE: np.array([True, True, False, False]), TEXT: np.array([True, False, True, False])}
    content = ContentMatrix(item_ids=content.item_ids, values=content.values, present=has, encoders=content.encoders)
    model = untrained(content)
    images, texts = model.embed_images(content.values[IMAGE]), model.embed_texts(content.values[TEXT])
    vectors, known = model.embed_items(content)
    assert known.tolist() == [True, True, True, False]
    np.testing.assert_allclose(vectors[0], unit((images + texts)[:1])[0], atol=1e-6)
    np.testing.assert_allclose(vectors[1:3], [images[1], texts[2]], atol=1e-6)
    assert not vectors[3].any()


def test_the_item_tower_reads_aligned_vectors_as_one_more_modality_and_so_does_what_was_saved(tmp_path) -> None:
    content = planted_content(num_items=30)
    alignment = untrained(content)
    aligned = with_aligned(content, alignment)
    np.testing.assert_array_equal(aligned.values[ALIGNED], alignment.embed_items(content)[0])
    bundle = new_bundle(
        tower_settings=TowerSettings(embedding_dim=8, projected_dim=6, hidden_dim=8),
        ranker_settings=RankerSettings(hidden_dims=(4,)),
        known_item_ids=(),
        feature_names=("a",),
        behavior_ids=(1,),
        behavior_weights=(1.0,),
        content_dims={modality: aligned.values[modality].shape[1] for modality in aligned.modalities},
        encoders=aligned.encoders,
        fingerprints=aligned.fingerprints,
        alignment=alignment,
    )
    for modality, projection in bundle.item_tower.projections.items():
        projection.fit(aligned.values[modality])
    vectors = bundle.item_embeddings(content)
    np.testing.assert_allclose(bundle.item_embeddings(aligned), vectors, atol=1e-6)
    assert bundle.modality_weights(content)[ALIGNED].min() > 0
    bundle.save(tmp_path)
    np.testing.assert_allclose(ModelBundle.load(tmp_path).item_embeddings(content), vectors, atol=1e-6)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(IncompatibleStateError, match="no usable alignment"):
        ModelBundle.load(tmp_path)


def test_pictures_of_another_encoder_are_missing_from_an_items_aligned_vector() -> None:
    content = planted_content(num_items=5)
    model = untrained(content)
    other = replace(content, encoders={**content.encoders, IMAGE: "new eyes"})
    vectors, known = model.embed_items(other)
    assert known.all()
    np.testing.assert_allclose(vectors, model.embed_texts(content.values[TEXT]), atol=1e-6)
    assert with_aligned(other, model).fingerprints[ALIGNED] == model.fingerprint
    assert untrained(planted_content(seed=4)).fingerprint != model.fingerprint


def test_vectors_of_other_encoders_or_widths_are_refused() -> None:
    content = planted_content(num_items=30)
    model = untrained(content, fingerprints={IMAGE: "a"})
    with pytest.raises(IncompatibleStateError, match=r"image vectors have shape .2, 18.*rows of 24 numbers, by 'eyes'"):
        model.embed_images(content.values[TEXT][:2])
    with pytest.raises(IncompatibleStateError, match="reads text vectors of 'reader', these are of 'other'"):
        model.refuse_others({TEXT: "other"})
    with pytest.raises(IncompatibleStateError, match="with the fingerprint a, these have b"):
        model.refuse_others({}, {IMAGE: "b"})
    model.refuse_others({IMAGE: "eyes", "audio": "ears"}, {IMAGE: "a", TEXT: "new"})


@pytest.mark.parametrize("harm", ["no_weights", "cut_weights", "no_description", "other_format", "no_json"])
def test_a_damaged_folder_is_named_with_what_makes_one(tmp_path, harm) -> None:
    content = planted_content(num_items=30)
    untrained(content).save(tmp_path)
    weights, description = tmp_path / WEIGHTS, tmp_path / DESCRIPTION
    match harm:
        case "no_weights":
            weights.unlink()
        case "cut_weights":
            weights.write_bytes(weights.read_bytes()[:400])
        case "no_description":
            description.unlink()
        case "other_format":
            description.write_text(json.dumps({**json.loads(description.read_text()), "format": 9}))
        case _:
            description.write_text("{")
    with pytest.raises(IncompatibleStateError, match="has format 9" if harm == "other_format" else "--task align"):
        AlignmentModel.load(tmp_path)


def test_projected_inputs_have_a_spread_of_about_one() -> None:
    content = planted_content()
    projections = fitted_projections(content.values, projected_dim=4)
    for modality, values in content.values.items():
        projected = projections[modality](torch.from_numpy(values)).numpy()
        assert projected.shape == (NUM_ITEMS, 4)
        np.testing.assert_allclose(projected.mean(0), 0.0, atol=1e-3)
        assert np.sqrt((projected**2).mean()) == pytest.approx(1.0, rel=0.2)


def test_items_of_one_title_or_picture_stand_together_and_are_a_group() -> None:
    content = planted_content(num_items=60)
    image = content.values[IMAGE].copy()
    image[1] = image[0]
    content = ContentMatrix(
        item_ids=content.item_ids,
        values={**content.values, IMAGE: image},
        present=content.present,
        encoders=content.encoders,
    )
    titles = {2: "Red Shirt", 3: "RED  shirt", 4: ""}
    entries = {f"i{n:04d}": CatalogEntry(item_id=f"i{n:04d}", title=t) for n, t in titles.items()}
    entries["i0001"] = CatalogEntry(item_id="i0001", title="red shirt", attributes={"kind": "Shirts"})
    pairs = alignment_pairs(content, entries, label_attribute="kind", seed=3)
    assert pairs.groups_N[:5].tolist() == [0, 0, 0, 0, 4]
    assert pairs.labels[:3] == ("", "shirts", "")
    part_of = {int(row): part for part, rows in pairs.parts.items() for row in rows}
    assert len({part_of[row] for row in range(4)}) == 1
    assert sorted(part_of) == list(range(60))


def test_equal_rows_share_a_digest_whatever_their_last_digits() -> None:
    values = np.array([[1.0, -0.0], [1.00001, 0.0], [1.001, 0.0]], dtype=np.float32)
    names = vector_digests(values)
    assert names[0] == names[1] != names[2]


def test_a_store_without_pictures_or_with_too_few_pairs_is_named() -> None:
    content = planted_content(num_items=10)
    with pytest.raises(ConfigurationError, match="10 items have a picture and a text; give 20 at least"):
        pairs_of(content)
    texts = ContentMatrix(
        item_ids=content.item_ids,
        values={TEXT: content.values[TEXT]},
        present={TEXT: content.present[TEXT]},
        encoders={TEXT: "reader"},
    )
    with pytest.raises(ConfigurationError, match=r"no image vectors; run `python -m jobs.encode_items`"):
        pairs_of(texts)


def test_l1_holds_weights_down() -> None:
    pairs = pairs_of(planted_content(num_items=60))
    sizes = {}
    for l1 in (0.0, 1e4):
        config = AlignmentFitConfig(model=SMALL, max_epochs=9, batch_size=32, learning_rate=1e-2, l1=l1, weight_decay=0)
        fit = AlignmentFit(pairs, config)
        for _ in range(9):
            fit.run_epoch()
        sizes[l1] = float(mean_size(fit.model).detach())
    assert sizes[1e4] < 0.9 * sizes[0.0]


def test_items_that_are_all_alike_cannot_be_parted():
    content = planted_content(num_items=40)
    entries = {item_id: CatalogEntry(item_id=item_id, title="The same") for item_id in content.item_ids}
    with pytest.raises(ConfigurationError, match="40 items with picture and text are 1 different ones"):
        alignment_pairs(content, entries, label_attribute="kind", seed=1)
