"""One suite for every model of the zoo: a planted world, seeds, users and items that nothing is known of.

The planted world: even users like even items, odd users odd ones; item 0 and 1 open every user's history.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest

from mmrec.errors import NotFoundError, SettingError
from mmrec.evaluation.interactions import UNKNOWN, Histories, Interactions, ItemFeatures, ItemLabels, histories_of
from mmrec.evaluation.metrics import hit_rate, ranks_among
from mmrec.evaluation.model import Model
from mmrec.evaluation.search_space import trials
from mmrec.zoo.registry import MODELS, model_named
from mmrec.zoo.zoo_model import ZooModel

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_USERS, NUM_ITEMS, DAY_S = 60, 40, 86_400.0
IMPERSONAL = {"random", "popularity", "recency", "s3_item_only"}
"""The same for everybody, or for nobody, among items new to a user: they cannot know whom they are asked about."""
SLOW = {"s3_with_user"}
"""Knows whom it is asked about, but a squared error takes more steps to tell it than these tests have."""
SHIPPED: dict[str, Any] = {
    "epochs": 3,
    "refit_epochs": 1,
    "batch_size": 64,
    "learning_rate": 0.01,
    "embedding_dim": 16,
    "ranker_lists": 40,
    "validation_lists": 20,
}
FAST: dict[str, dict[str, Any]] = {
    "towers": SHIPPED,
    "fused_recall": SHIPPED,
    "served": SHIPPED,
    "sasrec": {"num_epochs": 1, "min_steps": 30, "learning_rate": 0.01, "embedding_dim": 16},
    "light_gcn": {"num_epochs": 1, "min_steps": 10, "learning_rate": 0.02},
    "freedom": {"num_epochs": 1, "min_steps": 10, "learning_rate": 0.02},
    "s3_item_only": {"head_dim": 8, "hidden_dim": 16, "num_steps": 5},
    "s3_with_user": {"head_dim": 8, "hidden_dim": 16, "num_steps": 15},
    "s3_strong": {"width": 16, "num_steps": 10, "batch_events": 64},
    "ncf": {"num_epochs": 1, "min_steps": 80, "learning_rate": 0.02, "embedding_dim": 16},
    "vbpr": {"num_epochs": 1, "min_steps": 30, "learning_rate": 0.02, "embedding_dim": 16},
    "lattice": {"num_epochs": 1, "min_steps": 10, "learning_rate": 0.02, "embedding_dim": 16},
    "mario_like": {"num_epochs": 1, "min_steps": 10, "learning_rate": 0.02, "embedding_dim": 16},
    "mccl_like": {"num_epochs": 1, "min_steps": 10, "learning_rate": 0.02, "embedding_dim": 16},
    "gce_like": {"num_epochs": 1, "min_steps": 10, "learning_rate": 0.02, "embedding_dim": 16},
    **{
        name: {"max_epochs": 2, "batch_size": 256, "hidden_dim": 16, "embedding_dim": 16, "projected_dim": 4}
        for name in ("s1_fusion", "s2_contrastive", "s2_cross_domain", "s2_aligned_users")
    },
}
"""Options with which models that are trained learn the planted world in few steps; others take their defaults."""
EVERY_MODEL = pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)


def planted_world(*, clock: str = "seconds") -> Interactions:
    """Twelve events per user on items of the user's parity, the last two items without any."""
    generator = np.random.default_rng(5)
    users, items, times = [], [], []
    for user in range(NUM_USERS):
        liked = np.arange(user % 2, NUM_ITEMS - 2, 2)
        for place, item in enumerate(generator.permutation(liked)[:12].tolist()):
            users.append(user)
            items.append(item)
            times.append(float(place) if clock == "positions" else place * DAY_S + user)
    return Interactions.in_order(
        user_ids=[f"u{user}" for user in range(NUM_USERS)] + ["nobody"],
        item_ids=[f"i{item}" for item in range(NUM_ITEMS)],
        behavior_names=("browse", "purchase"),
        users_E=users,
        items_E=items,
        times_E=times,
        behaviors_E=[number % 2 for number in range(len(users))],
        clock="positions" if clock == "positions" else "seconds",
    )


def planted_items() -> ItemFeatures:
    """Content that tells even from odd; one item has none."""
    parity = np.arange(NUM_ITEMS) % 2
    vectors_ID = np.stack([1.0 - parity, parity, np.ones(NUM_ITEMS)], axis=1).astype(np.float32)
    present_I = np.ones(NUM_ITEMS, dtype=np.bool_)
    present_I[-1] = False
    vectors_ID[-1] = 0.0
    labels = ItemLabels(names=("even", "odd"), offsets=np.arange(NUM_ITEMS + 1), codes_A=parity.astype(np.int64))
    return ItemFeatures(num_items=NUM_ITEMS, vectors={"text": vectors_ID}, present={"text": present_I}, labels=labels)


def asked(data: Interactions, users: list[int]) -> tuple[np.ndarray, Histories]:
    users_N = np.array(users, dtype=np.int64)
    return users_N, histories_of(data, users_N=users_N, as_of_N=np.full(len(users), data.end + 1.0))


def fitted(entry: ZooModel, data: Interactions, *, seed: int = 3) -> Model:
    model = entry.model(FAST.get(entry.name))
    model.fit(data, planted_items(), seed=seed)
    return model


@cache
def of_planted_world(entry_name: str, *, clock: str = "seconds") -> Model:
    """Shared by tests that only ask it: score() changes nothing."""
    return fitted(model_named(entry_name), planted_world(clock=clock))


