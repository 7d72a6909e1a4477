"""New, changed, hidden and removed items reach a replica's catalogue; what was published before never changes."""

import json

import numpy as np
import pytest

from mmrec.errors import InvalidRequestError
from mmrec.pipeline import ListRequest, SessionEvent, recommend
from mmrec.serving.item_record import read_item_update
from tests.serving_world import EMBEDDING_DIM, ServingWorld, no_deadline, serving_world


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world(num_users=60, num_items=100, days=10)


def record(item_id: str, *, vector=None, encoder="plain", **fields) -> tuple[bytes, bytes]:
    value = {"item_id": item_id, **fields}
    if vector is not None:
        value["modalities"] = [{"modality": "attributes", "encoder": encoder, "values": [float(v) for v in vector]}]
    return item_id.encode(), json.dumps(value).encode()


def test_a_new_item_is_recalled_by_its_content_alone(world):
    keeper = world.keeper()
    like = world.vectors.vectors_ID[0]
    keeper.take([read_item_update(*record("fresh", vector=like, title="Fresh", domain="beauty"))])
    assert keeper.publish()
    click = SessionEvent(item_id=world.entries[0].item_id, behavior="browse")
    found = recommend(
        ListRequest(user_key="", as_of_s=world.end_s, session_events=(click,)),
        state=world.state(keeper),
        read_profile=world.read_profile,
        deadline=no_deadline(),
    )
    row = keeper.catalogue.row_of["fresh"]
    assert {"vectors", "similar"} <= set(found.candidates.sources_of(row))
    best = next(p for source, p in found.candidates.found if source.name == "similar")
    assert best.rows_K[0] == row


def test_hidden_sold_out_and_removed_items_are_not_shown(world):
    keeper = world.keeper()
    first, second, third = (e.item_id for e in world.entries[:3])
    keeper.take(
        [
            read_item_update(*record(first, availability="AVAILABILITY_HIDDEN")),
            read_item_update(*record(second, availability=2)),
            read_item_update(third.encode(), None),
        ]
    )
    keeper.publish()
    catalogue = keeper.catalogue
    assert not catalogue.showable_I[catalogue.rows([first, second, third])].any()
    keeper.take([read_item_update(*record(second, availability="AVAILABILITY_AVAILABLE", title="back"))])
    keeper.publish()
    row = keeper.catalogue.row_of[second]
    assert keeper.catalogue.showable_I[row]
    assert keeper.catalogue.entries[row].title == "back"


def test_a_published_catalogue_never_changes(world):
    keeper = world.keeper()
    before = keeper.catalogue
    rows, ids = before.popular_rows_I.copy(), before.item_ids
    keeper.take([read_item_update(*record("another", vector=np.ones(EMBEDDING_DIM)))])
    assert keeper.publish()
    assert keeper.catalogue is not before
    assert before.item_ids == ids
    assert (before.popular_rows_I == rows).all()
    assert keeper.catalogue.item_ids[: len(ids)] == ids
    assert not keeper.publish()


def test_vectors_of_another_encoder_are_counted_and_the_item_is_kept(world):
    keeper = world.keeper()
    keeper.take([read_item_update(*record("odd", vector=np.ones(EMBEDDING_DIM), encoder="another"))])
    keeper.publish()
    row = keeper.catalogue.row_of["odd"]
    assert keeper.num_unusable_vectors == 1
    assert not keeper.catalogue.embedded_I[row]
    assert keeper.catalogue.showable_I[row]


def test_counts_read_again_change_what_is_popular(world):
    keeper = world.keeper(with_statistics=False)
    assert (keeper.catalogue.popularity_I == 0).all()
    keeper.refresh_statistics(world.store, keeper.item_ids)
    keeper.publish()
    catalogue = keeper.catalogue
    known = [i for i in world.store.read_popular("").item_ids if i in catalogue.row_of]
    assert [catalogue.item_ids[row] for row in catalogue.popular_rows_I[:20]] == known[:20]


def test_items_heard_of_in_popular_lists_are_introduced_once(world):
    keeper = world.keeper()
    number = len(keeper.item_ids)
    keeper.introduce(["seen elsewhere", world.entries[0].item_id], {})
    assert len(keeper.item_ids) == number + 1


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"", b"{}"), (None, b"{}"), (b"a", b"no json"), (b"a", b"[]"), (b"a", b'{"price": "dear"}'), (b"a", b"\xff")],
)
def test_broken_records_say_what_is_wrong(key, value):
    with pytest.raises(InvalidRequestError):
        read_item_update(key, value)


def test_both_spellings_of_json_are_read():
    update = read_item_update(b"a", b'{"itemId": "a", "publishTime": "2026-01-01T00:00:00Z", "title": "T"}')
    assert update.entry is not None
    assert update.entry.publish_time_s == 1_767_225_600.0
    assert update.entry.title == "T"
