"""Lists of many users in a folder: whole parts or none, gone on with, never mixed, and the same as single lists."""

import dataclasses
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmrec.errors import InvalidRequestError, PreconditionError
from mmrec.recall.item_filter import EVERYTHING, ItemFilter
from mmrec.serving.fresh_profile import read_fresh_profiles
from mmrec.serving.recommend import ListRequest, recommend
from mmrec.serving.user_lists import LISTS_SCHEMA, ListsFolder, ListsPlan, make_lists
from tests.serving_world import ServingWorld, no_deadline, serving_world


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world(num_users=40, num_items=100, days=8.0)


@pytest.fixture(scope="module")
def state(world):
    return world.state()


@pytest.fixture
def read_many(world):
    return partial(read_fresh_profiles, overlay=None, read_profiles=world.store.read_profiles, config=world.scoring)


def plan_of(world, **changes) -> ListsPlan:
    values = {"release_id": "planted", "as_of_s": world.end_s, "num_items": 5, "part_users": 10}
    return ListsPlan(**{**values, **changes})


def test_all_parts_together_hold_the_single_list_of_every_user(world, state, read_many, tmp_path):
    folder = ListsFolder(tmp_path / "lists")
    users = [*world.user_ids[:24], "never seen"]
    plan = folder.begin(plan_of(world), users)
    assert (plan.num_parts, folder.missing()) == (3, [0, 1, 2])
    wanted = ItemFilter(price_max=60.0)
    for part in folder.missing():
        made = make_lists(folder.users(part), plan, state=state, read_many=read_many, item_filter=wanted)
        folder.write(part, made)
    rows = [row for file in sorted((tmp_path / "lists").glob("part-*")) for row in pq.read_table(file).to_pylist()]
    assert [row["user_key"] for row in rows] == users
    for row in rows:
        request = ListRequest(
            user_key=row["user_key"],
            as_of_s=world.end_s,
            now_s=world.end_s,
            num_items=5,
            item_filter=wanted,
        )
        alone = recommend(request, state=state, read_profile=world.read_profile, deadline=no_deadline())
        assert row["item_ids"] == [state.catalogue.item_ids[n] for n in alone.rows_K]
        assert row["ranking_scores"] == pytest.approx(alone.ranking_scores_K.tolist(), abs=1e-5)
        assert all(row["sources"])
        assert (row["release_id"], row["as_of_s"], row["degraded"]) == ("planted", world.end_s, [])


def test_a_run_that_was_ended_goes_on_with_the_parts_that_are_missing(world, state, read_many, tmp_path):
    first = ListsFolder(tmp_path)
    plan = first.begin(plan_of(world), world.user_ids[:24])
    first.write(1, make_lists(first.users(1), plan, state=state, read_many=read_many, item_filter=EVERYTHING))
    (tmp_path / ".part-00000.parquet.half").write_bytes(b"what an ended process leaves")
    later = ListsFolder(tmp_path)
    assert later.begin(plan_of(world, as_of_s=world.end_s + 60.0), None) == plan
    assert later.begin(plan_of(world), world.user_ids[:24]) == plan
    assert later.missing() == [0, 2]
    assert [name for part in range(3) for name in later.users(part)] == list(world.user_ids[:24])


@pytest.mark.parametrize(
    ("changes", "users", "says"),
    [
        ({"release_id": "newer"}, slice(24), "release_id 'planted', not 'newer'"),
        ({"num_items": 6}, slice(24), "num_items 5, not 6"),
        ({"filter": '{"domain": "beauty"}'}, slice(24), "filter ''"),
        ({}, slice(1, 25), "users_digest"),
        ({}, slice(23), "num_users 24, not 23"),
    ],
)
def test_a_folder_is_never_gone_on_with_for_something_else(world, tmp_path, changes, users, says):
    folder = ListsFolder(tmp_path)
    folder.begin(plan_of(world), world.user_ids[:24])
    with pytest.raises(PreconditionError, match="name another folder") as caught:
        folder.begin(plan_of(world, **changes), world.user_ids[users])
    assert says in str(caught.value)


def test_no_users_and_what_is_no_user_are_refused(world, tmp_path):
    with pytest.raises(PreconditionError, match="no users"):
        ListsFolder(tmp_path).begin(plan_of(world), [])
    with pytest.raises(InvalidRequestError, match="user keys"):
        ListsFolder(tmp_path).begin(plan_of(world), ["ann", "a" * 10_000])
    with pytest.raises(InvalidRequestError, match="num_items is 201"):
        plan_of(world, num_items=201)
    assert not list(Path(tmp_path).iterdir())


def test_an_empty_list_is_a_row_of_no_items(world, state, read_many):
    nothing = ItemFilter(domain="no such domain")
    made = make_lists(["ann"], plan_of(world), state=state, read_many=read_many, item_filter=nothing)
    assert made.schema == LISTS_SCHEMA
    assert made["item_ids"].to_pylist() == [[]]
    assert dataclasses.asdict(plan_of(world))["num_users"] == 0
