"""The demo's own pieces: the ledger, the comparison with the plain sum, the clicks, the page."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mmrec.config import EventSettings
from mmrec.demo.journey import choose_user, click_events
from mmrec.demo.ledger import Ledger, compare_profiles
from mmrec.demo.page import ShownItem, render_page
from mmrec.demo.steps import Steps
from mmrec.demo.world import refused_records, storefront_world
from mmrec.errors import NotFoundError
from mmrec.features.stores import MemoryFeatureStore
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import session_batch
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.plain_sum import LedgerEvent
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig

NOW_S = 1_767_225_600.0
CONFIG = ScoringConfig(behaviors=shop_behaviors())


def _event(event_id: str, item_id: str, *, user_key: str = "u", days_ago: float = 1.0) -> LedgerEvent:
    return LedgerEvent(
        event_id=event_id,
        user_key=user_key,
        item_id=item_id,
        behavior="cart",
        event_time_s=NOW_S - days_ago * 86_400,
    )


def _profiles(events: Sequence[LedgerEvent]) -> dict[str, UserProfile]:
    """What *apply* makes of events."""
    profiles: dict[str, UserProfile] = {}
    for event in events:
        batch = session_batch(
            user_key=event.user_key,
            item_ids=[event.item_id],
            behavior_ids=[int(CONFIG.behaviors.ids_B[CONFIG.behaviors.index(event.behavior)])],
            event_times_s=[event.event_time_s],
            event_ids=[event.event_id],
            ingest_time_s=NOW_S,
        )
        profiles |= apply(profiles, batch, config=CONFIG).profiles
    return profiles


def test_a_ledger_counts_repeats_of_a_users_event_id_as_duplicates() -> None:
    ledger = Ledger()
    ledger.add([_event("a", "i"), _event("a", "i"), _event("a", "i", user_key="v")])
    ledger.add_rejected(2)
    assert (ledger.counts.produced, ledger.counts.duplicate, ledger.counts.rejected) == (5, 1, 2)
    assert ledger.counts.accepted == 2


def test_a_missing_profile_and_a_missing_item_are_infinitely_wrong() -> None:
    sent = [_event("a", "i"), _event("b", "j"), _event("c", "i", user_key="v")]

    def error_of(*stored: LedgerEvent) -> float:
        """Of a store that holds what these events make."""
        store, ledger = MemoryFeatureStore(), Ledger()
        ledger.add(sent)
        store.write_profiles(_profiles(stored), write_time_s=NOW_S)
        return compare_profiles(ledger, store, scoring=CONFIG, as_of_s=NOW_S).max_relative_error

    assert error_of(*sent) < 1e-12
    assert math.isinf(error_of(*sent[:2])), "a profile is missing"
    assert math.isinf(error_of(*sent[1:])), "an item is missing"
    assert math.isinf(error_of(*sent, _event("d", "k"))), "an item is too many"
    assert error_of(*sent, _event("d", "i")) == pytest.approx(1.0), "an event was counted twice"


def test_the_user_of_a_demo_is_active_and_has_a_typical_number_of_events() -> None:
    events = [_event(f"{n}", "i", user_key="busy", days_ago=0.1) for n in range(90)]
    events += [_event(f"{n}", "i", user_key="away", days_ago=50) for n in range(28)]
    events += [_event(f"{n}", "i", user_key="active", days_ago=1 + n) for n in range(28)]
    events += [_event("1", "i", user_key="new", days_ago=0.1)]
    assert choose_user(events) == "active"
    with pytest.raises(NotFoundError, match="send history first"):
        choose_user([])


def test_clicks_are_events_that_the_ledger_knows_to_the_millisecond() -> None:
    records, noted = click_events("u", ["a", "b"], behavior="browse", now_s=NOW_S + 0.1234)
    values = [json.loads(value) for _, value in records]
    assert [value["item_id"] for value in values] == ["a", "b"]
    assert [key for key, _ in records] == [b"u", b"u"]
    assert [event.event_time_s for event in noted] == [NOW_S + 0.123, NOW_S + 0.124]
    assert len({event.event_id for event in noted}) == 2


def test_broken_records_are_broken_in_different_ways() -> None:
    records = refused_records(NOW_S, user_id="u", item_id="i", behavior="browse")
    assert len({value for _, value in records}) == len(records) >= 4
    assert max(len(value) for _, value in records) < EventSettings().max_value_bytes


def test_a_world_splits_its_events_without_losing_any() -> None:
    world = storefront_world(NOW_S, num_items=60, num_users=40)
    past = [event for chunk in world.history() for event in chunk.ledger]
    live = [event for chunk in world.live() for event in chunk.ledger]
    assert past
    assert live
    assert max(event.event_time_s for event in [*past, *live]) <= NOW_S
    again = [event for chunk in world.history() for event in chunk.ledger]
    assert again == past


def test_steps_are_numbered_timed_and_kept() -> None:
    told: list[str] = []
    steps = Steps(num_steps=2, tell=told.append)
    with steps.step("first") as said:
        said("3 things")
    with steps.step("second"):
        pass
    assert [step["name"] for step in steps.done] == ["first", "second"]
    assert told[0].startswith("[ 1/2] first")
    assert "3 things" in told[1]


def test_the_page_marks_what_is_new_and_escapes_what_people_wrote() -> None:
    before = [ShownItem(item_id="a", title="A"), ShownItem(item_id="b", title="<b>")]
    after = [ShownItem(item_id="c", title="C", why="because of A"), before[0]]
    page = render_page(
        user_id="u",
        before=before,
        clicks=[before[0]],
        after=after,
        facts=[("x", "1 < 2")],
        image_of=lambda _: b"\x89PNG",
    )
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert page.count('class="item new"') == 1
    assert "data:image/png;base64," in page
    assert "1 &lt; 2" in page


def test_profiles_that_apply_made_agree_with_the_plain_sum_and_a_wrong_one_does_not() -> None:
    ledger = Ledger()
    ledger.add([_event("a", "i", days_ago=2), _event("b", "i", days_ago=9), _event("c", "j", days_ago=40)])
    store = MemoryFeatureStore()
    store.write_profiles(_profiles(ledger.events), write_time_s=NOW_S)
    assert compare_profiles(ledger, store, scoring=CONFIG, as_of_s=NOW_S).max_relative_error < 1e-12
    profile = store.read_profiles(["u"])["u"]
    store.write_profiles({"u": replace(profile, counts_IHB=profile.counts_IHB * 1.001)}, write_time_s=NOW_S + 1)
    found = compare_profiles(ledger, store, scoring=CONFIG, as_of_s=NOW_S)
    assert found.max_relative_error == pytest.approx(0.001)
    assert (found.num_profiles, found.num_pairs, found.num_pruned) == (1, 2, 0)
