"""Smoothed rates are shares, near the prior without events and near the counts with many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.scoring.rates import PSEUDO_EVENTS, smoothed_rates

counts = st.lists(st.floats(0, 1e6), min_size=1, max_size=6)


@given(counts)
def test_rates_are_shares(values: list[float]) -> None:
    rates_B = smoothed_rates(np.array(values))
    assert rates_B.min() > 0
    assert rates_B.sum() == pytest.approx(1.0)


def test_an_item_without_events_has_equal_rates() -> None:
    np.testing.assert_allclose(smoothed_rates(np.zeros((3, 4))), 0.25)


def test_one_event_moves_a_rate_by_its_part_of_the_prior() -> None:
    one = smoothed_rates(np.array([0.0, 1.0]))
    assert one[1] == pytest.approx((1 + PSEUDO_EVENTS / 2) / (1 + PSEUDO_EVENTS))


def test_many_events_outweigh_the_prior() -> None:
    np.testing.assert_allclose(smoothed_rates(np.array([8e6, 2e6])), [0.8, 0.2], atol=1e-5)


def test_what_was_undone_is_no_negative_share() -> None:
    np.testing.assert_array_equal(smoothed_rates(np.array([5.0, -3.0])), smoothed_rates(np.array([5.0, 0.0])))
