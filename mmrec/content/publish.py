"""From records of the catalogue to everything that serves content: store, feature store, topic of embeddings.

The order is: cache and matrix, then serving fields, then the topic. A crash in between is repaired by the next run,
which starts again at the offsets kept last.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmrec.catalog.cleaning import CleaningReason
from mmrec.catalog.item import Availability, CatalogEntry, CatalogItem, catalog_entry
from mmrec.content.encode import ItemsUnderWay, begin, finish
from mmrec.content.encoder import Encoder
from mmrec.content.feed import CatalogChanges, embedding_records
from mmrec.content.fetch_errors import FetchReason
from mmrec.content.inferred import AttributeInference
from mmrec.content.store import ContentStore
from mmrec.disk.files import replace_file
from mmrec.events.producer import RecordProducer
from mmrec.features.ports import ItemContentStore
from mmrec.telemetry.logs import get_logger

MAX_SAMPLES = 5
log = get_logger(__name__)


@dataclass(kw_only=True)
class ContentCounts:
    """What a process did since it started."""

    num_items: int = 0
    num_removed: int = 0
    encoded: Counter[str] = field(default_factory=Counter)
    """Modality -> payloads that went through an encoder here."""
    cached: Counter[str] = field(default_factory=Counter)
    absent: Counter[str] = field(default_factory=Counter)
    """"modality.reason" -> items without that modality."""
    rejected: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)
    num_unknown_fields: int = 0
    samples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """Reason -> the newest items it was given to, with what was wrong; at most MAX_SAMPLES."""

    def note(self, reason: str, item_id: str, detail: str) -> None:
        """Keep a sample and log it; counting is the caller's."""
        self.samples[reason] = [*self.samples.get(reason, []), {"item_id": item_id, "detail": detail}][-MAX_SAMPLES:]
        log.warning("item_finding", reason=reason, item_id=item_id, detail=detail)

    def count_failed_fetches(self, failures: Sequence[tuple[str, str, str]]) -> None:
        """Add (item id, reason, detail) of pictures that could not be fetched."""
        for item_id, reason, detail in failures:
            self.absent[f"image.{reason}"] += 1
            broken = reason == FetchReason.BROKEN
            self.note(CleaningReason.BROKEN_IMAGE if broken else f"image.{reason}", item_id, detail)

    def figures(self) -> dict[str, Any]:
        """Plain numbers for a status file or a log line."""
        counters = ("encoded", "cached", "absent", "rejected", "mended")
        return {
            "num_items": self.num_items,
            "num_removed": self.num_removed,
            "num_unknown_fields": self.num_unknown_fields,
            **{name: dict(getattr(self, name)) for name in counters},
            "samples": {reason: list(kept) for reason, kept in self.samples.items()},
        }

    def table(self) -> str:
        """For people: what became of each modality, one line for each reason, in columns."""
        rows = [(modality, "encoded", number) for modality, number in self.encoded.items()]
        rows += [(modality, "from the cache", number) for modality, number in self.cached.items()]
        rows += [
            (modality, reason, number)
            for place, number in self.absent.items()
            for modality, _, reason in [place.partition(".")]
        ]
        rows += [("item", reason, number) for reason, number in (self.rejected + self.mended).items()]
        return "\n".join(f"{what:<12} {reason:<24} {number:>9,}" for what, reason, number in sorted(rows))


def publish_content(
    changes: CatalogChanges,
    *,
    encoders: Mapping[str, Encoder],
    store: ContentStore,
    features: ItemContentStore,
    producer: RecordProducer,
    topic: str,
    counts: ContentCounts,
    cleaning: str,
    write_time_s: float,
    inference: AttributeInference | None = None,
    again: bool = False,
    under_way: ItemsUnderWay | None = None,
) -> None:
    """Encode what changed and hand it to every reader; `counts` is added to.

    Args:
        inference: Fills attributes that items lack; None leaves them missing.
        again: Whether these items were published before, without their picture: they are not counted a second time.
        under_way: The same items, where encoding them has begun.
    """
    counts.rejected.update(refused.refusal.reason.value for refused in changes.refused)
    counts.mended.update(changes.mended)
    counts.num_unknown_fields += changes.num_unknown_fields
    for item_id, detail in changes.broken_images.items():
        counts.note(CleaningReason.BROKEN_IMAGE, item_id, detail)
    if not changes.items and not changes.removed:
        return
    begun = under_way or begin(list(changes.items.values()), encoders, store, cleaning=cleaning)
    encoded = finish(begun, encoders, store)
    entries = {item_id: catalog_entry(item) for item_id, item in changes.items.items()}
    if inference is not None:
        entries = inference.completed(entries, encoded.matrix)
    store.put(encoded.matrix, removed=changes.removed)
    # The feature store forgets nothing: an item that is gone is written as hidden, so that nobody lists it again.
    gone = {i: CatalogEntry(item_id=i, availability=Availability.HIDDEN) for i in changes.removed}
    features.write_item_content({**entries, **gone}, write_time_s=write_time_s)
    descriptions = {item_id: item.description for item_id, item in changes.items.items()}
    records = embedding_records(encoded.matrix, entries, removed=changes.removed, descriptions=descriptions)
    producer.send_many(topic, records)
    counts.num_items += 0 if again else len(changes.items)
    counts.num_removed += len(changes.removed)
    counts.encoded.update(encoded.num_encoded)
    counts.cached.update(encoded.num_cached)
    for modality, reasons in encoded.num_absent.items():
        counts.absent.update({f"{modality}.{reason}": count for reason, count in reasons.items()})


