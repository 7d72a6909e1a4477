"""One user's journey: a list, asked for twice; three clicks on Kafka; the list as it changes."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmrec.client import RecommenderClient
from mmrec.demo.page import ShownItem
from mmrec.errors import NotFoundError
from mmrec.events.codec import encode_event
from mmrec.scoring.plain_sum import LedgerEvent
from mmrec.v1 import behavior_pb2, recommender_pb2

LIST_LENGTH = 20
POLL_S = 0.02
NUM_FIRST_CLICKS = 200
"""Popular items among which the first click falls."""


@dataclass(frozen=True, kw_only=True)
class Journey:
    """What happened to one user's list."""

    user_id: str
    before: tuple[ShownItem, ...]
    is_repeatable: bool
    """Whether asking twice gave the same list."""
    clicks: tuple[ShownItem, ...]
    after: tuple[ShownItem, ...]
    """With all clicks counted."""
    freshness_s: float
    """From the first click sent to the first changed list; inf where it did not change in time."""
    list_changed: bool

    @property
    def new_items(self) -> tuple[ShownItem, ...]:
        """Items that entered the list."""
        known = {item.item_id for item in self.before}
        return tuple(item for item in self.after if item.item_id not in known)


def choose_user(events: Iterable[LedgerEvent], *, excluded: Collection[str] = (), typical_events: int = 30) -> str:
    """The user whose number of events is nearest to `typical_events`; the first id among equals.

    Raises:
        NotFoundError: there are no events.
    """
    counts: dict[str, int] = {}
    for event in events:
        if event.user_key not in excluded:
            counts[event.user_key] = counts.get(event.user_key, 0) + 1
    if not counts:
        raise NotFoundError("no user has any event, so there is nobody to show a list for; send history first")
    return min(counts, key=lambda user: (abs(counts[user] - typical_events), user))


def choose_clicks(
    client: RecommenderClient, *, candidates: Sequence[str], touched: Collection[str], listed: Collection[str]
) -> list[str]:
    """Three items of one kind that are new to the user: one from `candidates`, and two that are like it.

    Args:
        candidates: Where the first click may fall, the preferred first.
        touched: Items the user has events on.
        listed: Items of the list before.

    Raises:
        NotFoundError: no candidate has two likes that are new to the user.
    """
    known = {*touched, *listed}
    for item_id in candidates:
        if item_id in known:
            continue
        likes = client.similar(item_id, num_items=LIST_LENGTH).items
        fresh = [item.item_id for item in likes if item.item_id not in known]
        if len(fresh) >= 2:
            return [item_id, *fresh[:2]]
    raise NotFoundError(f"none of {len(candidates)} items is new to the user and has two likes that are, too")


def click_chooser(
    client: RecommenderClient, events: Sequence[LedgerEvent], *, user_id: str, items: Mapping[str, ShownItem]
) -> Callable[[Sequence[ShownItem]], Sequence[ShownItem]]:
    """Chooses clicks for a user, given the list before: popular items of a kind that is new to them.

    Args:
        client: Of the running recommender.
        events: Everything that was sent so far.
        user_id: Who clicks.
        items: How items are shown, by id.
    """
    touched = {event.item_id for event in events if event.user_key == user_id}
    counts = Counter(event.item_id for event in events)
    popular = sorted(counts, key=lambda item_id: (-counts[item_id], item_id))[:NUM_FIRST_CLICKS]

    def choose(before: Sequence[ShownItem]) -> Sequence[ShownItem]:
        listed = {item.item_id for item in before}
        chosen = choose_clicks(client, candidates=popular, touched=touched, listed=listed)
        return [items[item_id] for item_id in chosen]

    return choose


def shown(response: recommender_pb2.RecommendItemsResponse) -> tuple[ShownItem, ...]:
    """The items of an answer as people see them."""
    return tuple(
        ShownItem(
            item_id=item.item_id,
            title=item.title or item.item_id,
            why=item.explanation.text,
            attributes=dict(item.attributes),
        )
        for item in response.items
    )


def run_journey(
    client: RecommenderClient,
    *,
    user_id: str,
    clicks: Callable[[Sequence[ShownItem]], Sequence[ShownItem]],
    send: Callable[[Sequence[str]], None],
    timeout_s: float = 15.0,
    settle_s: float = 2.0,
) -> Journey:
    """Ask, click, and ask until the list has changed and settled.

    Args:
        client: Of the running recommender.
        user_id: Whose list.
        clicks: Chooses what is clicked, given the list before.
        send: Hands the clicked item ids to Kafka, in order.
        timeout_s: How long to wait for the first change.
        settle_s: How long to go on asking after it, so that every click has arrived.
    """
    before = shown(client.recommend(user_id, num_items=LIST_LENGTH, include_explanations=True))
    again = shown(client.recommend(user_id, num_items=LIST_LENGTH, include_explanations=True))
    ids_before = [item.item_id for item in before]
    clicked = clicks(before)
    started = time.monotonic()
    send([item.item_id for item in clicked])
    changed_after, after = float("inf"), before
    while time.monotonic() - started < min(timeout_s, changed_after + settle_s):
        after = shown(client.recommend(user_id, num_items=LIST_LENGTH, include_explanations=True))
        if changed_after == float("inf") and [item.item_id for item in after] != ids_before:
            changed_after = time.monotonic() - started
        time.sleep(POLL_S)
    return Journey(
        user_id=user_id,
        before=before,
        is_repeatable=[item.item_id for item in again] == ids_before,
        clicks=tuple(clicked),
        after=after,
        freshness_s=changed_after,
        list_changed=changed_after != float("inf"),
    )


def click_events(
    user_id: str, item_ids: Sequence[str], *, behavior: str, now_s: float
) -> tuple[list[tuple[bytes, bytes]], list[LedgerEvent]]:
    """Records of clicks as a storefront sends them, a millisecond apart, and what a ledger notes of them."""
    records, ledger = [], []
    for number, item_id in enumerate(item_ids):
        event_ms = round(now_s * 1000) + number
        event = LedgerEvent(
            event_id=f"click-{event_ms}",
            user_key=user_id,
            item_id=item_id,
            behavior=behavior,
            event_time_s=event_ms / 1000,
        )
        message = behavior_pb2.BehaviorEvent(
            event_id=event.event_id, user_id=user_id, item_id=item_id, behavior=behavior
        )
        message.event_time.FromMilliseconds(event_ms)
        records.append(encode_event(message))
        ledger.append(event)
    return records, ledger
