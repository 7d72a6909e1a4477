"""Requests and lists as messages: pages, explanations, served lists, refusals."""

import json

import pytest

from mmrec.errors import InvalidRequestError
from mmrec.pipeline import recommend
from mmrec.serving.messages import list_request, list_response, served_list_record
from mmrec.serving.page_token import page_token, shown_items
from mmrec.v1 import recommender_pb2
from tests.serving_world import ServingWorld, no_deadline, serving_world


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world()


@pytest.fixture(scope="module")
def state(world):
    return world.state()


def answer(world, state, **fields):
    message = recommender_pb2.RecommendItemsRequest(**fields)
    request = list_request(message, now_s=world.end_s)
    found = recommend(request, state=state, read_profile=world.read_profile, deadline=no_deadline())
    return message, list_response(
        message, request, found, request_id="r1", release_id=state.release_id, behaviors=state.scoring.behaviors
    )


def test_pages_walk_through_a_list_without_repeating_until_it_ends(world, state):
    seen, token, ranks = [], "", []
    for _ in range(30):
        _, page = answer(world, state, user_id=world.user_ids[0], num_items=40, page_token=token)
        seen += [item.item_id for item in page.items]
        ranks += [item.rank for item in page.items]
        token = page.next_page_token
        if not token:
            break
    assert not token
    assert len(seen) == len(set(seen)) > 100
    assert ranks == list(range(1, len(seen) + 1))


@pytest.mark.parametrize("token", ["nonsense", "%%%", page_token(["a"])[:-6], "eJyLBgAAXABc"])
def test_a_token_that_is_not_ours_is_refused(token):
    with pytest.raises(InvalidRequestError, match="page_token"):
        shown_items(token)


def test_tokens_round_trip():
    assert shown_items(page_token(["a", "é", 'with "quotes"'])) == ("a", "é", 'with "quotes"')
    assert shown_items("") == ()


def test_a_click_is_named_where_it_led(world, state):
    user_id = world.user_ids[0]
    _, before = answer(world, state, user_id=user_id)
    listed = {item.item_id for item in before.items}
    touched = set(world.read_profile(user_id).item_ids)
    clicked = next(e for e in world.entries if e.item_id not in listed | touched)
    events = [{"item_id": clicked.item_id, "behavior": "browse"}] * 3
    _, after = answer(world, state, user_id=user_id, session_events=events, include_explanations=True)
    new = [item for item in after.items if item.item_id not in listed]
    assert any(clicked.title in item.explanation.text for item in new)
    for item in after.items:
        assert item.explanation.text.endswith(".")
        assert set(item.explanation.source_scores) == set(item.sources)
        for reason in item.explanation.behaviors:
            assert reason.relation in {"same item", "neighbor", "similar"}
            assert reason.strength > 0


def test_the_answer_says_how_fresh_and_how_complete_it_is(world, state):
    _, response = answer(world, state, user_id=world.user_ids[0])
    assert response.state.as_of.ToSeconds() == int(world.end_s)
    assert response.state.HasField("stream_lag")
    assert not response.state.degraded
    assert response.state.num_candidates > 20
    _, unknown = answer(world, state, user_id="never seen")
    assert not unknown.state.HasField("stream_lag")
    _, bare = answer(world, world.state(with_model=False), user_id=world.user_ids[0])
    assert list(bare.state.degraded_reasons) == ["no_release"]


def test_the_served_list_is_what_was_served(world, state):
    message, response = answer(world, state, user_id=world.user_ids[0], placement="home")
    key, value = served_list_record(message, response, serve_s=world.end_s)
    served = json.loads(value)
    assert key.decode() == world.user_ids[0]
    assert served["placement"] == "home"
    assert served["request_id"] == "r1"
    assert [item["item_id"] for item in served["items"]] == [item.item_id for item in response.items]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "nobody"),
        ({"user_id": "u", "num_items": -1}, "num_items is -1"),
        ({"user_id": "u", "num_items": 201}, "num_items is 201"),
        ({"user_id": "~u"}, "anonymous_id"),
        ({"user_id": "u", "filter": {"price_min": -1}}, "price bound"),
        ({"user_id": "u", "filter": {"conditions": [{"attribute": "color"}]}}, "at least one value"),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_be_right(fields, words):
    with pytest.raises(InvalidRequestError, match=words):
        list_request(recommender_pb2.RecommendItemsRequest(**fields), now_s=0.0)
