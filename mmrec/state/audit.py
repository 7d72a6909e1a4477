"""Whether stored profiles and item statistics are the plain sum over the event log (METHODS M3), for a sample of them.

    found = audit_profiles(store, log, ..., num_sample=200, seed=1)
    found = audit_statistics(store, log, ..., num_sample=200, seed=1)

A profile is compared with the log's rows up to its marks, and statistics with as many of an item's rows as they say
they hold, so both may be asked while the stream runs. The slow sum of scoring.plain_sum does it, not *apply*.
Items that a profile has pruned may come back with less than the sum; that is what its bounds mean and no difference.
"""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.forgotten_rows import kept_rows
from mmrec.events.log import PLACE_COLUMNS, EventLog
from mmrec.events.to_batch import configured, sources_of
from mmrec.features.ports import GenerationStore, ItemViewReader
from mmrec.scoring.decay import decay
from mmrec.scoring.identity import MAX_MERGED_FROM, history_of
from mmrec.scoring.item_statistics import decay_rates
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum, relative_errors
from mmrec.scoring.profile import UserProfile, align_columns
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.together import LoginHistory

TOLERANCE: Final = 1e-7
"""Relative error that counts as a difference; rows beyond the log's retention are below it."""
_COLUMNS: Final = (*PLACE_COLUMNS, "user_key", "item_id", "behavior", "event_time_s", "known_time_s")
Told = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One number that is not what the log says."""

    key: str
    """User key, or item id."""
    name: str
    """Item of the user, or half-life and behavior of the item."""
    error: float
    """Relative; inf where one side has nothing."""


@dataclass(kw_only=True)
class Audit:
    """What was compared."""

    num_compared: int = 0
    """Profiles, or items."""
    num_left_out: int = 0
    """Sampled, but not comparable: more guests than a profile names, or rows that the log has dropped."""
    num_values: int = 0
    largest_error: float = 0.0
    """Relative, over all values that are no difference."""
    differences: list[Difference] = field(default_factory=list)

    def add(self, key: str, errors: Iterable[tuple[str, float]]) -> None:
        """One profile's, or one item's, relative errors by name."""
        self.num_compared += 1
        for name, error in errors:
            self.num_values += 1
            if error > TOLERANCE:
                self.differences.append(Difference(key=key, name=name, error=error))
            else:
                self.largest_error = max(self.largest_error, error)


def audit_profiles(
    store: GenerationStore,
    log: EventLog,
    *,
    forgotten: ForgottenUsers,
    config: ScoringConfig,
    num_sample: int,
    seed: int,
    told: Told = lambda num_rows: None,
) -> Audit:
    """Compare a sample of the live profiles; the log is read once."""
    live, audit = store.generation(store.live_generation()), Audit()
    profiles = live.read_profiles(sample(live.user_keys(), num_sample, seed=seed))
    profiles = {key: profile for key, profile in profiles.items() if not profile.merged_into}
    guests = live.read_profiles({name for profile in profiles.values() for name in profile.merged_from})
    histories = {key: history for key, stub in guests.items() if (history := history_of(stub)) is not None}
    last, names = log.sequence(), pa.array([*profiles, *histories], pa.string())
    events: dict[str, list[LedgerEvent]] = defaultdict(list)
    for table in log.scan(up_to_sequence=last, columns=_COLUMNS):
        told(table.num_rows)
        mine = table.filter(pc.is_in(table["user_key"], value_set=names))
        mine = mine.filter(pa.array(kept_rows(mine, forgotten)))
        mine = mine.filter(pa.array(configured(mine, config.behaviors)))
        for key, event in _seen(mine, histories, profiles):
            events[key].append(event)
    for key, profile in sorted(profiles.items()):
        if len(profile.merged_from) >= MAX_MERGED_FROM:  # it may have more
            audit.num_left_out += 1
            continue
        audit.add(key, _errors(profile, events[key], config).items())
    return audit


def _seen(
    table: pa.Table, histories: Mapping[str, LoginHistory], profiles: dict[str, UserProfile]
) -> Iterable[tuple[str, LedgerEvent]]:
    """(profile key, event) of rows at or below the profile's marks."""
    sources, source_index_N = sources_of(table)
    for row, index in zip(table.to_pylist(), source_index_N.tolist(), strict=True):
        history = histories.get(row["user_key"])
        key = row["user_key"] if history is None else history.owner_at(row["known_time_s"])
        if key in profiles and row["offset"] <= profiles[key].marks.get(sources[index], -1):
            place = "/".join(str(row[name]) for name in PLACE_COLUMNS)
            yield (
                key,
                LedgerEvent(
                    event_id=place,  # the log holds what counts, once each
                    user_key=key,
                    item_id=row["item_id"],
                    behavior=row["behavior"],
                    event_time_s=row["event_time_s"],
                ),
            )


