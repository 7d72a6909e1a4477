"""Requests and lists as messages: pages, explanations, served lists, refusals."""

import base64
import dataclasses
import zlib

import pytest
from google.protobuf.json_format import MessageToJson, Parse

from mmrec.catalog.item import CatalogEntry
from mmrec.config import EventSettings
from mmrec.errors import InvalidRequestError
from mmrec.recall.sources.neighbor_items import NeighborItems
from mmrec.recall.sources.own_items import OwnItems
from mmrec.recall.sources.popular_items import PopularItems
from mmrec.recall.sources.registry import SOURCES
from mmrec.serving.explain import explain
from mmrec.serving.item_record import ItemUpdate
from mmrec.serving.messages import list_request, list_response, served_list_record, timestamp
from mmrec.serving.page_token import page_token, shown_items
from mmrec.serving.recommend import ListRequest, recommend
from mmrec.v1 import behavior_pb2, recommender_pb2
from tests.serving_world import ServingWorld, no_deadline, serving_world


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world()


@pytest.fixture(scope="module")
def state(world):
    return world.state()


def answer(world, state, **fields):
    message = recommender_pb2.RecommendItemsRequest(**fields)
    request = list_request(message, now_s=world.end_s, bounds=EventSettings())
    found = recommend(request, state=state, read_profile=world.read_profile, deadline=no_deadline())
    return message, list_response(
        message,
        request,
        found,
        request_id="r1",
        release_id=state.release_id,
        stream_ingest_time_s=state.stream_ingest_time_s,
    )


def explained(row, found):
    return explain(row, found, found.candidates.sources_of(row))


def clicked(**event_time):
    return {"user_id": "u", "session_events": [{"item_id": "i", "behavior": "browse", "event_time": event_time}]}


def session_event(**fields):
    return {"user_id": "u", "session_events": [{"item_id": "i", "behavior": "purchase", **fields}]}


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


DEEP = base64.urlsafe_b64encode(zlib.compress(b"[" * 100_000)).decode()


@pytest.mark.parametrize("token", ["nonsense", "%%%", page_token(["a"])[:-6], "eJyLBgAAXABc", DEEP])
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


class Mute(OwnItems):
    """Proposes as usual, and cannot say why."""

    def reasons(self, row, context):
        raise LookupError(f"nothing is known of row {row}")


def test_a_source_that_cannot_say_why_costs_its_reasons_alone(world, state, caplog):
    request = ListRequest(user_key=world.user_ids[0], as_of_s=world.end_s, num_items=100)
    asked = {"state": state, "read_profile": world.read_profile, "deadline": no_deadline()}
    found = recommend(request, **asked, sources=(PopularItems(), Mute(), NeighborItems()))
    explanations = [explained(row, found) for row in found.rows_K.tolist()]
    assert all(each.text.endswith(".") for each in explanations)
    assert any("own" in each.source_scores for each in explanations)
    assert {reason.relation for each in explanations for reason in each.behaviors} == {"neighbor"}
    (first, *_) = caplog.records
    assert (first.getMessage(), first.mmrec_fields["source"]) == ("source_reasons_failed", "own")


def test_reasons_are_those_of_sources_that_proposed_the_item(world, state):
    relations = {"own": "same item", "neighbors": "neighbor"}
    for source in SOURCES:
        request = ListRequest(user_key=world.user_ids[0], as_of_s=world.end_s, num_items=100)
        asked = {"state": state, "read_profile": world.read_profile, "deadline": no_deadline()}
        found = recommend(request, **asked, sources=(source,))
        assert len(found.rows_K)
        for row in found.rows_K.tolist():
            named = {reason.relation for reason in explained(row, found).behaviors}
            expected = {"popular": set()}.get(source.name, {relations.get(source.name, "similar")})
            assert named <= expected, source.name


def test_only_an_item_published_lately_is_called_new(world):
    keeper = world.keeper(with_statistics=False)
    fresh, old, unknown = world.entries[:3]
    published = {fresh.item_id: world.end_s - 86_400.0, old.item_id: world.end_s - 90 * 86_400.0, unknown.item_id: 0.0}
    keeper.take([ItemUpdate(item_id=i, entry=CatalogEntry(item_id=i, publish_time_s=t)) for i, t in published.items()])
    keeper.publish()
    request = ListRequest(user_key="never seen", as_of_s=world.end_s, num_items=100)
    asked = {"state": world.state(keeper), "read_profile": world.read_profile, "deadline": no_deadline()}
    found = recommend(request, **asked)
    texts = {i: explained(keeper.catalogue.row_of[i], found).text for i in published}
    assert texts == {
        fresh.item_id: "It is new here.",
        old.item_id: "Few people have found it yet.",
        unknown.item_id: "Few people have found it yet.",
    }


def test_the_answer_says_how_fresh_and_how_complete_it_is(world, state):
    _, response = answer(world, state, user_id=world.user_ids[0])
    assert response.state.as_of.ToSeconds() == int(world.end_s)
    assert not response.state.HasField("stream_lag")
    assert not response.state.degraded
    assert response.state.num_candidates > 20
    _, bare = answer(world, world.state(with_model=False), user_id=world.user_ids[0])
    assert list(bare.state.degraded_reasons) == ["no_release"]


def test_stream_lag_speaks_of_the_stream_and_not_of_the_user(world, state):
    state = dataclasses.replace(state, stream_ingest_time_s=world.end_s - 2.5)
    for user_id in (world.user_ids[0], "never seen"):
        _, response = answer(world, state, user_id=user_id)
        assert response.state.stream_lag.ToMilliseconds() == 2_500
        _, past = answer(world, state, user_id=user_id, as_of={"seconds": int(world.end_s) - 100})
        assert past.state.stream_lag.ToMilliseconds() == 0


