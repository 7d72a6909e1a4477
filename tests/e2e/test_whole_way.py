"""The whole way on real parts: what the demo measured, and what happens when the stream's driver is killed."""

import math
import os
import re
import signal
import time
from pathlib import Path

import pytest

from mmrec.config import Settings
from mmrec.demo.journey import click_events
from mmrec.demo.ledger import compare_profiles, wait_for_stream
from mmrec.demo.report import as_document
from mmrec.wiring import open_feature_store, open_producer
from tests.console_server import Console, Shop
from tests.e2e.conftest import DemoStack

pytestmark = pytest.mark.e2e


def port_of(settings: Settings) -> int:
    return int(settings.console.address.rpartition(":")[2])


def test_three_clicks_on_kafka_change_the_list_and_the_list_says_why(demo_stack: DemoStack) -> None:
    journey = demo_stack.facts.journey
    assert journey.is_repeatable
    assert journey.list_changed
    assert math.isfinite(journey.freshness_s)
    assert len(journey.before) == len(journey.after) == 20
    assert journey.new_items
    titles = [click.title for click in journey.clicks]
    assert any(title in item.why for item in journey.new_items for title in titles), [i.why for i in journey.new_items]


def test_every_event_is_accounted_for(demo_stack: DemoStack) -> None:
    facts = as_document(demo_stack.facts)
    expected = facts["events_produced"] - facts["events_duplicate"] - facts["events_rejected"]
    assert facts["events_accepted"] == expected
    assert facts["events_duplicate"] == demo_stack.facts.sent.duplicate > 0
    assert facts["events_rejected"] == demo_stack.facts.sent.rejected > 0


def test_profiles_equal_the_plain_sum_over_the_producers_ledger(demo_stack: DemoStack) -> None:
    exactness = demo_stack.facts.exactness
    assert exactness.num_pairs > 1_000
    assert exactness.max_relative_error <= 1e-9


def test_a_release_serves_the_whole_catalogue(demo_stack: DemoStack) -> None:
    assert demo_stack.facts.release_id
    assert demo_stack.facts.num_items_indexed == sum(1 for _ in demo_stack.world.catalog())


def test_profiles_stay_exact_when_the_stream_driver_is_killed(demo_stack: DemoStack) -> None:
    stack, ledger = demo_stack.stack, demo_stack.demo.ledger
    settings = stack.settings
    store, producer = open_feature_store(settings), open_producer(settings)
    items = sorted({event.item_id for event in ledger.events})
    users = sorted({event.user_key for event in ledger.events})[:40]
    before = stack.supervisor.children["score_stream"].restarts
    for round_number in range(30):
        for user in users:
            item = items[(round_number * 7 + len(user)) % len(items)]
            records, noted = click_events(user, [item], behavior="browse", now_s=time.time() - 1_000 + round_number)
            producer.send_many(settings.kafka.behavior_events, records)
            ledger.add(noted)
        if round_number == 10:
            os.killpg(stack.supervisor.children["score_stream"].pid, signal.SIGKILL)
    wait_for_stream(store, ledger.counts.produced, timeout_s=240)
    assert stack.supervisor.children["score_stream"].restarts > before
    exactness = compare_profiles(ledger, store, scoring=settings.scoring, as_of_s=time.time())
    assert exactness.max_relative_error <= 1e-9


def test_a_favorite_on_the_consoles_storefront_changes_the_visitors_list(demo_stack: DemoStack) -> None:
    # The last one: the ledger of the others does not know of its event.
    settings, user = demo_stack.stack.settings, demo_stack.facts.journey.user_id
    console = Console(shop=Shop(), settings=settings, config=Path(settings.config_file), port=port_of(settings))
    page, text = console.ask(f"/?user={user}")
    assert page.status == 200
    items = re.findall(r'name="item" value="([^"]+)"', text)
    assert len(items) == settings.console.num_items
    answer, text = console.change("/event", {"user": user, "item": items[-1], "behavior": "favorite"})
    assert answer.status == 200 and "to another list" in text, text[:3_000]
    page, text = console.ask(f"/why?user={user}&item={items[0]}")
    assert page.status == 200 and "is on the list" in text and "What each feature added" in text
    for path in ("/models", "/refused", "/operations"):
        page, text = console.ask(path)
        assert page.status == 200 and 'class="failed"' not in text, path
