"""Fusion, losses, towers, ranker and bundle: equations against closed forms, and NumPy against the networks."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mmrec.config import ServingSettings
from mmrec.content.matrix import ContentMatrix, content_matrix
from mmrec.errors import ConfigurationError, IncompatibleStateError, NotFoundError
from mmrec.models.bundle import ModelBundle, new_bundle
from mmrec.models.forms import FORMS, pruned
from mmrec.models.fusion import FUSIONS, PrintedSelfAttentionFusion, apply_fusion, fusion
from mmrec.models.losses import (
    Temperature,
    info_nce,
    listwise_softmax,
    log_utility,
    paired_info_nce,
    sampled_softmax,
)
from mmrec.models.settings import Fusion, RankerSettings, TowerSettings
from mmrec.models.towers import ItemTower, Projection, unit
from mmrec.training.tower_data import fit_projections, projected_content

TOWERS = TowerSettings(embedding_dim=16, projected_dim=8, hidden_dim=16, max_history=6)


def content(num_items: int = 12, *, seed: int = 0) -> ContentMatrix:
    drawn = np.random.default_rng(seed)
    return ContentMatrix(
        item_ids=tuple(f"i{n}" for n in range(num_items)),
        values={m: drawn.standard_normal((num_items, 10)).astype(np.float32) for m in ("image", "text")},
        present={"image": np.arange(num_items) % 3 != 0, "text": np.ones(num_items, dtype=bool)},
        encoders={"image": "a", "text": "b"},
    )


def bundle(
    *,
    user_tower: str = "pooling",
    known: tuple[str, ...] = ("i0", "i1", "i2"),
    fingerprints: Mapping[str, str] | None = None,
) -> ModelBundle:
    torch.manual_seed(3)
    made = new_bundle(
        tower_settings=TowerSettings(**{**TOWERS.__dict__, "user_tower": user_tower}),
        ranker_settings=RankerSettings(hidden_dims=(12, 8)),
        known_item_ids=known,
        feature_names=tuple(f"f{n}" for n in range(9)),
        behavior_ids=(1, 4),
        behavior_weights=(1.0, 10.0),
        content_dims={"image": 10, "text": 10},
        encoders={"image": "a", "text": "b"},
        fingerprints=fingerprints,
        metrics={"hr_at_10": 0.25},
    )
    with torch.no_grad():
        for network in (made.item_tower, made.user_tower, made.ranker):
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        made.item_tower.ids.weight[len(known)].zero_()
        for name in ("image", "text"):
            made.item_tower.projections[name].fit(content().values[name])
        made.ranker.fit_scale(np.random.default_rng(1).normal(2.0, 3.0, (50, 9)).astype(np.float32))
    return made


# Losses


@pytest.mark.parametrize("size", [2, 7, 64])
def test_equal_embeddings_lose_log_batch_size(size: int) -> None:
    same = functional.normalize(torch.ones(size, 5), dim=-1)
    rows = torch.arange(size)
    assert float(info_nce(same, same, rows, temperature=0.1)) == pytest.approx(math.log(size), abs=1e-5)
    assert float(paired_info_nce(same, same, temperature=0.1)) == pytest.approx(math.log(size), abs=1e-5)


def test_two_orthogonal_pairs_lose_the_closed_form() -> None:
    pairs = torch.eye(2)
    loss = info_nce(pairs, pairs, torch.arange(2), temperature=0.5)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-1 / 0.5)), abs=1e-6)


def test_logq_correction_makes_a_sample_estimate_the_full_softmax() -> None:
    # A key drawn twice as often, entered twice, counts as once when log q says so.
    query, keys = torch.tensor([[1.0, 0.0]]), functional.normalize(torch.tensor([[1.0, 1.0], [1.0, -2.0]]), dim=-1)
    full = info_nce(query, keys, torch.tensor([0]), temperature=0.3)
    twice = keys[[0, 1, 1]]
    log_q = torch.tensor([1.0, 2.0, 2.0]).log()
    assert float(info_nce(query, twice, torch.tensor([0]), temperature=0.3, log_q_K=log_q)) == pytest.approx(
        float(full), abs=1e-6
    )


def test_a_softmax_over_drawn_items_is_in_the_mean_the_one_over_all() -> None:
    torch.manual_seed(0)
    items = functional.normalize(torch.randn(40, 6), dim=-1)
    users, positive = functional.normalize(torch.randn(3, 6), dim=-1), torch.tensor([4, 9, 2])
    chances = torch.rand(40).softmax(0) * 0.5 + 0.5 / 40
    drawn = torch.multinomial(chances, 200_000, replacement=True)
    found = sampled_softmax(
        users,
        items[positive],
        items[drawn],
        temperature=0.5,
        log_expected_K=(len(drawn) * chances[drawn]).log(),
        ignored_NK=drawn[None, :] == positive[:, None],
    )
    assert float(found) == pytest.approx(float(info_nce(users, items, positive, temperature=0.5)), abs=0.02)


def test_ignored_keys_do_not_move_the_loss() -> None:
    torch.manual_seed(0)
    queries, keys = functional.normalize(torch.randn(3, 4), dim=-1), functional.normalize(torch.randn(6, 4), dim=-1)
    ignored = torch.zeros(3, 6, dtype=torch.bool)
    ignored[:, 5] = True
    rows = torch.arange(3)
    kept = info_nce(queries, keys[:5], rows, temperature=0.2)
    assert float(info_nce(queries, keys, rows, temperature=0.2, ignored_NK=ignored)) == pytest.approx(float(kept))


def test_temperature_stays_within_bounds_and_can_come_back() -> None:
    temperature = Temperature(0.1, low=0.05, high=0.5)
    with torch.no_grad():
        temperature.log_tau.fill_(math.log(0.001))
    tau = temperature()
    assert float(tau.detach()) == pytest.approx(0.05)
    tau.backward()
    assert float(temperature.log_tau.grad) > 0
    with pytest.raises(ValueError, match="within"):
        Temperature(2.0, high=1.0)


def test_log_utility_is_the_log_of_the_weighted_sum_of_probabilities() -> None:
    logits, weights = torch.tensor([[0.3, -2.0], [-40.0, -50.0]]), torch.tensor([1.0, 10.0])
    expected = (torch.sigmoid(logits[0]) * weights).sum().log()
    found = log_utility(logits, weights)
    assert float(found[0]) == pytest.approx(float(expected), abs=1e-6)
    assert torch.isfinite(found).all()


def test_listwise_loss_of_even_scores_is_log_of_the_list_length() -> None:
    scores, gains = torch.zeros(1, 5), torch.tensor([[0.0, 3.0, 0.0, 0.0, 9.0]])
    valid = torch.tensor([[True, True, True, True, False]])
    assert float(listwise_softmax(scores, gains * valid, valid)) == pytest.approx(math.log(4), abs=1e-6)


# Fusion


@pytest.mark.parametrize("name", sorted(FUSIONS))
def test_fusion_ignores_what_a_missing_modality_holds(name: str) -> None:
    torch.manual_seed(0)
    module = fusion(name, num_modalities=3, width=16).eval()
    tokens, present = torch.randn(5, 3, 16), torch.ones(5, 3, dtype=torch.bool)
    present[:, 1] = False
    other = tokens.clone()
    other[:, 1] = 1e3
    first, second = apply_fusion(module, tokens, present), apply_fusion(module, other, present)
    torch.testing.assert_close(first.vector_ND, second.vector_ND)
    torch.testing.assert_close(first.weights_NM, second.weights_NM)


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(FUSIONS)),
    present=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=5),
    absent=st.sampled_from([math.nan, math.inf, -math.inf, 1e30]),
)
def test_no_number_in_an_absent_modality_touches_result_or_gradient(
    name: str, present: list[list[bool]], absent: float
) -> None:
    torch.manual_seed(0)
    module, present_NM = fusion(name, num_modalities=3, width=16).eval(), torch.tensor(present)
    drawn = torch.randn(len(present), 3, 16)
    seen = []
    for hidden in (0.0, absent):
        tokens = torch.where(present_NM.unsqueeze(-1), drawn, torch.full_like(drawn, hidden)).requires_grad_()
        module.zero_grad()
        fused = apply_fusion(module, tokens, present_NM)
        (fused.vector_ND.square().sum() + fused.weights_NM.square().sum()).backward()
        assert tokens.grad is not None
        assert (tokens.grad[~present_NM] == 0).all()
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        seen.append([fused.vector_ND, fused.weights_NM, tokens.grad, *gradients])
    for clean, planted in zip(*seen, strict=True):
        assert torch.isfinite(planted).all()
        torch.testing.assert_close(clean, planted, rtol=0, atol=0)


@pytest.mark.parametrize("name", sorted(FUSIONS))
def test_item_tower_learns_nothing_from_absent_content(name: Fusion) -> None:
    whole = content()
    nan = {m: np.where(whole.present[m][:, None], whole.values[m], np.nan).astype(np.float32) for m in whole.values}
    seen = []
    for values in ({m: np.nan_to_num(v) for m, v in nan.items()}, nan):
        torch.manual_seed(0)
        tower = ItemTower(replace(TOWERS, fusion=name), content_dims={"image": 10, "text": 10}, num_ids=12)
        given_content = replace(whole, values=values)
        fit_projections(tower, given_content)
        raw = tower.project({m: torch.from_numpy(v) for m, v in values.items()})
        vectors = tower(raw, projected_content(tower, given_content)[1], torch.arange(12))
        vectors[:, 0].sum().backward()
        seen.append([vectors, *(p.grad for p in tower.parameters() if p.grad is not None)])
        assert torch.isfinite(projected_content(tower, given_content)[0]).all()
    for clean, planted in zip(*seen, strict=True):
        torch.testing.assert_close(clean, planted, rtol=0, atol=0)


@pytest.mark.parametrize("name", sorted(FUSIONS))
def test_fusion_shares_sum_to_one_over_present_modalities(name: str) -> None:
    torch.manual_seed(0)
    module = fusion(name, num_modalities=3, width=16).eval()
    present = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [False, False, False]])
    fused = apply_fusion(module, torch.randn(4, 3, 16), present)
    torch.testing.assert_close(fused.weights_NM.sum(1), torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert (fused.weights_NM[~present] == 0).all()
    assert torch.isfinite(fused.vector_ND).all()
    if name != "self-attention-as-printed":
        assert (fused.vector_ND[3] == 0).all()


def test_self_attention_over_one_token_is_a_linear_map() -> None:
    torch.manual_seed(0)
    module = PrintedSelfAttentionFusion(2, 32).double().eval()
    present = torch.ones(1, 2, dtype=torch.bool)

    def value(x: torch.Tensor) -> torch.Tensor:
        return apply_fusion(module, x, present).vector_ND

    x, y = torch.randn(1, 2, 32).double(), torch.randn(1, 2, 32).double()
    zero = value(torch.zeros_like(x))
    torch.testing.assert_close(value(2.0 * x - 3.0 * y) - zero, 2.0 * (value(x) - zero) - 3.0 * (value(y) - zero))


def test_an_unknown_fusion_is_answered_with_the_known_names() -> None:
    with pytest.raises(NotFoundError, match="attention"):
        fusion("magic", num_modalities=2, width=8)


# Towers and bundle


def test_projection_keeps_the_strongest_directions() -> None:
    drawn = np.random.default_rng(0)
    rows = (drawn.standard_normal((200, 2)) @ drawn.standard_normal((2, 9)) + 5.0).astype(np.float32)
    projection = Projection(9, 4)
    projection.fit(rows)
    projected = projection(torch.from_numpy(rows)).numpy()
    assert np.abs(projected.mean(0)).max() < 1e-4
    assert np.abs(projected[:, 2:]).max() < 1e-3
    assert (projected**2).sum(1).mean() == pytest.approx(1.0, abs=1e-3)


def test_item_vectors_have_unit_norm_for_known_and_new_items() -> None:
    vectors = bundle().item_embeddings(content())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_item_vectors_do_not_depend_on_who_stands_beside() -> None:
    made, whole = bundle(), content()
    alone = made.item_embeddings(whole.select(["i7"]))
    np.testing.assert_allclose(alone[0], made.item_embeddings(whole)[7], atol=1e-6)


def test_content_of_another_encoder_counts_as_missing() -> None:
    made, whole = bundle(), content()
    other = content_matrix(
        whole.item_ids,
        {"image": dict(zip(whole.item_ids, whole.values["image"], strict=True))},
        embedding_dims={"image": 10},
        encoders={"image": "someone else's"},
    )
    assert not any(share.any() for share in made.modality_weights(other).values())


def test_content_of_another_fingerprint_counts_as_missing_to_a_model_that_knows_its_own() -> None:
    prints, whole = {"image": "a1", "text": "b1"}, content()
    made = bundle(fingerprints=prints)
    same, other = replace(whole, fingerprints=prints), replace(whole, fingerprints={"image": "a2"})
    assert made.modality_weights(same)["image"].any()
    assert made.modality_weights(same)["text"].any()
    for unknown in (other, whole):
        assert not any(share.any() for share in made.modality_weights(unknown).values())
    assert bundle().modality_weights(other)["image"].any(), "a model without fingerprints goes by names"


def test_modality_weights_are_shares_of_present_modalities() -> None:
    weights = bundle().modality_weights(content())
    np.testing.assert_allclose(weights["image"] + weights["text"], 1.0, atol=1e-5)
    assert (weights["image"][::3] == 0).all()


@pytest.mark.parametrize("user_tower", ["pooling", "causal"])
@pytest.mark.parametrize("length", [1, 4, 6, 9])
def test_numpy_user_tower_equals_the_network(user_tower: str, length: int) -> None:
    made = bundle(user_tower=user_tower)
    drawn = np.random.default_rng(length)
    history = drawn.standard_normal((length, 16)).astype(np.float32)
    history /= np.linalg.norm(history, axis=1, keepdims=True)
    behavior_ids = drawn.choice([1, 4, 99], length).astype(np.uint8)
    ages = np.sort(drawn.uniform(0, 1e7, length))[::-1]
    found = made.user_embedding(history, behavior_ids, ages)
    kept = min(length, 6)
    items, valid = torch.zeros(1, 6, 16), torch.zeros(1, 6, dtype=torch.bool)
    rows, bins = torch.zeros(1, 6, dtype=torch.long), torch.zeros(1, 6, dtype=torch.long)
    from mmrec.models.towers import age_bins, behavior_rows

    items[0, 6 - kept :], valid[0, 6 - kept :] = torch.from_numpy(history[-kept:]), True
    rows[0, 6 - kept :] = torch.from_numpy(behavior_rows(behavior_ids[-kept:], (1, 4)))
    bins[0, 6 - kept :] = torch.from_numpy(age_bins(ages[-kept:]))
    with torch.inference_mode():
        if user_tower == "causal":
            read = torch.from_numpy(ages[-kept:].astype(np.float32))[None]
            expected = made.user_tower(items[:, 6 - kept :], rows[:, 6 - kept :], read, read)[0, -1].numpy()
        else:
            expected = made.user_tower(items, rows, bins, valid)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("user_tower", ["pooling", "causal"])
def test_a_history_that_says_nothing_is_zeros_in_numpy_and_in_the_network(user_tower: str) -> None:
    made = bundle(user_tower=user_tower)
    last = made.user_tower.out if user_tower == "causal" else made.user_tower.deep[-1]
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.zero_()
    assert not made.user_embedding(np.zeros((3, 16), np.float32), np.ones(3, np.uint8), np.ones(3)).any()
    rows, ages = torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 3)
    more = (ages, ages) if user_tower == "causal" else (rows, torch.ones(1, 3, dtype=torch.bool))
    with torch.inference_mode():
        assert not made.user_tower(torch.zeros(1, 3, 16), rows, *more).any()
    assert not unit(torch.tensor([[0.0, 0.0], [5e-7, 0.0]])).any()
    assert unit(torch.tensor([[3.0, 4.0], [0.0, float("nan")]]))[0].tolist() == pytest.approx([0.6, 0.8])
    assert unit(torch.tensor([[0.0, float("nan")]])).isnan().any()


def test_a_user_without_history_is_zeros() -> None:
    nobody = bundle().user_embedding(np.zeros((0, 16), np.float32), np.zeros(0, np.uint8), np.zeros(0))
    assert nobody.shape == (16,)
    assert not nobody.any()


def test_numpy_ranker_equals_the_network_with_missing_and_wild_values() -> None:
    made = bundle()
    rows = np.random.default_rng(0).normal(0, 5, (300, 9)).astype(np.float32)
    rows[0, 0], rows[1, 1], rows[2, 2] = np.nan, np.inf, 1e30
    with torch.inference_mode():
        expected = log_utility(made.ranker(torch.from_numpy(rows)), made.ranker.weights_B).numpy()
    found = made.rank(rows)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("form", [name for name in FORMS if name != "pruned"])
def test_every_form_of_the_ranker_equals_the_network_as_far_as_it_keeps_its_weights(form: str) -> None:
    made = bundle().in_form(form)
    rows = np.random.default_rng(0).normal(0, 5, (300, 9)).astype(np.float32)
    rows[0, 0], rows[1, 1], rows[2, 2] = np.nan, np.inf, 1e30
    with torch.inference_mode():
        expected = log_utility(made.ranker(torch.from_numpy(rows)), made.ranker.weights_B).numpy()
    found = made.rank(rows)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, atol=0.2 if form == "onnx-int8" else 2e-4)
    assert len(made.rank(rows[:0])) == 0


def test_pruning_nothing_changes_nothing_and_half_of_the_units_go() -> None:
    ranker, rows = bundle().ranker, torch.from_numpy(np.random.default_rng(0).normal(0, 5, (20, 9)).astype(np.float32))
    with torch.inference_mode():
        torch.testing.assert_close(pruned(ranker, kept_share=1.0)(rows), ranker(rows))
        # Units that nothing reads are the first to go, and nobody misses them.
        ranker.deep[3].weight[:, ::2] = 0.0
        ranker.deep[6].weight[:, ::2] = 0.0
        torch.testing.assert_close(pruned(ranker)(rows), ranker(rows))
    smaller = [layer for layer in pruned(ranker).deep if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in smaller] == [6, 4, 2]


def test_the_fastest_form_that_keeps_quality_ranks_unless_another_is_asked_for(tmp_path) -> None:
    assert set(get_args(get_type_hints(ServingSettings)["ranker_form"])) == {"fastest", *FORMS}
    assert bundle().in_form("fastest").form == "numpy"
    replace(bundle(), kept_forms=("numpy", "pruned", "onnx")).save(tmp_path)
    loaded = ModelBundle.load(tmp_path)
    assert loaded.in_form("fastest").form == next(iter(FORMS))
    assert loaded.in_form("pruned").form == "pruned"


def test_a_saved_bundle_comes_back_bit_for_bit(tmp_path) -> None:
    made = bundle(fingerprints={"image": "a1"})
    made.save(tmp_path)
    loaded = ModelBundle.load(tmp_path)
    rows = np.random.default_rng(0).normal(size=(20, 9)).astype(np.float32)
    np.testing.assert_array_equal(made.item_embeddings(content()), loaded.item_embeddings(content()))
    np.testing.assert_array_equal(made.rank(rows), loaded.rank(rows))
    assert dict(loaded.metrics) == dict(made.metrics)
    assert loaded.encoders == made.encoders
    assert loaded.fingerprints == {"image": "a1"}
    assert (loaded.behavior_ids, loaded.behavior_weights) == (made.behavior_ids, made.behavior_weights)
    assert loaded.trees is None
    assert loaded.source_weights == {}


def test_weights_of_sources_come_back_and_must_be_above_0(tmp_path) -> None:
    replace(bundle(), source_weights={"own": 2.5}).save(tmp_path)
    assert ModelBundle.load(tmp_path).source_weights == {"own": 2.5}
    for refused in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="give numbers above 0"):
            replace(bundle(), source_weights={"own": refused})


def test_a_folder_without_a_usable_model_says_so(tmp_path) -> None:
    with pytest.raises(IncompatibleStateError, match="no usable model"):
        ModelBundle.load(tmp_path)
    bundle().save(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"cut off")
    with pytest.raises(IncompatibleStateError, match="no usable model"):
        ModelBundle.load(tmp_path)


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(IncompatibleStateError, match="columns"):
        bundle().rank(np.zeros((2, 8), np.float32))


def test_impossible_towers_cannot_be_configured() -> None:
    with pytest.raises(ConfigurationError, match=r"towers\.embedding_dim is 10; give a multiple of 8"):
        TowerSettings(embedding_dim=10)
    with pytest.raises(ConfigurationError, match=r"towers\.user_tower is 'crystal ball'; give .causal. or"):
        TowerSettings(user_tower="crystal ball")
    with pytest.raises(ConfigurationError, match=r"towers\.fusion is 'attenshun'; give .*attention"):
        TowerSettings(fusion="attenshun")


def test_the_fusions_that_may_be_configured_are_those_that_there_are() -> None:
    assert set(get_args(Fusion)) == set(FUSIONS)