def test_the_served_list_is_what_was_served(world, state):
    message, response = answer(world, state, user_id=world.user_ids[0], placement="home")
    key, value = served_list_record(message, response, serve_s=world.end_s)
    assert key.decode() == world.user_ids[0]
    served = behavior_pb2.ServedList(
        request_id="r1",
        user_id=world.user_ids[0],
        placement="home",
        serve_time=timestamp(world.end_s),
        release_id="planted",
        items=[
            behavior_pb2.ServedItem(
                item_id=item.item_id,
                rank=item.rank,
                ranking_score=item.ranking_score,
                sources=item.sources,
                propensity=1,
            )
            for item in response.items
        ],
    )
    assert value.decode() == MessageToJson(served, preserving_proto_field_name=True, indent=None)


def test_the_served_list_of_somebody_unknown_says_so_and_what_it_lacks(world):
    state = world.state(with_model=False)
    message, response = answer(world, state, anonymous_id="né", num_items=1)
    key, value = served_list_record(message, response, serve_s=world.end_s)
    served = Parse(value.decode(), behavior_pb2.ServedList())
    assert key.decode() == served.anonymous_id == "né"
    assert (served.user_id, served.placement, served.release_id) == ("", "", "")
    assert list(served.degraded) == ["no_release"]
    assert served.items[0].rank == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "nobody"),
        ({"user_id": "u", "num_items": -1}, "num_items is -1"),
        ({"user_id": "u", "num_items": 201}, "num_items is 201"),
        ({"user_id": "~u"}, "anonymous_id"),
        ({"user_id": "u", "filter": {"price_min": -1}}, "price bound"),
        ({"user_id": "u", "filter": {"price_max": float("nan")}}, "price bound nan"),
        ({"user_id": "u", "filter": {"price_min": float("inf")}}, "price bound inf"),
        ({"user_id": "u", "filter": {"price_min": 5, "price_max": 3}}, "price_min 5.0 is above price_max 3.0"),
        (session_event(quantity=-1), "quantity is -1.0; give a number >= 0"),
        (session_event(price=-0.01), "price is -0.01; give a number >= 0"),
        (session_event(position=-1), "position is -1; give a rank from 1"),
        (session_event(price=float("nan")), "price nan; give finite numbers"),
        (session_event(item_id="i" * 257), "item_id has 257 bytes"),
        (session_event(event_id="a\nb"), "no control characters"),
        ({"user_id": "u", "filter": {"conditions": [{"attribute": "color"}]}}, "at least one value"),
        ({"user_id": "u", "as_of": {"seconds": 2**63 - 1}}, "as_of is .* years 1 to 9999"),
        ({"user_id": "u", "as_of": {"seconds": -(2**63)}}, "as_of is .* years 1 to 9999"),
        ({"user_id": "u", "as_of": {"nanos": -1}}, "as_of is .* years 1 to 9999"),
        (clicked(seconds=2**63 - 1), "event_time of a session event is .* years 1 to 9999"),
        (clicked(seconds=1_301), r"epoch second 1301.000; give one from 0.000 to 1300.000"),
        (clicked(seconds=-1), r"epoch second -1.000; give one from 0.000"),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_be_right(fields, words):
    with pytest.raises(InvalidRequestError, match=words):
        list_request(recommender_pb2.RecommendItemsRequest(**fields), now_s=1_000.0, bounds=EventSettings())


def test_the_last_instant_there_is_gets_an_answer(world, state):
    _, response = answer(world, state, user_id=world.user_ids[0], as_of={"seconds": 253_402_300_799})
    assert response.state.as_of.seconds == 253_402_300_799
    assert len(response.items) == 20


def test_session_events_may_run_ahead_as_far_as_those_of_the_stream():
    bounds = EventSettings(max_future_s=10.0, horizon_s=500.0)
    for as_of, latest in ((None, 1_010), (800, 1_010), (2_000, 2_010)):
        fields = clicked(seconds=latest) | ({"as_of": {"seconds": as_of}} if as_of else {})
        request = list_request(recommender_pb2.RecommendItemsRequest(**fields), now_s=1_000.0, bounds=bounds)
        assert request.session_events[0].event_time_s == latest
        fields["session_events"][0]["event_time"]["seconds"] += 1
        with pytest.raises(InvalidRequestError, match="event_time"):
            list_request(recommender_pb2.RecommendItemsRequest(**fields), now_s=1_000.0, bounds=bounds)


@pytest.mark.parametrize("ahead_s", [0.0, 1e6])
def test_what_is_not_published_by_now_is_shown_to_nobody_whatever_instant_is_asked_for(world, ahead_s: float) -> None:
    keeper = world.keeper(with_statistics=False)
    coming, here = (entry.item_id for entry in world.entries[:2])
    times = {coming: world.end_s + 1_000.0, here: world.end_s - 1_000.0}
    keeper.take([ItemUpdate(item_id=i, entry=CatalogEntry(item_id=i, publish_time_s=t)) for i, t in times.items()])
    keeper.publish()
    message = recommender_pb2.RecommendItemsRequest(user_id="never seen", num_items=200)
    message.as_of.FromMicroseconds(round((world.end_s + ahead_s) * 1e6))
    request = list_request(message, now_s=world.end_s, bounds=EventSettings())
    asked = {"state": world.state(keeper), "read_profile": world.read_profile, "deadline": no_deadline()}
    listed = {keeper.catalogue.item_ids[row] for row in recommend(request, **asked).rows_K.tolist()}
    assert coming not in listed
    assert here in listed
