"""The slow reference of the scoring matrix, against numbers a reader can check by hand."""

import pytest

from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum

NOW_S = 1_700_000_000.0
DAY_S = 86_400.0


def _event(event_id: str, behavior: str, days_ago: float, *, item_id: str = "i") -> LedgerEvent:
    return LedgerEvent(
        event_id=event_id, user_key="u", item_id=item_id, behavior=behavior, event_time_s=NOW_S - days_ago * DAY_S
    )


def test_two_browses_three_days_ago_are_worth_1_7214() -> None:
    events = [_event("a", "browse", 3), _event("b", "browse", 3)]
    scores = plain_sum(events, behaviors=shop_behaviors(), decay_per_day=0.05, as_of_s=NOW_S)
    assert scores["u", "i"] == pytest.approx(1.7214, abs=5e-5)


def test_decay_leaves_seventy_percent_after_a_week_and_twenty_two_after_a_month() -> None:
    events = [_event("a", "purchase", 7, item_id="week"), _event("b", "purchase", 30, item_id="month")]
    scores = plain_sum(events, behaviors=shop_behaviors(), decay_per_day=0.05, as_of_s=NOW_S)
    assert scores["u", "week"] == pytest.approx(10 * 0.70, abs=0.05)
    assert scores["u", "month"] == pytest.approx(10 * 0.22, abs=0.05)


def test_a_repeated_event_id_counts_once() -> None:
    events = [_event("a", "cart", 0), _event("a", "cart", 0)]
    scores = plain_sum(events, behaviors=shop_behaviors(), decay_per_day=0.05, as_of_s=NOW_S)
    assert scores["u", "i"] == pytest.approx(5.0)
