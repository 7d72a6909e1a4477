""" "Not this item" and "not this brand": behaviors of the profile that every list of a user obeys, until taken back."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mmrec.config import SearchSettings, parse_settings
from mmrec.content.query_encoder import NoQueryEncoder
from mmrec.errors import ConfigurationError
from mmrec.recall.item_filter import EVERYTHING
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import session_batch
from mmrec.scoring.behaviors import Behavior, behavior_set, shop_behaviors
from mmrec.scoring.settings import ScoringConfig
from mmrec.serving.explain_item import Outcome, explain_item
from mmrec.serving.many import recommend_many
from mmrec.serving.recommend import ListRequest, SessionEvent, recommend
from mmrec.serving.rows import recommend_rows
from mmrec.serving.search import search
from mmrec.serving.search_content import SearchContent
from mmrec.serving.search_request import search_request
from mmrec.serving.similar import similar
from mmrec.v1 import recommender_pb2
from tests.serving_world import ServingWorld, no_deadline, serving_world

UNWANTED = (
    Behavior(name="not_this", behavior_id=21, weight=-1.0, phrase="did not want {}", hides=True),
    Behavior(name="not_this_brand", behavior_id=22, weight=-1.0, phrase="did not want {}", hides_alike="brand"),
    Behavior(name="brand_again", behavior_id=23, weight=0.0, undo_of="not_this_brand", undo="cancel"),
    Behavior(name="this_again", behavior_id=24, weight=0.0, undo_of="not_this", undo="cancel"),
)


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    plain = serving_world(num_users=40, num_items=120, days=8.0)
    behaviors = behavior_set([*shop_behaviors(), *UNWANTED])
    return dataclasses.replace(plain, scoring=ScoringConfig(behaviors=behaviors))


@pytest.fixture(scope="module")
def state(world):
    return world.state(world.keeper(with_model=False, with_statistics=False), with_model=False)


@pytest.fixture(scope="module")
def user(world) -> str:
    return max(world.user_ids, key=lambda key: world.read_profile(key).num_items)


def brand_of(world, item_id) -> str:
    return next(entry.attributes["brand"] for entry in world.entries if entry.item_id == item_id)


def lists_of(world, state, user, *events) -> dict[str, list[str]]:
    """What every method lists for a user after some events, by method."""
    session = tuple(
        SessionEvent(item_id=item_id, behavior=behavior, event_time_s=world.end_s + number)
        for number, (item_id, behavior) in enumerate(events)
    )
    request = ListRequest(user_key=user, as_of_s=world.end_s, num_items=50, session_events=session)
    asked = {"state": state, "read_profile": world.read_profile}
    deadline = no_deadline()
    page = recommend_rows(request, num_rows=8, deadline=deadline, **asked)
    found = {
        "recommend": recommend(request, deadline=deadline, **asked).rows_K,
        "many": recommend_many(request, [user], **asked)[0].cut(50).rows_K,
        "rows": np.concatenate([row.rows_K for row in page.rows]),
    }
    return {name: [state.catalogue.item_ids[row] for row in rows.tolist()] for name, rows in found.items()}


def test_no_list_holds_an_item_that_the_user_does_not_want_and_only_that(world, state, user):
    before = lists_of(world, state, user)
    unwanted = before["recommend"][0]
    after = lists_of(world, state, user, (unwanted, "not_this"))
    assert all(unwanted not in listed for listed in after.values())
    same_brand = {e.item_id for e in world.entries if e.attributes["brand"] == brand_of(world, unwanted)} - {unwanted}
    assert all(same_brand & set(listed) for name, listed in after.items() if same_brand & set(before[name]))


def test_no_list_holds_a_brand_that_the_user_does_not_want_until_that_is_taken_back(world, state, user):
    before = lists_of(world, state, user)
    unwanted = before["recommend"][0]
    brand = brand_of(world, unwanted)
    after = lists_of(world, state, user, (unwanted, "not_this_brand"))
    for name, listed in after.items():
        assert listed, name
        assert brand not in {brand_of(world, item_id) for item_id in listed}, name
    again = lists_of(world, state, user, (unwanted, "not_this_brand"), (unwanted, "brand_again"))
    for listed in again.values():
        assert brand in {brand_of(world, item_id) for item_id in listed}


def test_items_like_one_for_a_user_leave_out_what_that_user_does_not_want(world, user):
    keeper = world.keeper()
    state = world.state(keeper, with_model=False)
    item_id, profile = world.entries[0].item_id, world.read_profile(user)
    asked = {
        "as_of_s": world.end_s,
        "num_items": 20,
        "excluded_item_ids": (),
        "item_filter": EVERYTHING,
        "state": state,
    }
    near = similar(item_id, **asked)
    unwanted = state.catalogue.item_ids[near.rows_K[0]]
    profiles = _after(world, user, profile, unwanted)
    personal = similar(item_id, user_key=user, read_profile=profiles.get, **asked)
    listed = [state.catalogue.item_ids[row] for row in personal.rows_K]
    assert listed
    assert brand_of(world, unwanted) not in {brand_of(world, each) for each in listed}


def _after(world, user, profile, item_id):
    """The profile as the stream stores it after "not this brand" on an item."""
    batch = session_batch(
        user_key=user,
        item_ids=[item_id],
        behavior_ids=[22],
        event_times_s=[world.end_s],
        event_ids=["e"],
        ingest_time_s=world.end_s,
    )
    return apply({user: profile}, batch, config=world.scoring).profiles


def test_a_personal_search_leaves_out_what_is_unwanted_and_keeps_what_was_bought(world, state, user):
    content = SearchContent()
    content.introduce(tuple(world.entries))
    shown = [e for e in world.entries if e.availability.can_be_shown and e.publish_time_s <= world.end_s]
    kind, unwanted = shown[0].attributes["category"], shown[0]
    message = recommender_pb2.SearchItemsRequest(query=[{"text": kind}], user_id=user, personal=True, num_items=100)
    request = search_request(message, now_s=world.end_s, limits=SearchSettings())
    asked = {"state": state, "content": content, "encoder": NoQueryEncoder(), "deadline": no_deadline()}
    profile = world.read_profile(user)
    before = search(request, read_profile={user: profile}.get, **asked)
    after = search(request, read_profile=_after(world, user, profile, unwanted.item_id).get, **asked)
    listed = {state.catalogue.item_ids[row] for row in before.rows_K}
    gone = {e.item_id for e in world.entries if e.attributes["brand"] == unwanted.attributes["brand"]}
    assert unwanted.item_id in listed
    assert {state.catalogue.item_ids[row] for row in after.rows_K} == listed - gone


def test_an_explanation_names_what_takes_the_brand_off_the_lists(world, state, user):
    unwanted = lists_of(world, state, user)["recommend"][0]
    entry = next(e for e in world.entries if e.item_id == unwanted)
    alike = next(
        e.item_id
        for e in world.entries
        if e.item_id not in world.read_profile(user).item_ids
        and e.item_id != unwanted
        and e.attributes["brand"] == entry.attributes["brand"]
    )
    session = (SessionEvent(item_id=unwanted, behavior="not_this_brand", event_time_s=world.end_s),)
    request = ListRequest(user_key=user, as_of_s=world.end_s, session_events=session)
    found = explain_item(alike, request, state=state, read_profile=world.read_profile, deadline=no_deadline())
    assert found.outcome is Outcome.DONE
    assert found.text == f'You did not want "{entry.title}"; that takes items of the same brand off the lists.'


def test_an_item_without_the_attribute_hides_nothing_but_is_no_error(world, state):
    bare = state.catalogue.sharing(np.array([0, 1]), "no such attribute")
    assert not bare.any()


def test_what_is_unwanted_stays_in_a_full_profile_until_it_is_taken_back():
    config = ScoringConfig(behaviors=behavior_set([*shop_behaviors(), *UNWANTED]), max_items=3)
    profiles = {}

    def told(item_id, behavior_id, second):
        batch = session_batch(
            user_key="u",
            item_ids=[item_id],
            behavior_ids=[behavior_id],
            event_times_s=[1e9 + second],
            event_ids=[f"e{second}"],
            ingest_time_s=1e9 + second,
        )
        profiles.update(apply(profiles, batch, config=config).profiles)
        return set(profiles["u"].item_ids)

    told("unwanted", 22, 0)
    for second in range(1, 8):
        assert "unwanted" in told(f"bought {second}", 4, second)
    assert len(profiles["u"].item_ids) == 3
    told("unwanted", 23, 8)
    assert "unwanted" not in told("bought 9", 4, 9)


def test_a_configuration_names_the_attribute():
    table = {"name": "not_this_brand", "behavior_id": 22, "weight": -1.0, "hides_alike": "brand"}
    behaviors = parse_settings({"behaviors": [table]}, where="test", folder=Path("/tmp")).behaviors
    assert behaviors.hiding_alike == ((0, "brand"),)
    assert shop_behaviors().hiding_alike == ()


def test_what_hides_all_that_is_alike_says_that_it_is_not_wanted():
    with pytest.raises(ConfigurationError, match="give less than 0"):
        Behavior(name="not_this_brand", behavior_id=3, weight=1.0, hides_alike="brand")


@pytest.mark.parametrize("trait", [{"hides": True}, {"hides_alike": "brand"}])
def test_what_takes_another_behavior_back_cannot_hide(trait):
    with pytest.raises(ConfigurationError, match="takes another behavior back"):
        Behavior(name="again", behavior_id=3, weight=0.0, undo_of="not_this", undo="cancel", **trait)
