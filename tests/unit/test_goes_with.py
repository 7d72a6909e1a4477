"""Laws of what goes with an item: lift, no substitutes, a planted world of outfits, and items that nobody took yet."""

import dataclasses
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from mmrec.catalog.item import CatalogEntry
from mmrec.config import EventSettings
from mmrec.errors import ConfigurationError, InvalidRequestError
from mmrec.recall.complements import ComplementSettings, build_complements, complement_key
from mmrec.recall.item_filter import EVERYTHING, ItemFilter
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.serving.item_record import ItemUpdate
from mmrec.serving.search_request import likeness_request
from mmrec.serving.similar import alike, similar
from mmrec.serving.similar_answer import similar_answer
from mmrec.simulator.settings import DAY_S, StorefrontConfig
from mmrec.simulator.storefront import Storefront
from mmrec.v1 import recommender_pb2
from tests.serving_world import ServingWorld, content_vectors, no_deadline, world_of

OUTFITS = StorefrontConfig(
    seed=11, num_users=400, num_items=120, days=40.0, events_per_user_day=2.0, share_new_items=0.0, share_outfits=0.8
)


@pytest.fixture(scope="module")
def storefront() -> Storefront:
    return Storefront(OUTFITS)


@pytest.fixture(scope="module")
def split_s() -> float:
    return OUTFITS.end_s - 10 * DAY_S


@pytest.fixture(scope="module")
def world(storefront, split_s) -> ServingWorld:
    return world_of(storefront, until_s=split_s)


@pytest.fixture(scope="module")
def state(world):
    return world.state()


def answer(world, state, item_id, **fields) -> recommender_pb2.SimilarItemsResponse:
    return similar_answer(
        recommender_pb2.SimilarItemsRequest(item_id=item_id, **fields),
        state=state,
        read_profile=world.read_profile,
        deadline=no_deadline(),
        now_s=world.end_s,
        bounds=EventSettings(),
        read_neighbors=world.store.read_neighbors,
        substitutes_share="category",
    )


GOES_WITH = recommender_pb2.SIMILAR_KIND_GOES_WITH


def next_purchases(storefront, from_s) -> list[tuple[str, str]]:
    """(item, the one that the same user bought next within a day), after an instant, each pair of a user once."""
    bought: dict[str, list[tuple[float, str]]] = {}
    for chunk in storefront.history(from_s, None):
        rows = np.flatnonzero(chunk.behaviors == "purchase")
        for row in rows.tolist():
            at_s = float(chunk.events_N["event_ms"][row]) / 1000.0
            bought.setdefault(str(chunk.user_ids[row]), []).append((at_s, str(chunk.item_ids[row])))
    pairs = [
        (one, other)
        for events in bought.values()
        for (at_s, one), (next_s, other) in pairwise(sorted(set(events)))
        if next_s - at_s < DAY_S and one != other
    ]
    return list(dict.fromkeys(pairs))


def hit_rate(world, state, pairs, **fields) -> float:
    """Share of the pairs whose second item is among the first ten for the first one."""
    lists: dict[str, set[str]] = {}
    for one, _ in pairs:
        if one not in lists and one in state.catalogue.row_of:
            found = answer(world, state, one, num_items=10, **fields)
            lists[one] = {item.item_id for item in found.items}
    return float(np.mean([other in lists.get(one, ()) for one, other in pairs]))


def test_what_goes_with_an_item_foretells_the_next_purchase_better_than_what_is_like_it(
    storefront, world, state, split_s
):
    pairs = next_purchases(storefront, split_s)
    mates_IM, item_ids = storefront.outfit_mates, storefront.item_ids
    mates = {item_ids[row]: {item_ids[m] for m in own if m >= 0} for row, own in enumerate(mates_IM.tolist())}
    planted = [(one, other) for one, other in pairs if other in mates[one]]
    assert len(planted) > 100
    assert hit_rate(world, state, pairs, kind=GOES_WITH) > hit_rate(world, state, pairs)
    assert hit_rate(world, state, planted, kind=GOES_WITH) > 1.1 * hit_rate(world, state, planted)


