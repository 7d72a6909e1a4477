"""S3's models against what defines them: scores by hand, what a network without a user can say, planted worlds."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.errors import SettingError
from mmrec.evaluation.interactions import UNKNOWN, Histories, Interactions, ItemFeatures, histories_of
from mmrec.evaluation.judging import judge
from mmrec.evaluation.list_metrics import personalization
from mmrec.evaluation.measure import mean_of, per_target
from mmrec.evaluation.model import Model
from mmrec.evaluation.splits import leave_one_out
from mmrec.evaluation.task import Task
from mmrec.zoo.content_likeness import CONTENT_LIKENESS
from mmrec.zoo.popularity import POPULARITY
from mmrec.zoo.s3_content import popular
from mmrec.zoo.s3_item_only import S3_ITEM_ONLY
from mmrec.zoo.s3_printed import Pairs, Slots, row_shares
from mmrec.zoo.s3_scores import ScoreOptions, score_matrix, score_weighting
from mmrec.zoo.s3_strong import S3_STRONG
from mmrec.zoo.s3_with_user import S3_WITH_USER, without_own

pytestmark = pytest.mark.usefixtures("one_thread")
DAY_S = 86_400.0
SMALL = {"head_dim": 8, "hidden_dim": 16, "learning_rate": 0.01}
NUM_GROUPS, PER_GROUP = 8, 10
NUM_ITEMS = NUM_GROUPS * (PER_GROUP + 1)
"""The last item of each group has no event."""


def world(events: list[tuple[int, int, float, int]], *, num_users: int = 5, num_items: int = 6) -> Interactions:
    """Of (user, item, time, behavior); behaviors are browse, cart, purchase."""
    users, items, times, behaviors = zip(*events, strict=True)
    return Interactions.in_order(
        user_ids=[f"u{user}" for user in range(num_users)],
        item_ids=[f"i{item}" for item in range(num_items)],
        behavior_names=("browse", "cart", "purchase"),
        users_E=users,
        items_E=items,
        times_E=times,
        behaviors_E=behaviors,
    )


def text_of(vectors_ID: np.ndarray) -> ItemFeatures:
    vectors_ID = vectors_ID.astype(np.float32)
    return ItemFeatures(
        num_items=len(vectors_ID), vectors={"text": vectors_ID}, present={"text": (vectors_ID != 0).any(axis=1)}
    )


def asked(data: Interactions, users: list[int]) -> tuple[np.ndarray, Histories]:
    users_N = np.array(users, dtype=np.int64)
    return users_N, histories_of(data, users_N=users_N, as_of_N=np.full(len(users), data.end + 1.0))


def test_two_browses_three_days_ago_score_as_the_paper_says() -> None:
    data = world([(0, 3, 0.0, 0), (0, 3, 0.0, 0), (1, 2, 3 * DAY_S, 2)])
    scores_UI = score_matrix(data, score_weighting(data, ScoreOptions())).toarray()
    assert scores_UI[0, 3] == pytest.approx(1.7214, abs=1e-4)
    assert scores_UI[1, 2] == pytest.approx(10.0) and (scores_UI > 0).sum() == 2


def test_a_weight_may_be_changed_and_one_of_no_behavior_is_refused() -> None:
    data = world([(0, 3, 0.0, 1), (0, 2, 0.0, 2)])
    changed = ScoreOptions(changed_weights={"cart": 80.0})
    assert score_matrix(data, score_weighting(data, changed)).toarray()[0, [3, 2]].tolist() == [80.0, 10.0]
    with pytest.raises(SettingError, match=r"changed_weights names card; behaviors are browse, cart, purchase"):
        score_weighting(data, ScoreOptions(changed_weights={"card": 2.0}))


def kinds_of_two_scores() -> tuple[Interactions, ItemFeatures]:
    """Items of one kind are browsed twice by everybody, those of the other bought."""
    events = [(user, item, 0.0, behavior) for user in range(5) for item in range(3) for behavior in (0, 0)]
    events += [(user, item, 0.0, 2) for user in range(5) for item in range(3, 6)]
    return world(events), text_of(np.eye(2)[[0, 0, 0, 1, 1, 1]])


def test_the_printed_network_without_a_user_learns_the_mean_score_of_a_kind_of_content() -> None:
    data, items = kinds_of_two_scores()
    model = S3_ITEM_ONLY.model({**SMALL, "zeros_per_pair": 0, "num_steps": 300})
    model.fit(data, items, seed=1)
    assert model.score(*asked(data, [0]))[0] == pytest.approx([2, 2, 2, 10, 10, 10], abs=0.3)


def test_the_printed_network_without_a_user_gives_everybody_the_same_list() -> None:
    task = bridged_task()
    model = S3_ITEM_ONLY.model({**SMALL, "num_steps": 20})
    model.fit(task.data.take(task.fit_E), bridged_items(), seed=1)
    users_N, histories = asked(task.data, [0, 1, 2, UNKNOWN])
    scores_NI = model.score(users_N, histories)
    assert (scores_NI == scores_NI[0]).all() and len(np.unique(scores_NI[0])) > 1
    lists_NK = judge(model, task.test, seed=1)["full", "any"].lists_NK
    assert lists_NK is not None and personalization(lists_NK) == 0.0


def test_the_printed_network_with_a_user_gives_lists_of_ones_own_and_strangers_one_list() -> None:
    task = bridged_task()
    model = S3_WITH_USER.model({**SMALL, "num_steps": 20})
    model.fit(task.data.take(task.fit_E), bridged_items(), seed=1)
    users_N, histories = asked(task.data, [0, 1, UNKNOWN, UNKNOWN])
    scores_NI = model.score(users_N, histories)
    assert not np.array_equal(scores_NI[0], scores_NI[1]) and np.allclose(scores_NI[2], scores_NI[3])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 40), st.integers(0, 2)), min_size=1),
    st.integers(0, 1_000),
)
def test_what_a_user_scored_is_learned_from_without_the_item_itself(
    events: list[tuple[int, int, int, int]], seed: int
) -> None:
    data = world([(user, item, DAY_S * day, behavior) for user, item, day, behavior in events])
    slots = Slots.of(text_of(np.random.default_rng(seed).normal(size=(6, 3))))
    scores_UI = score_matrix(data, score_weighting(data, ScoreOptions(decay_per_day=0.01)))
    shares_UI, totals_U = row_shares(scores_UI)
    pairs = Pairs.of(scores_UI)
    found = without_own(slots.sums(shares_UI), totals_U, slots, pairs)
    dense_UI = scores_UI.toarray()
    for n, (user, item) in enumerate(zip(pairs.users_N.tolist(), pairs.items_N.tolist(), strict=True)):
        others_I = np.where(np.arange(6) == item, 0.0, dense_UI[user])
        assert found.present_N2[n].tolist() == [bool(others_I.any()), False]
        if others_I.any():
            expected = others_I @ slots.text_NX / others_I.sum()
            assert found.text_NX[n] == pytest.approx(expected, abs=1e-3)


def test_pairs_without_an_event_are_learned_as_zero_and_others_as_they_are() -> None:
    data, _ = kinds_of_two_scores()
    some = data.take((data.users_E > 0) & (data.items_E % 3 != data.users_E % 3))
    scores_UI = score_matrix(some, score_weighting(data, ScoreOptions()))
    options = S3_ITEM_ONLY.options(batch_pairs=50, zeros_per_pair=2)
    drawn = Pairs.of(scores_UI).drawn(options, num_items=6, generator=np.random.default_rng(1))
    assert len(drawn.users_N) == 150 and (drawn.scores_N[::3] > 0).all() and (drawn.scores_N == 0).any()
    assert drawn.scores_N.tolist() == scores_UI.toarray()[drawn.users_N, drawn.items_N].tolist()


@cache
def bridged_task() -> Task:
    """Who browses items of a group buys one of the next group after each: what is wanted is unlike what came last."""
    generator, events = np.random.default_rng(7), []
    for user in range(240):
        group = user % NUM_GROUPS
        pools = [generator.permutation(PER_GROUP) + each % NUM_GROUPS * (PER_GROUP + 1) for each in (group, group + 1)]
        for place in range(8):
            at_s = place * DAY_S + user
            events.append((user, int(pools[place % 2][place // 2]), at_s, 2 * (place % 2)))
    return leave_one_out(world(events, num_users=240, num_items=NUM_ITEMS))


def bridged_items() -> ItemFeatures:
    """Vectors that tell groups apart, with noise."""
    noise_ID = np.random.default_rng(3).normal(scale=0.1, size=(NUM_ITEMS, NUM_GROUPS))
    return text_of(np.repeat(np.eye(NUM_GROUPS), PER_GROUP + 1, axis=0) + noise_ID)


@cache
def strong_of_bridged(loss: str = "softmax", weights: str = "usual") -> Model:
    task = bridged_task()
    steps = 120 if loss == "softmax" else 240  # a cross-entropy of single pairs learns an order more slowly
    model = S3_STRONG.model({"width": 16, "batch_events": 64, "num_steps": steps, "loss": loss, "weights": weights})
    model.fit(task.data.take(task.fit_E), bridged_items(), seed=1)
    return model


def hr_at_5(model: Model) -> float:
    task = bridged_task()
    places = judge(model, task.test, seen=("new",), seed=1)["full", "new"]
    return mean_of(per_target(places, task.test, cuts=(5,))["hr_at_5"])


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_the_strong_form_finds_what_popularity_and_likeness_cannot(loss: str) -> None:
    task, simple = bridged_task(), []
    for entry in (POPULARITY, CONTENT_LIKENESS):
        model = entry.model()
        model.fit(task.data.take(task.fit_E), bridged_items(), seed=1)
        simple.append(hr_at_5(model))
    assert hr_at_5(strong_of_bridged(loss)) >= max(simple) + 0.1


def test_an_item_without_events_ranks_where_its_content_puts_it() -> None:
    task, cold_G = bridged_task(), np.arange(NUM_GROUPS) * (PER_GROUP + 1) + PER_GROUP
    assert not np.isin(task.data.items_E, cold_G).any()
    scores_NG = strong_of_bridged().score(task.test.users_N, task.test.histories)[:, cold_G]
    wanted_N = task.test.items_P // (PER_GROUP + 1)
    assert (scores_NG.argmax(axis=1) == wanted_N).mean() >= 0.8


def test_an_item_is_not_pushed_away_for_content_that_new_items_alone_have() -> None:
    """What is new tells it, as the season of a dress does: it still stands above the items of most other groups."""
    task, cold_G = bridged_task(), np.arange(NUM_GROUPS) * (PER_GROUP + 1) + PER_GROUP
    given = bridged_items().vectors["text"]
    is_new_I1 = np.isin(np.arange(NUM_ITEMS), cold_G)[:, None]
    model = S3_STRONG.model({"width": 16, "batch_events": 64, "num_steps": 120})
    model.fit(task.data.take(task.fit_E), text_of(np.concatenate([given, is_new_I1], axis=1)), seed=1)
    scores_NI = model.score(task.test.users_N, task.test.histories)
    wanted_N = task.test.items_P // (PER_GROUP + 1)
    own_N = np.take_along_axis(scores_NI, cold_G[wanted_N][:, None], axis=1)
    is_other_NI = (np.arange(NUM_ITEMS) // (PER_GROUP + 1))[None] != wanted_N[:, None]
    assert ((scores_NI < own_N) & is_other_NI).sum() / is_other_NI.sum() >= 0.8


def test_the_next_event_is_of_some_behavior_on_some_item() -> None:
    task = bridged_task()
    scores_NI = strong_of_bridged(weights="equal").score(task.test.users_N[:9], task.test.histories.part(0, 9))
    assert np.exp(scores_NI.astype(np.float64)).sum(axis=1) == pytest.approx(np.ones(9), abs=1e-3)


def test_an_item_that_nobody_touched_is_as_popular_as_the_mean_one() -> None:
    found_I = popular(np.array([0.0, 1.0, 8.0, 0.0, 3.0]))
    assert found_I[[0, 3]].tolist() == [0.0, 0.0] and found_I[2] > found_I[4] > found_I[1]
    assert found_I.sum() == pytest.approx(0.0, abs=1e-6)
    assert popular(np.zeros(3)).tolist() == popular(np.array([0.0, 4.0, 4.0])).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (S3_ITEM_ONLY, {"head_dim": 3}, "s3_item_only.head_dim is 3; give a multiple of 4"),
        (S3_WITH_USER, {"head_dim": 6}, "s3_with_user.head_dim is 6; give a multiple of 4"),
        (S3_WITH_USER, {"changed_weights": {"cart": -1.0}}, "changed_weights.cart is -1.0; give a number of 0 or more"),
        (S3_STRONG, {"width": 10}, "s3_strong.num_heads is 8 and width 10; give a divisor of it"),
        (S3_STRONG, {"loss": "mse"}, 's3_strong.loss is \'mse\'; give "bce" or "softmax"'),
        (S3_STRONG, {"token_dropout": 1.0}, "s3_strong.token_dropout is 1.0; give a number"),
    ],
)
def test_an_option_that_cannot_be_is_refused(model: object, options: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError) as caught:
        model.model(options)  # type: ignore[attr-defined]
    assert said in str(caught.value)
