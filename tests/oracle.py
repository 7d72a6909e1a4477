"""An oracle kept by the producer: what it sent, and so what the store and the log must hold (METHODS M3, M4).

    oracle = Oracle(behaviors=..., decay_per_day=...)
    oracle.sent(event)                      an event that counts once, however often it is sent
    oracle.sent(event, refused=True)        one that must change nothing
    oracle.differences(store, instant_s)     [] where every profile is the plain sum, to 1e-9 relative or 1e-12 absolute
    oracle.log_differences(log)             [] where the log holds exactly the accepted events, each once

It knows nothing of Kafka, Spark or marks: events are told apart by (user, event id) alone. Safe to use from threads.
"""

import json
import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.events.log import EventLog
from mmrec.features.ports import FeatureStore
from mmrec.scoring.affinity import affinity
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum
from mmrec.scoring.profile import UserProfile
from mmrec.wire.instants import parse_time

RELATIVE, ABSOLUTE = 1e-9, 1e-12
EVENTS = "(events)"
"""Stands for an item where a profile's number of events differs."""
CHUNK = 5_000
Event = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One number of the store that is not what it must be; None where one side has nothing."""

    user_key: str
    item_id: str
    expected: float | None
    found: float | None


def new_event(event_id: str, user_id: str, item_id: str, behavior: str, event_time_s: float, **more: Any) -> Event:
    """An event as a document of proto3 JSON; event time to the microsecond."""
    return {
        "event_id": event_id,
        "user_id": user_id,
        "item_id": item_id,
        "behavior": behavior,
        "event_time": datetime.fromtimestamp(event_time_s, UTC).isoformat(),
        **more,
    }


def record_of(event: Event) -> tuple[bytes, bytes]:
    """Key and value as a storefront would write them to the topic."""
    return (event.get("user_id") or event["anonymous_id"]).encode(), json.dumps(event).encode()


class Oracle:
    """Every event a producer sent, and what follows from them."""

    def __init__(self, *, behaviors: BehaviorSet, decay_per_day: float) -> None:
        self._behaviors = behaviors
        self._rate = decay_per_day
        self._ledger: dict[tuple[str, str], LedgerEvent] = {}
        self._again: list[LedgerEvent] = []
        self._refused: dict[tuple[str, str], LedgerEvent] = {}
        self._lock = threading.Lock()
        self.num_sent = 0
        """Deliveries, repeats included."""

    def sent(self, *events: Event, refused: bool = False, beyond_window: bool = False) -> None:
        """Note deliveries.

        Args:
            refused: They break a rule; nothing of them may be found.
            beyond_window: Repeats of ids that the ring has forgotten: they count again.
        """
        with self._lock:
            for event in events:
                entry = _entry(event)
                identity = entry.user_key, entry.event_id
                self.num_sent += 1
                if refused:
                    self._refused[identity] = entry
                elif beyond_window:
                    assert identity in self._ledger, f"{identity} is no repeat"
                    self._again.append(entry)
                else:
                    self._ledger.setdefault(identity, entry)

    @property
    def num_accepted(self) -> int:
        """Events that count."""
        return len(self._ledger) + len(self._again)

    @property
    def num_refused(self) -> int:
        """Deliveries that must be on the rejected topic."""
        return len(self._refused)

    @property
    def user_keys(self) -> set[str]:
        """Users with at least one event that counts."""
        return {user for user, _ in self._ledger}

    def identities(self, *user_keys: str) -> set[tuple[str, str]]:
        """(user, event id) of the events that count."""
        return {identity for identity in self._ledger if not user_keys or identity[0] in user_keys}

    def expected(self, *, as_of_s: float) -> dict[str, dict[str, float]]:
        """S by user and item, as of an instant that is not before the newest event."""
        again = [  # an id of its own, so that the plain sum counts it
            LedgerEvent(**{**vars(entry), "event_id": f"{entry.event_id} again {n}"})
            for n, entry in enumerate(self._again)
        ]
        sums = plain_sum(
            [*self._ledger.values(), *again], behaviors=self._behaviors, decay_per_day=self._rate, as_of_s=as_of_s
        )
        by_user: dict[str, dict[str, float]] = defaultdict(dict)
        for (user, item), value in sums.items():
            by_user[user][item] = value
        return by_user

    def differences(self, store: FeatureStore, *instants_s: float) -> list[Difference]:
        """Where the store's profiles, read at these instants, are not the plain sum; pruning must be off.

        Users all of whose events were refused must have no profile.
        """
        expected = [self.expected(as_of_s=instant_s) for instant_s in instants_s]
        num_events = Counter(user for user, _ in self._ledger) + Counter(entry.user_key for entry in self._again)
        found = []
        for keys in _chunks({user for user, _ in self._ledger.keys() | self._refused.keys()}):
            profiles = store.read_profiles(keys)
            for user in keys:
                profile = profiles.get(user)
                for instant_s, sums in zip(instants_s, expected, strict=True):
                    found += _compare(user, sums.get(user, {}), self._affinities(profile, instant_s))
                counted = profile.num_events if profile is not None else 0
                if counted != num_events[user]:
                    found.append(Difference(user, EVENTS, num_events[user], counted))
        return found

    def log_differences(self, log: EventLog, *, only_own: bool = False) -> list[str]:
        """What the log lacks, has twice, or has beyond what counts.

        Args:
            only_own: Rows of users that this oracle never heard of are another's.
        """
        wanted = Counter(self._ledger.keys()) + Counter((e.user_key, e.event_id) for e in self._again)
        users = {user for user, _ in self._ledger.keys() | self._refused.keys()}
        held: Counter[tuple[str, str]] = Counter()
        for table in log.scan(columns=["user_key", "event_id"]):
            rows = zip(table["user_key"].to_pylist(), table["event_id"].to_pylist(), strict=True)
            held.update(row for row in rows if not only_own or row[0] in users)
        names = {identity for identity in held | wanted if held[identity] != wanted[identity]}
        return [f"{user} {event}: {held[user, event]} for {wanted[user, event]}" for user, event in sorted(names)]

    def _affinities(self, profile: UserProfile | None, as_of_s: float) -> dict[str, float]:
        if profile is None:
            return {}
        values = affinity(
            profile.counts(self._behaviors)[:, 0, :],
            as_of_s - profile.reference_times_I,
            self._behaviors.weights_B,
            decay_per_day=self._rate,
        )
        return dict(zip(profile.item_ids, values.tolist(), strict=True))


def _compare(user: str, expected: Mapping[str, float], found: Mapping[str, float]) -> list[Difference]:
    return [
        Difference(user, item, expected.get(item), found.get(item))
        for item in sorted(expected.keys() | found.keys())
        if not _same(expected.get(item), found.get(item))
    ]


def _same(expected: float | None, found: float | None) -> bool:
    if expected is None or found is None:
        return expected is found
    return math.isclose(expected, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _entry(event: Event) -> LedgerEvent:
    event_time_s = parse_time(event["event_time"])
    assert event_time_s is not None, event
    return LedgerEvent(
        event_id=event["event_id"],
        user_key=event.get("user_id") or ANONYMOUS_PREFIX + event["anonymous_id"],
        item_id=event["item_id"],
        behavior=event["behavior"],
        event_time_s=event_time_s,
    )


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    keys = sorted(keys)
    for start in range(0, len(keys), CHUNK):
        yield keys[start : start + CHUNK]
