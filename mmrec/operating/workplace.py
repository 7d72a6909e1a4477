"""What administrative work needs of a deployment: its settings, its stores once each, the log of acts.

Nothing is opened before it is used: a look at releases loads no feature store.
"""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from mmrec.clock import Clock, SystemClock
from mmrec.config import Settings
from mmrec.events.producer import RecordProducer
from mmrec.operating.acts import COMMAND_LINE, ActKind, ActLog
from mmrec.operating.catalogue_view import CatalogueView
from mmrec.operating.long_work import LongWork
from mmrec.v1.admin_pb2 import AdministrativeAct
from mmrec.wiring import open_feature_store, open_forgotten_users, open_overlay, open_producer

if TYPE_CHECKING:
    from mmrec.collecting.overlay import Overlay
    from mmrec.features.ports import FeatureStore

STORE_WAIT_S = 2.0
PRODUCER_WAIT_S = 10.0
CONNECT_S = 1.0
"""How long a broker may take to accept a connection before an act is done unrecorded."""


@dataclass(kw_only=True)
class Workplace:
    """One deployment's. Safe to use from several threads."""

    settings: Settings
    acts: ActLog
    clock: Clock = field(default_factory=SystemClock)
    view: CatalogueView | None = None
    """The catalogue as the topic has it; None where nobody follows it, as in a command that runs once."""
    work: LongWork = field(default_factory=LongWork)
    changing: threading.Lock = field(default_factory=threading.Lock)
    """Held from reading an item to the answer of the broker that has its change, so that no change undoes another."""
    _features: "FeatureStore | None" = None
    _overlay: "Overlay | None" = None
    _producer: RecordProducer | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def features(self) -> "FeatureStore":
        """The feature store, opened at the first call; errors as open_feature_store()."""
        with self._lock:
            if self._features is None:
                self._features = open_feature_store(self.settings, wait_s=STORE_WAIT_S)
            return self._features

    def overlay(self) -> "Overlay":
        """The overlay."""
        with self._lock:
            if self._overlay is None:
                self._overlay = open_overlay(self.settings)
            return self._overlay

    def producer(self) -> RecordProducer:
        """A producer for what is sent again or changed; StoreError where no broker answers."""
        with self._lock:
            if self._producer is None:
                self._producer = open_producer(self.settings, delivery_timeout_s=PRODUCER_WAIT_S)
            return self._producer

    def hash_of(self, user_key: str) -> str:
        """How records and receipts name a user."""
        return open_forgotten_users(self.settings).hash_of(user_key)

    def close(self) -> None:
        """Close what was opened."""
        self.acts.close()
        if self._producer is not None:
            self._producer.close()
        if self._overlay is not None:
            self._overlay.close()
        if self.view is not None:
            self.view.close()


def workplace(
    settings: Settings,
    *,
    view: CatalogueView | None = None,
    must_record: bool = True,
    told: Callable[[str, str], None] = lambda kind, outcome: None,
) -> Workplace:
    """The workplace of a deployment; nothing is opened yet. The arguments are Workplace's and ActLog's."""
    clock = SystemClock()
    acts = ActLog(
        partial(open_producer, settings, delivery_timeout_s=PRODUCER_WAIT_S),
        topic=settings.kafka.administrative_acts,
        clock=clock,
        told=told,
        must_record=must_record,
    )
    return Workplace(settings=settings, acts=acts, clock=clock, view=view)


@contextmanager
def recorded_here(
    settings: Settings,
    kind: ActKind,
    *,
    subject: str = "",
    details: Mapping[str, str] | None = None,
    told: Callable[[str], None] = lambda why: None,
) -> Iterator[AdministrativeAct]:
    """A block that is an act of the command line; it is done even where no broker answers to record it.

    Args:
        told: Handed a sentence where the act is not recorded.
    """
    if not _is_open(settings.kafka.bootstrap):
        told(f"not among the acts: no broker answers at {settings.kafka.bootstrap}")
        yield AdministrativeAct()
        return
    at = workplace(settings, must_record=False)
    try:
        with at.acts.recorded(kind, COMMAND_LINE, subject=subject, details=details) as act:
            yield act
    finally:
        at.close()


def _is_open(addresses: str) -> bool:
    for address in addresses.split(","):
        host, _, port = address.strip().rpartition(":")
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), CONNECT_S):
            return True
    return False
