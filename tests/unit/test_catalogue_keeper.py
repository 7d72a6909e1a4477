"""New, changed, hidden and removed items reach a replica's catalogue; what was published before never changes."""

import json
import re
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from mmrec.catalog.item import Availability, CatalogEntry
from mmrec.errors import InvalidRequestError
from mmrec.features.stores import MemoryFeatureStore
from mmrec.features.values import Neighbors
from mmrec.recall.catalogue import NO_ROW, neighbor_table
from mmrec.scoring.behaviors import behavior_set, shop_behaviors
from mmrec.scoring.item_statistics import decay_rates
from mmrec.serving.item_record import read_item_update
from mmrec.serving.keeper import CatalogueKeeper
from mmrec.serving.recommend import ListRequest, SessionEvent, recommend
from tests.serving_world import EMBEDDING_DIM, HALF_LIVES, PlainModel, ServingWorld, no_deadline, serving_world


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world(num_users=60, num_items=100, days=10)


def record(item_id: str, *, vector=None, encoder="plain", fingerprint="", **fields) -> tuple[bytes, bytes]:
    value = {"item_id": item_id, **fields}
    if vector is not None:
        made = {"modality": "attributes", "encoder": encoder, "fingerprint": fingerprint}
        value["modalities"] = [{**made, "values": [float(v) for v in vector]}]
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


class PrintedModel(PlainModel):
    """Trained with an encoder of a known fingerprint."""

    fingerprints: ClassVar = {"attributes": "before"}


def test_vectors_of_another_fingerprint_are_counted_and_never_mixed_with_the_release(world):
    keeper = CatalogueKeeper(behaviors=shop_behaviors(), decay_per_day_H=decay_rates(HALF_LIVES), tower=PrintedModel())
    for item_id, fingerprint in (("same", "before"), ("retrained", "after"), ("unknown", "")):
        vector = np.ones(EMBEDDING_DIM)
        keeper.take([read_item_update(*record(item_id, vector=vector, fingerprint=fingerprint))])
    keeper.publish()
    embedded = {i: keeper.catalogue.embedded_I[keeper.catalogue.row_of[i]] for i in ("same", "retrained", "unknown")}
    assert embedded == {"same": True, "retrained": False, "unknown": False}
    assert keeper.num_unusable_vectors == 2


def test_counts_read_again_change_what_is_popular(world):
    keeper = world.keeper(with_statistics=False)
    assert (keeper.catalogue.popularity_I == 0).all()
    keeper.refresh_statistics(world.store, keeper.item_ids)
    keeper.publish()
    catalogue = keeper.catalogue
    known = [i for i in world.store.read_popular("").item_ids if i in catalogue.row_of]
    assert [catalogue.item_ids[row] for row in catalogue.popular_rows_I[:20]] == known[:20]


def bare_keeper(world) -> CatalogueKeeper:
    return CatalogueKeeper(behaviors=world.scoring.behaviors, decay_per_day_H=decay_rates(HALF_LIVES))


def shown(keeper) -> set[str]:
    keeper.publish()
    catalogue = keeper.catalogue
    return {catalogue.item_ids[row] for row in np.flatnonzero(catalogue.showable_I)}


def test_before_any_catalogue_popular_items_are_shown_and_after_it_only_described_ones(world):
    keeper, entry = bare_keeper(world), world.entries[0]
    keeper.introduce(["named", entry.item_id], {})
    assert shown(keeper) == {"named", entry.item_id}
    assert keeper.undescribed(["named", entry.item_id, "another"]) == ["named", entry.item_id, "another"]
    keeper.introduce(["named", entry.item_id, "another"], {entry.item_id: entry})
    assert shown(keeper) == {entry.item_id}
    assert keeper.catalogue.entries[keeper.catalogue.row_of[entry.item_id]] == entry
    keeper.take([read_item_update(*record("named", title="Described at last"))])
    assert shown(keeper) == {entry.item_id, "named"}


def test_an_id_that_only_events_know_is_never_listed_beside_a_catalogue(world):
    keeper = world.keeper()
    number = len(keeper.item_ids)
    keeper.introduce(["junk", world.entries[0].item_id], {})
    assert "junk" not in shown(keeper)
    assert len(keeper.item_ids) == number


def test_a_removed_item_does_not_come_back_through_popular_lists(world):
    keeper, gone = bare_keeper(world), world.entries[3]
    keeper.introduce([world.entries[0].item_id], {world.entries[0].item_id: world.entries[0]})
    keeper.introduce(
        [gone.item_id], {gone.item_id: CatalogEntry(item_id=gone.item_id, availability=Availability.HIDDEN)}
    )
    assert shown(keeper) == {world.entries[0].item_id}


