"""Item statistics equal the plain sum, however events are cut into batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.errors import IncompatibleStateError
from mmrec.features.schema import PACKED_FORMATS, VIEWS
from mmrec.scoring.batch import EventBatch, session_batch
from mmrec.scoring.behaviors import media_behaviors, shop_behaviors
from mmrec.scoring.item_statistics import (
    ItemStatistics,
    accumulate,
    pack_statistics,
    popularities,
    popularity,
    unpack_statistics,
)

HALF_LIVES = (1.0, 7.0, 30.0)
IDS = shop_behaviors().ids_B
NOW_S = 1_767_225_600.0
Row = tuple[str, int, float]


def batch(rows: list[Row]) -> EventBatch:
    return session_batch(
        user_key="u",
        item_ids=[r[0] for r in rows],
        behavior_ids=[r[1] for r in rows],
        event_times_s=[r[2] for r in rows],
        event_ids=[str(n) for n in range(len(rows))],
        ingest_time_s=NOW_S,
    )


def accumulated(batches: list[list[Row]]) -> dict[str, ItemStatistics]:
    table: dict[str, ItemStatistics] = {}
    for rows in batches:
        table |= accumulate(table, batch(rows), half_lives_days=HALF_LIVES, behavior_ids_B=IDS)
    return table


rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([1, 2, 3, 4, 99]),
        st.integers(0, 60 * 24).map(lambda hours: NOW_S - 3600.0 * hours),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, max_size=4))
def test_statistics_are_the_plain_sum_however_events_are_cut(batches: list[list[Row]]) -> None:
    table = accumulated(batches)
    events = [row for part in batches for row in part if row[1] != 99]
    assert set(table) == {item for item, _, _ in events}
    for item, statistics in table.items():
        own = [row for row in events if row[0] == item]
        assert statistics.num_events == len(own)
        assert statistics.reference_time_s == max(time_s for _, _, time_s in own)
        for h, half_life in enumerate(HALF_LIVES):
            for b, behavior_id in enumerate(IDS):
                ages = [statistics.reference_time_s - t for _, kind, t in own if kind == behavior_id]
                plain = sum(0.5 ** (age / 86_400 / half_life) for age in ages)
                assert statistics.counts_HB[h, b] == pytest.approx(plain, rel=1e-12)


def test_one_half_life_halves_a_count() -> None:
    table = accumulated([[("a", 1, NOW_S - 7 * 86_400)], [("a", 4, NOW_S)]])
    assert table["a"].counts_HB[:, 0] == pytest.approx([2.0**-7, 0.5, 2.0 ** (-7 / 30)])
    assert table["a"].counts_HB[:, 3].tolist() == [1.0, 1.0, 1.0]


def test_popularity_weighs_behaviors_and_decays_at_the_second_half_life() -> None:
    table = accumulated(
        [[("bought", 4, NOW_S), ("browsed", 1, NOW_S), ("old", 4, NOW_S - 7 * 86_400), ("again", 1, NOW_S)]]
    )
    ids, values = popularity(table, behaviors=shop_behaviors(), half_lives_days=HALF_LIVES, as_of_s=NOW_S)
    assert ids == ("bought", "old", "again", "browsed")
    assert values == pytest.approx([10.0, 5.0, 1.0, 1.0])
    _, later = popularity(table, behaviors=shop_behaviors(), half_lives_days=HALF_LIVES, as_of_s=NOW_S + 7 * 86_400)
    assert later == pytest.approx(values / 2)
    assert popularity({}, behaviors=shop_behaviors(), half_lives_days=HALF_LIVES, as_of_s=NOW_S)[0] == ()


def test_behaviors_of_another_set_keep_their_place() -> None:
    table = accumulated([[("a", 4, NOW_S)]])
    both = np.array([1, 4, 16], dtype=np.uint8)
    changed = accumulate(table, batch([("a", 16, NOW_S)]), half_lives_days=HALF_LIVES, behavior_ids_B=both)
    assert changed["a"].counts_HB[0].tolist() == [0.0, 1.0, 1.0]
    assert popularity(changed, behaviors=media_behaviors(), half_lives_days=HALF_LIVES, as_of_s=NOW_S)[1].tolist() == [
        1.0
    ]


def test_packed_statistics_come_back_whole_and_other_versions_are_refused() -> None:
    statistics = accumulated([[("a", 1, NOW_S), ("a", 3, NOW_S - 5)]])["a"]
    packed = pack_statistics(statistics)
    back = unpack_statistics(packed)
    assert (back.reference_time_s, back.num_events) == (statistics.reference_time_s, 2)
    assert np.array_equal(back.counts_HB, statistics.counts_HB)
    assert np.array_equal(back.behavior_ids_B, statistics.behavior_ids_B)
    for broken in (b"", b"\x09" + packed[1:], packed[:-1]):
        with pytest.raises(IncompatibleStateError, match="statistics"):
            unpack_statistics(broken)


def test_what_one_item_holds_is_its_own() -> None:
    table = accumulated([[("a", 1, NOW_S), ("b", 1, NOW_S)]])
    assert table["a"].counts_HB.base is None  # a view would keep every item of its batch in memory


def test_popularity_of_columns_is_popularity_of_the_table_and_nothing_where_nothing_was_counted() -> None:
    table = accumulated([[("a", 1, NOW_S - 86_400.0), ("a", 4, NOW_S), ("b", 2, NOW_S - 9 * 86_400.0)]])
    behaviors = shop_behaviors()
    names, expected = popularity(table, behaviors=behaviors, half_lives_days=HALF_LIVES, as_of_s=NOW_S)
    counts = np.array([table["b"].counts_HB, np.ones_like(table["b"].counts_HB), table["a"].counts_HB])
    references = np.array([table["b"].reference_time_s, np.nan, table["a"].reference_time_s])
    found = popularities(
        counts, references, weights_B=behaviors.weights_B, decay_per_day_H=np.log(2) / np.array(HALF_LIVES)
    )
    assert found[1] == 0.0
    assert dict(zip("b?a", found, strict=True)) == pytest.approx({**dict(zip(names, expected, strict=True)), "?": 0.0})


def test_every_packed_form_is_part_of_the_store_fingerprint() -> None:
    packed = {view.name for view in VIEWS if any(field.name == "packed" for field in view.fields)}
    assert set(PACKED_FORMATS) == packed