def test_no_substitute_goes_with_an_item_and_no_filter_leaks(world, state):
    wanted = recommender_pb2.AttributeFilter(price_max=60.0)
    entries = {e.item_id: e for e in world.entries}
    num_listed = 0
    for entry in world.entries[:40]:
        if entry.item_id not in entries or not entry.availability.can_be_shown:
            continue
        found = answer(world, state, entry.item_id, kind=GOES_WITH, filter=wanted, num_items=20)
        listed = [entries[item.item_id] for item in found.items]
        num_listed += len(listed)
        assert entry.item_id not in {e.item_id for e in listed}
        assert entry.attributes["category"] not in {e.attributes["category"] for e in listed}
        assert all(e.price <= 60.0 for e in listed)
        assert {source for item in found.items for source in item.sources} <= {"together"}
        assert [item.rank for item in found.items] == list(range(1, len(listed) + 1))
    assert num_listed > 40


def test_a_new_item_has_what_goes_with_items_like_it(world):
    twin = next(
        e
        for e in world.entries
        if complement_key(e.item_id) in world.store.read_neighbors([complement_key(e.item_id)])
        and e.availability.can_be_shown
    )
    keeper = world.keeper()
    fresh = dataclasses.replace(twin, item_id="fresh", publish_time_s=0.0)
    vectors = {"attributes": content_vectors([twin])[0]}
    keeper.take([ItemUpdate(item_id="fresh", entry=fresh, vectors=vectors, encoders={"attributes": "plain"})])
    keeper.publish()
    state = world.state(keeper)
    found = {item.item_id for item in answer(world, state, "fresh", kind=GOES_WITH, num_items=10).items}
    of_twin = {item.item_id for item in answer(world, state, twin.item_id, kind=GOES_WITH, num_items=10).items}
    assert found & of_twin


def test_without_a_release_complements_are_those_of_the_item_alone(world):
    state = world.state(with_model=False)
    found = [answer(world, state, e.item_id, kind=GOES_WITH) for e in world.entries[:20] if e.availability.can_be_shown]
    assert any(each.items for each in found)
    assert {reason for each in found for reason in each.state.degraded_reasons} == {"no_release"}


def test_a_user_has_a_say_in_the_order_and_what_they_bought_is_left_out(world, state):
    user = max(world.user_ids, key=lambda key: world.read_profile(key).num_items)
    profile = world.read_profile(user)
    purchases = profile.counts(world.scoring.behaviors)[:, 0, world.scoring.behaviors.index("purchase")]
    bought = {name for name, count in zip(profile.item_ids, purchases, strict=True) if count > 0}
    shown = [e.item_id for e in world.entries if e.availability.can_be_shown][:15]
    orders = []
    for kind in (recommender_pb2.SIMILAR_KIND_SIMILAR, GOES_WITH):
        for item_id in shown:
            plain = [i.item_id for i in answer(world, state, item_id, kind=kind, num_items=8).items]
            own = [i.item_id for i in answer(world, state, item_id, kind=kind, num_items=8, user_id=user).items]
            assert not bought & set(own)
            orders.append(plain == own)
    assert not all(orders)


def test_personal_likeness_trades_places_only_within_the_head(world, state):
    item_id = next(e.item_id for e in world.entries if e.availability.can_be_shown)
    asked = {
        "as_of_s": world.end_s,
        "excluded_item_ids": (),
        "item_filter": EVERYTHING,
        "state": state,
        "find": alike,
    }
    wide = similar(item_id, num_items=40, **asked)
    personal = similar(item_id, num_items=10, user_key="never seen", read_profile=world.read_profile, **asked)
    assert set(personal.rows_K.tolist()) <= set(wide.rows_K.tolist())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": 9}, "kind is 9; give one of SIMILAR_KIND_SIMILAR, SIMILAR_KIND_GOES_WITH"),
        ({"kind": GOES_WITH, "num_items": 201}, "num_items is 201"),
        ({"kind": GOES_WITH, "user_id": "~u"}, "give anonymous ids as anonymous_id"),
    ],
)
def test_a_request_that_is_none_is_refused(world, state, fields, says):
    with pytest.raises(InvalidRequestError) as caught:
        answer(world, state, world.entries[0].item_id, **fields)
    assert says in str(caught.value)


