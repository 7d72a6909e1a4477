"""Laws of lists made together: they are the lists of single calls, whatever fails, and come a few at a time."""

import dataclasses

import numpy as np
import pytest

from mmrec.collecting.overlay import MemoryOverlay, OverlayEntry
from mmrec.errors import DeadlineError, InvalidRequestError, StoreError
from mmrec.features.assemble import assemble
from mmrec.features.assemble_many import UserRows, assemble_many
from mmrec.index.faiss_index import FaissIndex, search_together, serving_index
from mmrec.index.vectors import ExactIndex, VectorQuery
from mmrec.recall.item_filter import ItemFilter
from mmrec.recall.sources.popular_items import PopularItems
from mmrec.recall.sources.registry import SOURCES
from mmrec.recall.sources.similar_items import SimilarItems
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.source import Source
from mmrec.serving.batch_answer import AT_ONCE, MAX_AT_ONCE_ITEMS, MAX_USERS, batch_answers, served_request
from mmrec.serving.fresh_profile import read_fresh_profile, read_fresh_profiles
from mmrec.serving.many import recommend_many
from mmrec.serving.recommend import Deadline, Degradation, ListRequest, recommend
from mmrec.v1 import recommender_pb2
from tests.serving_world import ServingWorld, no_deadline, serving_world


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world()


@pytest.fixture(scope="module")
def state(world):
    return world.state()


@pytest.fixture(scope="module")
def users(world) -> list[str]:
    """Users of all kinds, one of whom nothing is known, and one who comes twice."""
    return [*world.user_ids[:40], "never seen", world.user_ids[0]]


def one_by_one(world, state, users, **changes):
    request = ListRequest(user_key="", as_of_s=world.end_s, **changes)
    asked = {"state": state, "read_profile": world.read_profile, "deadline": no_deadline()}
    return [recommend(dataclasses.replace(request, user_key=user), **asked) for user in users]


def together(world, state, users, *, read_profile=None, sources=SOURCES, **changes):
    request = ListRequest(user_key="", as_of_s=world.end_s, **changes)
    read = read_profile or world.read_profile
    ranked = recommend_many(request, users, state=state, read_profile=read, sources=sources)
    return [each.cut(request.num_items) for each in ranked]


def assert_same(singly, jointly) -> None:
    for one, other in zip(singly, jointly, strict=True):
        assert one.rows_K.tolist() == other.rows_K.tolist()
        assert one.ranking_scores_K == pytest.approx(other.ranking_scores_K, abs=1e-5)
        assert one.candidates.rows_N.tolist() == other.candidates.rows_N.tolist()
        assert (one.degraded, one.has_more) == (other.degraded, other.has_more)
        assert one.candidates.sources_of_each(one.rows_K) == [
            pytest.approx(each, abs=1e-5) for each in other.candidates.sources_of_each(other.rows_K)
        ]


@pytest.mark.parametrize(
    "changes",
    [{}, {"num_items": 200}, {"item_filter": ItemFilter(domain="fashion", price_max=60.0)}],
    ids=["plain", "long", "filtered"],
)
def test_lists_made_together_are_those_of_single_calls(world, state, users, changes):
    assert_same(one_by_one(world, state, users, **changes), together(world, state, users, **changes))


def test_diversity_and_other_weights_of_the_ranker_make_no_difference(world, users):
    heavier = BehaviorSet(tuple(dataclasses.replace(b, weight=2 * b.weight + 1) for b in world.scoring.behaviors))
    state = world.state(diversity=0.3, ranker_behaviors=heavier, num_candidates=60)
    assert_same(one_by_one(world, state, users), together(world, state, users))


def test_without_a_release_lists_are_in_the_order_of_recall_together_too(world, users):
    state = world.state(with_model=False, unusable_release=True)
    assert_same(one_by_one(world, state, users), together(world, state, users))


