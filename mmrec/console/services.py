"""The services that the console calls, as any client does.

with Services(settings) as called:
    called.send(BehaviorEvent(user_id="ann", item_id="red-dress", behavior="cart"))
"""

import time
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import grpc

from mmrec.client import RecommenderClient
from mmrec.config import Settings
from mmrec.connections.grpc_credentials import client_channel
from mmrec.errors import InvalidRequestError, StoreError
from mmrec.operating.remote import RemoteDesk, seen_from_here
from mmrec.v1 import collector_pb2, collector_pb2_grpc
from mmrec.v1.behavior_pb2 import BehaviorEvent

ANSWER_S: Final = 5.0
_OPTIONS: Final = (("grpc.max_reconnect_backoff_ms", 1_000),)
"""A service that is back is found at the next look."""


@dataclass(frozen=True, kw_only=True)
class Acknowledged:
    """An event that the broker has."""

    event_id: str
    ack_s: float
    """Seconds from sending to the acknowledgement."""


class Services:
    """Connections to recommender, collector and administration; nothing is sent before the first call."""

    def __init__(self, settings: Settings) -> None:
        console, serving = settings.console, settings.serving
        self.settings = settings
        self.recommender_at = seen_from_here(console.recommender or serving.recommender)
        self.collector_at = seen_from_here(console.collector or serving.collector)
        self.admin_at = seen_from_here(console.admin or serving.admin)
        self.recommender = RecommenderClient(
            self.recommender_at,
            timeout_s=ANSWER_S,
            channel=client_channel(self.recommender_at, serving, options=_OPTIONS),
        )
        self.desk = RemoteDesk(self.admin_at, channel=client_channel(self.admin_at, serving, options=_OPTIONS))
        self._collector_channel = client_channel(self.collector_at, serving, options=_OPTIONS)
        stub: Any = collector_pb2_grpc.CollectorServiceStub  # generated, without types
        self._collector = stub(self._collector_channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.recommender.close()
        self.desk.__exit__(kind, error, trace)
        self._collector_channel.close()

    def send(self, event: BehaviorEvent) -> Acknowledged:
        """Send one event; it gets an id of its own.

        Raises:
            InvalidRequestError: the collector refuses it.
            StoreError: the collector cannot be reached, or the broker did not take it.
        """
        event.event_id = uuid.uuid4().hex
        began_s = time.monotonic()
        request = collector_pb2.RecordBehaviorsRequest(events=[event])
        try:
            statuses = [
                s for r in self._collector.RecordBehaviors(iter([request]), timeout=ANSWER_S) for s in r.statuses
            ]
        except grpc.RpcError as error:
            raise StoreError(f"collector at {self.collector_at}: {error.code().name}: {error.details()}") from None
        if not statuses or statuses[0].outcome == collector_pb2.EventOutcome.EVENT_OUTCOME_RETRY:
            raise StoreError(f"collector at {self.collector_at}: the broker did not take the event; send it again")
        if statuses[0].outcome == collector_pb2.EventOutcome.EVENT_OUTCOME_REJECTED:
            raise InvalidRequestError(f"the event was refused, {statuses[0].reason}: {statuses[0].detail}")
        return Acknowledged(event_id=event.event_id, ack_s=time.monotonic() - began_s)
