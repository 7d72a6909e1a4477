"""Laws of requests about items that the caller names: ranked for a user, and explained."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from mmrec.catalog.item import Availability
from mmrec.config import EventSettings
from mmrec.errors import DeadlineError, InvalidRequestError, NotFoundError
from mmrec.serving.asked_items import explain_answer, rank_answer
from mmrec.serving.explain_item import Outcome, explain_item
from mmrec.serving.item_record import ItemUpdate
from mmrec.serving.rank_items import MAX_RANKED, rank_items
from mmrec.serving.recommend import Deadline, ListRequest, recommend
from mmrec.v1 import recommender_pb2
from tests.serving_world import ServingWorld, no_deadline, serving_world


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world()


@pytest.fixture(scope="module")
def state(world):
    return world.state()


@pytest.fixture(scope="module")
def user(world) -> str:
    return max(world.user_ids[:40], key=lambda key: world.read_profile(key).num_items)


@pytest.fixture(scope="module")
def bought(world, user) -> str:
    """An item that the user bought."""
    profile, behaviors = world.read_profile(user), world.scoring.behaviors
    counts = profile.counts(behaviors)[:, 0, behaviors.index("purchase")]
    return profile.item_ids[int(np.argmax(counts))]


def listed(world, state, user_key, **changes):
    request = ListRequest(user_key=user_key, as_of_s=world.end_s, **changes)
    return recommend(request, state=state, read_profile=world.read_profile, deadline=no_deadline())


def ranked(world, state, user_key, item_ids, **changes):
    request = ListRequest(user_key=user_key, as_of_s=world.end_s)
    values = {"state": state, "read_profile": world.read_profile, "deadline": no_deadline(), **changes}
    return rank_items(request, item_ids, **values)


def explained(world, state, user_key, item_id, **changes):
    request = ListRequest(user_key=user_key, as_of_s=world.end_s, **changes)
    return explain_item(item_id, request, state=state, read_profile=world.read_profile, deadline=no_deadline())


def names(found) -> list[str]:
    return [found.context.catalogue.item_ids[row] for row in found.rows_K]


def with_item(world, item_id, **changes):
    """The state after a record of that item."""
    keeper = world.keeper()
    entry = next(each for each in world.entries if each.item_id == item_id)
    keeper.take([ItemUpdate(item_id=item_id, entry=dataclasses.replace(entry, **changes))])
    keeper.publish()
    return world.state(keeper)


def test_ranking_is_a_permutation_of_what_may_be_shown(world, state, user):
    shown = np.flatnonzero(state.catalogue.showable(world.end_s))[:60:3]
    asked = [state.catalogue.item_ids[row] for row in shown]
    found = ranked(world, state, user, [*asked, "unknown", *asked[:3]])
    assert sorted(names(found.found)) == sorted(asked)
    assert found.unknown == ("unknown",)
    assert found.unavailable == ()


def test_candidates_of_a_list_are_ranked_as_in_the_list(world, state, user):
    of_list = listed(world, state, user, num_items=50)
    found = ranked(world, state, user, names(of_list)[::-1])
    assert found.found.ranking_scores_K.tolist() == pytest.approx(of_list.ranking_scores_K.tolist())
    distinct = len(np.unique(of_list.ranking_scores_K)) == len(of_list.ranking_scores_K)
    assert not distinct or names(found.found) == names(of_list)


def test_what_the_user_bought_is_ranked_since_the_caller_asked_for_it(world, state, user, bought):
    assert bought not in names(listed(world, state, user, num_items=200))
    assert names(ranked(world, state, user, [bought]).found) == [bought]


def test_a_hidden_item_is_named_and_not_ranked(world, user):
    asked = names(listed(world, world.state(), user, num_items=2))
    state = with_item(world, asked[0], availability=Availability.HIDDEN)
    found = ranked(world, state, user, asked)
    assert (names(found.found), found.unavailable) == ([asked[1]], (asked[0],))


def test_without_a_release_items_come_in_the_order_of_recall(world, user):
    state = world.state(with_model=False)
    asked = [each.item_id for each in world.entries]
    of_list = names(listed(world, state, user, num_items=30))
    found = names(ranked(world, state, user, asked).found)
    assert [name for name in found if name in of_list][:5] == of_list[:5]


@pytest.mark.parametrize("asked", [[], [f"i{n}" for n in range(MAX_RANKED + 1)]])
def test_no_items_and_too_many_are_refused_with_the_number_that_is_right(world, state, user, asked):
    with pytest.raises(InvalidRequestError, match=f"{len(asked)} item_ids; give 1 to {MAX_RANKED}"):
        ranked(world, state, user, asked)


def test_a_deadline_that_passed_is_said_as_such(world, state, user):
    with pytest.raises(DeadlineError):
        ranked(world, state, user, ["i"], deadline=Deadline(at_s=0.0, clock=lambda: 1.0))


def test_every_item_of_a_list_is_explained_as_listed_at_its_rank(world, state, user):
    of_list = listed(world, state, user, num_items=10)
    for rank, (name, score) in enumerate(zip(names(of_list), of_list.ranking_scores_K, strict=True), 1):
        found = explained(world, state, user, name, num_items=10)
        assert (found.outcome, found.place) == (Outcome.LISTED, rank)
        assert found.ranking_score == pytest.approx(score)
        assert found.text


def test_contributions_sum_to_what_sets_the_item_apart_from_the_mean_candidate(world, state, user):
    found = explained(world, state, user, world.entries[3].item_id)
    assert sum(found.contributions.values()) == pytest.approx(found.ranking_score - found.candidates_score, abs=1e-4)
    assert set(found.contributions) == set(found.features)


def test_the_gains_of_the_sources_are_the_recall_score(world, state, user):
    of_list = listed(world, state, user, num_items=10)
    row = int(of_list.rows_K[0])
    place = of_list.candidates.rows_N.tolist().index(row)
    found = explained(world, state, user, names(of_list)[0], num_items=10)
    assert found.recall_score == pytest.approx(of_list.candidates.recall_scores_N[place])
    assert sum(each.gain for each in found.standings) == pytest.approx(found.recall_score)


def test_the_next_candidate_is_below_the_list(world, state, user):
    longer = names(listed(world, state, user, num_items=11))
    found = explained(world, state, user, longer[10], num_items=10)
    assert (found.outcome, found.place) == (Outcome.BELOW, 11)
    assert "ends at 10" in found.text


def test_a_bought_item_says_so(world, state, user, bought):
    found = explained(world, state, user, bought)
    assert found.outcome is Outcome.DONE
    assert "You bought" in found.text


def test_a_hidden_item_an_excluded_one_and_a_filtered_one_name_the_rule(world, state, user):
    name = names(listed(world, state, user))[0]
    hidden = with_item(world, name, availability=Availability.HIDDEN)
    assert explained(world, hidden, user, name).outcome is Outcome.UNAVAILABLE
    assert explained(world, state, user, name, excluded_item_ids=(name,)).outcome is Outcome.EXCLUDED
    price = next(each.price for each in world.entries if each.item_id == name)
    dearer = dataclasses.replace(ListRequest(user_key="", as_of_s=0.0).item_filter, price_min=price + 1)
    assert explained(world, state, user, name, item_filter=dearer).outcome is Outcome.FILTERED


def test_an_item_that_is_cut_is_told_apart_from_one_that_nobody_proposes(world, user):
    few = world.state(num_candidates=5)
    outcomes = {explained(world, few, user, each.item_id, num_items=4).outcome for each in world.entries}
    assert Outcome.CUT in outcomes
    # Every item is popular at some place, so none is proposed by nobody here.
    assert Outcome.NOT_PROPOSED not in outcomes


def test_an_unknown_item_is_not_found(world, state, user):
    with pytest.raises(NotFoundError, match="'no such item' is not in the catalogue of 200 items"):
        explained(world, state, user, "no such item")


def test_answers_say_as_messages_what_was_found(world, state, user):
    answering = {
        "state": state,
        "read_profile": world.read_profile,
        "deadline": no_deadline(),
        "now_s": world.end_s,
        "bounds": EventSettings(),
    }
    of_list = names(listed(world, state, user, num_items=5))
    rank = partial(rank_answer, **answering)
    asked = recommender_pb2.RankItemsRequest(user_id=user, item_ids=[*of_list, "?"], include_explanations=True)
    answer = rank(asked)
    assert [item.rank for item in answer.items] == [1, 2, 3, 4, 5]
    assert all(item.explanation.text and item.sources for item in answer.items)
    assert list(answer.unknown_item_ids) == ["?"]
    explain = partial(explain_answer, **answering)
    told = explain(recommender_pb2.ExplainItemRequest(user_id=user, item_id=of_list[0], num_items=5))
    assert told.outcome == recommender_pb2.ITEM_OUTCOME_LISTED
    assert (told.item.item_id, told.item.rank, told.place) == (of_list[0], 1, 1)
    assert len(told.sources) == 5
    assert told.last_score <= told.item.ranking_score
    below = explain(recommender_pb2.ExplainItemRequest(user_id=user, item_id=of_list[4], num_items=4))
    assert (below.outcome, below.item.rank, below.place) == (recommender_pb2.ITEM_OUTCOME_BELOW, 0, 5)
    with pytest.raises(InvalidRequestError, match="item_ids is empty"):
        rank(recommender_pb2.RankItemsRequest(user_id=user, item_ids=[""]))
    with pytest.raises(InvalidRequestError, match="item_id is empty"):
        explain(recommender_pb2.ExplainItemRequest(user_id=user))


def test_outcomes_have_the_names_and_numbers_of_the_message():
    numbers = {each.value: f"ITEM_OUTCOME_{each.name}" for each in Outcome}
    assert numbers == {n: name for name, n in recommender_pb2.ItemOutcome.items() if n}
