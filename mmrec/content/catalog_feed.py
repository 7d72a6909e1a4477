"""The topic `catalog-items`, taken portion by portion: judged, told where refused, encoded, published, remembered.

    feed = CatalogFeed(...)
    feed.take(records, now_s=...)       StoreError: nothing is remembered, take the same records again
    feed.take_pictures(now_s=...)       pictures given by URI that have come since

What is refused is on the rejected topic before the place in the topic is kept, so a crash loses no refusal; told twice
is none (mmrec.catalog.refused).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from mmrec.catalog.cleaning import CleaningPolicy
from mmrec.catalog.item import CatalogItem
from mmrec.catalog.refused import RefusedItems
from mmrec.content.encoder import Encoder
from mmrec.content.feed import CatalogChanges, read_changes
from mmrec.content.inferred import AttributeInference, InferredCounts
from mmrec.content.modalities.registry import MODALITIES
from mmrec.content.publish import ContentCounts, FeedMark, publish_content
from mmrec.content.remote_images import RemoteImages
from mmrec.content.store import ContentStore
from mmrec.events.producer import RecordProducer, TopicRecord
from mmrec.features.ports import ItemContentStore
from mmrec.telemetry.logs import get_logger
from mmrec.wire.ids import id_problem

log = get_logger(__name__)
_PORTIONS: Final[dict[str, Any]] = {"at_least": 512, "at_most": 512, "patience_s": 60.0}
_READING_NAMES: Final = {"image": "pictures"}
"""As marks name it that were kept before other modalities could have a reading."""


def marked_choices(
    names: Mapping[str, str], *, cleaning: str, policy: CleaningPolicy, inference: AttributeInference | None = None
) -> dict[str, str]:
    """What a mark is kept for: another encoder, cleaning, policy or attribute model has the catalogue read anew."""
    kept = {each.name: getattr(policy, each.name) for each in fields(policy) if each.name != "picture_problem"}
    described = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in kept.items()}
    described["missing_values"] = {name: sorted(values) for name, values in sorted(policy.missing_values.items())}
    readings = {_READING_NAMES.get(m.name, f"reading of {m.name}"): m.reading for m in MODALITIES if m.reading}
    inferred = {"attribute model": inference.identity} if inference is not None else {}
    return {**names, **inferred, "cleaning": cleaning, **readings, "policy": repr(sorted(described.items()))}


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
        self._encoders, self._store, self._features = encoders, store, features
        self._producer, self._topic, self._cleaning, self._inference = producer, topic, cleaning, inference
        self._num_items = len(store.item_ids())

    def take(
        self,
        records: Sequence[TopicRecord],
        *,
        now_s: float,
        before_encoding: Callable[[Sequence[CatalogItem]], None] = lambda items: None,
    ) -> None:
        """Take records in the order of their offsets.

        Args:
            before_encoding: Called with the items that are about to be encoded: a chance to fill the cache in parallel.
        """
        changes = read_changes([(record.key, record.value) for record in records], policy=self._policy)
        self._refused.tell((records[each.position], each.refusal) for each in changes.refused)
        changes = self._images.arrange(changes)
        before_encoding([*changes.items.values()])
        self._publish(changes, now_s=now_s)
        reasons = Counter(each.refusal.reason.value for each in changes.refused)
        self.mark = self.mark.moved([(r.partition, r.offset) for r in records], rejected=reasons.elements())
        self.mark.save(self._mark_path)
        log.info(
            "content_published",
            num_changed=len(changes.items),
            num_removed=len(changes.removed),
            rejected=dict(reasons),
        )

    def take_pictures(
        self, *, now_s: float, in_portions: bool, before_encoding: Callable[[Sequence[CatalogItem]], None]
    ) -> None:
        """Publish items again whose pictures have come since; does not wait.

        Args:
            in_portions: Wait for some hundreds: each publication costs a file. Else each as soon as it is here.
        """
        arrived = self._images.arrived(**_PORTIONS) if in_portions else self._images.arrived()
        if not arrived.wanted:
            return
        self.counts.count_failed_fetches(arrived.failures)
        before_encoding(arrived.items)
        changes = CatalogChanges(items={item.item_id: item for item in arrived.items}, removed=())
        self._publish(changes, now_s=now_s, again=True)
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

    def _publish(self, changes: CatalogChanges, *, now_s: float, again: bool = False) -> None:
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
        )
        if changes.items or changes.removed:
            self._num_items = len(self._store.item_ids())
