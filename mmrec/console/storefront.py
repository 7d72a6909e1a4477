"""The storefront: a visitor's list as a shop would show it, and what an event of the visitor does to it."""

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from mmrec.console.amounts import price
from mmrec.console.list_changes import ListChanges, Move, list_changes
from mmrec.console.services import Services
from mmrec.console.shown_text import shown_text
from mmrec.errors import InvalidRequestError
from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.v1 import recommender_pb2
from mmrec.v1.behavior_pb2 import BehaviorEvent

PLACEMENT: Final = "console"
"""Of the lists that it asks for, so that they can be told apart in served-lists."""
PAUSE_S: Final = 0.03
MAX_ID: Final = 256
MAX_QUERY: Final = 500
_NUM_COLORS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Whose list is looked at: a user, or an anonymous visitor."""

    user_id: str = ""
    anonymous_id: str = ""

    @property
    def key(self) -> str:
        """As people type it: a user id, or "~" and an anonymous id."""
        return self.user_id or f"{ANONYMOUS_PREFIX}{self.anonymous_id}"


def visitor_of(key: str) -> Visitor:
    """The visitor of a key; InvalidRequestError where it is empty or too long."""
    key = key.strip()
    if not key.removeprefix(ANONYMOUS_PREFIX) or len(key) > MAX_ID:
        raise InvalidRequestError(
            f'a visitor has {len(key)} characters; give a user id, or "~" and an anonymous id, {MAX_ID} at most'
        )
    return Visitor(anonymous_id=key[1:]) if key.startswith(ANONYMOUS_PREFIX) else Visitor(user_id=key)


def new_visitor() -> str:
    """Key of somebody whom nobody has seen yet."""
    return f"{ANONYMOUS_PREFIX}new-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True, kw_only=True)
class Card:
    """An item as it is shown; its texts are fit to be shown."""

    item_id: str
    rank: int
    title: str
    domain: str
    price: str
    reason: str
    sources: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    move: Move | None = None

    @property
    def color(self) -> int:
        """Which of the colors stands where there is no picture; the same for the same domain."""
        return sum(self.domain.encode()) % _NUM_COLORS

    @property
    def letter(self) -> str:
        """What stands where there is no picture."""
        return next((c for c in self.title if c.isalnum()), "·").upper()


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """A list of items and where it is from."""

    cards: tuple[Card, ...]
    request_id: str
    release_id: str
    degraded: tuple[str, ...] = ()
    answer_s: float = 0.0

    @property
    def item_ids(self) -> tuple[str, ...]:
        """In the order of the list."""
        return tuple(card.item_id for card in self.cards)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What an event did to the visitor's list."""

    behavior: str
    item_title: str
    event_id: str
    ack_s: float
    change_s: float | None
    """Seconds from sending the event to another list; None where the list stayed the same as long as was waited."""
    waited_s: float
    changes: ListChanges = field(default_factory=ListChanges)
    shelf: Shelf
    titles: dict[str, str]
    """Of the items of both lists."""


class Storefront:
    """Asks for lists and sends events, for one visitor at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings.console

    def shelf(self, visitor: Visitor) -> Shelf:
        """The visitor's list, with reasons; errors as RecommenderClient.recommend()."""
        began_s = time.monotonic()
        answer = self._services.recommender.recommend(
            visitor.user_id,
            anonymous_id=visitor.anonymous_id,
            num_items=self._settings.num_items,
            placement=PLACEMENT,
            include_explanations=True,
        )
        return _shelf(answer, answer_s=time.monotonic() - began_s)

    def search(self, text: str, visitor: Visitor) -> Shelf:
        """What is found for words, by relevance and the visitor's interest."""
        text = text.strip()
        if not text or len(text) > MAX_QUERY:
            raise InvalidRequestError(f"a search has {len(text)} characters; give 1 to {MAX_QUERY}")
        began_s = time.monotonic()
        answer = self._services.recommender.search(
            [recommender_pb2.QueryPart(text=text)],
            num_items=self._settings.num_items,
            user_id=visitor.user_id,
            personal=bool(visitor.user_id),
        )
        return _shelf(answer, answer_s=time.monotonic() - began_s)

    def like(self, item_id: str) -> Shelf:
        """Items like one item."""
        began_s = time.monotonic()
        answer = self._services.recommender.similar(item_id, num_items=self._settings.num_items)
        return _shelf(answer, answer_s=time.monotonic() - began_s)

    def act(self, visitor: Visitor, item_id: str, behavior: str) -> Effect:
        """Send an event and ask for the list until it is another one, console.wait_s at most.

        Raises:
            InvalidRequestError: no such behavior is configured, or the collector refuses the event.
            MmrecError: as shelf() and Services.send().
        """
        names = self._services.settings.behaviors.names
        if behavior not in names:
            raise InvalidRequestError(f"behavior {behavior[:80]!r} is not configured; give one of {', '.join(names)}")
        before = self.shelf(visitor)
        position = before.item_ids.index(item_id) + 1 if item_id in before.item_ids else 0
        event = BehaviorEvent(
            user_id=visitor.user_id,
            anonymous_id=visitor.anonymous_id,
            item_id=item_id,
            behavior=behavior,
            request_id=before.request_id if position else "",
            position=position,
        )
        event.event_time.FromNanoseconds(time.time_ns())
        began_s = time.monotonic()
        sent = self._services.send(event)
        after = self.shelf(visitor)
        while after.item_ids == before.item_ids and time.monotonic() - began_s < self._settings.wait_s:
            time.sleep(PAUSE_S)
            after = self.shelf(visitor)
        waited_s = time.monotonic() - began_s
        changes = list_changes(before.item_ids, after.item_ids)
        titles = _titles((*before.cards, *after.cards))
        return Effect(
            behavior=behavior,
            item_title=titles.get(item_id, shown_text(item_id)),
            event_id=sent.event_id,
            ack_s=sent.ack_s,
            change_s=waited_s if changes else None,
            waited_s=waited_s,
            changes=changes,
            shelf=_moved(after, changes),
            titles=titles,
        )


def card_of(item: recommender_pb2.RecommendedItem) -> Card:
    """An item of an answer."""
    title = shown_text(item.title) or shown_text(item.item_id)
    attributes = [
        (shown_text(k, max_characters=40), shown_text(v, max_characters=80)) for k, v in item.attributes.items()
    ]
    return Card(
        item_id=item.item_id,
        rank=item.rank,
        title=title,
        domain=shown_text(item.domain, max_characters=40),
        price=price(item.price, shown_text(item.currency, max_characters=8)),
        reason=shown_text(item.explanation.text, max_characters=300),
        sources=tuple(shown_text(source, max_characters=40) for source in item.sources),
        attributes=tuple(sorted(attributes)[:8]),
    )


def _shelf(
    answer: recommender_pb2.RecommendItemsResponse
    | recommender_pb2.SearchItemsResponse
    | recommender_pb2.SimilarItemsResponse,
    *,
    answer_s: float,
) -> Shelf:
    return Shelf(
        cards=tuple(map(card_of, answer.items)),
        request_id=answer.request_id,
        release_id=answer.release_id,
        degraded=tuple(answer.state.degraded_reasons),
        answer_s=answer_s,
    )


def _moved(shelf: Shelf, changes: ListChanges) -> Shelf:
    """The same with what became of each item."""
    return replace(shelf, cards=tuple(replace(card, move=changes.of(card.item_id)) for card in shelf.cards))


def _titles(cards: Iterable[Card]) -> dict[str, str]:
    return {card.item_id: card.title for card in cards}
