"""Live events as production has them: the list is asked for over gRPC just before each event, then the event is sent.

A storefront that wants a list to know the click before it sends the session's newest events with the request. So does
this walk: events that Kafka has but the profile may not yet have travel along, and count once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from mmrec.client import RecommenderClient
from mmrec.demo.ledger import Ledger
from mmrec.demo.world import DemoWorld, Record, SentEvents
from mmrec.evaluation.prequential import PrequentialResult, prequential, tune_half_life
from mmrec.scoring.plain_sum import LedgerEvent
from mmrec.v1 import behavior_pb2

MAX_SESSION_EVENTS = 50
BEFORE_S = 1e-3


class LiveWalk:
    """Feeds live events to Kafka one by one and asks the recommender in between."""

    def __init__(self, client: RecommenderClient, *, send: Callable[[Record], object], list_length: int) -> None:
        self._client = client
        self._send = send
        self._list_length = list_length
        self._records: deque[Record] = deque()
        self._newest: dict[str, deque[LedgerEvent]] = {}

    def events(self, chunks: Iterable[SentEvents]) -> Iterator[LedgerEvent]:
        """Each event in turn; its record waits until it is learned."""
        for chunk in chunks:
            for record, event in zip(chunk.records, chunk.ledger, strict=True):
                self._records.append(record)
                yield event

    def recommend(self, event: LedgerEvent, excluded: frozenset[str]) -> Sequence[str]:
        """The list of the event's user just before it."""
        response = self._client.recommend(
            event.user_key,
            num_items=self._list_length,
            excluded_item_ids=sorted(excluded),
            session_events=[_message(known) for known in self._newest.get(event.user_key, ())],
            as_of_s=event.event_time_s - BEFORE_S,
        )
        return [item.item_id for item in response.items]

    def learn(self, event: LedgerEvent) -> None:
        """Send the event's record, and remember it for the user's next request."""
        self._send(self._records.popleft())
        self._newest.setdefault(event.user_key, deque(maxlen=MAX_SESSION_EVENTS)).append(event)


def measure_live(
    world: DemoWorld, client: RecommenderClient, *, ledger: Ledger, send: Callable[[Record], object]
) -> PrequentialResult:
    """Stream a world's live events and measure the lists before them against decayed popularity.

    Args:
        world: Its history must be in `ledger` and in the system.
        client: Of the running recommender.
        ledger: Live events are added to it.
        send: Hands one record to Kafka.
    """
    past = sorted(ledger.events, key=lambda event: event.event_time_s)
    half_life_days = tune_half_life(past, config=world.prequential)
    walk = LiveWalk(client, send=send, list_length=world.prequential.list_length)
    sent: list[LedgerEvent] = []

    def learn(event: LedgerEvent) -> None:
        walk.learn(event)
        sent.append(event)

    result = prequential(
        past,
        walk.events(world.live()),
        recommend=walk.recommend,
        learn=learn,
        config=world.prequential,
        half_life_days=half_life_days,
        max_asked=world.max_asked,
    )
    ledger.add(sent)
    return result


def _message(event: LedgerEvent) -> behavior_pb2.BehaviorEvent:
    message = behavior_pb2.BehaviorEvent(event_id=event.event_id, item_id=event.item_id, behavior=event.behavior)
    message.event_time.FromMicroseconds(round(event.event_time_s * 1e6))
    return message
