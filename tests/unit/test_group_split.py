"""A split by groups never separates items that are alike, and keeps its shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.evaluation.group_split import HOLD_OUT, group_split, item_groups

VALUES = st.sampled_from(["", "a", "b", "c", "d", "e"])


def test_items_tied_by_a_chain_are_one_group():
    titles = ["shirt", "shirt", "shoe", "", ""]
    digests = ["", "x", "x", "y", ""]
    assert item_groups(titles, digests).tolist() == [0, 0, 0, 3, 4]


@given(st.lists(st.tuples(VALUES, VALUES), max_size=40), st.integers(0, 5))
def test_every_item_is_in_one_part_and_no_tie_crosses_parts(items, seed):
    titles, digests = [item[0] for item in items], [item[1] for item in items]
    parts = group_split(titles, digests, seed=seed)
    assert list(parts) == list(HOLD_OUT)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(items)))
    part_of = {row: name for name, rows in parts.items() for row in rows.tolist()}
    for column in (titles, digests):
        for one in range(len(items)):
            for other in range(one):
                assert not column[one] or column[one] != column[other] or part_of[one] == part_of[other]


def test_shares_are_kept_within_one_percent_and_a_seed_gives_one_split():
    generator = np.random.default_rng(1)
    titles = [f"title {number}" for number in generator.zipf(1.4, 3_000) % 2_000]
    titles = [title if title != "title 1" else "" for title in titles]
    parts = group_split(titles, seed=7)
    for name, share in HOLD_OUT.items():
        assert abs(len(parts[name]) / 3_000 - share) < 0.01
    again = group_split(titles, seed=7)
    assert all((parts[name] == again[name]).all() for name in parts)
    assert any(
        len(parts[name]) != len(other) or (parts[name] != other).any()
        for name, other in group_split(titles, seed=8).items()
    )


def test_without_ties_it_is_an_exact_split_and_large_groups_reach_every_part():
    parts = group_split([str(row) for row in range(1_000)], seed=1)
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 560, "validation": 140, "test": 300}
    # 100 groups of ten: pure luck decides, so each part has some.
    parts = group_split([str(row // 10) for row in range(1_000)], seed=1)
    assert all(len(rows) % 10 == 0 and len(rows) for rows in parts.values())


@pytest.mark.parametrize(
    ("columns", "shares", "message"),
    [
        ([["a"], ["b", "c"]], HOLD_OUT, "one value per item"),
        ([], HOLD_OUT, "at least one column"),
        ([["a"]], {"train": 0.5, "test": 0.6}, "sum to 1"),
        ([["a"]], {"train": 1.0, "test": 0.0}, "above 0"),
        ([["a"]], {}, "above 0"),
    ],
)
def test_wrong_columns_and_shares_are_refused(columns, shares, message):
    with pytest.raises(ValueError, match=message):
        group_split(*columns, shares=shares, seed=1)
