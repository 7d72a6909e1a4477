"""The topic `catalog-items`, taken portion by portion: judged, told where refused, encoded, published, remembered.

    feed = CatalogFeed(...)
    feed.take(records, now_s=...)       StoreError: nothing is remembered, take the same records again
    for _ in take_ahead(feed, portions, filler=..., now_s=...)      the same for many, encoders kept busy
    feed.take_pictures(now_s=...)       pictures given by URI that have come since

What is refused is on the rejected topic before the place in the topic is kept, so a crash loses no refusal; told twice
is none (mmrec.catalog.refused).
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from mmrec.catalog.cleaning import CleaningPolicy
from mmrec.catalog.refused import RefusedItems
from mmrec.content.encode import Filler, ItemsUnderWay, begin, unencoded
from mmrec.content.encoder import Encoder
from mmrec.content.feed import CatalogChanges, RefusedChange, read_changes
from mmrec.content.inferred import AttributeInference, InferredCounts
from mmrec.content.publish import ContentCounts, FeedMark, publish_content, publish_fields
from mmrec.content.remote_images import RemoteImages
from mmrec.content.store import ContentStore
from mmrec.events.producer import RecordProducer, TopicRecord
from mmrec.features.ports import ItemContentStore
from mmrec.telemetry.logs import get_logger
from mmrec.wire.ids import id_problem
from mmrec.wire.portions import bounded_portions

log = get_logger(__name__)
MAX_RECORDS: Final = 512
MAX_BYTES: Final = 32 * 2**20
"""Of records that are taken together; pictures count."""
_PORTIONS: Final[dict[str, Any]] = {"at_least": 512, "at_most": 512, "patience_s": 60.0}


def marked_choices(
    encoders: Mapping[str, Encoder],
    *,
    cleaning: str,
    policy: CleaningPolicy,
    inference: AttributeInference | None = None,
) -> dict[str, str]:
    """What a mark is kept for: other weights or code, another cleaning, policy or attribute model begins anew."""
    kept = {each.name: getattr(policy, each.name) for each in fields(policy) if each.name != "picture_problem"}
    described = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in kept.items()}
    described["missing_values"] = {name: sorted(values) for name, values in sorted(policy.missing_values.items())}
    used = {modality: f"{encoder.name} {encoder.fingerprint}" for modality, encoder in encoders.items()}
    inferred = {"attribute model": inference.identity} if inference is not None else {}
    return {**used, **inferred, "cleaning": cleaning, "policy": repr(sorted(described.items()))}


@dataclass(frozen=True, kw_only=True, eq=False)
class PortionUnderWay:
    """Records that were judged and cleaned, and whose content is on its way through encoders."""

    places: tuple[tuple[int, int], ...]
    """(partition, offset) of each record."""
    changes: CatalogChanges
    under_way: ItemsUnderWay


def record_portions(records: Iterable[TopicRecord]) -> Iterator[list[TopicRecord]]:
    """What is taken together: at most MAX_RECORDS and MAX_BYTES."""
    return bounded_portions(
        records,
        bytes_of=lambda record: len(record.key or b"") + len(record.value or b""),
        max_bytes=MAX_BYTES,
        max_rows=MAX_RECORDS,
    )


def take_ahead(
    feed: "CatalogFeed",
    portions: Iterable[Sequence[TopicRecord]],
    *,
    filler: Filler,
    now_s: Callable[[], float],
    num_ahead: int = 2,
) -> Iterator[None]:
    """Take portions of records, judging and cleaning the next ones while encoders are busy; yields after each.

    Args:
        num_ahead: Portions that are begun and not published; so many are held in memory, and one more.
    """
    under_way: deque[PortionUnderWay] = deque()
    for records in portions:
        under_way.append(feed.begin(records, filler=filler))
        while len(under_way) > num_ahead:
            feed.finish(under_way.popleft(), now_s=now_s())
            yield
    while under_way:
        feed.finish(under_way.popleft(), now_s=now_s())
        yield


class CatalogFeed:
    """One process's way from records to everything that serves content."""

    def __init__(
        self,
        *,
        mark: FeedMark,
        mark_path: Path,
        policy: CleaningPolicy,
        refused: RefusedItems,
        images: RemoteImages,
        encoders: Mapping[str, Encoder],
        store: ContentStore,
        features: ItemContentStore,
        producer: RecordProducer,
        topic: str,
        cleaning: str,
        inference: AttributeInference | None = None,
    ) -> None:
        """Go on where the mark at `mark_path` ends, if it speaks of the same topic and choices.

        Args:
            mark: The mark of a beginning.
            topic: Where embeddings go.
            cleaning: Name of the text cleaning.
            inference: Fills attributes that items lack; None leaves them missing.
        """
        self.mark = mark.resumed(mark_path)
        self.counts = ContentCounts()
        self._mark_path, self._policy, self._refused, self._images = mark_path, policy, refused, images
        self._fields_policy = replace(policy, picture_problem=lambda picture: "")
        self._encoders, self._store, self._features = encoders, store, features
        self._producer, self._topic, self._cleaning, self._inference = producer, topic, cleaning, inference
        self._num_items = store.num_items()

    def take(self, records: Sequence[TopicRecord], *, now_s: float) -> None:
        """Take records in the order of their offsets, and wait until they are published."""
        self.finish(self.begin(records), now_s=now_s)

    def begin(self, records: Sequence[TopicRecord], *, filler: Filler | None = None) -> PortionUnderWay:
        """Judge and clean records, and send their content on its way through encoders.

        Portions are finished in the order in which they were begun.

        Args:
            filler: Who encodes; None for this process, in finish().
        """
        changes = read_changes([(record.key, record.value) for record in records], policy=self._policy)
        self._refused.tell((records[each.position], each.refusal) for each in changes.refused)
        changes = self._images.arrange(changes)
        places = tuple((record.partition, record.offset) for record in records)
        return PortionUnderWay(places=places, changes=changes, under_way=self._begun(changes, filler))

    def finish(self, portion: PortionUnderWay, *, now_s: float) -> None:
        """Publish a portion as soon as its content is through, and remember its place in the topic."""
        self.publish(portion, now_s=now_s)
        self.remember(portion.places, refused=portion.changes.refused)

    def publish(self, portion: PortionUnderWay, *, now_s: float) -> None:
        """Publish a portion as soon as its content is through; its place in the topic is not remembered."""
        changes = portion.changes
        self._publish(changes, now_s=now_s, under_way=portion.under_way)
        log.info(
            "content_published",
            num_changed=len(changes.items),
            num_removed=len(changes.removed),
            rejected=dict(Counter(each.refusal.reason.value for each in changes.refused)),
        )

    def remember(
        self,
        places: Sequence[tuple[int, int]],
        *,
        refused: Sequence[RefusedChange] = (),
        bulk_offsets: Mapping[int, int] | None = None,
    ) -> None:
        """Keep how far the topic was taken.

        Args:
            places: (partition, offset) of records that are through, or described and waiting in the bulk lane.
            refused: Those of them that were refused.
            bulk_offsets: Where the bulk lane stands, see FeedMark; None where it is as before.
        """
        self.mark = self.mark.moved(places, rejected=(each.refusal.reason.value for each in refused))
        if bulk_offsets is not None:
            self.mark = replace(self.mark, bulk_offsets=bulk_offsets)
        self.mark.save(self._mark_path)

    def describe(self, records: Sequence[TopicRecord], *, now_s: float) -> tuple[RefusedChange, ...]:
        """Publish serving fields of records whose content is encoded later, or never if a newer record comes.

        Returns:
            Those that are refused; they are neither told nor counted. Pictures are not looked at, and those that are
            being fetched for these items are not awaited any more until begin() has the same records.
        """
        changes = read_changes([(record.key, record.value) for record in records], policy=self._fields_policy)
        # A picture that comes now was fetched for the state before, which must not be published over this one.
        self._images.set_aside([*changes.items, *changes.removed])
        publish_fields(
            [*changes.items.values()],
            store=self._store,
            features=self._features,
            producer=self._producer,
            topic=self._topic,
            write_time_s=now_s,
        )
        return changes.refused

    def needs_encoder(self, records: Sequence[TopicRecord]) -> list[bool]:
        """For each record, whether it speaks of an item with content that no encoder has seen yet."""
        changes = read_changes([(record.key, record.value) for record in records], policy=self._fields_policy)
        new = unencoded([*changes.items.values()], self._encoders, self._store, cleaning=self._cleaning)
        return [(record.key or b"").decode(errors="replace") in new for record in records]

    def tell_refused(self, records: Sequence[TopicRecord], refused: Sequence[RefusedChange]) -> None:
        """Put refused records on the rejected topic, and count them."""
        self._refused.tell((records[each.position], each.refusal) for each in refused)
        self.counts.rejected.update(each.refusal.reason.value for each in refused)

    def take_pictures(self, *, now_s: float, in_portions: bool, filler: Filler | None = None) -> None:
        """Publish items again whose pictures have come since; does not wait for pictures.

        Args:
            in_portions: Wait for some hundreds: each publication costs a transaction. Else each as soon as it is here.
            filler: As of begin().
        """
        arrived = self._images.arrived(**_PORTIONS) if in_portions else self._images.arrived()
        if not arrived.wanted:
            return
        self.counts.count_failed_fetches(arrived.failures)
        changes = CatalogChanges(items={item.item_id: item for item in arrived.items}, removed=())
        self._publish(changes, now_s=now_s, again=True, under_way=self._begun(changes, filler))
        self._images.published(arrived)
        log.info("pictures_published", num_items=len(arrived.items), num_failed=len(arrived.failures))

    @property
    def is_fetching(self) -> bool:
        """Whether pictures are under way, or have come and were not taken."""
        return self._images.is_busy

    def close(self) -> None:
        """Fetch nothing more; what is under way is fetched by the next process."""
        self._images.close()

    def drop_refused_ids(self, *, now_s: float) -> int:
        """Remove items of the store whose ids the rules would refuse; how many there were.

        An item that a version without those rules took would stop every publish; its removal is refused, too.
        """
        bad = tuple(sorted(item_id for item_id in self._store.item_ids() if id_problem("item_id", item_id)))
        for item_id in bad:
            log.warning("item_dropped", item_id=item_id[:80], reason="bad_id", detail=id_problem("item_id", item_id))
        self._publish(CatalogChanges(items={}, removed=bad), now_s=now_s)
        return len(bad)

    def figures(self) -> dict[str, Any]:
        """For the status file: what the store holds, refusals of all time, and what this process did."""
        return {
            "num_catalogue_items": self._num_items,
            "rejected_total": dict(self.mark.rejected),
            **self.counts.figures(),
            **(self._inference.counts if self._inference is not None else InferredCounts()).figures(),
            "images": self._images.figures(),
        }

    def _begun(self, changes: CatalogChanges, filler: Filler | None) -> ItemsUnderWay:
        return begin([*changes.items.values()], self._encoders, self._store, cleaning=self._cleaning, filler=filler)

    def _publish(
        self,
        changes: CatalogChanges,
        *,
        now_s: float,
        again: bool = False,
        under_way: ItemsUnderWay | None = None,
    ) -> None:
        publish_content(
            changes,
            encoders=self._encoders,
            store=self._store,
            features=self._features,
            producer=self._producer,
            topic=self._topic,
            counts=self.counts,
            cleaning=self._cleaning,
            write_time_s=now_s,
            inference=self._inference,
            again=again,
            under_way=under_way,
        )
        if changes.items or changes.removed:
            self._num_items = self._store.num_items()
