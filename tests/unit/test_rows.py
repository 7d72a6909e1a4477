"""Laws of a page of rows."""

import dataclasses

import numpy as np
import pytest

from mmrec.catalog.item import Availability
from mmrec.config import EventSettings
from mmrec.errors import DeadlineError, InvalidRequestError
from mmrec.recall.item_filter import ItemFilter
from mmrec.serving.item_record import ItemUpdate
from mmrec.serving.recommend import Deadline, Degradation, ListRequest, SessionEvent, recommend
from mmrec.serving.rows import MIN_ITEMS, RowKind, recommend_rows
from mmrec.serving.rows_answer import rows_answer
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


def page_of(world, state, user_key, *, num_rows=5, num_items=8, deadline=None, **changes):
    request = ListRequest(user_key=user_key, as_of_s=world.end_s, num_items=num_items, **changes)
    return recommend_rows(
        request,
        num_rows=num_rows,
        state=state,
        read_profile=world.read_profile,
        deadline=deadline or no_deadline(),
    )


def test_no_item_is_in_two_rows_and_every_row_is_worth_its_title(world, state, user):
    page = page_of(world, state, user)
    shown = np.concatenate([row.rows_K for row in page.rows])
    assert len(page.rows) == 5
    assert len(set(shown.tolist())) == len(shown)
    assert all(MIN_ITEMS <= len(row.rows_K) <= 8 for row in page.rows)
    assert all(row.title for row in page.rows)


def test_the_first_row_is_the_list_of_the_user(world, state, user):
    request = ListRequest(user_key=user, as_of_s=world.end_s, num_items=8)
    listed = recommend(request, state=state, read_profile=world.read_profile, deadline=no_deadline())
    first = page_of(world, state, user).rows[0]
    assert (first.kind, first.rows_K.tolist()) == (RowKind.FOR_USER, listed.rows_K.tolist())


def test_a_click_of_the_session_leads_to_the_next_row_and_is_named(world, state, user):
    clicked = world.entries[30]
    page = page_of(world, state, user, session_events=(SessionEvent(item_id=clicked.item_id, behavior="browse"),))
    second = page.rows[1]
    assert (second.kind, second.item_id) == (RowKind.BECAUSE, clicked.item_id)
    assert second.title == f'Because you browsed "{clicked.title}"'
    assert 30 not in second.rows_K.tolist()


def test_exclusions_and_the_filter_hold_for_every_row(world, state, user):
    domain = world.entries[0].domain
    first = page_of(world, state, user).rows[0]
    excluded = tuple(state.catalogue.item_ids[row] for row in first.rows_K)
    page = page_of(world, state, user, excluded_item_ids=excluded, item_filter=ItemFilter(domain=domain))
    shown = [state.catalogue.entries[row] for each in page.rows for row in each.rows_K.tolist()]
    assert {entry.domain for entry in shown} == {domain}
    assert not {entry.item_id for entry in shown} & set(excluded)


def test_what_is_new_was_published_lately_newest_first(world, state, user):
    page = page_of(world, state, user)
    times = [row.scores_K for row in page.rows if row.kind is RowKind.NEW]
    assert len(times) == 1
    assert (np.diff(times[0]) <= 0).all()
    assert (times[0] > world.end_s - 14 * 86_400).all()


def test_somebody_unknown_gets_popular_items_once(world, state):
    kinds = [row.kind for row in page_of(world, state, "never seen").rows]
    assert kinds[0] is RowKind.FOR_USER
    assert RowKind.POPULAR not in kinds
    assert page_of(world, state, "never seen").rows[0].title == "Popular now"


def test_with_little_time_left_the_first_row_is_all_and_the_page_says_so(world, state, user):
    passed = iter(range(1_000))
    short = Deadline(at_s=6.0, clock=lambda: float(next(passed)))
    page = page_of(world, state, user, deadline=short)
    assert page.rows[0].kind is RowKind.FOR_USER
    assert RowKind.BECAUSE not in [row.kind for row in page.rows]
    assert Degradation.SOURCES_SKIPPED in page.degraded


def test_only_what_the_user_still_likes_leads_a_row(world, state, user):
    """Every own item is hidden but one."""
    whole = page_of(world, state, user, num_rows=20)
    led = {row.item_id for row in whole.rows if row.kind is RowKind.BECAUSE}
    profile = world.read_profile(user)
    assert led <= set(profile.item_ids)
    keeper = world.keeper()
    entries = {each.item_id: each for each in world.entries}
    hidden = [
        ItemUpdate(item_id=name, entry=dataclasses.replace(entries[name], availability=Availability.HIDDEN))
        for name in sorted(led)[1:]
    ]
    keeper.take(hidden)
    keeper.publish()
    page = page_of(world, world.state(keeper), user, num_rows=20)
    assert not {row.item_id for row in page.rows} & {each.item_id for each in hidden}


@pytest.mark.parametrize(("num_rows", "num_items", "says"), [(21, 8, "num_rows is 21"), (5, 51, "num_items is 51")])
def test_a_page_that_is_too_large_is_refused(world, state, user, num_rows, num_items, says):
    with pytest.raises(InvalidRequestError, match=says):
        page_of(world, state, user, num_rows=num_rows, num_items=num_items)


def test_a_deadline_that_passed_is_said_as_such(world, state, user):
    with pytest.raises(DeadlineError):
        page_of(world, state, user, deadline=Deadline(at_s=0.0, clock=lambda: 1.0))


def test_the_answer_has_ranks_of_each_row_and_says_why(world, state, user):
    answer = rows_answer(
        recommender_pb2.RecommendRowsRequest(user_id=user, num_items=4, include_explanations=True),
        state=state,
        read_profile=world.read_profile,
        deadline=no_deadline(),
        now_s=world.end_s,
        bounds=EventSettings(),
    )
    assert [len(row.items) for row in answer.rows] == [4] * 5
    assert all([item.rank for item in row.items] == [1, 2, 3, 4] for row in answer.rows)
    assert all(item.explanation.text for row in answer.rows for item in row.items)
    popular = next(row for row in answer.rows if row.kind == recommender_pb2.ROW_KIND_POPULAR)
    assert {name for item in popular.items for name in item.sources} == {"popular"}
    assert answer.rows[0].kind == recommender_pb2.ROW_KIND_FOR_USER


def test_kinds_have_the_names_and_numbers_of_the_message():
    numbers = {each.value: f"ROW_KIND_{each.name}" for each in RowKind}
    assert numbers == {n: name for name, n in recommender_pb2.RowKind.items() if n}
