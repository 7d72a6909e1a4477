"""The worlds a demo can run on, in one form: a catalogue, a past to import, and events to come.

Times are laid so that the last event of the world is now; the originals only shift, so order and gaps stay.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmrec.catalog.item import CatalogItem
from mmrec.catalog.movielens import MovieLens, ReplayChunk, movielens_folder
from mmrec.evaluation.prequential import PrequentialConfig
from mmrec.scoring.behaviors import BehaviorSet, media_behaviors, shop_behaviors
from mmrec.scoring.plain_sum import LedgerEvent
from mmrec.simulator.chunks import EventChunk
from mmrec.simulator.settings import DAY_S, StorefrontConfig
from mmrec.simulator.storefront import Storefront

Record = tuple[bytes, bytes]
"""Key and value as they go to Kafka."""
MOVIELENS_RING = 8_192
"""Event ids remembered per user: more than the largest history of the log, which has 3,422 events."""


@dataclass(frozen=True, kw_only=True)
class SentEvents:
    """Records, and what a ledger notes of each; aligned."""

    records: Sequence[Record]
    ledger: Sequence[LedgerEvent]


@dataclass(frozen=True, kw_only=True)
class DemoWorld:
    """Everything a demo needs to know of a world."""

    name: str
    identity: str
    """Name by which a home remembers it: worlds with other items under the same ids have another one."""
    behaviors: BehaviorSet
    configuration: dict[str, Any]
    """Tables of mmrec.toml that differ from the defaults."""
    click_behavior: str
    """What a click of the demo's user is called here."""
    catalog: Callable[[], Iterator[CatalogItem]]
    history: Callable[[], Iterator[SentEvents]]
    """Imported past, in the order it is sent."""
    live: Callable[[], Iterator[SentEvents]]
    """Events that come in while the system serves, in the order they are sent."""
    prequential: PrequentialConfig
    max_asked: int | None
    """Live events to ask a list for; None asks for every one that qualifies."""
    split: str
    """What is reported on, in words."""


def storefront_name(*, seed: int, num_items: int) -> str:
    """A storefront told apart from others, which give other items the same ids."""
    return f"storefront (seed {seed}, {num_items} items)"


def storefront_world(now_s: float, *, seed: int = 7, num_items: int = 1_000, num_users: int = 600) -> DemoWorld:
    """The simulated storefront, ending now; its last two days come in live."""
    days = 60.0
    config = StorefrontConfig(
        seed=seed, num_users=num_users, num_items=num_items, days=days, start_s=now_s - days * DAY_S
    )
    shop = Storefront(config)
    live_from_s = config.end_s - 2 * DAY_S
    return DemoWorld(
        name="storefront",
        identity=storefront_name(seed=seed, num_items=num_items),
        behaviors=shop_behaviors(),
        configuration={},
        click_behavior="browse",
        catalog=shop.catalog,
        history=lambda: map(_sent, shop.history(None, live_from_s)),
        live=lambda: map(_sent, shop.events(live_from_s, None)),
        # What a shopper takes up again is easy to say, the last item looked at; what they will find next is not.
        prequential=PrequentialConfig(target_behaviors=("browse",), exclude_seen=True),
        max_asked=None,
        split="last 2 of 60 days, first looks of users seen before at items new to them",
    )


def movielens_world(now_s: float, *, data_folder: str) -> DemoWorld:
    """Real people's ratings of films; the last tenth of the log comes in live.

    Raises:
        MachineError: the data set is not in `data_folder`.
    """
    films = MovieLens(movielens_folder(data_folder))
    shift_s = films.shift_to(now_s)
    behaviors = media_behaviors()
    return DemoWorld(
        name="movielens",
        identity="movielens",
        behaviors=behaviors,
        configuration={
            "behaviors": [
                {"name": b.name, "behavior_id": b.behavior_id, "weight": b.weight, "undo_of": b.undo_of, "undo": b.undo}
                for b in behaviors
            ],
            # Films are rated once: what was seen is never shown again, so all of it is kept.
            # Thousands of ratings of one person are imported at once: the ring must hold them all to find repeats.
            "scoring": {"max_items": 0, "ring_size": MOVIELENS_RING},
            "serving": {"hide_behaviors": list(behaviors.names)},
            # People of this log come back after months: statistics need longer memories than a shop's.
            "statistics": {"half_lives_days": [30.0, 365.0, 1460.0]},
        },
        click_behavior="like",
        catalog=films.catalog,
        history=lambda: map(_sent, films.history(shift_s=shift_s)),
        live=lambda: map(_sent, films.live(shift_s=shift_s)),
        prequential=PrequentialConfig(target_behaviors=("like",), exclude_seen=True),
        max_asked=None,
        split="last tenth of the log by time, likes of users seen before, all films not yet seen by the user",
    )


def refused_records(now_s: float, *, user_id: str, item_id: str, behavior: str) -> list[Record]:
    """Records that no codec may accept: bad input is part of every real stream, so a demo shows where it goes."""
    good = {"event_id": "refused", "user_id": user_id, "item_id": item_id, "behavior": behavior}
    far_ahead = "2999-01-01T00:00:00Z"
    values: list[bytes] = [
        b'{"event_id": "cut o',
        json.dumps({**good, "behavior": "teleport"}).encode(),
        json.dumps({**good, "item_id": ""}).encode(),
        json.dumps({**good, "event_time": far_ahead}).encode(),
    ]
    return [(user_id.encode(), value) for value in values]


def _sent(chunk: EventChunk | ReplayChunk) -> SentEvents:
    columns = zip(
        chunk.event_ids.tolist(),
        chunk.user_ids.tolist(),
        chunk.item_ids.tolist(),
        chunk.behaviors.tolist(),
        chunk.event_times_s.tolist(),
        strict=True,
    )
    return SentEvents(
        records=chunk.records,
        ledger=[
            LedgerEvent(event_id=event_id, user_key=user_id, item_id=item_id, behavior=behavior, event_time_s=time_s)
            for event_id, user_id, item_id, behavior, time_s in columns
        ],
    )
