"""What was accepted once is accepted by every replay, however its slices mix the partitions."""

import random
from dataclasses import replace

import numpy as np
import pytest

from mmrec.config import Settings
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import EventBatch, event_hashes
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source
from mmrec.scoring.verdicts import Verdict

SETTINGS = Settings()
CONFIG = ScoringConfig(behaviors=SETTINGS.behaviors, max_items=0, ring_size=20, ring_window_s=100.0)
NOW_S = 1_760_000_000.0


def arrivals(ids: list[str], partitions: list[int], gap_s: float) -> EventBatch:
    """One user's events as they came, `gap_s` apart, each from its partition."""
    number = len(ids)
    offsets = [partitions[:n].count(partition) for n, partition in enumerate(partitions)]
    times_N = NOW_S + gap_s * np.arange(number)
    return EventBatch(
        user_keys=np.array(["u"] * number, dtype=object),
        item_ids=np.array([f"i{n % 3}" for n in range(number)], dtype=object),
        behavior_ids_N=np.full(number, SETTINGS.behaviors.ids_B[0], dtype=np.uint8),
        event_times_N=times_N,
        known_times_N=times_N,
        ingest_times_N=times_N,
        event_hashes_N=event_hashes(ids),
        sources=tuple(Source("c", "t", partition) for partition in range(3)),
        source_index_N=np.array(partitions, dtype=np.int32),
        offsets_N=np.array(offsets, dtype=np.int64),
    )


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("gap_s", [0.5, 30.0], ids=["beyond the ring", "beyond the window"])
def test_a_replay_counts_an_id_that_came_again_beyond_its_window(seed: int, gap_s: float) -> None:
    rng = random.Random(seed)
    ids = [f"e{n}" for n in range(60)] + ["e0", "e1", "e2"]
    events = arrivals(ids, [rng.randrange(3) for _ in ids], gap_s)
    profiles: dict = {}
    accepted = []
    for row in range(len(events)):  # one by one, as they came
        applied = apply(profiles, events.take(np.array([row])), config=CONFIG)
        profiles.update(applied.profiles)
        accepted += [row] if applied.verdicts_N[0] == Verdict.ACCEPTED else []
    assert profiles["u"].num_events == len(accepted) == len(ids)
    whole = apply({}, events.take(np.array(accepted)), config=CONFIG, with_caps=False).profiles["u"]
    assert whole.num_events == len(accepted)
    assert whole.marks == profiles["u"].marks
    assert np.array_equal(whole.ring_ids_R, profiles["u"].ring_ids_R)
    once_more = apply({"u": whole}, events, config=replace(CONFIG, max_recent=60), with_caps=False)
    assert not once_more.profiles
