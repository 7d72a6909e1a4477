"""The oracle of the exactness suite objects where it must: one that never objects would prove nothing."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from mmrec.config import Settings
from mmrec.events.codec import decode_batch
from mmrec.events.columns import RAW_SCHEMA
from mmrec.events.log import MemoryEventLog
from mmrec.events.to_batch import event_batch
from mmrec.features.stores import MemoryFeatureStore
from mmrec.scoring.apply import apply
from mmrec.scoring.settings import ScoringConfig
from tests.oracle import EVENTS, Event, Oracle, new_event, record_of

NOW_S = 1_760_000_000.0
SETTINGS = Settings(scoring=ScoringConfig(behaviors=Settings().behaviors, max_items=0))
AS_OF_S = NOW_S + 86_400.0


class Parts:
    """A store and a log that took the events they were given, and the oracle that was told."""

    def __init__(self, events: list[Event]) -> None:
        self.oracle = Oracle(behaviors=SETTINGS.behaviors, decay_per_day=SETTINGS.scoring.decay_per_day[0])
        self.oracle.sent(*events)
        columns: dict[str, list] = {name: [] for name in RAW_SCHEMA.names}
        for offset, event in enumerate(events):
            row = (*record_of(event), 0, offset, NOW_S)
            for name, cell in zip(("key", "value", "partition", "offset", "ingest_time_s"), row, strict=True):
                columns[name].append(cell)
        raw = pa.table(columns, schema=RAW_SCHEMA)
        decoded = decode_batch(
            raw, cluster_id="c", topic_id="t", behaviors=SETTINGS.behaviors, settings=SETTINGS.events
        )
        self.store, self.log, self.table = MemoryFeatureStore(), MemoryEventLog(), decoded.events
        self.log.append(decoded.events, batch_key="1")
        applied = apply({}, event_batch(decoded.events, SETTINGS.behaviors), config=SETTINGS.scoring)
        self.store.write_profiles(applied.profiles, write_time_s=NOW_S)


@pytest.fixture
def parts() -> Parts:
    behaviors = ("browse", "cart", "purchase")
    return Parts(
        [new_event(f"e{n}", f"u{n % 3}", f"i{n % 4}", behaviors[n % 3], NOW_S - n * 3_600.0) for n in range(24)]
    )


def test_nothing_is_said_about_a_store_and_a_log_that_are_right(parts: Parts) -> None:
    parts.oracle.sent(new_event("e0", "u0", "i0", "browse", NOW_S))  # a repeat
    assert parts.oracle.differences(parts.store, AS_OF_S, AS_OF_S + 1e7) == []
    assert parts.oracle.log_differences(parts.log) == []


def test_a_lost_event_is_named(parts: Parts) -> None:
    parts.oracle.sent(new_event("e99", "u1", "i1", "cart", NOW_S))
    found = {d.item_id for d in parts.oracle.differences(parts.store, AS_OF_S)}
    assert found == {"i1", EVENTS}
    assert parts.oracle.log_differences(parts.log) == ["u1 e99: 0 for 1"]


def test_an_event_that_counted_twice_is_named(parts: Parts) -> None:
    profile = parts.store.read_profiles(["u2"])["u2"]
    parts.store.write_profiles({"u2": replace(profile, num_events=profile.num_events + 1)}, write_time_s=NOW_S)
    (difference,) = parts.oracle.differences(parts.store, AS_OF_S)
    assert (difference.user_key, difference.item_id, difference.expected, difference.found) == ("u2", EVENTS, 8, 9)


def test_an_error_of_a_millionth_is_named(parts: Parts) -> None:
    profile = parts.store.read_profiles(["u0"])["u0"]
    counts_IHB = profile.counts_IHB * np.where(np.arange(profile.num_items) == 0, 1 + 1e-6, 1.0)[:, None, None]
    parts.store.write_profiles({"u0": replace(profile, counts_IHB=counts_IHB)}, write_time_s=NOW_S)
    assert [d.item_id for d in parts.oracle.differences(parts.store, AS_OF_S)] == [profile.item_ids[0]]


def test_a_profile_made_by_refused_events_is_named(parts: Parts) -> None:
    other = Oracle(behaviors=SETTINGS.behaviors, decay_per_day=SETTINGS.scoring.decay_per_day[0])
    other.sent(new_event("e0", "u0", "i0", "browse", NOW_S), refused=True)
    assert {d.user_key for d in other.differences(parts.store, AS_OF_S)} == {"u0"}


def test_a_row_that_stands_twice_in_the_log_is_named(parts: Parts) -> None:
    again = parts.table.slice(0, 1)
    place = again.schema.get_field_index("offset")
    parts.log.append(again.set_column(place, "offset", pa.array([99], again["offset"].type)), batch_key="2")
    (line,) = parts.oracle.log_differences(parts.log)
    assert line.endswith("2 for 1")
