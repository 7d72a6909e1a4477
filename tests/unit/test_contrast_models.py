"""Models of papers S1 and S2: what they read, learn from and align, and planted worlds that only alignment solves."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from mmrec.errors import SettingError
from mmrec.evaluation.interactions import LABELS, Histories, Interactions, ItemFeatures, ItemLabels, histories_of
from mmrec.models.losses import domain_distance, paired_info_nce
from mmrec.models.towers import unit
from mmrec.zoo.content_values import LABEL_DIM, NOTHING, content_values
from mmrec.zoo.contrast_fit import MAX_DOMAINS
from mmrec.zoo.cross_domain import CrossDomainOptions, aligned, by_contrast, by_distance
from mmrec.zoo.foreseen_events import by_part, foreseen_events
from mmrec.zoo.history_matrix import HistoryWeighting
from mmrec.zoo.registry import model_named
from mmrec.zoo.s1_fusion import PRINTED_FUSIONS, S1Fusion, S1Options
from tests.style_world import (
    DOMAIN_I,
    ITEMS_EACH,
    NUM_BOTH,
    NUM_ITEMS,
    NUM_ONE,
    NUM_STYLES,
    STYLE_I,
    style_items,
    style_world,
)

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL: dict[str, Any] = {
    "embedding_dim": 16,
    "hidden_dim": 16,
    "projected_dim": 8,
    "max_epochs": 4,
    "batch_size": 128,
    "num_negatives": 48,
    "learning_rate": 0.01,
    "dropout": 0.0,
}


def asked(data: Interactions, users: range) -> tuple[np.ndarray, Histories]:
    users_N = np.array(users, dtype=np.int64)
    return users_N, histories_of(data, users_N=users_N, as_of_N=np.full(len(users), data.end + 1.0))


@cache
def scores_of_one_domain(name: str, *, seed: int = 2, **parameters: Any) -> np.ndarray:
    """Of the users of domain a alone."""
    data = style_world()
    model = model_named(name).model({**SMALL, **parameters})
    model.fit(data, style_items(), seed=seed)
    return model.score(*asked(data, range(NUM_BOTH, NUM_BOTH + NUM_ONE)))


def share_right(scores_NI: np.ndarray, domain: int) -> float:
    """Of each user's best six items of a domain, how many are of the user's style."""
    chosen = np.flatnonzero(domain == DOMAIN_I)
    best_NK = chosen[np.argsort(-scores_NI[:, chosen], axis=1)[:, :ITEMS_EACH]]
    style_N = np.arange(NUM_BOTH, NUM_BOTH + NUM_ONE) % NUM_STYLES
    return float(np.mean(STYLE_I[best_NK] == style_N[:, None]))


@pytest.mark.parametrize("name", ["s2_cross_domain", "s2_aligned_users"])
def test_alignment_recommends_in_one_domain_by_what_was_done_in_the_other(name: str) -> None:
    scores_NI = scores_of_one_domain(name)
    assert share_right(scores_NI, 0) >= 0.9
    assert share_right(scores_NI, 1) >= 0.8


def test_without_alignment_it_is_chance_which_styles_of_two_domains_lie_together() -> None:
    unaligned = [scores_of_one_domain("s2_cross_domain", seed=seed, alignment_weight=0.0) for seed in (1, 2, 3)]
    assert min(share_right(scores_NI, 0) for scores_NI in unaligned) >= 0.9
    assert np.mean([share_right(scores_NI, 1) for scores_NI in unaligned]) <= 0.6


def test_a_domain_by_itself_knows_nothing_of_who_did_nothing_in_it() -> None:
    scores_NI = scores_of_one_domain("s2_contrastive")
    assert share_right(scores_NI, 0) >= 0.9
    assert not scores_NI[:, DOMAIN_I == 1].any()
    closed_NI = scores_of_one_domain("s2_cross_domain", other_share=0.0)
    assert not closed_NI[:, DOMAIN_I == 1].any()


def test_domains_count_as_they_were_visited_and_alike_with_much_smoothing() -> None:
    visited_NI, even_NI = (
        scores_of_one_domain("s2_aligned_users", domain_smoothing=smoothing) for smoothing in (0.1, 1e9)
    )
    shift_NI = visited_NI - even_NI
    assert shift_NI[:, DOMAIN_I == 0] == pytest.approx(0.0, abs=1e-5)
    strange = shift_NI[:, DOMAIN_I == 1]
    assert (strange < 0).all() and np.ptp(strange, axis=1) == pytest.approx(0.0, abs=1e-5)
    assert share_right(visited_NI, 1) == share_right(even_NI, 1), "the order within a domain stays"


def test_one_domain_is_all_there_is_where_items_have_none() -> None:
    data, items = style_world(), replace(style_items(), labels=None)
    cross, alone = (
        model_named(name).model({**SMALL, "max_epochs": 2}) for name in ("s2_cross_domain", "s2_contrastive")
    )
    for model in (cross, alone):
        model.fit(data, items, seed=1)
    users_N, histories = asked(data, range(3))
    assert np.array_equal(cross.score(users_N, histories), alone.score(users_N, histories))


NEW_I = np.arange(NUM_ITEMS) % ITEMS_EACH == ITEMS_EACH - 1
"""The last item of each style in each domain."""


def of_old_items() -> Interactions:
    """The world before its new items came: nobody touched them."""
    data = style_world()
    return data.take(~NEW_I[data.items_E])


def marked_items() -> ItemFeatures:
    """Content that tells new items from others, too, as the season of a dress does."""
    items = style_items()
    return replace(
        items, vectors={"text": np.concatenate([items.vectors["text"], NEW_I[:, None]], axis=1, dtype=np.float32)}
    )


@pytest.mark.parametrize("name", ["s1_fusion", "s2_contrastive", "s2_cross_domain", "s2_aligned_users"])
def test_new_items_are_not_pushed_away_for_being_new(name: str) -> None:
    """Of a user's own domain, the new item of the user's style stands above all items of other styles."""
    data = of_old_items()
    model = model_named(name).model({**SMALL, "max_epochs": 8})
    model.fit(data, marked_items(), seed=2)
    scores_NI = model.score(*asked(data, range(NUM_BOTH, NUM_BOTH + NUM_ONE)))
    right = []
    for style, scores_I in zip(np.arange(NUM_BOTH, NUM_BOTH + NUM_ONE) % NUM_STYLES, scores_NI, strict=True):
        own_I = (DOMAIN_I == 0) & (style == STYLE_I)
        right.append(scores_I[own_I & NEW_I].min() > scores_I[(DOMAIN_I == 0) & (style != STYLE_I)].max())
    assert np.mean(right) >= 0.9


def test_an_id_counts_what_is_learned_of_its_item_and_not_what_else_was_done_to_it() -> None:
    data = style_world()
    few = data.take(data.users_E < 12)
    model = model_named("s2_aligned_users").model({**SMALL, "max_labels": 1})
    model.fit(few, style_items(), seed=1)
    network: Any = vars(model)["_fitted"].network
    weighting = HistoryWeighting.of(few, order_decay=1.0, decay_per_day=0.0, weights="equal")
    counts_I = foreseen_events(few, weighting, max_labels=1, seed=1).counts_I
    asked_for = np.unique(few.items_E[[np.flatnonzero(few.users_E == user)[-1] for user in range(12)]])
    assert np.flatnonzero(counts_I).tolist() == asked_for.tolist()
    touched_alone = torch.from_numpy(np.setdiff1d(few.items_E, asked_for))
    assert len(touched_alone) > 10
    with torch.inference_mode():
        by_content = network.content(network.projected_IMP[touched_alone], network.present_IM[touched_alone])
        assert torch.allclose(network.items(touched_alone), by_content, atol=1e-6)


def test_an_attribute_of_many_values_is_no_domain() -> None:
    names = tuple(f"k={value:02d}" for value in range(NUM_ITEMS))
    labels = ItemLabels(names=names, offsets=np.arange(NUM_ITEMS + 1), codes_A=np.arange(NUM_ITEMS))
    model = model_named("s2_contrastive").model({"domain_attribute": "k"})
    with pytest.raises(ValueError, match=rf"48 domains by 'k'; name an attribute of {MAX_DOMAINS} values at most"):
        model.fit(style_world(), replace(style_items(), labels=labels), seed=1)


def unit_rows(seed: int, num: int = 6, width: int = 8) -> torch.Tensor:
    return unit(torch.randn(num, width, generator=torch.Generator().manual_seed(seed)))


def test_distance_of_domains_is_zero_where_they_agree_four_where_they_are_opposed_and_symmetric() -> None:
    one, other = unit_rows(1), unit_rows(2)
    assert domain_distance(one, one) == 0
    assert domain_distance(one, -one) == pytest.approx(4.0)
    assert domain_distance(one, other) == domain_distance(other, one)
    assert float(domain_distance(one, other)) == pytest.approx(float((2 - 2 * (one * other).sum(-1)).mean()), abs=1e-6)
    assert domain_distance(one[:0], other[:0]) == 0


def test_distance_does_not_see_that_all_users_are_one_point_and_contrast_does() -> None:
    same = unit_rows(1)[:1].expand(6, -1)
    assert domain_distance(same, same) == 0
    assert float(paired_info_nce(same, same, temperature=0.1)) == pytest.approx(np.log(6), abs=1e-5)
    apart = torch.eye(6)
    assert float(paired_info_nce(apart, apart, temperature=0.05)) < 1e-6


def test_a_step_against_the_distance_brings_users_of_both_domains_nearer() -> None:
    one, other = unit_rows(1).requires_grad_(), unit_rows(2)
    loss = domain_distance(one, other)
    torch.autograd.backward(loss)
    assert one.grad is not None
    assert domain_distance(one.detach() - 0.1 * one.grad, other) < loss.detach()


@pytest.mark.parametrize("alignment", [by_distance, by_contrast])
def test_alignment_counts_each_user_of_both_domains_once_and_no_other(alignment: Any) -> None:
    model = model_named("s2_cross_domain").model({**SMALL, "max_epochs": 1})
    data = style_world()
    model.fit(data, style_items(), seed=1)
    network: Any = vars(model)["_fitted"].network
    weighting = HistoryWeighting.of(data, order_decay=1.0, decay_per_day=0.0, weights="equal")
    own_NI = weighting.matrix(asked(data, range(NUM_BOTH + NUM_ONE))[1])
    with torch.inference_mode():
        users = network.users(by_part(own_NI, DOMAIN_I, 2))
        extra, everybody = aligned(alignment, 1.0), np.arange(NUM_BOTH + NUM_ONE)
        whole = extra(network, users, everybody, torch.zeros(0))
        twice = np.concatenate([everybody, everybody])
        rows = torch.from_numpy(twice)
        repeated = replace(users, vectors_NKD=users.vectors_NKD[rows], known_NK=users.known_NK[rows])
        assert extra(network, repeated, twice, torch.zeros(0)) == pytest.approx(float(whole), rel=1e-5)
        alone = replace(users, vectors_NKD=users.vectors_NKD[NUM_BOTH:], known_NK=users.known_NK[NUM_BOTH:])
        assert extra(network, alone, everybody[NUM_BOTH:], torch.zeros(0)) == 0


def test_a_user_who_did_nothing_in_a_domain_is_zeros_there() -> None:
    model = model_named("s2_aligned_users").model({**SMALL, "max_epochs": 1})
    data = style_world()
    model.fit(data, style_items(), seed=1)
    network: Any = vars(model)["_fitted"].network
    weighting = HistoryWeighting.of(data, order_decay=1.0, decay_per_day=0.0, weights="equal")
    with torch.inference_mode():
        users = network.users(by_part(weighting.matrix(asked(data, range(NUM_BOTH - 1, NUM_BOTH + 1))[1]), DOMAIN_I, 2))
    assert users.known_NK.tolist() == [[True, True], [True, False]]
    assert not users.vectors_NKD[1, 1].any()
    assert users.vectors_NKD[0].norm(dim=-1).tolist() == pytest.approx([1.0, 1.0])


def test_events_are_foreseen_from_earlier_items_alone_and_repeated_ones_are_left_out() -> None:
    data = Interactions.in_order(
        user_ids=["u0", "u1", "u2"],
        item_ids=["i0", "i1", "i2", "i3"],
        behavior_names=("browse",),
        users_E=[0, 0, 0, 0, 1, 1],
        items_E=[0, 1, 0, 2, 3, 1],
        times_E=[0.0, 1.0, 2.0, 3.0, 0.0, 5.0],
        behaviors_E=[0] * 6,
    )
    weighting = HistoryWeighting.of(data, order_decay=1.0, decay_per_day=0.0, weights="equal")
    found = foreseen_events(data, weighting, max_labels=3, seed=1)
    assert list(zip(found.users_N.tolist(), found.items_N.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 1)]
    assert found.own_NI.toarray().tolist() == [[1, 0, 0, 0], [2, 1, 0, 0], [0, 0, 0, 1]]
    assert not found.is_held_N.any(), "so few would say nothing"
    newest = foreseen_events(data, weighting, max_labels=1, seed=1)
    assert newest.items_N.tolist() == [2, 1]


def test_held_events_are_newest_ones_of_a_tenth_of_the_users_who_have_others() -> None:
    data = style_world()
    users = np.concatenate([data.users_E + 100 * copy for copy in range(2)])
    many = Interactions.in_order(
        user_ids=[f"u{user}" for user in range(200)],
        item_ids=data.item_ids,
        behavior_names=data.behavior_names,
        users_E=users,
        items_E=np.tile(data.items_E, 2),
        times_E=np.tile(data.times_E, 2),
        behaviors_E=np.zeros(len(users)),
    )
    weighting = HistoryWeighting.of(many, order_decay=1.0, decay_per_day=0.0, weights="equal")
    found = foreseen_events(many, weighting, max_labels=10, seed=1)
    held = np.flatnonzero(found.is_held_N)
    assert len(held) == 20
    last_of_user = {int(user): row for row, user in enumerate(found.users_N)}
    assert [last_of_user[int(user)] for user in found.users_N[held]] == held.tolist()


def test_the_rows_of_all_parts_together_are_the_rows() -> None:
    data = style_world()
    weighting = HistoryWeighting.of(data, order_decay=0.5, decay_per_day=0.0, weights="equal")
    own_NI = weighting.matrix(asked(data, range(5))[1])
    one, other = by_part(own_NI, DOMAIN_I, 2)
    assert np.array_equal((one + other).toarray(), own_NI.toarray())
    assert not one.toarray()[:, DOMAIN_I == 1].any() and not other.toarray()[:, DOMAIN_I == 0].any()


def test_content_is_modalities_and_labels_and_an_empty_one_where_there_is_none() -> None:
    items = style_items()
    found = content_values(items)
    assert {name: x_IX.shape[1] for name, x_IX in found.values.items()} == {"text": 2 * NUM_STYLES, LABELS: LABEL_DIM}
    assert set(content_values(items, ("text", "sound")).values) == {"text"}
    nothing = content_values(items, ("sound",))
    assert set(nothing.values) == {NOTHING} and not nothing.present[NOTHING].any()
    absent = replace(items, present={"text": np.zeros(NUM_ITEMS, bool)}, labels=None)
    assert not content_values(absent).values["text"].any()


def test_items_of_the_same_labels_are_the_same_and_others_about_as_alike_as_their_labels() -> None:
    x_IX = content_values(style_items()).values[LABELS]
    x_IX = x_IX / np.linalg.norm(x_IX, axis=1, keepdims=True)
    cosines = x_IX @ x_IX.T
    assert cosines[DOMAIN_I[:, None] == DOMAIN_I] == pytest.approx(1.0, abs=1e-5)
    assert np.abs(cosines[DOMAIN_I[:, None] != DOMAIN_I]).max() < 4 / LABEL_DIM**0.5


def fitted_s1(**parameters: Any) -> S1Fusion:
    """On items of two modalities, of which the last item has one and the first none."""
    generator = np.random.default_rng(4)
    items = style_items()
    present_I = np.arange(NUM_ITEMS) < NUM_ITEMS - 1
    vectors = {"text": items.vectors["text"], "image": generator.normal(size=(NUM_ITEMS, 5)).astype(np.float32)}
    present = {"text": np.arange(NUM_ITEMS) > 0, "image": present_I & (np.arange(NUM_ITEMS) > 0)}
    model = S1Fusion(S1Options(**{**SMALL, "max_epochs": 4, **parameters}))
    model.fit(style_world(), ItemFeatures(num_items=NUM_ITEMS, vectors=vectors, present=present), seed=1)
    return model


@pytest.mark.parametrize("fusion", PRINTED_FUSIONS)
def test_modality_weights_are_shares_of_what_an_item_has(fusion: str) -> None:
    model = fitted_s1(fusion=fusion)
    weights_IM = model.modality_weights()
    assert model.modalities == ("image", "text")
    assert weights_IM[0].tolist() == [0.0, 0.0] and weights_IM[-1].tolist() == pytest.approx([0.0, 1.0])
    assert weights_IM[1:].sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    losses = [loss for _, loss in model.learning_curve]
    assert losses[-1] < losses[0]


def test_a_fixed_temperature_stays_and_a_learned_one_moves() -> None:
    assert fitted_s1(temperature_kind="fixed", temperature=0.2).temperature == pytest.approx(0.2)
    assert abs(fitted_s1(temperature_kind="learned", temperature=0.2).temperature - 0.2) > 1e-3


def test_l1_makes_weights_smaller() -> None:
    def mean_weight(model: S1Fusion) -> float:
        network: Any = vars(model)["_fitted"].network
        return float(network.tower.out.weight.detach().abs().mean())

    assert mean_weight(fitted_s1(l1=30.0)) < mean_weight(fitted_s1())


def test_learning_ends_without_gain_and_the_best_epoch_stays() -> None:
    """At a rate that makes things worse: two more epochs are tried, and what stays is a fit that ended before them."""
    data = style_world()
    many = replace(
        data,
        user_ids=[f"u{user}" for user in range(200)],
        users_E=data.users_E + 100 * (np.arange(len(data)) % 2),
    )

    def fit(max_epochs: int) -> S1Fusion:
        options = {"learning_rate": 1.0, "temperature_kind": "fixed", "max_epochs": max_epochs, "patience": 2}
        model = S1Fusion(S1Options(**{**SMALL, **options}))
        model.fit(many, style_items(), seed=1)
        return model

    stopped = fit(30)
    num_epochs = len(stopped.learning_curve)
    assert 3 <= num_epochs < 30
    users_N, histories = asked(many, range(20))
    assert np.array_equal(fit(num_epochs - 2).score(users_N, histories), stopped.score(users_N, histories))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"temperature": 0.001}, r"s1_fusion.temperature is 0.001; give a number from 0.02 to 1"),
        ({"fusion": "sum"}, 's1_fusion.fusion is \'sum\'; give "attention" or "concat" or '),
        ({"embedding_dim": 12}, r"s1_fusion.embedding_dim is 12; give a multiple of 8"),
        ({"l1": -1.0}, r"s1_fusion.l1 is -1.0; give a number of 0 or more"),
        ({"patience": 0}, r"s1_fusion.patience is 0; give a whole number of 1 or more"),
    ],
)
def test_impossible_options_are_refused_with_what_would_be_right(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        S1Options(**parameters)
    with pytest.raises(SettingError, match=r"s2_cross_domain.other_share is 2"):
        CrossDomainOptions(other_share=2.0)
