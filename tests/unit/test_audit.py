"""An audit finds nothing where the store is the plain sum, and names what is not."""

from dataclasses import replace

import numpy as np

from mmrec.config import Settings
from mmrec.events.control import IDENTIFY
from mmrec.recall.item_views import ItemViews
from mmrec.state.audit import audit_profiles, audit_statistics, sample
from tests.unit.test_rebuild import CONFIG, NOW_S, Log, MemoryFeatureStore, Row, parts_of, rows, stream_of

HALF_LIVES = Settings().statistics.half_lives_days


def audited(log: Log, store: MemoryFeatureStore, **changes: int):
    parts = parts_of(log, store)
    config = replace(CONFIG, **changes)
    return audit_profiles(store, log.log, forgotten=parts.forgotten, config=config, num_sample=99, seed=1)


def test_an_exact_store_has_no_differences_while_the_log_runs_ahead() -> None:
    log, store = Log(), MemoryFeatureStore()
    log.add(*rows(100, seed=1))
    log.add(Row(user_key="u1", item_id="~a0", behavior=IDENTIFY, age_s=0.0))
    log.add(*rows(50, seed=2))
    stream_of(parts_of(log, store))
    log.add(*rows(50, seed=3))
    found = audited(log, store)
    assert (found.differences, found.num_left_out, found.num_compared) == ([], 0, 7)
    assert 0.0 <= found.largest_error < 1e-12
    assert found.num_values > 30


def test_a_profile_that_was_changed_is_named() -> None:
    log, store = Log(), MemoryFeatureStore()
    log.add(*rows(100, seed=1))
    stream_of(parts_of(log, store))
    profile = store.read_profiles(["u1"])["u1"]
    counts = profile.counts_IHB.copy()
    counts[0] *= 1.001
    store.write_profiles({"u1": replace(profile, counts_IHB=counts)}, write_time_s=NOW_S)
    found = audited(log, store)
    assert [(d.key, d.name) for d in found.differences] == [("u1", profile.item_ids[0])]


def test_what_a_profile_pruned_is_no_difference_and_what_it_invented_is() -> None:
    log, store = Log(), MemoryFeatureStore()
    log.add(*rows(200, seed=1))
    parts = parts_of(log, store, config=replace(CONFIG, max_items=3))
    stream_of(parts)
    assert audited(log, store, max_items=3).differences == []
    item_id = store.read_profiles(["u1"])["u1"].item_ids[0]
    other = Log()
    other.add(*(replace(r, user_key="zoe") if (r.user_key, r.item_id) == ("u1", item_id) else r for r in log.rows))
    found = audited(other, store, max_items=3).differences
    assert [(d.key, d.name, d.error) for d in found] == [("u1", item_id, np.inf)]


def test_item_statistics_are_compared_with_as_many_rows_as_they_hold() -> None:
    log, store = Log(), MemoryFeatureStore()
    log.add(*rows(150, seed=1))
    views = ItemViews(log.log, store, behaviors=CONFIG.behaviors, settings=Settings().statistics)
    views.refresh_statistics(now_s=NOW_S)
    log.add(*rows(50, seed=2))

    def audit():
        return audit_statistics(store, log.log, half_lives_days=HALF_LIVES, config=CONFIG, num_sample=99, seed=1)

    assert (audit().differences, audit().num_compared) == ([], 8)
    statistics = store.read_item_statistics(["i1"])["i1"]
    counts = statistics.counts_HB + np.eye(*statistics.counts_HB.shape) * 0.01
    store.write_item_statistics({"i1": replace(statistics, counts_HB=counts)}, write_time_s=NOW_S)
    assert {d.key for d in audit().differences} == {"i1"}


def test_the_same_seed_gives_the_same_sample() -> None:
    keys = [str(n) for n in range(100)]
    assert sample(keys, 10, seed=3) == sample(keys, 10, seed=3) != sample(keys, 10, seed=4)
    assert sorted(sample(keys, 200, seed=3)) == sorted(keys)
