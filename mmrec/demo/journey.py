"""One user's journey: a list, asked for twice; three clicks on Kafka; the list as it changes."""

import math
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
STEADY_S = 1.5
TYPICAL_EVENTS = (20, 60)
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
    """From the first click sent to the first list that a click changed; inf where none did in time."""
    list_changed: bool

    @property
    def new_items(self) -> tuple[ShownItem, ...]:
        """Items that entered the list."""
        known = {item.item_id for item in self.before}
        return tuple(item for item in self.after if item.item_id not in known)


def choose_user(events: Iterable[LedgerEvent], *, excluded: Collection[str] = ()) -> str:
    """The most recently active user among those with a typical number of events, TYPICAL_EVENTS.

    Raises:
        NotFoundError: there are no events.
    """
    counts: dict[str, int] = {}
    newest_s: dict[str, float] = {}
    for event in events:
        if event.user_key not in excluded:
            counts[event.user_key] = counts.get(event.user_key, 0) + 1
            newest_s[event.user_key] = max(event.event_time_s, newest_s.get(event.user_key, event.event_time_s))
    if not counts:
        raise NotFoundError("no user has any event, so there is nobody to show a list for; send history first")
    fewest, most = TYPICAL_EVENTS
    typical = [user for user, count in counts.items() if fewest <= count <= most] or list(counts)
    return max(typical, key=lambda user: (newest_s[user], user))


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
    timeout_s: float = 20.0,
    settle_s: float = 2.0,
) -> Journey:
    """Ask, click, and ask until the list has changed and settled.

    Counts and neighbors that other people's events still move could change the list, too. So the clicks wait until the
    list is steady, and a list counts as changed once it differs and one of its items is explained by a click.

    Args:
        client: Of the running recommender.
        user_id: Whose list.
        clicks: Chooses what is clicked, given the list before.
        send: Hands the clicked item ids to Kafka, in order.
        timeout_s: How long to wait for a steady list, and for the first change.
        settle_s: How long to go on asking after it, so that every click has arrived.
    """

    def ask() -> tuple[ShownItem, ...]:
        return shown(client.recommend(user_id, num_items=LIST_LENGTH, include_explanations=True))

    before = _steady(ask, timeout_s=timeout_s)
    again = ask()
    clicked = clicks(before)
    titles = [f'"{item.title}"' for item in clicked]
    started = time.monotonic()
    send([item.item_id for item in clicked])
    changed_after, after = math.inf, before
    while time.monotonic() - started < min(timeout_s, changed_after + settle_s):
        after = ask()
        names_a_click = any(title in item.why for item in after for title in titles)
        if math.isinf(changed_after) and names_a_click and _ids(after) != _ids(before):
            changed_after = time.monotonic() - started
        time.sleep(POLL_S)
    return Journey(
        user_id=user_id,
        before=before,
        is_repeatable=_ids(again) == _ids(before),
        clicks=tuple(clicked),
        after=after,
        freshness_s=changed_after,
        list_changed=math.isfinite(changed_after),
    )


def _steady(ask: Callable[[], tuple[ShownItem, ...]], *, timeout_s: float) -> tuple[ShownItem, ...]:
    """A list that was the same for STEADY_S; the last one where none was within `timeout_s`."""
    started = since = time.monotonic()
    steady = ask()
    while time.monotonic() - since < STEADY_S and time.monotonic() - started < timeout_s:
        time.sleep(0.1)
        asked = ask()
        if _ids(asked) != _ids(steady):
            steady, since = asked, time.monotonic()
    return steady


def _ids(items: Sequence[ShownItem]) -> list[str]:
    return [item.item_id for item in items]


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