def publish_fields(
    items: Sequence[CatalogItem],
    *,
    store: ContentStore,
    features: ItemContentStore,
    producer: RecordProducer,
    topic: str,
    write_time_s: float,
) -> None:
    """Hand serving fields to every reader before the content is encoded.

    Vectors and inferred attributes are those of the content before.
    """
    known = features.read_item_content([item.item_id for item in items])
    entries = {item.item_id: _with_inferred(catalog_entry(item), known.get(item.item_id)) for item in items}
    if entries:
        features.write_item_content(entries, write_time_s=write_time_s)
        before = store.load_matrix(list(entries)).select(sorted(entries))
        descriptions = {item.item_id: item.description for item in items}
        producer.send_many(topic, embedding_records(before, entries, descriptions=descriptions))


def _with_inferred(entry: CatalogEntry, before: CatalogEntry | None) -> CatalogEntry:
    """An entry with the attributes that were inferred of the item before and are not given now."""
    inferred = before.inferred_attributes if before is not None else {}
    left = {name: confidence for name, confidence in inferred.items() if name not in entry.attributes}
    if before is None or not left:
        return entry
    guessed = {name: before.attributes[name] for name in left}
    return replace(entry, attributes={**entry.attributes, **guessed}, inferred_attributes=left)


@dataclass(frozen=True, kw_only=True)
class FeedMark:
    """How far `catalog-items` has been encoded, with which encoders; another topic or encoder starts anew."""

    topic: str
    """"cluster id/topic id"."""
    encoders: Mapping[str, str]
    offsets: Mapping[int, int] = field(default_factory=dict)
    """Partition -> next offset."""
    bulk_offsets: Mapping[int, int] = field(default_factory=dict)
    """Partition -> first of the records before `offsets` whose content waits in the bulk lane, where there is one."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Reason -> records of all up to those offsets that were refused; goes on over restarts."""

    @property
    def encoded(self) -> Mapping[int, int]:
        """Partition -> offset before which no content waits any more."""
        return {**self.offsets, **self.bulk_offsets}

    def moved(self, places: Sequence[tuple[int, int]], *, rejected: Iterable[str] = ()) -> "FeedMark":
        """After records at these (partition, offset), some of which were refused for these reasons."""
        offsets = dict(self.offsets)
        for partition, offset in places:
            offsets[partition] = max(offsets.get(partition, 0), offset + 1)
        return replace(self, offsets=offsets, rejected=Counter(self.rejected) + Counter(rejected))

    def save(self, path: Path) -> None:
        """Replace the file as a whole.

        Not durably: where a power loss leaves an older mark, or none, items are published again from the cache, and
        two syncs for every change would take longer than all the rest.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        offsets = {str(partition): offset for partition, offset in self.offsets.items()}
        described = {
            "topic": self.topic,
            "encoders": dict(self.encoders),
            "offsets": offsets,
            "bulk_offsets": {str(partition): offset for partition, offset in self.bulk_offsets.items()},
            "rejected": dict(self.rejected),
        }
        replace_file(path, json.dumps(described), durable=False)

    def resumed(self, path: Path) -> "FeedMark":
        """The kept mark if it speaks of this topic and these encoders, else this one."""
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return self
        if kept.get("topic") != self.topic or kept.get("encoders") != dict(self.encoders):
            return self
        return replace(
            self,
            offsets={int(p): int(o) for p, o in kept["offsets"].items()},
            bulk_offsets={int(p): int(o) for p, o in kept.get("bulk_offsets", {}).items()},
            rejected={str(reason): int(number) for reason, number in kept.get("rejected", {}).items()},
        )
