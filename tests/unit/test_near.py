"""Laws of what is popular near somebody: smoothed by the whole, good for strangers by context alone, a row."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from mmrec.cli.where import asked_context
from mmrec.config import EventSettings, StatisticsSettings
from mmrec.errors import InvalidRequestError
from mmrec.events.columns import EVENT_SCHEMA
from mmrec.events.log import MemoryEventLog
from mmrec.features.stores import MemoryFeatureStore
from mmrec.features.values import PopularItems
from mmrec.recall.item_views import ItemViews
from mmrec.recall.near import MAX_VALUES, SMOOTHING, NearStatistics, near_key, near_keys, near_popularity
from mmrec.scoring.batch import session_batch
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.serving.messages import MAX_CONTEXT, list_request
from mmrec.serving.near_places import AGE_S, READ_AT_ONCE, NearPlaces
from mmrec.serving.recommend import ListRequest, SessionEvent, recommend
from mmrec.serving.rows import RowKind, recommend_rows
from mmrec.v1 import recommender_pb2
from tests.serving_world import ServingWorld, no_deadline, serving_world


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world(num_users=60, num_items=120, days=8.0)


@pytest.fixture(scope="module")
def state(world):
    return world.state()


def popular(world, *rows, weight=5_000.0) -> PopularItems:
    """Items that almost everybody of a place likes."""
    return PopularItems(
        item_ids=tuple(world.entries[row].item_id for row in rows),
        popularity_K=np.full(len(rows), weight),
        as_of_s=world.end_s,
    )


@pytest.fixture(scope="module")
def unpopular(world, state) -> list[int]:
    """Rows of items that may be shown and that few like."""
    shown = state.catalogue.showable(world.end_s)
    return [row for row in state.catalogue.popular_rows_I[::-1].tolist() if shown[row]][:3]


def ask(world, state, user="never seen", **changes):
    request = ListRequest(user_key=user, as_of_s=world.end_s, **changes)
    return recommend(request, state=state, read_profile=world.read_profile, deadline=no_deadline())


@pytest.mark.parametrize("with_model", [True, False])
def test_a_stranger_gets_what_is_popular_near(world, unpopular, with_model):
    state = world.state(with_model=with_model)
    near = popular(world, *unpopular)
    found = ask(world, state, near=(near,), num_items=20)
    assert set(found.rows_K[:3].tolist()) == set(unpopular)
    assert not set(ask(world, state, num_items=3).rows_K.tolist()) & set(unpopular)
    sources = found.candidates.sources_of_each(found.rows_K)
    assert all("near" in each for each in sources)
    assert len(found.rows_K) == 20


def test_of_a_place_without_events_the_whole_speaks(world, state):
    nothing = PopularItems(item_ids=(), popularity_K=np.zeros(0), as_of_s=world.end_s)
    rows = np.arange(len(world.entries))
    whole = np.maximum(state.catalogue.popularity_I, 0.0)
    assert near_popularity((nothing,), state.catalogue, rows) == pytest.approx(whole / whole.sum())
    state = world.state(with_model=False)
    assert ask(world, state, near=(nothing,)).rows_K.tolist() == ask(world, state).rows_K.tolist()


def test_few_events_move_the_whole_a_little_and_many_take_over(world, state):
    whole = np.maximum(state.catalogue.popularity_I, 0.0)
    share = whole[0] / whole.sum()
    for weight in (SMOOTHING / 100, SMOOTHING, 100 * SMOOTHING):
        found = near_popularity((popular(world, 0, weight=weight),), state.catalogue, np.array([0]))
        assert found[0] == pytest.approx((weight + SMOOTHING * share) / (weight + SMOOTHING))
    both = near_popularity((popular(world, 0), popular(world, 1)), state.catalogue, np.array([0, 1, 2]))
    assert both[0] == pytest.approx(both[1], rel=0.1)
    assert both[0] > 5 * both[2]


def test_somebody_with_a_past_gets_the_same_list_as_before(world, state, unpopular):
    user = world.user_ids[0]
    near = (popular(world, *unpopular),)
    assert ask(world, state, user, near=near).rows_K.tolist() == ask(world, state, user).rows_K.tolist()


def test_the_first_clicks_of_a_stranger_lead_and_the_place_fills_up(world, state, unpopular):
    click = SessionEvent(item_id=world.entries[unpopular[0]].item_id, behavior="browse")
    found = ask(world, state, session_events=(click,), near=(popular(world, *unpopular),), num_items=50)
    named = {source for each in found.candidates.sources_of_each(found.rows_K) for source in each}
    assert {"near", "neighbors"} <= named or {"near", "similar"} <= named


def test_a_page_has_a_row_of_the_place_and_no_item_twice(world, state, unpopular):
    near = (popular(world, *unpopular),)
    request = ListRequest(user_key=world.user_ids[0], as_of_s=world.end_s, num_items=6, near=near)
    asked = {"state": state, "read_profile": world.read_profile, "deadline": no_deadline()}
    page = recommend_rows(request, num_rows=6, **asked)
    kinds = [row.kind for row in page.rows]
    assert RowKind.NEAR in kinds
    shown = np.concatenate([row.rows_K for row in page.rows])
    assert len(set(shown.tolist())) == len(shown)
    stranger = recommend_rows(dataclasses.replace(request, user_key="never seen"), num_rows=6, **asked)
    assert stranger.rows[0].title == "Popular near you"
    assert RowKind.NEAR not in [row.kind for row in stranger.rows]


# From events to lists.


def test_events_with_a_context_become_lists_of_their_values_and_others_do_not(world):
    rows = [
        ("i1", '{"country": "SE", "device": "phone"}'),
        ("i1", '{"country": "SE"}'),
        ("i2", '{"country": "NO", "other": "x"}'),
        ("i3", ""),
        ("i4", '{"country": "' + "x" * 65 + '"}'),
    ]
    events = pa.Table.from_pylist([_event(n, item, context) for n, (item, context) in enumerate(rows)], EVENT_SCHEMA)
    log, store = MemoryEventLog(), MemoryFeatureStore()
    log.append(events, batch_key="b")
    settings = StatisticsSettings(popular_by=("country", "device"))
    views = ItemViews(log, store, behaviors=shop_behaviors(), settings=settings)
    views.refresh_statistics(now_s=1e9 + 100)
    views.refresh_neighbors(now_s=1e9 + 100)
    keys = near_keys(("country", "device"), {"country": "SE", "device": "phone"})
    found = [store.read_popular(key) for key in keys]
    assert [each.item_ids for each in found] == [("i1",), ("i1",)]
    assert [float(each.popularity_K[0]) for each in found] == pytest.approx([2.0, 1.0], rel=1e-3)
    assert store.read_popular(near_key("country", "NO")).item_ids == ("i2",)
    assert store.read_popular(near_key("other", "x")) is None
    assert store.read_popular(near_key("country", "x" * 65)) is None
    assert views.figures()["num_places"] == 3


def _event(number: int, item_id: str, context: str) -> dict:
    values = {
        "cluster_id": "c",
        "topic_id": "t",
        "partition": 0,
        "offset": number,
        "event_id": f"e{number}",
        "user_key": f"u{number}",
        "item_id": item_id,
        "behavior": "browse",
        "event_time_s": 1e9 + number,
        "known_time_s": 1e9 + number,
        "ingest_time_s": 1e9 + number,
        "context": context,
    }
    zeros = {"string": "", "double": 0.0, "int32": 0, "int64": 0, "bool": False}
    return {field.name: values.get(field.name, zeros.get(str(field.type))) for field in EVENT_SCHEMA}


def test_values_beyond_the_limit_are_not_kept():
    statistics = NearStatistics(("country",), half_lives_days=(7.0,))
    contexts = [f'{{"country": "c{n:04d}"}}' for n in range(MAX_VALUES + 5)]
    table = pa.table({"context": contexts})
    counted: list[int] = []

    def batch(part):
        counted.append(part.num_rows)
        return session_batch(
            user_key="",
            item_ids=["i"] * part.num_rows,
            behavior_ids=[1] * part.num_rows,
            event_times_s=[1e9] * part.num_rows,
            event_ids=[f"e{n}" for n in range(part.num_rows)],
            ingest_time_s=1e9,
        )

    statistics.count(table, batch, behaviors=shop_behaviors())
    assert statistics.num_values == MAX_VALUES == sum(counted)


def test_a_replica_reads_a_place_after_it_was_asked_for_and_again_when_it_is_old(world):
    store, places = MemoryFeatureStore(), NearPlaces(("country",))
    store.write_popular(near_key("country", "SE"), popular(world, 0), write_time_s=0.0)
    assert places.of({"country": "SE", "device": "phone"}) == ()
    places.refresh(store, now_s=0.0)
    assert [each.item_ids for each in places.of({"country": "SE"})] == [(world.entries[0].item_id,)]
    store.write_popular(near_key("country", "SE"), popular(world, 1), write_time_s=1.0)
    places.refresh(store, now_s=AGE_S - 1)
    assert places.of({"country": "SE"})[0].item_ids == (world.entries[0].item_id,)
    places.refresh(store, now_s=AGE_S)
    assert places.of({"country": "SE"})[0].item_ids == (world.entries[1].item_id,)
    assert places.of({}) == NearPlaces(()).of({"country": "SE"}) == ()


def test_a_refresh_reads_a_bounded_number_of_places():
    class Counting(MemoryFeatureStore):
        num_read = 0

        def read_popular(self, domain):
            self.num_read += 1
            return super().read_popular(domain)

    store, places = Counting(), NearPlaces(("country",))
    for number in range(2 * READ_AT_ONCE + 1):
        places.of({"country": f"c{number}"})
    num_read = []
    for second in range(3):
        places.refresh(store, now_s=float(second))
        num_read.append(store.num_read)
    assert num_read == [READ_AT_ONCE, 2 * READ_AT_ONCE, 2 * READ_AT_ONCE + 1]


def test_a_request_brings_its_context_and_too_much_of_it_is_refused():
    asked = {"now_s": 1e9, "bounds": EventSettings()}
    message = recommender_pb2.RecommendItemsRequest(user_id="u", context={"country": "SE"})
    seen = []
    assert list_request(message, near=lambda context: seen.append(dict(context)) or (), **asked).near == ()
    assert seen == [{"country": "SE"}]
    message.context.update({f"n{n}": "v" for n in range(MAX_CONTEXT)})
    with pytest.raises(InvalidRequestError, match=f"give at most {MAX_CONTEXT}"):
        list_request(message, **asked)


def test_a_command_line_says_where_it_asks():
    assert asked_context(["country=SE", "device=a=b"]) == {"country": "SE", "device": "a=b"}
    for entry in ("country", "=SE", "country="):
        with pytest.raises(InvalidRequestError, match="name=value"):
            asked_context([entry])