def test_weights_of_modalities_are_refused_beside_another_kind():
    message = recommender_pb2.SimilarItemsRequest(item_id="i", modality_weights={"image": 1.0}, kind=GOES_WITH)
    with pytest.raises(InvalidRequestError, match="beside another kind"):
        likeness_request(message, now_s=0.0)


# The build.


def events(*baskets: tuple[str, ...], gap_s: float = 60.0, behavior: str = "purchase") -> pa.Table:
    rows = [
        {"user_key": f"u{n}", "item_id": item, "behavior": behavior, "event_time_s": 1e9 + place * gap_s}
        for n, basket in enumerate(baskets)
        for place, item in enumerate(basket)
    ]
    return pa.Table.from_pylist(rows)


def built(table, **changes):
    settings = ComplementSettings(**changes)
    return build_complements(table, behaviors=shop_behaviors(), as_of_s=1e9 + 1e6, settings=settings)


def test_lift_is_taken_beside_chance_and_shrunk():
    found = built(events(*[("top", "hat")] * 4, *[("bag",)] * 12), smoothing=3.0)
    assert found["top"].item_ids == ("hat",)
    assert found["top"].weights_K.tolist() == pytest.approx([4 / (4 * 4 / 16 + 3.0)])
    assert "bag" not in found


def test_what_everybody_takes_goes_with_nothing():
    found = built(events(*[("top", "bag")] * 4, *[("hat", "bag")] * 4))
    assert found == {}


def test_one_user_makes_no_pair_and_neither_do_takings_far_apart_or_looks():
    assert built(events(("top", "hat"), *[("bag",)] * 5)) == {}
    assert built(events(*[("top", "hat")] * 4, *[("bag",)] * 12, gap_s=4 * DAY_S)) == {}
    assert built(events(*[("top", "hat")] * 4, *[("bag",)] * 12, behavior="browse")) == {}
    assert build_complements(events(), behaviors=shop_behaviors(), as_of_s=0.0) == {}


@pytest.mark.parametrize("change", [{"num_complements": 0}, {"min_users": 0}, {"window_days": 0}, {"smoothing": 0.0}])
def test_settings_that_mean_nothing_are_refused(change):
    with pytest.raises(ConfigurationError):
        ComplementSettings(**change)


# The world.


def test_outfits_leave_the_rest_of_a_world_as_it_is(storefront):
    plain = Storefront(dataclasses.replace(OUTFITS, share_outfits=0.0))
    assert plain.item_ids == storefront.item_ids
    mates_IM = storefront.outfit_mates
    catalog: list[CatalogEntry] = list(storefront.catalog(with_images=False))
    by_id = {item.item_id: item for item in catalog}
    for row, mates in enumerate(mates_IM.tolist()):
        one = by_id.get(storefront.item_ids[row])
        for mate in mates:
            other = by_id.get(storefront.item_ids[mate]) if mate >= 0 else None
            if one is not None and other is not None:
                assert one.domain == other.domain
                assert one.attributes["color"] == other.attributes["color"]
                assert one.attributes["category"] != other.attributes["category"]


def test_two_windows_of_a_world_of_outfits_are_the_whole(storefront, split_s):
    def sent(start_s, end_s):
        return [
            record for chunk in storefront.history(start_s, end_s, chunk_events=1_000) for record in chunk.event_ids
        ]

    middle_s = split_s + DAY_S
    assert sent(split_s, middle_s) + sent(middle_s, middle_s + DAY_S) == sent(split_s, middle_s + DAY_S)


def test_the_filter_of_a_request_holds_for_everything(world, state):
    nothing = ItemFilter(domain="no such domain")
    found = similar(
        world.entries[1].item_id,
        as_of_s=world.end_s,
        num_items=5,
        excluded_item_ids=(),
        item_filter=nothing,
        state=state,
        find=alike,
    )
    assert not len(found.rows_K)
