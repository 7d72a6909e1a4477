"""A producer's own account of what it sent, and the comparison of stored profiles with the plain sum over it."""

import math
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from mmrec.errors import StoreError
from mmrec.features.ports import ProfileReader
from mmrec.features.record_counts import RecordCounts
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum, relative_errors
from mmrec.scoring.settings import ScoringConfig

_READ_BATCH = 200


@dataclass(frozen=True, kw_only=True)
class LedgerCounts:
    """What a producer expects the stream to say."""

    produced: int
    duplicate: int
    rejected: int

    @property
    def accepted(self) -> int:
        """Events that must count."""
        return self.produced - self.duplicate - self.rejected


@dataclass(frozen=True, kw_only=True)
class Exactness:
    """How far stored profiles are from the plain sum."""

    num_profiles: int
    """Profiles compared."""
    num_pairs: int
    """(user, item) pairs compared."""
    num_pruned: int
    """Profiles left out because items were pruned from them."""
    max_relative_error: float
    """0 where nothing was compared; inf where an item is missing or too many."""


class Ledger:
    """Every event a producer sent, in memory."""

    def __init__(self) -> None:
        self._events: list[LedgerEvent] = []
        self._identities: set[tuple[str, str]] = set()
        self._duplicate = 0
        self._rejected = 0

    def add(self, events: Iterable[LedgerEvent]) -> None:
        """Note events that the stream must accept, or find to be duplicates."""
        for event in events:
            identity = (event.user_key, event.event_id)
            if identity in self._identities:
                self._duplicate += 1
                continue
            self._identities.add(identity)
            self._events.append(event)

    def add_rejected(self, count: int) -> None:
        """Note records that the stream must refuse."""
        self._rejected += count

    @property
    def counts(self) -> LedgerCounts:
        """What the stream must come to."""
        return LedgerCounts(
            produced=len(self._events) + self._duplicate + self._rejected,
            duplicate=self._duplicate,
            rejected=self._rejected,
        )

    @property
    def events(self) -> list[LedgerEvent]:
        """Distinct events, in the order they were sent."""
        return self._events

    @property
    def newest_event_time_s(self) -> float:
        """Epoch seconds; -inf where nothing was sent."""
        return max((event.event_time_s for event in self._events), default=-math.inf)


def compare_profiles(ledger: Ledger, store: ProfileReader, *, scoring: ScoringConfig, as_of_s: float) -> Exactness:
    """Stored profiles of all users of the ledger against the plain sum.

    Args:
        ledger: What was sent.
        store: Where the stream keeps profiles.
        scoring: Behaviors and the first half-life's rate.
        as_of_s: Instant both are read at, not before the newest event.
    """
    behaviors: BehaviorSet = scoring.behaviors
    rate = scoring.decay_per_day[0]
    expected: dict[str, dict[str, float]] = defaultdict(dict)
    sums = plain_sum(ledger.events, behaviors=behaviors, decay_per_day=rate, as_of_s=as_of_s)
    for (user_key, item_id), value in sums.items():
        expected[user_key][item_id] = value
    users = sorted(expected)
    worst, num_pairs, num_pruned = 0.0, 0, 0
    for start in range(0, len(users), _READ_BATCH):
        batch = users[start : start + _READ_BATCH]
        profiles = store.read_profiles(batch)
        for user_key in batch:
            profile = profiles.get(user_key)
            if profile is None:
                worst = math.inf
                continue
            if profile.num_pruned_items:
                num_pruned += 1
                continue
            errors = relative_errors(
                profile, expected[user_key], behaviors=behaviors, decay_per_day=rate, as_of_s=as_of_s
            )
            num_pairs += len(errors)
            worst = max(worst, *errors.values())
    return Exactness(
        num_profiles=len(users) - num_pruned, num_pairs=num_pairs, num_pruned=num_pruned, max_relative_error=worst
    )


def wait_for_stream(store: ProfileReader, num_produced: int, *, timeout_s: float) -> RecordCounts:
    """Wait until the stream has come to a verdict on as many records as were sent; its counts.

    Raises:
        StoreError: it had not after `timeout_s`.
    """
    until_s = time.monotonic() + timeout_s
    counts = RecordCounts()
    while counts.num_handled < num_produced:
        if time.monotonic() > until_s:
            raise StoreError(
                f"the stream stands at {counts.document()} after {timeout_s:.0f} s, {num_produced} records were sent; "
                "its log says why: mmrec logs score_stream"
            )
        time.sleep(0.1)
        progress = store.read_progress()
        counts = progress.counts if progress is not None else RecordCounts()
    return counts
