"""Models of the zoo against what defines them: equations by hand, optima, and slow forms."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.errors import SettingError
from mmrec.evaluation.interactions import (
    UNKNOWN,
    Clock,
    Histories,
    Interactions,
    ItemFeatures,
    ItemLabels,
    histories_of,
)
from mmrec.recall.neighbors_reference import neighbor_weights
from mmrec.recall.pull import pulls
from mmrec.scoring.behaviors import Behavior, BehaviorSet
from mmrec.scoring.decay import decay
from mmrec.zoo.blend import Blend, BlendOptions, before, candidates, logit_weights, newest_events, touched_before
from mmrec.zoo.bpr import BPR, BPROptions
from mmrec.zoo.ease import EASE, EASEOptions
from mmrec.zoo.history_matrix import HistoryWeighting, behavior_weights, num_newer
from mmrec.zoo.ials import IALS, IALSOptions
from mmrec.zoo.item_content import ItemContent
from mmrec.zoo.item_knn import ItemKNN, ItemKNNOptions, neighbor_settings
from mmrec.zoo.item_knn_content import ItemKNNContent, ItemKNNContentOptions
from mmrec.zoo.neighbor_walk import NeighborWalk, NeighborWalkOptions
from mmrec.zoo.popularity import Popularity, PopularityOptions
from mmrec.zoo.recency import Recency, RecencyOptions

DAY_S = 86_400.0
NOTHING = ItemFeatures(num_items=6)


def world(
    events: list[tuple[int, int, float, int]], *, num_items: int = 6, num_users: int = 5, clock: Clock = "seconds"
) -> Interactions:
    """Of (user, item, time, behavior); behaviors are browse, cart, purchase."""
    users, items, times, behaviors = zip(*events, strict=True) if events else ((), (), (), ())
    return Interactions.in_order(
        user_ids=[f"u{user}" for user in range(num_users)],
        item_ids=[f"i{item}" for item in range(num_items)],
        behavior_names=("browse", "cart", "purchase"),
        users_E=users,
        items_E=items,
        times_E=times,
        behaviors_E=behaviors,
        clock=clock,
    )


def drawn_world(seed: int, *, num_events: int = 60, num_items: int = 6) -> Interactions:
    generator = np.random.default_rng(seed)
    columns = [generator.integers(0, high, num_events) for high in (5, num_items, 40, 3)]
    return world(
        [(u, i, DAY_S * t, b) for u, i, t, b in zip(*map(np.ndarray.tolist, columns), strict=True)], num_items=num_items
    )


def asked(data: Interactions, users: list[int]) -> tuple[np.ndarray, Histories]:
    users_N = np.array(users, dtype=np.int64)
    return users_N, histories_of(data, users_N=users_N, as_of_N=np.full(len(users), data.end + 1.0))


def test_own_items_count_by_behavior_age_and_place_by_hand() -> None:
    data = world([(0, 3, 0.0, 0), (0, 1, DAY_S, 2), (0, 3, 2 * DAY_S, 1), (1, 5, 2 * DAY_S, 0)])
    users_N = np.array([0, 1, UNKNOWN])
    histories = histories_of(data, users_N=users_N, as_of_N=np.full(3, 3 * DAY_S))
    weighting = HistoryWeighting.of(data, order_decay=0.5, decay_per_day=0.1, weights="usual")
    found = weighting.matrix(histories).toarray()
    expected = np.zeros((3, 6))
    expected[0, 3] = np.exp(-0.3) + 5 * np.exp(-0.1)
    expected[0, 1] = 0.5 * 10 * np.exp(-0.2)
    expected[1, 5] = np.exp(-0.1)
    assert found == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=20))
def test_newer_items_are_counted_within_a_row_and_not_among_those_of_one_instant(cells: list[tuple[int, int]]) -> None:
    cells.sort(key=lambda cell: cell[0])
    found = num_newer(np.array([r for r, _ in cells], dtype=np.int64), np.array([t for _, t in cells], dtype=float))
    assert found.tolist() == [sum(r == row and t > time for r, t in cells) for row, time in cells]


@pytest.mark.parametrize("seed", range(3))
def test_own_items_count_as_they_do_in_serving(seed: int) -> None:
    data = drawn_world(seed)
    _, histories = asked(data, [0])
    found = HistoryWeighting.of(data, order_decay=0.7, decay_per_day=0.05, weights="usual").matrix(histories)
    newest_I, strengths_I = np.full(6, -np.inf), np.zeros(6)
    np.maximum.at(newest_I, histories.items_H, histories.times_H)
    weights_H = behavior_weights(data.behavior_names, "usual")[histories.behaviors_H]
    since_H = newest_I[histories.items_H] - histories.times_H
    np.add.at(strengths_I, histories.items_H, weights_H * decay(since_H, decay_per_day=0.05))
    own = np.flatnonzero(strengths_I)
    ages_J = histories.as_of_N[0] - newest_I[own]
    expected_J = pulls(strengths_I[own], ages_J, decay_per_day=0.05, order_decay=0.7)
    assert found.toarray()[0, own] == pytest.approx(expected_J)
    assert found.nnz == len(own)


def test_positions_have_no_age() -> None:
    data = world([(0, 3, 0.0, 0), (0, 1, 1.0, 0)], clock="positions")
    weighting = HistoryWeighting.of(data, order_decay=0.5, decay_per_day=1e6, weights="equal")
    assert weighting.matrix(asked(data, [0])[1]).toarray()[0].tolist() == [0, 1, 0, 0.5, 0, 0]


def test_behaviors_count_as_in_a_shop_or_for_media_and_one_where_neither_knows_them() -> None:
    names = ("cart", "watch", "like", "review")
    assert behavior_weights(names, "usual").tolist() == [5.0, 1.0, 5.0, 1.0]
    assert behavior_weights(names, "equal").tolist() == [1.0, 1.0, 1.0, 1.0]


def test_popularity_is_the_sum_of_decayed_weights_by_hand() -> None:
    data = world([(0, 3, 0.0, 0), (1, 3, DAY_S, 2), (2, 1, 2 * DAY_S, 1)])
    model = Popularity(PopularityOptions(decay_per_day=0.1, weights="usual"))
    model.fit(data, NOTHING, seed=1)
    expected = [0, 5, 0, np.exp(-0.2) + 10 * np.exp(-0.1), 0, 0]
    assert model.score(*asked(data, [0]))[0] == pytest.approx(expected, rel=1e-6)


def test_an_item_that_counts_once_counts_as_its_newest_event() -> None:
    data = world([(0, 3, 0.0, 0), (0, 3, 1.0, 2), (0, 1, 2.0, 0), (0, 3, 3.0, 1), (0, 2, 4.0, 0)])
    weighting = replace(
        HistoryWeighting.of(data, order_decay=0.5, decay_per_day=0.0, weights="usual"), counts_once=True
    )
    assert weighting.matrix(asked(data, [0])[1]).toarray()[0].tolist() == [0, 0.25, 1, 0.5 * 5, 0, 0]


@pytest.mark.parametrize("decay_per_day", [0.5, 10.0, 1000.0])
def test_own_items_come_first_however_old_they_are(decay_per_day: float) -> None:
    data = world(
        [(0, 1, 0.0, 0), (0, 2, 5 * DAY_S, 0), *((1, 4, (300 + n) * DAY_S, 0) for n in range(9)), (1, 5, 0, 0)]
    )
    model = Recency(RecencyOptions(decay_per_day=decay_per_day))
    model.fit(data, NOTHING, seed=1)
    order = np.argsort(-model.score(*asked(data, [0]))[0], kind="stable").tolist()
    assert set(order[:2]) == {1, 2} and order[2:4] == [4, 5]


def test_what_was_touched_last_comes_first_unless_it_was_bought() -> None:
    data = world([(0, 1, 0.0, 0), (0, 2, 1.0, 1), (0, 3, 2.0, 2), (1, 4, 3.0, 0), (2, 4, 3.0, 0), (1, 5, 3.0, 0)])
    model = Recency(RecencyOptions())
    model.fit(data, NOTHING, seed=1)
    order = np.argsort(-model.score(*asked(data, [0]))[0], kind="stable").tolist()
    assert order == [2, 1, 4, 3, 5, 0]
    again = Recency(RecencyOptions(bought=""))
    again.fit(data, NOTHING, seed=1)
    assert np.argmax(again.score(*asked(data, [0]))[0]) == 3


@pytest.mark.parametrize("seed", range(3))
def test_item_knn_is_affinity_times_the_slow_neighbor_weights(seed: int) -> None:
    data = drawn_world(seed)
    options = ItemKNNOptions(order_decay=0.7, decay_per_day=0.05, weights="usual", shrinkage=0.5)
    model = ItemKNN(options)
    model.fit(data, NOTHING, seed=1)
    users_N, histories = asked(data, [0, 1, 2, 3, 4])
    weights_B = behavior_weights(data.behavior_names, "usual")
    behaviors = BehaviorSet(
        tuple(
            Behavior(name=name, behavior_id=row, weight=weights_B[row]) for row, name in enumerate(data.behavior_names)
        )
    )
    slow = neighbor_weights(
        [
            (f"u{u}", f"i{i}", data.behavior_names[b], t)
            for u, i, b, t in zip(data.users_E, data.items_E, data.behaviors_E, data.times_E, strict=True)
        ],
        behaviors=behaviors,
        as_of_s=data.end,
        settings=neighbor_settings(options),
    )
    weights_II = np.array([[slow.get((f"i{i}", f"i{j}"), 0.0) for j in range(6)] for i in range(6)])
    own_NI = HistoryWeighting.of(data, order_decay=0.7, decay_per_day=0.05, weights="usual").matrix(histories)
    assert model.score(users_N, histories) == pytest.approx(own_NI.toarray() @ weights_II, rel=1e-4)


def content(labels: list[list[int]], vectors: np.ndarray | None = None) -> ItemFeatures:
    """Labels by item, and vectors of which rows of zeros mean none."""
    codes = [code for row in labels for code in row]
    return ItemFeatures(
        num_items=len(labels),
        vectors={} if vectors is None else {"text": vectors},
        present={} if vectors is None else {"text": (vectors != 0).any(axis=1)},
        labels=ItemLabels(
            names=[f"label {code}" for code in range(4)],
            offsets=np.concatenate([[0], np.cumsum([len(row) for row in labels])]),
            codes_A=np.array(codes, dtype=np.int64),
        ),
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 3), max_size=3, unique=True), min_size=6, max_size=6),
    st.integers(0, 2**32 - 1),
)
def test_likeness_of_content_is_the_sum_of_cosines_with_other_items(labels: list[list[int]], seed: int) -> None:
    generator = np.random.default_rng(seed)
    vectors_ID = generator.normal(size=(6, 3)).astype(np.float32) * generator.integers(0, 2, (6, 1))
    found = ItemContent.of(content(labels, vectors_ID.astype(np.float32)))
    counts = np.bincount([code for row in labels for code in row], minlength=4)
    rows_IA = np.array([[(a in row) * np.log(6 / max(counts[a], 1)) for a in range(4)] for row in labels])
    has_I = (vectors_ID != 0).any(axis=1)
    centered_ID = np.where(has_I[:, None], vectors_ID - vectors_ID[has_I].mean(axis=0) if has_I.any() else 0.0, 0.0)
    cosines_II = np.zeros((6, 6))
    for rows in (rows_IA, centered_ID):
        lengths = np.linalg.norm(rows, axis=1)
        unit = rows / np.where(lengths > 1e-6, lengths, np.inf)[:, None]
        cosines_II += unit @ unit.T
    np.fill_diagonal(cosines_II, 0.0)
    data = drawn_world(seed % 1000)
    own_NI = HistoryWeighting.of(data, order_decay=0.8, decay_per_day=0.0, weights="equal").matrix(
        asked(data, [0, 1, 2, UNKNOWN])[1]
    )
    assert found.scores(own_NI) == pytest.approx(own_NI.toarray() @ cosines_II, abs=1e-3)


def test_a_hybrid_finds_an_item_nobody_touched_by_its_content_and_item_knn_does_not() -> None:
    data = world([(u, i, DAY_S * (u + i), 0) for u in range(4) for i in (0, 1, 2)])
    items = content([[0], [0], [0], [0], [1], [1]])
    plain, hybrid = ItemKNN(ItemKNNOptions()), ItemKNNContent(ItemKNNContentOptions())
    for model in (plain, hybrid):
        model.fit(data, items, seed=1)
    assert plain.score(*asked(data, [0]))[0, 3:].tolist() == [0.0, 0.0, 0.0]
    like, other, _ = hybrid.score(*asked(data, [0]))[0, 3:]
    assert like > other == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_ease_is_the_optimum_among_weights_without_a_diagonal(seed: int) -> None:
    data = drawn_world(seed, num_events=12)
    model = EASE(EASEOptions(regularization=2.0))
    model.fit(data, NOTHING, seed=1)
    weights_II = np.zeros((6, 6))
    weights_II[np.ix_(model._kept, model._kept)] = model._weights_KK
    touched_UI = np.zeros((5, 6))
    touched_UI[data.users_E, data.items_E] = 1.0
    gradient_II = touched_UI.T @ (touched_UI @ weights_II - touched_UI) + 2.0 * weights_II
    np.fill_diagonal(gradient_II, 0.0)
    assert np.abs(np.diag(weights_II)).max() == 0.0
    assert np.abs(gradient_II).max() < 1e-4


def test_ease_is_of_the_items_with_the_most_users_and_scores_no_other() -> None:
    data = world([(u, i, float(u), 0) for u in range(5) for i in range(6) if i <= u])
    model = EASE(EASEOptions(max_items=3, regularization=1.0))
    model.fit(data, NOTHING, seed=1)
    scores_NI = model.score(*asked(data, [4]))
    assert (scores_NI[:, 3:] == 0.0).all() and (scores_NI[:, :3] != 0.0).all()


def test_a_user_of_ials_solves_the_weighted_least_squares_of_the_history() -> None:
    data = drawn_world(4, num_items=6)
    options = IALSOptions(embedding_dim=3, alpha=4.0, regularization=0.5, order_decay=1.0)
    model = IALS(options)
    model.fit(data, NOTHING, seed=1)
    items_ID = np.asarray(model._solver.item_factors, dtype=np.float64)
    users_N, histories = asked(data, [2])
    own_I = model._weighting.matrix(histories).toarray()[0]
    confidence_I = np.where(own_I > 0, 4.0 * own_I, 1.0)
    left_DD = items_ID.T @ (confidence_I[:, None] * items_ID) + 0.5 * np.eye(3)
    user_D = np.linalg.solve(left_DD, items_ID.T @ (confidence_I * (own_I > 0)))
    assert model.score(users_N, histories)[0] == pytest.approx(items_ID @ user_D, rel=1e-3, abs=1e-4)


def test_a_user_that_bpr_saw_no_event_of_is_the_mean_of_the_own_items() -> None:
    data = world([(u, i, float(i), 0) for u in range(3) for i in range(6) if (u + i) % 2])
    later = world([(4, 1, 0.0, 0), (4, 3, 1.0, 0)])
    model = BPR(BPROptions(embedding_dim=4, num_epochs=5))
    model.fit(data, NOTHING, seed=1)
    users_N, histories = asked(later, [4])
    mean_D = model._items_ID[[1, 3]].mean(axis=0)
    mean_D[-1] = 1.0
    assert model.score(users_N, histories)[0] == pytest.approx(model._items_ID @ mean_D, rel=1e-4, abs=1e-6)


def test_one_step_of_a_walk_is_item_knn_and_two_reach_neighbors_of_neighbors() -> None:
    data = world([(0, 0, 0.0, 0), (1, 0, 0.0, 0), (1, 1, 1.0, 0), (2, 1, 0.0, 0), (2, 2, 1.0, 0)])
    scores = {}
    for num_steps in (1, 2):
        model = NeighborWalk(NeighborWalkOptions(num_steps=num_steps, row_share=0.0, step_decay=0.5))
        model.fit(data, NOTHING, seed=1)
        scores[num_steps] = model.score(*asked(data, [0]))[0]
    plain = ItemKNN(ItemKNNOptions(num_neighbors=100))
    plain.fit(data, NOTHING, seed=1)
    assert scores[1] == pytest.approx(plain.score(*asked(data, [0]))[0])
    assert scores[1][2] == 0.0 < scores[2][2] < scores[2][1]


@pytest.mark.parametrize(
    ("options", "table", "wrong"),
    [
        (ItemKNNOptions, "item_knn", {"order_decay": 1.5}),
        (ItemKNNContentOptions, "item_knn_content", {"content_share": -0.1}),
        (EASEOptions, "ease", {"regularization": 0.0}),
        (IALSOptions, "ials", {"embedding_dim": 0}),
        (BPROptions, "bpr", {"learning_rate": 0.0}),
        (NeighborWalkOptions, "neighbor_walk", {"num_steps": 0}),
        (RecencyOptions, "recency", {"weights": "heavy"}),
        (PopularityOptions, "popularity", {"weights": "heavy"}),
    ],
)
def test_impossible_options_are_refused_by_name(options: type, table: str, wrong: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=f"{table}.{next(iter(wrong))} is "):
        options(**wrong)


def test_a_blend_learns_to_trust_the_part_that_knows() -> None:
    generator = np.random.default_rng(3)
    features_CF = generator.random((400 * 8, 2)).astype(np.float32)
    own = [int(features_CF[8 * n : 8 * n + 8, 1].argmax()) for n in range(400)]
    noise, signal = logit_weights(features_CF, sizes=[8] * 400, own=own, l2=1.0)
    assert signal > 10 * abs(noise)


def test_the_newest_event_of_each_user_teaches_if_there_is_an_earlier_one() -> None:
    data = world([(0, 0, 0.0, 0), (0, 1, 5.0, 0), (1, 2, 1.0, 0), (2, 3, 2.0, 0), (2, 4, 2.0, 0), (3, 1, 3.0, 0)])
    assert newest_events(data).tolist() == [5]
    assert data.items_E[5] == 1
    assert newest_events(world([])).tolist() == []


def test_candidates_are_the_best_of_each_part_that_are_new_and_what_has_no_score_is_none() -> None:
    scores_KI = np.array([[9.0, 8, 7, 0, 0, 0], [0.0, 0, 0, 0, 0, 9]], dtype=np.float32)
    assert candidates(scores_KI, num_best=2, seen=np.array([0])).tolist() == [1, 5]


def test_events_on_items_that_no_part_proposes_do_not_teach_a_blend_that_its_parts_are_wrong() -> None:
    """Nine in ten newest events are on items that nobody had touched before."""
    events = [(user, item, float(item), 0) for user in range(200) for item in (0, 1)]
    events += [(user, 2 if user % 10 == 0 else 10 + user, 9.0, 0) for user in range(200)]
    for user in range(200, 230):  # who show that after 0 and 1 comes 2, and now and then one of six others
        events += [(user, item, float(place), 0) for place, item in enumerate((0, 1, 3 + user % 6, 2, 40 + user))]
    data = world(events, num_items=300, num_users=230)
    model = Blend(BlendOptions(parts=("item_knn", "popularity"), num_candidates=5))
    model.fit(data, ItemFeatures(num_items=300, vectors={}, present={}), seed=1)
    asked = histories_of(data, users_N=np.array([1]), as_of_N=np.array([5.0]))
    scores_I = model.score(np.array([1]), asked)[0]
    assert scores_I[2] > scores_I[250]


def test_a_blend_of_what_does_not_exist_is_refused_with_what_does() -> None:
    with pytest.raises(SettingError, match=r"blend.parts is \['item_nn'\]; give different ones of .*'item_knn'"):
        BlendOptions(parts=("item_nn",))


def test_a_blend_teaches_by_what_came_strictly_before_each_newest_event() -> None:
    events = [(0, 0, 0.0, 0), (0, 1, 5.0, 0), (0, 2, 5.0, 0), (1, 3, 1.0, 0), (1, 3, 4.0, 0), (2, 4, 2.0, 0)]
    data = world(events)
    kept = before(data, newest_events(data))
    pairs = zip(data.users_E[kept].tolist(), data.items_E[kept].tolist(), strict=True)
    assert sorted(pairs) == [(0, 0), (1, 3), (2, 4)]


def test_an_event_repeats_an_item_that_its_user_touched_at_an_earlier_instant() -> None:
    data = world([(0, 0, 0.0, 0), (1, 0, 1.0, 0), (0, 0, 2.0, 0), (0, 1, 3.0, 0), (0, 1, 3.0, 1)])
    assert touched_before(data).tolist() == [False, False, True, False, False]


def test_repeats_teach_a_blend_where_there_are_enough_of_them() -> None:
    repeats = [(user, item, DAY_S * time, 0) for user in range(4) for time, item in enumerate((user, 4, 5, user))]
    data = world([*repeats, (4, 0, 0.0, 0), (4, 1, DAY_S, 0)])
    own_weights = []
    for min_repeat_share in (0.1, 0.9):
        model = Blend(BlendOptions(parts=("popularity", "recency"), min_repeat_share=min_repeat_share))
        model.fit(data, NOTHING, seed=1)
        own_weights.append(model.weights_F[2:].sum())
    assert own_weights[0] > 0.5 > own_weights[1]