def test_feature_rows_of_many_users_are_those_of_each(world, state, users):
    listed = one_by_one(world, state, users)
    behaviors, decay_per_day = world.scoring.behaviors, world.scoring.decay_per_day[0]
    rows = [
        UserRows(
            profile=each.context.profile,
            own_rows_J=each.context.own_rows_J,
            rows_N=each.candidates.rows_N,
            signals=each.context.signals(each.candidates.rows_N),
            as_of_s=each.context.read_s,
        )
        for each in listed
    ]
    found_NF = assemble_many(rows, state.catalogue, behaviors=behaviors, decay_per_day=decay_per_day)
    singly = [
        assemble(
            each.profile,
            state.catalogue.facts(each.rows_N, each.own_rows_J),
            each.signals,
            as_of_s=each.as_of_s,
            behaviors=behaviors,
            decay_per_day=decay_per_day,
        )
        for each in rows
    ]
    np.testing.assert_allclose(found_NF, np.concatenate(singly), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [ExactIndex, FaissIndex])
def test_searching_together_finds_what_each_search_finds(make):
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(300, 16)).astype(np.float32)
    index = make([f"i{n}" for n in range(300)], vectors)
    allowed_I = rng.random(300) < 0.6
    queries = [
        VectorQuery(
            queries_QD=rng.normal(size=(number, 16)).astype(np.float32),
            num_results=num_results,
            allowed_I=allowed_I & (rng.random(300) < share),
        )
        for number, num_results, share in ((1, 10, 1.0), (4, 30, 0.5), (2, 250, 0.9), (3, 5, 0.0))
    ]
    for query, found in zip(queries, search_together(index, queries, allowed_I=allowed_I), strict=True):
        alone = index.search(query.queries_QD, num_results=query.num_results, allowed_I=query.allowed_I)
        assert found.rows_QK.tolist() == alone.rows_QK.tolist()
        np.testing.assert_allclose(found.scores_QK, alone.scores_QK, rtol=1e-5, atol=1e-5)


def test_an_index_of_no_items_is_searched_together():
    index = serving_index([], np.zeros((0, 4), dtype=np.float32))
    query = VectorQuery(queries_QD=np.ones((1, 4), np.float32), num_results=3, allowed_I=np.zeros(0, np.bool_))
    assert search_together(index, [query], allowed_I=np.zeros(0, np.bool_))[0].rows_QK.tolist() == [[-1, -1, -1]]


def test_a_profile_that_cannot_be_read_costs_that_user_alone(world, state, users):
    def read(user_key):
        if user_key == users[1]:
            raise StoreError("away")
        return world.read_profile(user_key)

    found = together(world, state, users[:3], read_profile=read)
    assert [each.degraded for each in found] == [(), (Degradation.PROFILE_UNAVAILABLE,), ()]
    assert len(found[1].rows_K) == 20


class FailsTogether(SimilarItems):
    """A source that fails where it is asked for many, and for users with an odd number of items."""

    def query(self, context, *, num_candidates):
        raise RuntimeError("not today")

    def propose(self, context, *, num_candidates):
        if context.profile.num_items % 2:
            raise RuntimeError("not for you")
        return SimilarItems().propose(context, num_candidates=num_candidates)


def test_a_source_that_fails_is_missing_where_it_fails(world, state, users):
    sources = (PopularItems(), FailsTogether())
    found = together(world, state, users, sources=sources)
    for user, each in zip(users, found, strict=True):
        profile = world.read_profile(user)
        is_odd = profile is not None and profile.num_items % 2 == 1
        assert (Degradation.SOURCE_FAILED in each.degraded) == is_odd
        assert len(each.rows_K) == 20


class BrokenRanker:
    """A model whose ranker raises."""

    def __init__(self, model) -> None:
        self.user_embedding = model.user_embedding

    def rank(self, features_NF):
        raise RuntimeError("no")


def test_a_ranker_that_fails_leaves_lists_in_the_order_of_recall(world, state, users):
    broken = dataclasses.replace(state, model=BrokenRanker(state.model))
    assert_same(one_by_one(world, broken, users), together(world, broken, users))


# As messages.