def _errors(profile: UserProfile, events: list[LedgerEvent], config: ScoringConfig) -> dict[str, float]:
    as_of_s, rate = profile.newest_event_time_s, config.decay_per_day[0]
    if not math.isfinite(as_of_s):
        return dict.fromkeys({event.item_id for event in events}, math.inf)
    sums = plain_sum(events, behaviors=config.behaviors, decay_per_day=rate, as_of_s=as_of_s)
    expected = {item_id: value for (_, item_id), value in sums.items()}
    errors = relative_errors(profile, expected, behaviors=config.behaviors, decay_per_day=rate, as_of_s=as_of_s)
    if profile.num_pruned_items:
        kept = {name: error for name, error in errors.items() if name in profile.item_ids and name in expected}
        added = set(profile.item_ids) - set(expected)
        return {name: error for name, error in kept.items() if error <= TOLERANCE} | dict.fromkeys(added, math.inf)
    return errors


def audit_statistics(
    store: ItemViewReader,
    log: EventLog,
    *,
    half_lives_days: tuple[float, ...],
    config: ScoringConfig,
    num_sample: int,
    seed: int,
    told: Told = lambda num_rows: None,
) -> Audit:
    """Compare the statistics of a sample of the items in the log; it is read twice."""
    last, audit = log.sequence(), Audit()
    items: set[str] = set()
    for table in log.scan(up_to_sequence=last, columns=["item_id", "behavior"]):
        items.update(pc.unique(table.filter(pa.array(configured(table, config.behaviors)))["item_id"]).to_pylist())
    chosen = sample(sorted(items), num_sample, seed=seed)
    statistics = store.read_item_statistics(chosen)
    audit.num_left_out = len(chosen) - len(statistics)
    last = log.sequence()
    rows: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for table in log.scan(up_to_sequence=last, columns=["item_id", "behavior", "event_time_s"]):
        told(table.num_rows)
        mine = table.filter(pc.is_in(table["item_id"], value_set=pa.array(chosen, pa.string())))
        for row in mine.filter(pa.array(configured(mine, config.behaviors))).to_pylist():
            rows[row["item_id"]].append((row["behavior"], row["event_time_s"]))
    rates_H = decay_rates(half_lives_days)
    for item_id, found in sorted(statistics.items()):
        counted = rows[item_id][: found.num_events]
        if len(counted) < found.num_events or found.counts_HB.shape[0] != len(rates_H):
            audit.num_left_out += 1
            continue
        counts_HB = align_columns(found.counts_HB, found.behavior_ids_B, config.behaviors.ids_B)
        errors = []
        for column, behavior in enumerate(config.behaviors.names):
            ages_N = np.array([found.reference_time_s - time_s for name, time_s in counted if name == behavior])
            for row, rate in enumerate(rates_H.tolist()):
                expected = math.fsum(decay(ages_N, decay_per_day=rate).tolist())
                error = abs(counts_HB[row, column] - expected) / expected if expected else abs(counts_HB[row, column])
                errors.append((f"{behavior}, half-life {half_lives_days[row]:g} days", float(error)))
        audit.add(item_id, errors)
    return audit


def sample(keys: Iterable[str], number: int, *, seed: int) -> list[str]:
    """As many keys, each set of them as likely as any other; all where there are no more."""
    generator, chosen = random.Random(seed), []  # noqa: S311
    for place, key in enumerate(keys):
        if place < number:
            chosen.append(key)
        elif (other := generator.randrange(place + 1)) < number:
            chosen[other] = key
    return chosen
