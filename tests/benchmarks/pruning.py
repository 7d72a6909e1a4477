"""What pruning costs: profiles bounded to 256, 128 and 64 items against unbounded ones.

    python -m tests.benchmarks.pruning          reads $MMREC_DATA_DIR, else ../shared/data; --output FILE

Events go through *apply* in micro-batches, as in the stream. Per bound: share of users that were pruned, share of
affinity mass that is missing per user, overlap of the 20 best items, and the difference of HR@5 (own affinity plus item
neighbors, any item, what the user touched in the last two days) with a bootstrap interval over users. Two sources:
`ecomm_tianchi_multibehavior` (left out where it is not there) and the simulated storefront with eager people.
Writes tests/benchmarks/results/pruning.json.
"""

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from mmrec.evaluation.intervals import clustered_interval
from mmrec.scoring.affinity import affinity
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import EventBatch, event_hashes
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront
from tests.benchmarks.logged_events import DATA_SET, DAY_S, Events, data_folder, item_id, read_log
from tests.benchmarks.receipt import write_receipt
from tests.benchmarks.sensitivity_model import cases_of, measure, neighbor_matrix
from tests.public_data import public_data

BOUNDS = (256, 128, 64)
BATCH = 1_000
"""Events per micro-batch."""
TOP = 20
STOREFRONT = StorefrontConfig(seed=7, num_users=400, num_items=3_000, days=60.0, events_per_user_day=8.0)
PACKAGES = ("numpy", "scipy", "pyarrow")


def compare(events: Events) -> dict[str, Any]:
    """Figures per bound; all but HR@5 of the state after the whole log."""
    end_s = float(np.floor(events.time_N.max() / DAY_S) + 1) * DAY_S
    split_s = end_s - 2 * DAY_S
    history = events.between(-np.inf, split_s)
    cases = cases_of(history, events.between(split_s, end_s))
    neighbors = neighbor_matrix(history, behaviors=shop_behaviors(), as_of_s=split_s)
    full, full_history = profiles_of(events, max_items=0), profiles_of(history, max_items=0)
    hits = measure(_matrix(full_history, events, split_s), neighbors, cases).hit_C
    held = np.array([profile.num_items for profile in full.values()])
    found: dict[str, Any] = {
        "num_users": len(full),
        "num_events": len(events),
        "num_cases": len(cases.user_C),
        "items_per_user_p50": float(np.percentile(held, 50)),
        "items_per_user_p99": float(np.percentile(held, 99)),
        "items_per_user_max": int(held.max()),
        "hr_at_5_unbounded": round(float(hits.mean()), 5),
    }
    for bound in BOUNDS:
        pruned = profiles_of(events, max_items=bound)
        fewer = measure(_matrix(profiles_of(history, max_items=bound), events, split_s), neighbors, cases).hit_C
        interval = clustered_interval(fewer - hits, cases.user_C.tolist(), seed=0)
        found[f"max_items_{bound}"] = {
            **_losses(full, pruned, end_s),
            "hr_at_5_difference": round(interval.mean, 6),
            "hr_at_5_difference_low": round(interval.low, 6),
            "hr_at_5_difference_high": round(interval.high, 6),
        }
    return found


def profiles_of(events: Events, *, max_items: int) -> dict[str, UserProfile]:
    """Profiles after all events, micro-batch by micro-batch."""
    config = replace(ScoringConfig(behaviors=shop_behaviors()), max_items=max_items)
    batch, profiles = _batch(events), dict[str, UserProfile]()
    for start in range(0, len(events), BATCH):
        profiles.update(
            apply(profiles, batch.take(np.arange(start, min(start + BATCH, len(events)))), config=config).profiles
        )
    return profiles


def _batch(events: Events) -> EventBatch:
    num_events = len(events)
    return EventBatch(
        user_keys=np.array([f"u{user}" for user in events.user_N.tolist()], dtype=object),
        item_ids=np.array([item_id(item) for item in events.item_N.tolist()], dtype=object),
        behavior_ids_N=shop_behaviors().ids_B[events.column_N],
        event_times_N=events.time_N,
        known_times_N=events.time_N,
        ingest_times_N=events.time_N,
        event_hashes_N=event_hashes(f"e{number}" for number in range(num_events)),
        sources=(),
        source_index_N=np.full(num_events, -1, dtype=np.int32),
        offsets_N=np.full(num_events, -1, dtype=np.int64),
    )


