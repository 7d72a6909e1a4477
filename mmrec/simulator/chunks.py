"""Chunks of simulated events: columns for a ledger beside the bytes that go to Kafka.

Values are the proto3 JSON of mmrec.v1.BehaviorEvent, snake_case, keys in a fixed order. Axis N: events as sent.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmrec.simulator.assortment import Assortment
from mmrec.simulator.people import People
from mmrec.simulator.settings import BEHAVIORS
from mmrec.simulator.vocabulary import DOMAINS

CURRENCY = "EUR"
_HEADS = [f'","behavior":"{name}","event_time":"' for name in BEHAVIORS]


class Names:
    """Identifiers and ready-made pieces of JSON of one world."""

    def __init__(self, assortment: Assortment, people: People) -> None:
        self.user_ids = np.array(people.user_ids, dtype=object)
        self.item_ids = np.array(assortment.item_ids, dtype=object)
        self.behaviors = np.array(BEHAVIORS, dtype=object)
        self.user_keys = np.array([user_id.encode() for user_id in people.user_ids], dtype=object)
        domains = [DOMAINS[assortment.domain_of(index)] for index in range(assortment.num_items)]
        prices = [f"{price:.2f}" for price in assortment.price_I]
        plain = [f'","domain":"{domain}"' for domain in domains]
        priced = [
            f'","quantity":1,"price":{price},"currency":"{CURRENCY}","domain":"{domain}"'
            for price, domain in zip(prices, domains, strict=True)
        ]
        # Row: whether the behavior is about money.
        self.tails = np.array([plain, priced], dtype=object)


@dataclass(frozen=True, kw_only=True)
class EventChunk:
    """Events in the order they are sent, aligned on axis N."""

    names: Names
    events_N: np.ndarray
    """mmrec.simulator.traffic.EVENT_DTYPE."""
    imported: bool
    """Whether the records say that they are imported history."""

    def __len__(self) -> int:
        return len(self.events_N)

    @cached_property
    def event_ids(self) -> np.ndarray:
        """Object array of str; a duplicate has the id of the event it repeats."""
        return np.array([f"e{number:012x}" for number in self.events_N["event_number"].tolist()], dtype=object)

    @cached_property
    def session_ids(self) -> np.ndarray:
        """Object array of str."""
        return np.array([f"s{number:012x}" for number in self.events_N["session_number"].tolist()], dtype=object)

    @cached_property
    def user_ids(self) -> np.ndarray:
        """Object array of str."""
        ids: np.ndarray = self.names.user_ids[self.events_N["user"]]
        return ids

    @cached_property
    def item_ids(self) -> np.ndarray:
        """Object array of str."""
        ids: np.ndarray = self.names.item_ids[self.events_N["item"]]
        return ids

    @cached_property
    def behaviors(self) -> np.ndarray:
        """Object array of str."""
        behaviors: np.ndarray = self.names.behaviors[self.events_N["behavior"]]
        return behaviors

    @property
    def event_times_s(self) -> np.ndarray:
        """Epoch seconds, float64: exactly what a reader of the JSON gets."""
        times: np.ndarray = self.events_N["event_ms"] / 1000
        return times

    @property
    def send_times_s(self) -> np.ndarray:
        """Epoch seconds at which each record is sent, ascending."""
        times: np.ndarray = self.events_N["send_ms"] / 1000
        return times

    @property
    def is_duplicate(self) -> np.ndarray:
        """Whether the event was sent before (perhaps before this window began)."""
        flags: np.ndarray = self.events_N["is_duplicate"]
        return flags

    @property
    def is_late(self) -> np.ndarray:
        """Whether the event is sent long after it happened."""
        flags: np.ndarray = self.events_N["is_late"]
        return flags

    @property
    def is_bot(self) -> np.ndarray:
        """Whether a script made it: known to the truth alone."""
        flags: np.ndarray = self.events_N["is_bot"]
        return flags

    @cached_property
    def records(self) -> list[tuple[bytes, bytes]]:
        """(key, value) of each record of topic `behavior-events`."""
        events, names = self.events_N, self.names
        times = np.datetime_as_string(events["event_ms"].astype("datetime64[ms]")).tolist()
        behavior = events["behavior"]
        tails = names.tails[(behavior >= BEHAVIORS.index("cart")).astype(np.int64), events["item"]].tolist()
        end = ',"imported":true}' if self.imported else "}"
        values = [
            f'{{"event_id":"{event}","user_id":"{user}","item_id":"{item}{_HEADS[which]}{time}Z",'
            f'"session_id":"{session}{tail}{end}'.encode()
            for event, user, item, which, time, session, tail in zip(
                self.event_ids.tolist(),
                self.user_ids.tolist(),
                self.item_ids.tolist(),
                behavior.tolist(),
                times,
                self.session_ids.tolist(),
                tails,
                strict=True,
            )
        ]
        return list(zip(names.user_keys[events["user"]].tolist(), values, strict=True))
