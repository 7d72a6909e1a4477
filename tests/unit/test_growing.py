"""Columns and lists that grow: nothing given out changes, and a change costs no more than what it changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.recall.catalogue import NO_ROW, FirstRows, rows_of
from mmrec.recall.growing import GrowingColumn, GrowingList, ListView, begins_with, first_of
from mmrec.recall.popular_order import PopularHead, Popularity, popular_order

steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(st.integers(0, 30), min_size=1, max_size=5, unique=True)),
        st.tuples(st.just("view"), st.integers(0, 30)),
        st.tuples(st.just("drop"), st.integers(0, 9)),
    ),
    max_size=40,
)


@settings(max_examples=80, deadline=None)
@given(steps)
def test_views_keep_what_they_showed_whoever_writes_and_whoever_leaves(sequence) -> None:
    column, values = GrowingColumn(fill=-1, dtype=np.int64), GrowingList(fill=-1)
    known: dict[int, int] = {}
    given_out: list[tuple[np.ndarray, ListView[int], list[int]]] = []
    for number, (kind, what) in enumerate(sequence):
        if kind == "put":
            column.put(np.array(what), [number] * len(what))
            for row in what:
                values.put(row, number)
            known |= dict.fromkeys(what, number)
        elif kind == "view":
            wanted = [known.get(row, -1) for row in range(what)]
            given_out.append((column.view(what)[:], values.view(what), wanted))
        elif given_out:
            given_out.pop(what % len(given_out))
        for view, listed, wanted in given_out:
            assert view.tolist() == wanted
            assert listed == wanted
    assert column.at(np.arange(31)).tolist() == [known.get(row, -1) for row in range(31)]
    assert column.now(31).tolist() == [known.get(row, -1) for row in range(31)]


@pytest.mark.parametrize("num_rows", [100, 100_000])
def test_changes_between_views_copy_the_column_once_however_many_they_are(num_rows) -> None:
    column = GrowingColumn(fill=0.0, dtype=np.float64, shape=(3,))
    column.put(np.arange(num_rows), np.ones((num_rows, 3)))
    view = column.view(num_rows)
    for number in range(20):
        column.put(np.array([number]), [[2.0, 2.0, 2.0]])
        view = column.view(num_rows)
        assert view[number, 0] == 2.0
    assert column.num_copies == 1
    assert (view[:20] == 2.0).all()
    assert (view[20:] == 1.0).all()


def test_a_reader_that_stays_costs_copies_and_sees_nothing_of_them() -> None:
    column = GrowingColumn(fill=0, dtype=np.int64)
    column.put(np.arange(4), [1, 1, 1, 1])
    kept = [column.view(4)]
    for number in range(3):
        column.put(np.array([0]), [5 + number])
        kept.append(column.view(4))
    assert [view.tolist() for view in kept] == [[1, 1, 1, 1], [5, 1, 1, 1], [6, 1, 1, 1], [7, 1, 1, 1]]
    assert column.num_copies == 3
    part = kept.pop()[2:]
    kept.clear()
    column.put(np.array([2]), [9])
    assert part.tolist() == [1, 1]  # a part of a view keeps its copy as well as the view does


def test_a_view_of_a_list_is_a_sequence_of_its_first_values() -> None:
    values = ["a", "b", "c"]
    view = ListView(values, 2)
    values.append("d")
    assert (list(view), len(view), view[-1], view[0:5]) == (["a", "b"], 2, "b", ("a", "b"))
    assert view == ("a", "b") == view
    assert view != ("a", "c")
    with pytest.raises(IndexError, match="place 2 of a list of 2"):
        view[2]
    assert begins_with(ListView(values, 3), view)
    assert begins_with(ListView(values, 3), ("a",))
    assert begins_with(("a", "b", "c"), view)
    assert not begins_with(view, ListView(values, 3))
    assert not begins_with(view, ("b",))
    assert first_of(ListView(values, 3), 2) == view == first_of(("a", "b", "c"), 2)


def test_rows_that_came_later_are_unknown() -> None:
    every = {"a": 0, "b": 1}
    first = FirstRows(every, 2)
    every["c"] = 2
    assert first == {"a": 0, "b": 1}
    assert "c" not in first
    assert rows_of(first, ["c", "b", "x"]).tolist() == [NO_ROW, 1, NO_ROW]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_head_of_the_popular_is_that_of_all_sorted_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    head, num_items = PopularHead(num_rows=8), int(rng.integers(1, 20))
    popularity_I, published_I = rng.integers(-1, 4, size=num_items) * 1.0, rng.choice([-np.inf, 1.0, 2.0], num_items)
    head.renew(popularity_I, published_I)
    for _ in range(12):
        num_new = int(rng.integers(0, 3))
        changed = rng.permutation(num_items)[: int(rng.integers(0, 6))]
        rows_N = np.concatenate([changed, np.arange(num_items, num_items + num_new)])
        popularity_I = np.append(popularity_I, np.zeros(num_new))
        published_I = np.append(published_I, np.zeros(num_new))
        popularity_I[rows_N] = rng.integers(-1, 4, size=len(rows_N))
        published_I[rows_N] = rng.choice([-np.inf, 1.0, 2.0], len(rows_N))
        num_items += num_new
        head.change(rows_N, popularity_I, published_I)
        whole = popular_order(np.arange(num_items), popularity_I, published_I)
        assert head.rows.tolist() == whole[: len(head.rows)].tolist()
        assert len(head.rows) >= min(4, num_items)
        popularity = Popularity(head=head.rows, kept_I=popularity_I, left=0.5, published_from_I=published_I)
        some = rng.permutation(num_items)[: int(rng.integers(0, num_items + 1))]
        wanted = [row for row in whole.tolist() if row in some][:3]
        assert popularity.first(some, 3).tolist() == wanted
        assert popularity.at(some).tolist() == (0.5 * popularity_I[some]).tolist()
