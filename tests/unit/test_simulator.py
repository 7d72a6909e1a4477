import hashlib
import io
import itertools
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest
from google.protobuf import json_format
from PIL import Image

from mmrec.catalog.item import Availability
from mmrec.errors import ConfigurationError, NotFoundError
from mmrec.evaluation.baselines import DecayedPopularity
from mmrec.simulator.chunks import EventChunk
from mmrec.simulator.settings import FUNNEL_SHARES, StorefrontConfig
from mmrec.simulator.storefront import Storefront
from mmrec.v1 import behavior_pb2

SMALL = {"num_users": 120, "num_items": 200, "days": 12.0, "image_size": 64}
DIGEST_PROGRAM = """
from tests.unit.test_simulator import SMALL, digest
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront
print(digest(Storefront(StorefrontConfig(**SMALL))))
"""


@cache
def world(**changes: float) -> Storefront:
    return Storefront(StorefrontConfig(**{**SMALL, **changes}))


def digest(storefront: Storefront, *, chunk_events: int = 8192) -> str:
    value = hashlib.sha256()
    for chunk in storefront.history(chunk_events=chunk_events):
        for key, body in chunk.records:
            value.update(key + b"\0" + body + b"\0")
    for item in list(storefront.catalog())[::10]:
        value.update(repr(item).encode())
    return value.hexdigest()


def column(chunks: Iterable[EventChunk], name: str) -> np.ndarray:
    return np.concatenate([getattr(chunk, name) for chunk in chunks])


def test_same_seed_same_bytes_in_another_process_with_another_hash_seed() -> None:
    program = [sys.executable, "-c", DIGEST_PROGRAM]
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": "."}
    other = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest(world())


def test_another_seed_gives_other_bytes() -> None:
    assert digest(world(seed=8)) != digest(world())


def test_chunk_size_does_not_change_the_stream() -> None:
    assert digest(world(), chunk_events=37) == digest(world())


def test_any_cut_into_windows_gives_the_same_stream() -> None:
    storefront = world(share_late=0.1, share_duplicates=0.1)
    start_s, end_s = storefront.config.start_s, storefront.config.end_s
    whole = [value for chunk in storefront.events() for _, value in chunk.records]
    edges = [start_s, start_s + 1234.5, start_s + 3 * 86_400, start_s + 7.3 * 86_400, end_s]
    parts = [
        value
        for first, last in itertools.pairwise(edges)
        for chunk in storefront.events(first, last)
        for _, value in chunk.records
    ]
    assert parts == whole


def test_choices_do_not_depend_on_when_the_story_is_told() -> None:
    one, other = world(), world(start_s=1_700_000_000.0)
    assert np.array_equal(column(one.events(), "item_ids"), column(other.events(), "item_ids"))


def test_the_funnel_has_its_shares() -> None:
    behaviors = column(Storefront(StorefrontConfig()).events(), "events_N")["behavior"]
    assert 30_000 < len(behaviors) < 50_000
    assert np.bincount(behaviors) / len(behaviors) == pytest.approx(FUNNEL_SHARES, abs=0.01)


