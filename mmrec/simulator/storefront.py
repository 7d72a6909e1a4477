"""A deterministic storefront with planted truth: catalogue, events and an oracle.

    world = Storefront(StorefrontConfig(seed=7, start_s=...))
    for item in world.catalog(): ...                                  # CatalogItem with a rendered picture
    for chunk in world.history(): producer.send(chunk.records)        # (key, value) bytes beside ledger columns
    world.oracle.regret("u00001", list_of_item_ids, as_of_s=...)

The same configuration gives the same bytes, however the stream is windowed and chunked.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from mmrec.catalog.item import Availability, CatalogItem
from mmrec.simulator import vocabulary as words
from mmrec.simulator.appeal import Appeal
from mmrec.simulator.assortment import build_assortment
from mmrec.simulator.chunks import CURRENCY, EventChunk, Names
from mmrec.simulator.drawing import MEDIA_TYPE, render
from mmrec.simulator.oracle import Oracle
from mmrec.simulator.people import build_people
from mmrec.simulator.settings import DAY_S, StorefrontConfig, generator
from mmrec.simulator.traffic import DAY_MS, Traffic, days_after_start

CHUNK_EVENTS = 8_192


class Storefront:
    """One simulated world."""

    def __init__(self, config: StorefrontConfig) -> None:
        self.config = config
        self._assortment = build_assortment(config)
        self._people = build_people(config)
        self._appeal = Appeal(config, self._assortment)

    @cached_property
    def oracle(self) -> Oracle:
        """The truth about every user."""
        return Oracle(self.config, self._assortment, self._people, self._appeal)

    @cached_property
    def traffic(self) -> Traffic:
        """Events as arrays, for those who need no bytes."""
        return Traffic(self.config, self._assortment, self._people, self._appeal)

    @cached_property
    def _names(self) -> Names:
        return Names(self._assortment, self._people)

    @property
    def user_ids(self) -> tuple[str, ...]:
        """All users, bots among them."""
        return self._people.user_ids

    @property
    def item_ids(self) -> tuple[str, ...]:
        """All items in catalogue order: beauty, then fashion."""
        return self._assortment.item_ids

    @cached_property
    def outfit_mates(self) -> np.ndarray:
        """Rows of the items that go with each item, -1 where there are fewer; they are bought with it where
        `share_outfits` says so.
        """
        return self._assortment.outfit_mates(self.config)

    @property
    def shared_user_ids(self) -> tuple[str, ...]:
        """People who shop in both domains."""
        share = self._people.beauty_share_U
        rows = np.flatnonzero((share > 0) & (share < 1) & ~self._people.is_bot_U)
        return tuple(self._people.user_ids[row] for row in rows)

    @property
    def bot_user_ids(self) -> tuple[str, ...]:
        """User ids of scripts; no recommender may know them."""
        return tuple(self._people.user_ids[row] for row in np.flatnonzero(self._people.is_bot_U))

    def catalog(self, *, as_of_s: float | None = None, with_images: bool = True) -> Iterator[CatalogItem]:
        """Items as they stand at an instant, in catalogue order; the end of the window by default.

        Items that are published later are left out; out-of-stock ones are there and say so.
        """
        time_s = self.config.end_s if as_of_s is None else as_of_s
        day = days_after_start(self.config, time_s)
        out = self._appeal.out_of_stock(int(day // 1))
        for index in np.flatnonzero(self._assortment.publish_day_I <= day):
            row = int(index)
            since_s = self.config.start_ms / 1000 + (day // 1) * DAY_S
            yield self._item(row, out_of_stock=bool(out[row]), update_time_s=since_s, with_images=with_images)

    def catalog_updates(self, start_s: float, end_s: float, *, with_images: bool = True) -> Iterator[CatalogItem]:
        """What changes in [start_s, end_s), by time: items published, out of stock, back in stock."""
        first = days_after_start(self.config, start_s)
        last = days_after_start(self.config, end_s)
        publish = self._assortment.publish_day_I
        for day in range(int(first // 1), int(-(-last // 1))):
            out = self._appeal.out_of_stock(day)
            if first <= day < last:
                changed = np.flatnonzero((out != self._appeal.out_of_stock(day - 1)) & (publish < day))
                for index in changed:
                    at_s = self.config.start_ms / 1000 + day * DAY_S
                    yield self._item(
                        int(index), out_of_stock=bool(out[index]), update_time_s=at_s, with_images=with_images
                    )
            new = np.flatnonzero((publish >= max(first, day)) & (publish < min(last, day + 1)))
            for index in new[np.argsort(publish[new], kind="stable")]:
                at_s = self._publish_time_s(int(index))
                yield self._item(int(index), out_of_stock=bool(out[index]), update_time_s=at_s, with_images=with_images)

    def history(
        self, start_s: float | None = None, end_s: float | None = None, *, chunk_events: int = CHUNK_EVENTS
    ) -> Iterator[EventChunk]:
        """Like `events`, flagged as imported: the system is taken to have known each event when it happened."""
        return self._chunks(start_s, end_s, chunk_events, imported=True)

    def events(
        self, start_s: float | None = None, end_s: float | None = None, *, chunk_events: int = CHUNK_EVENTS
    ) -> Iterator[EventChunk]:
        """Events sent in [start_s, end_s), in the order they are sent; the configured window by default.

        Two adjoining windows give what the whole window gives: a late event or the second sending of a duplicate
        belongs to the window it is sent in. Memory is bounded whatever the window.
        """
        return self._chunks(start_s, end_s, chunk_events, imported=False)

    def _chunks(
        self, start_s: float | None, end_s: float | None, chunk_events: int, *, imported: bool
    ) -> Iterator[EventChunk]:
        start_ms = self.config.start_ms if start_s is None else round(start_s * 1000)
        end_ms = self.config.start_ms + round(self.config.days * DAY_MS) if end_s is None else round(end_s * 1000)
        kept: list[np.ndarray] = []
        num_kept = 0
        for block in self.traffic.window(start_ms, end_ms):
            kept.append(block)
            num_kept += len(block)
            if num_kept >= chunk_events:
                together = np.concatenate(kept)
                whole = num_kept - num_kept % chunk_events
                for at in range(0, whole, chunk_events):
                    yield EventChunk(names=self._names, events_N=together[at : at + chunk_events], imported=imported)
                kept = [together[whole:]]
                num_kept -= whole
        if num_kept:
            yield EventChunk(names=self._names, events_N=np.concatenate(kept), imported=imported)

    def _publish_time_s(self, index: int) -> float:
        return (self.config.start_ms + round(float(self._assortment.publish_day_I[index]) * DAY_MS)) / 1000

    def _item(self, index: int, *, out_of_stock: bool, update_time_s: float, with_images: bool) -> CatalogItem:
        items = self._assortment
        domain = words.DOMAINS[items.domain_of(index)]
        attributes = items.values_of(index)
        finish = attributes[words.FINISH_ATTRIBUTE[domain]]
        # Its own random numbers, so that an item's text does not depend on which others are asked for.
        rng = generator(self.config, 6, index)
        collection = int(items.collection_I[index])
        first_word = words.COLLECTION_WORDS[collection % len(words.COLLECTION_WORDS)]
        series = collection // len(words.COLLECTION_WORDS)
        name = first_word if series == 0 else f"{first_word} {series + 1}"
        pattern = "" if attributes["pattern"] == "plain" else f" {attributes['pattern']}"
        said = {**attributes, "finish": finish}
        sentence = words.SENTENCES[domain][int(rng.integers(len(words.SENTENCES[domain])))].format(**said)
        description = " ".join(
            (
                sentence[0].upper() + sentence[1:],
                words.SHAPE_SENTENCES[attributes["shape"]],
                words.SEASON_SENTENCES[attributes["season"]],
                f"Part of the {name} collection.",
            )
        )
        has_image = bool(items.has_image_I[index])
        return CatalogItem(
            item_id=items.item_ids[index],
            title=f"{attributes['brand']} {name} {finish} {attributes['category']}, {attributes['color']}{pattern}",
            description=description,
            domain=domain,
            attributes=attributes,
            image=render(attributes, size=self.config.image_size) if with_images and has_image else None,
            media_type=MEDIA_TYPE if with_images and has_image else "",
            price=round(float(items.price_I[index]), 2),
            currency=CURRENCY,
            availability=Availability.OUT_OF_STOCK if out_of_stock else Availability.AVAILABLE,
            publish_time_s=self._publish_time_s(index),
            update_time_s=max(update_time_s, self._publish_time_s(index)),
        )
