"""The ring of event ids: what it remembers, and how much work a repeat is."""

from collections.abc import Iterable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmrec.scoring.ring import IdRing


class IdThatCounts(int):
    """An id that counts how often it is compared."""

    num_compared = 0
    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        IdThatCounts.num_compared += 1
        return int.__eq__(self, other)


def ring_of(ids: Iterable[int], times: Iterable[float], *, newest_s: float, size: int, window_s: float) -> IdRing:
    return IdRing(
        np.array([*ids], dtype=np.uint64),
        np.array([*times], dtype=np.float64),
        newest_s=newest_s,
        size=size,
        window_s=window_s,
    )


@given(
    stored=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=8, unique_by=lambda entry: entry[0]),
    coming=st.lists(st.tuples(st.integers(0, 20), st.integers(3, 12)), max_size=15),
    size=st.integers(1, 8),
    window_s=st.integers(1, 9),
)
def test_an_id_is_remembered_while_it_is_among_the_newest_and_in_the_window(stored, coming, size, window_s) -> None:
    entries = sorted((float(time_s), known) for known, time_s in stored)
    newest_s = max((time_s for time_s, _ in entries), default=0.0)
    ring = ring_of([k for _, k in entries], [t for t, _ in entries], newest_s=newest_s, size=size, window_s=window_s)
    for known, time_s in coming:
        newest_s = max(newest_s, time_s)
        kept = [entry for entry in sorted(entries)[-size:] if entry[0] >= newest_s - window_s]
        remembered = any(other == known for _, other in kept)
        assert ring.holds(known, float(time_s)) == remembered
        if not remembered:
            ring.add(known, float(time_s))
            entries.append((float(time_s), known))


def test_a_repeat_costs_no_walk_through_the_ring() -> None:
    number = 4_000
    ring = ring_of(range(number), range(number), newest_s=number, size=number, window_s=1e9)
    assert all(ring.holds(IdThatCounts(known), float(number)) for known in range(number))
    assert IdThatCounts.num_compared < 100 * number