def _affinities(profile: UserProfile, as_of_s: float) -> dict[str, float]:
    behaviors, config = shop_behaviors(), ScoringConfig(behaviors=shop_behaviors())
    values_I = affinity(
        profile.counts(behaviors)[:, 0],
        as_of_s - profile.reference_times_I,
        behaviors.weights_B,
        decay_per_day=config.decay_per_day[0],
    )
    return dict(zip(profile.item_ids, values_I.tolist(), strict=True))


def _losses(full: Mapping[str, UserProfile], pruned: Mapping[str, UserProfile], as_of_s: float) -> dict[str, float]:
    lost, overlaps, of_pruned = [], [], []
    for key, profile in full.items():
        whole, kept = _affinities(profile, as_of_s), _affinities(pruned[key], as_of_s)
        lost.append(1.0 - sum(kept.values()) / sum(whole.values()))
        best, still = _best(whole), _best(kept)
        overlaps.append(len(best & still) / len(best))
        if pruned[key].num_pruned_items:
            of_pruned.append(lost[-1])
    return {
        "users_pruned_share": round(len(of_pruned) / len(full), 5),
        "mass_lost_mean": round(float(np.mean(lost)), 6),
        "mass_lost_p99": round(float(np.percentile(lost, 99)), 6),
        "mass_lost_max": round(float(np.max(lost)), 6),
        "mass_lost_mean_of_pruned_users": round(float(np.mean(of_pruned)), 6) if of_pruned else 0.0,
        "top_20_overlap_mean": round(float(np.mean(overlaps)), 6),
        "top_20_overlap_min": round(float(np.min(overlaps)), 6),
    }


def _best(scores: dict[str, float]) -> set[str]:
    return set(sorted(scores, key=lambda item: (-scores[item], item))[:TOP])


def _matrix(profiles: Mapping[str, UserProfile], events: Events, as_of_s: float) -> sparse.csr_array:
    rows, columns, values = [], [], []
    for key, profile in profiles.items():
        for item, value in _affinities(profile, as_of_s).items():
            rows.append(int(key[1:]))
            columns.append(int(item[1:]))
            values.append(value)
    return sparse.csr_array((values, (rows, columns)), shape=(events.num_users, events.num_items))


def storefront_events(config: StorefrontConfig) -> Events:
    """The storefront's events in the order they are sent, each once, at the times they happened."""
    world = Storefront(config)
    users = {user: number for number, user in enumerate(world.user_ids)}
    items = {item: number for number, item in enumerate(sorted(world.item_ids))}
    columns = {name: column for column, name in enumerate(shop_behaviors().names)}
    user, item, column, times = [], [], [], []
    for chunk in world.events():
        once = ~chunk.is_duplicate
        user += [users[u] for u in chunk.user_ids[once].tolist()]
        item += [items[i] for i in chunk.item_ids[once].tolist()]
        column += [columns[b] for b in chunk.behaviors[once].tolist()]
        times.append(chunk.event_times_s[once])
    return Events(
        user_N=np.array(user),
        item_N=np.array(item),
        column_N=np.array(column),
        time_N=np.concatenate(times),
        num_users=len(users),
        num_items=len(items),
    )


def main() -> None:
    """Compare and write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-users", type=int, default=1_500, help="of the log, drawn with seed 0")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    folder, figures, notes = data_folder(), {}, []
    if folder is None:
        notes.append(f"{DATA_SET} is left out: not in {public_data()}")
    else:
        figures[DATA_SET] = compare(read_log(folder, max_users=arguments.max_users, seed=0))
    figures["storefront"] = compare(storefront_events(STOREFRONT))
    path = write_receipt("pruning", figures, {}, packages=PACKAGES, output=arguments.output, notes=tuple(notes))
    print(json.dumps(figures, indent=1))
    print(*notes, path.name, "written")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