@EVERY_MODEL
@pytest.mark.parametrize("clock", ["seconds", "positions"])
def test_scores_are_one_finite_number_per_target_and_item(entry: ZooModel, clock: str) -> None:
    data = planted_world(clock=clock)
    scores_NI = of_planted_world(entry.name, clock=clock).score(*asked(data, [0, 1, 2]))
    assert scores_NI.shape == (3, NUM_ITEMS) and scores_NI.dtype == np.float32
    assert np.isfinite(scores_NI).all()


@EVERY_MODEL
def test_a_user_without_history_is_served_known_or_not(entry: ZooModel) -> None:
    data = planted_world()
    scores_NI = of_planted_world(entry.name).score(*asked(data, [NUM_USERS, UNKNOWN, 0]))
    assert np.isfinite(scores_NI).all()


@EVERY_MODEL
def test_a_model_fits_on_nothing_at_all(entry: ZooModel) -> None:
    data = planted_world()
    model = entry.model(FAST.get(entry.name))
    model.fit(data.take(np.zeros(len(data), dtype=np.bool_)), ItemFeatures(num_items=NUM_ITEMS), seed=1)
    assert np.isfinite(model.score(*asked(data, [0, NUM_USERS]))).all()


@EVERY_MODEL
def test_scores_depend_on_content_where_a_model_says_that_it_reads_it_and_nowhere_else(entry: ZooModel) -> None:
    data = planted_world()
    model = entry.model(FAST.get(entry.name))
    model.fit(data, ItemFeatures(num_items=NUM_ITEMS), seed=3)
    users_N, histories = asked(data, [0, 1])
    with_content = of_planted_world(entry.name).score(users_N, histories)
    assert (model.score(users_N, histories).tobytes() != with_content.tobytes()) == entry.reads_content


@EVERY_MODEL
def test_the_same_seed_gives_the_same_bytes(entry: ZooModel) -> None:
    data = planted_world()
    one, other = (model.score(*asked(data, [3, 4, 5])) for model in (of_planted_world(entry.name), fitted(entry, data)))
    assert one.tobytes() == other.tobytes()


@EVERY_MODEL
def test_fitting_again_forgets_what_was_learned_before(entry: ZooModel) -> None:
    data = planted_world()
    twice, once = fitted(entry, data.take(np.arange(100))), of_planted_world(entry.name)
    twice.fit(data, planted_items(), seed=3)
    assert twice.score(*asked(data, [3])).tobytes() == once.score(*asked(data, [3])).tobytes()


@EVERY_MODEL
def test_a_target_is_scored_alike_in_any_batch(entry: ZooModel) -> None:
    data = planted_world()
    model = of_planted_world(entry.name)
    users_N, histories = asked(data, list(range(10)))
    whole = model.score(users_N, histories)
    parts = np.concatenate([model.score(users_N[i : i + 3], histories.part(i, i + 3)) for i in range(0, 10, 3)])
    assert np.allclose(whole, parts, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("entry", [m for m in MODELS if m.name not in IMPERSONAL | SLOW], ids=lambda entry: entry.name)
def test_a_personal_model_knows_even_users_from_odd_ones(entry: ZooModel) -> None:
    data = planted_world()
    users_N, histories = asked(data, list(range(NUM_USERS)))
    scores_NI = of_planted_world(entry.name).score(users_N, histories)
    right = []
    for user in range(NUM_USERS):
        seen = set(histories.part(user, user + 1).items_H.tolist())
        new = np.array([item for item in range(NUM_ITEMS - 2) if item not in seen])
        best = new[np.argsort(-scores_NI[user, new])[:5]]
        right.append(np.mean(best % 2 == user % 2))
    assert np.mean(right) >= 0.9


def test_random_scores_hit_k_out_of_all() -> None:
    data = planted_world()
    users_N, histories = asked(data, list(range(NUM_USERS)) * 50)
    histories = Histories(
        offsets=histories.offsets,
        items_H=histories.items_H,
        times_H=histories.times_H,
        behaviors_H=histories.behaviors_H,
        as_of_N=histories.as_of_N + np.arange(len(histories)),
    )
    scores_NI = fitted(model_named("random"), data).score(users_N, histories).astype(np.float64)
    generator = np.random.default_rng(1)
    ranks = [ranks_among(scores_I[:1], scores_I[1:10], generator=generator) for scores_I in scores_NI]
    assert hit_rate(np.concatenate(ranks), 3) == pytest.approx(3 / 10, abs=0.03)


@EVERY_MODEL
def test_every_declared_trial_is_one_that_the_options_take(entry: ZooModel) -> None:
    drawn = trials(entry.space, num_trials=12, seed=4)
    assert drawn[0] == {}
    assert all(entry.model(parameters).name == entry.name for parameters in drawn)


def test_names_of_models_are_unique_and_unknown_ones_are_refused_with_those_that_exist() -> None:
    names = [entry.name for entry in MODELS]
    assert len(set(names)) == len(names)
    with pytest.raises(NotFoundError, match=r"no model is called 'popularty'; known: random, popularity"):
        model_named("popularty")
    with pytest.raises(SettingError, match=r"popularity.decay is not a known name; known: decay_per_day, weights"):
        model_named("popularity").model({"decay": 0.1})
    with pytest.raises(SettingError, match=r"models.popularity.decay_per_day is -1"):
        model_named("popularity").model({"decay_per_day": -1.0})