def test_users_and_items_have_long_tails() -> None:
    events = column(Storefront(StorefrontConfig()).events(), "events_N")
    for name, size in (("user", 600), ("item", 1000)):
        counts = np.sort(np.bincount(events[name], minlength=size))[::-1]
        assert counts[: size // 10].sum() > 0.35 * counts.sum()
        assert np.count_nonzero(counts) > 0.85 * size


def test_events_come_in_send_order_and_late_ones_happened_long_before() -> None:
    chunks = list(world(share_late=0.1).events())
    sent, happened, late = (column(chunks, n) for n in ("send_times_s", "event_times_s", "is_late"))
    repeated = column(chunks, "is_duplicate")
    assert np.all(np.diff(sent) >= 0)
    assert np.all(sent >= happened)
    assert np.all((sent - happened)[late] >= 600)
    assert np.all((sent - happened)[~late & ~repeated] < 2)
    assert late.mean() == pytest.approx(0.1, abs=0.03)


def test_a_duplicate_is_the_same_record_sent_again_and_all_other_ids_are_unique() -> None:
    values_of: dict[str, list[bytes]] = defaultdict(list)
    flags_of: dict[str, list[bool]] = defaultdict(list)
    for chunk in world(share_duplicates=0.1).events():
        for event_id, (_, value), flag in zip(chunk.event_ids, chunk.records, chunk.is_duplicate, strict=True):
            values_of[event_id].append(value)
            flags_of[event_id].append(bool(flag))
    assert all(len(set(values)) == 1 for values in values_of.values())
    assert all(flags in ([False], [False, True]) for flags in flags_of.values())
    assert 0.07 < np.mean([len(flags) == 2 for flags in flags_of.values()]) < 0.13


@pytest.mark.parametrize("imported", [False, True])
def test_values_are_proto_json_and_columns_say_the_same(imported: bool) -> None:
    chunk = next(world().history() if imported else world().events())
    for row, (key, value) in enumerate(chunk.records[:200]):
        event = json_format.Parse(value, behavior_pb2.BehaviorEvent())
        assert key.decode() == event.user_id == chunk.user_ids[row]
        assert (event.event_id, event.item_id) == (chunk.event_ids[row], chunk.item_ids[row])
        assert (event.behavior, event.session_id) == (chunk.behaviors[row], chunk.session_ids[row])
        time_ms = event.event_time.seconds * 1000 + event.event_time.nanos // 1_000_000
        assert time_ms / 1000 == chunk.event_times_s[row]
        assert event.imported is imported
        assert (event.price > 0) == (event.behavior in {"cart", "purchase"})
        assert "eventId" not in json.loads(value)


def test_nobody_meets_an_item_before_it_is_published() -> None:
    storefront = world(share_new_items=0.5)
    published = {item.item_id: item.publish_time_s for item in storefront.catalog(with_images=False)}
    chunks = list(storefront.events())
    times = column(chunks, "event_times_s")
    assert all(t >= published[i] for t, i in zip(times, column(chunks, "item_ids"), strict=True))


def test_items_out_of_stock_are_not_met_by_sessions_of_that_day() -> None:
    storefront = world(share_out_of_stock=0.3)
    for day in (2, 6):
        start_s = storefront.config.start_s + day * 86_400
        out = {
            item.item_id
            for item in storefront.catalog(as_of_s=start_s, with_images=False)
            if item.availability == Availability.OUT_OF_STOCK
        }
        assert len(out) > 20
        # Sessions that began the evening before have ended two and a half hours later.
        chunks = list(storefront.events(start_s + 9_000, start_s + 86_400))
        on_day = column(chunks, "event_times_s") >= start_s + 9_000
        assert not out & set(column(chunks, "item_ids")[on_day])


def test_updates_lead_from_one_catalogue_to_the_next() -> None:
    storefront = world(share_out_of_stock=0.2, share_new_items=0.5)
    first_s, last_s = storefront.config.start_s + 1.5 * 86_400, storefront.config.start_s + 9.25 * 86_400
    state = {i.item_id: i.availability for i in storefront.catalog(as_of_s=first_s, with_images=False)}
    times = []
    for item in storefront.catalog_updates(first_s, last_s, with_images=False):
        state[item.item_id] = item.availability
        times.append(item.update_time_s)
    assert times == sorted(times)
    assert state == {i.item_id: i.availability for i in storefront.catalog(as_of_s=last_s, with_images=False)}


def test_bots_are_known_to_the_truth_and_outpace_people() -> None:
    storefront = world(bot_event_share=0.2)
    chunks = list(storefront.events())
    users, bots = column(chunks, "user_ids"), column(chunks, "is_bot")
    assert set(users[bots]) <= set(storefront.bot_user_ids)
    assert not set(users[~bots]) & set(storefront.bot_user_ids)
    assert all(storefront.oracle.is_bot(user_id) for user_id in storefront.bot_user_ids)
    assert not storefront.oracle.is_bot("nobody")


def test_some_users_shop_in_both_domains_and_the_others_in_one() -> None:
    storefront = world(events_per_user_day=6.0)
    shared, bots = set(storefront.shared_user_ids), set(storefront.bot_user_ids)
    domains: dict[str, set[str]] = defaultdict(set)
    for chunk in storefront.events():
        for user_id, item_id in zip(chunk.user_ids, chunk.item_ids, strict=True):
            domains[user_id].add(item_id[0])
    assert all(len(seen) == 1 for user_id, seen in domains.items() if user_id not in shared | bots)
    assert sum(len(domains[user_id]) == 2 for user_id in shared) > 0.5 * len(shared)


def test_pictures_show_the_color() -> None:
    storefront = world()
    reds, greens = [], []
    for item in storefront.catalog():
        if item.image is None or item.attributes["pattern"] != "plain":
            continue
        with Image.open(io.BytesIO(item.image)) as picture:
            assert picture.size == (64, 64)
            center = np.asarray(picture.convert("RGB"), dtype=float)[40:50, 26:38].mean(axis=(0, 1))
        if item.attributes["color"] == "red":
            reds.append(center)
        elif item.attributes["color"] == "green":
            greens.append(center)
    assert len(reds) > 1
    assert len(greens) > 1
    assert np.mean(reds, axis=0)[0] > np.mean(reds, axis=0)[1] + 40
    assert np.mean(greens, axis=0)[1] > np.mean(greens, axis=0)[0] + 20


def test_text_names_the_attributes() -> None:
    for item in world().catalog(with_images=False):
        for name in ("category", "color", "brand"):
            assert item.attributes[name] in item.title
        assert item.attributes["color"].lower() in item.description.lower()
        assert item.price > 0


def test_preferences_are_a_distribution_over_what_is_on_sale() -> None:
    storefront = world()
    as_of_s = storefront.config.start_s + 5.5 * 86_400
    on_sale = {
        item.item_id
        for item in storefront.catalog(as_of_s=storefront.config.start_s + 5 * 86_400, with_images=False)
        if item.availability == Availability.AVAILABLE
    }
    for user_id in storefront.user_ids[:20]:
        preference = storefront.oracle.preference(user_id, as_of_s=as_of_s)
        assert preference.sum() == pytest.approx(1.0)
        assert {i for i, p in zip(storefront.item_ids, preference, strict=True) if p > 0} <= on_sale


def test_the_best_list_has_no_regret_and_any_other_has_some() -> None:
    oracle = world().oracle
    as_of_s = world().config.start_s + 5.5 * 86_400
    user_id = world().shared_user_ids[0]
    best = oracle.best(user_id, as_of_s=as_of_s, num_items=10)
    assert oracle.regret(user_id, best, as_of_s=as_of_s) == pytest.approx(0.0)
    assert oracle.regret(user_id, best[:1] * 10, as_of_s=as_of_s) > 0.2
    assert oracle.regret(user_id, ["unknown"] * 10, as_of_s=as_of_s) == pytest.approx(1.0)
    rest = oracle.best(user_id, as_of_s=as_of_s, num_items=10, excluded=best)
    assert not set(rest) & set(best)
    assert oracle.regret(user_id, rest, as_of_s=as_of_s, excluded=best) == pytest.approx(0.0)
    with pytest.raises(NotFoundError):
        oracle.preference("nobody", as_of_s=as_of_s)


def test_first_looks_follow_the_oracle() -> None:
    """First looks hit the user's ten likeliest items as often as the planted chance says."""
    storefront = world(events_per_user_day=4.0, share_bots=0.0, share_duplicates=0.0)
    events = column(storefront.events(), "events_N")
    looks = events[events["behavior"] == 0]
    first = looks[np.unique(looks["session_number"], return_index=True)[1]][:1500]
    chance, hits = 0.0, 0
    for event in first:
        user_id = storefront.user_ids[event["user"]]
        preference = storefront.oracle.preference(user_id, as_of_s=event["event_ms"] / 1000)
        best = np.argsort(-preference)[:10]
        chance += preference[best].sum()
        hits += int(event["item"] in best)
    assert hits / len(first) == pytest.approx(chance / len(first), abs=0.05)


def test_tastes_drift() -> None:
    oracle, config = world().oracle, world().config
    moved = []
    for user_id in world().shared_user_ids[:20]:
        early, late = (oracle.preference(user_id, as_of_s=config.start_s + d * 86_400) for d in (2, 40))
        moved.append(0.5 * np.abs(early - late).sum())
    assert np.mean(moved) > 0.1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"num_users": 1}, "num_users is 1; give a whole number of 2 or more"),
        ({"share_late": 1.5}, r"share_late is 1\.5; give a number from 0 to 0\.9"),
        ({"days": 0.0}, r"days is 0\.0; give a number above 0"),
        ({"image_size": 4}, "image_size is 4; give a whole number from 32 to 1,024"),
        ({"seed": -1}, "seed is -1; give a whole number of 0 or more"),
    ],
)
def test_impossible_worlds_cannot_be_built(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        StorefrontConfig(**wrong)


def test_knowing_tastes_beats_popularity_clearly_on_sessions_held_out() -> None:
    storefront = Storefront(StorefrontConfig())
    split_s = storefront.config.end_s - 6 * 86_400
    popularity = DecayedPopularity(decay_per_day=0.1)
    for chunk in storefront.history(None, split_s):
        for item_id, time_s in zip(chunk.item_ids, chunk.event_times_s.tolist(), strict=True):
            popularity.add(item_id, event_time_s=time_s)
    popular = set(popularity.top(10))
    events = column(storefront.events(split_s, None), "events_N")
    looks = events[(events["behavior"] == 0) & (events["event_ms"] >= split_s * 1000) & ~events["is_bot"]]
    first = looks[np.unique(looks["session_number"], return_index=True)[1]]
    best_hits, popular_hits = 0, 0
    for event in first:
        item_id, user_id = storefront.item_ids[event["item"]], storefront.user_ids[event["user"]]
        best_hits += item_id in storefront.oracle.best(user_id, as_of_s=event["event_ms"] / 1000, num_items=10)
        popular_hits += item_id in popular
    assert len(first) > 300
    assert best_hits > 3 * popular_hits > 0
