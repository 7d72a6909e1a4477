"""The item views follow the event log: in steps or at once, they say the same."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from mmrec.config import StatisticsSettings
from mmrec.events.columns import EVENT_SCHEMA
from mmrec.events.log import MemoryEventLog
from mmrec.features.stores import MemoryFeatureStore
from mmrec.recall.item_views import ItemViews
from mmrec.recall.neighbors import build_neighbors
from mmrec.scoring.behaviors import behavior_set, shop_behaviors

NOW_S = 1_767_225_600.0
SETTINGS = StatisticsSettings(num_neighbors=5)
Row = tuple[str, str, str, float, str]


def events(rows: list[Row], first_offset: int = 0) -> pa.Table:
    names = ("user_key", "item_id", "behavior", "event_time_s", "domain")
    defaults = {"string": "", "bool": False}
    columns = {f.name: pa.array([defaults.get(str(f.type), 0)] * len(rows), f.type) for f in EVENT_SCHEMA}
    for place, name in enumerate(names):
        columns[name] = pa.array([row[place] for row in rows], EVENT_SCHEMA.field(name).type)
    columns["offset"] = pa.array(range(first_offset, first_offset + len(rows)), pa.int64())
    return pa.table([columns[name] for name in EVENT_SCHEMA.names], schema=EVENT_SCHEMA)


def world(num_events: int) -> list[Row]:
    random = np.random.default_rng(5)
    rows = []
    for n in range(num_events):
        user, item = int(random.integers(0, 20)), int(random.integers(0, 15))
        domain = "beauty" if item % 2 else "fashion"
        behavior = ["browse", "cart", "no-longer-configured"][int(random.integers(0, 3))]
        rows.append((f"u{user}", f"i{item}", behavior, NOW_S - 3600.0 * (num_events - n), domain))
    return rows


def views(log: MemoryEventLog, store: MemoryFeatureStore) -> ItemViews:
    return ItemViews(log, store, behaviors=shop_behaviors(), settings=SETTINGS)


def test_steps_and_one_go_give_the_same_views() -> None:
    rows = world(300)
    log, at_once, in_steps = MemoryEventLog(), MemoryFeatureStore(), MemoryFeatureStore()
    stepwise = views(log, in_steps)
    for start in range(0, 300, 60):
        log.append(events(rows[start : start + 60], start), batch_key=str(start))
        assert stepwise.refresh_statistics(now_s=NOW_S).num_events == 60
        assert stepwise.neighbors_are_due
        stepwise.refresh_neighbors(now_s=NOW_S)
        assert not stepwise.neighbors_are_due
    fresh = views(log, at_once)
    fresh.refresh_statistics(now_s=NOW_S)
    fresh.refresh_neighbors(now_s=NOW_S)
    assert fresh.sequence == stepwise.sequence == fresh.neighbors_sequence == 5
    items = [f"i{n}" for n in range(15)]
    one, other = at_once.read_item_statistics(items), in_steps.read_item_statistics(items)
    assert set(one) == set(other) == set(items)
    for item_id in items:
        assert one[item_id].counts_HB == pytest.approx(other[item_id].counts_HB)
    expected = build_neighbors(events(rows), behaviors=shop_behaviors(), as_of_s=NOW_S)
    for item_id, near in at_once.read_neighbors(items).items():
        assert near.item_ids == expected[item_id].item_ids[:5]
        assert near.weights_K == pytest.approx(in_steps.read_neighbors([item_id])[item_id].weights_K, rel=0.03)
    assert fresh.figures() == stepwise.figures()


def test_popular_items_are_ranked_for_all_and_for_each_domain() -> None:
    log, store = MemoryEventLog(), MemoryFeatureStore()
    rows = [
        ("u", "dress", "purchase", NOW_S - 9.0, "fashion"),
        ("u", "soap", "cart", NOW_S - 8.0, "beauty"),
        ("v", "coat", "browse", NOW_S - 7.0, "fashion"),
        ("v", "thing", "favorite", NOW_S - 6.0, ""),
    ]
    log.append(events(rows), batch_key="0")
    views(log, store).refresh_statistics(now_s=NOW_S)
    lists = {domain: store.read_popular(domain) for domain in ("", "fashion", "beauty", "garden")}
    assert {domain: found and found.item_ids for domain, found in lists.items()} == {
        "": ("dress", "soap", "thing", "coat"),
        "fashion": ("dress", "coat"),
        "beauty": ("soap",),
        "garden": None,
    }
    everything = lists[""]
    assert everything is not None
    assert everything.popularity_K == pytest.approx([10, 5, 3, 1], rel=1e-4)
    assert everything.as_of_s == NOW_S


def test_nothing_new_writes_nothing() -> None:
    log, store = MemoryEventLog(), MemoryFeatureStore()
    keeper = views(log, store)
    assert keeper.refresh_statistics(now_s=NOW_S).num_items == 0
    assert store.read_popular("") is None
    log.append(events(world(50)), batch_key="0")
    assert keeper.refresh_statistics(now_s=NOW_S).num_items > 0
    assert keeper.refresh_neighbors(now_s=NOW_S).num_items > 0
    assert keeper.refresh_statistics(now_s=NOW_S + 9).num_items == 0
    assert keeper.refresh_neighbors(now_s=NOW_S + 9).num_items == 0


def test_only_the_newest_events_are_held_for_neighbors() -> None:
    log, store = MemoryEventLog(), MemoryFeatureStore()
    keeper = ItemViews(log, store, behaviors=shop_behaviors(), settings=SETTINGS, max_events=10)
    for start in range(0, 40, 8):
        log.append(events(world(40)[start : start + 8], start), batch_key=str(start))
        keeper.refresh_statistics(now_s=NOW_S)
    assert keeper.num_events_held == 10
    keeper.refresh_neighbors(now_s=NOW_S)


def test_another_weight_moves_popular_items_without_reading_the_log_again() -> None:
    looked_at = [(f"u{n}", "seen", "browse", NOW_S - 60.0, "") for n in range(6)]
    log, store = MemoryEventLog(), MemoryFeatureStore()
    log.append(events([*looked_at, ("u9", "bought", "purchase", NOW_S - 60.0, "")]), batch_key="0")
    builder = views(log, store)
    builder.refresh_statistics(now_s=NOW_S)
    assert store.read_popular("").item_ids == ("bought", "seen")
    cheap = [replace(b, weight=2.0) if b.name == "purchase" else b for b in shop_behaviors()]
    builder.weigh(behavior_set(cheap), now_s=NOW_S)
    assert store.read_popular("").item_ids == ("seen", "bought")
    assert builder.sequence == 1