def answers(world, state, message, *, deadline=None, read_profile=None):
    return batch_answers(
        message,
        state=state,
        read_profile=read_profile or world.read_profile,
        deadline=deadline or no_deadline(),
        now_s=world.end_s,
    )


def batch_of(users, **fields) -> recommender_pb2.RecommendBatchRequest:
    return recommender_pb2.RecommendBatchRequest(
        users=[recommender_pb2.BatchUser(user_id=user) for user in users], **fields
    )


def test_a_batch_answers_in_the_order_of_its_users_a_few_at_a_time(world, state, users):
    asked = batch_of(users, num_items=5, include_explanations=True, placement="letter")
    found = list(answers(world, state, asked))
    assert [len(each.lists) for each in found] == [AT_ONCE, AT_ONCE, len(users) - 2 * AT_ONCE]
    lists = [each for answer in found for each in answer.lists]
    assert [each.user.user_id for each in lists] == users
    assert len({each.list.request_id for each in lists}) == len(users)
    assert all([item.rank for item in each.list.items] == [1, 2, 3, 4, 5] for each in lists)
    assert all(item.explanation.text for each in lists for item in each.list.items)
    singly = one_by_one(world, state, users, num_items=5)
    for one, each in zip(singly, lists, strict=True):
        assert [item.item_id for item in each.list.items] == [state.catalogue.item_ids[row] for row in one.rows_K]
        assert not each.list.next_page_token
    served = served_request(asked, lists[0].user)
    assert (served.user_id, served.placement) == (users[0], "letter")


def test_nothing_is_made_before_it_is_asked_for_and_long_lists_come_fewer_at_a_time(world, state, users):
    num_read = []

    def read(user_key):
        num_read.append(user_key)
        return world.read_profile(user_key)

    coming = answers(world, state, batch_of(users, num_items=200), read_profile=read)
    assert not num_read
    next(coming)
    assert len(num_read) == MAX_AT_ONCE_ITEMS // 200


def test_a_deadline_ends_a_batch_after_the_lists_that_were_given(world, state, users):
    at = iter([0.0, 0.0, 2.0])
    coming = answers(world, state, batch_of(users), deadline=Deadline(at_s=1.0, clock=lambda: next(at)))
    assert [len(next(coming).lists), len(next(coming).lists)] == [AT_ONCE, AT_ONCE]
    with pytest.raises(DeadlineError, match=f"after {2 * AT_ONCE} of {len(users)} lists"):
        next(coming)


@pytest.mark.parametrize(
    ("users", "fields", "says"),
    [
        ([], {}, "0 users; give 1 to 10,000"),
        (["u"] * (MAX_USERS + 1), {}, "10001 users; give 1 to 10,000"),
        (["u", ""], {}, r"users\[1\] names nobody"),
        (["~u"], {}, "give anonymous ids as anonymous_id"),
        (["u"], {"num_items": 201}, "num_items is 201"),
        (["u"], {"filter": {"price_min": -1.0}}, "-1.0 is no price"),
    ],
)
def test_a_batch_that_is_none_is_refused_before_any_list(world, state, users, fields, says):
    with pytest.raises(InvalidRequestError, match=says):
        answers(world, state, batch_of(users, **fields))


# Profiles, read together.


def test_profiles_read_together_are_those_read_one_by_one(world):
    overlay, keys = MemoryOverlay(), [*world.user_ids[:5], "never seen"]
    clicked = world.entries[3].item_id
    at_s = world.end_s
    overlay.add([OverlayEntry(keys[2], Source("c", "t", 0), 1, "cart", clicked, "e1", at_s, at_s, at_s)])
    parts = {"overlay": overlay, "read_profiles": world.store.read_profiles, "config": world.scoring}
    found = read_fresh_profiles(keys, **parts)
    assert set(found) == set(keys)
    for key in keys:
        alone = read_fresh_profile(key, **parts)
        assert found[key].num_overlay_events == alone.num_overlay_events == (key == keys[2])
        assert (found[key].profile is None) == (alone.profile is None)
        if alone.profile is not None:
            assert found[key].profile.item_ids == alone.profile.item_ids