@pytest.mark.parametrize("width", [1, EMBEDDING_DIM - 1, EMBEDDING_DIM + 1])
def test_vectors_of_another_width_are_counted_and_the_item_is_kept(world, width):
    keeper = world.keeper()
    updates = [record("odd", vector=np.ones(width)), record("even", vector=np.ones(EMBEDDING_DIM))]
    keeper.take([read_item_update(*update) for update in updates])
    keeper.publish()
    odd, even = keeper.catalogue.rows(["odd", "even"])
    assert keeper.num_unusable_vectors == 1
    assert not keeper.catalogue.embedded_I[odd]
    assert keeper.catalogue.embedded_I[even]


def test_an_embedding_that_is_not_finite_is_counted_and_left_out(world):
    class Overflowing(PlainModel):
        def item_embeddings(self, content):
            return super().item_embeddings(content) * np.float32(np.nan)

    keeper = CatalogueKeeper(
        behaviors=world.scoring.behaviors, decay_per_day_H=decay_rates(HALF_LIVES), tower=Overflowing()
    )
    keeper.take([read_item_update(*record("huge", vector=np.ones(EMBEDDING_DIM)))])
    assert keeper.publish()
    assert keeper.num_unusable_vectors == 1
    assert not keeper.catalogue.embedded_I.any()


def test_neighbors_kept_up_piece_by_piece_are_those_made_at_once(world):
    ids = [entry.item_id for entry in world.entries]
    keeper = bare_keeper(world)
    for start in range(0, len(ids), 17):  # items and lists arrive in pieces; lists name items that come later
        keeper.introduce(ids[start : start + 17], {entry.item_id: entry for entry in world.entries})
        keeper.refresh_neighbors(world.store, ids[start : start + 17])
        keeper.publish()
    lists = world.store.read_neighbors(ids)
    changed = Neighbors(item_ids=(ids[1], ids[2]), weights_K=np.ones(2, dtype=np.float32), built_time_s=world.end_s + 1)
    later = MemoryFeatureStore()
    later.write_neighbors({ids[0]: changed}, write_time_s=0.0)
    keeper.refresh_neighbors(later, ids)
    keeper.publish()
    whole = neighbor_table(ids, {i: (n.item_ids, n.weights_K.tolist()) for i, n in {**lists, ids[0]: changed}.items()})
    width = whole.rows_IK.shape[1]
    kept = keeper.catalogue.neighbors
    assert keeper.catalogue.item_ids == tuple(ids)
    assert (kept.rows_IK[:, :width] == whole.rows_IK).all()
    assert (kept.weights_IK[:, :width] == whole.weights_IK).all()
    assert (kept.rows_IK[:, width:] == NO_ROW).all()


def with_values(values: str) -> bytes:
    return f'{{"title": "T", "modalities": [{{"modality": "text", "encoder": "e", "values": {values}}}]}}'.encode()


@pytest.mark.parametrize(
    "values",
    ["[]", "[1, NaN]", "[Infinity]", "[1e39]", "[[1, 2]]", "[[1], 2]", "3", '"a"', "null", "{}", "1" + "0" * 400],
)
def test_values_that_are_no_row_of_finite_numbers_are_refused(values):
    with pytest.raises(InvalidRequestError, match="'a'"):
        read_item_update(b"a", with_values(values))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (b"", b"{}", "missing_item_id"),
        (None, b"{}", "missing_item_id"),
        (b"a", b"no json", "malformed_json: record of item 'a'"),
        (b"a", b"[]", "not_an_object: record of item 'a'"),
        (b"a", b'{"price": "dear"}', "bad_price: record of item 'a': price is 'dear'; give a number"),
        (b"a", b"\xff", "malformed_json: record of item 'a'"),
        (b"a", b"[" * 100_000, "malformed_json: record of item 'a'"),
    ],
)
def test_broken_records_say_what_is_wrong(key, value, says):
    with pytest.raises(InvalidRequestError, match=f"^{re.escape(says)}"):
        read_item_update(key, value)


def test_both_spellings_of_json_are_read():
    update = read_item_update(b"a", b'{"itemId": "a", "publishTime": "2026-01-01T00:00:00Z", "title": "T"}')
    assert update.entry is not None
    assert update.entry.publish_time_s == 1_767_225_600.0
    assert update.entry.title == "T"


def test_another_weight_moves_popularity_at_the_next_publish(world):
    keeper = world.keeper()
    before = keeper.catalogue.weights_B.tolist()
    keeper.weigh(behavior_set([replace(b, weight=2 * b.weight) for b in shop_behaviors()]))
    assert keeper.publish()
    assert keeper.catalogue.weights_B.tolist() == [2 * weight for weight in before]
    keeper.weigh(shop_behaviors())
    assert keeper.publish()
    keeper.weigh(shop_behaviors())
    assert not keeper.publish()
