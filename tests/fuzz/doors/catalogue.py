"""Records of catalog-items through cleaning, encoders and content store to item-embeddings, and on into a replica."""

from collections.abc import Sequence
from random import Random
from tempfile import TemporaryDirectory

from mmrec.content.feed import CatalogChanges, read_changes
from mmrec.content.publish import ContentCounts, publish_content
from mmrec.content.registry import encoder
from mmrec.content.store import ContentStore
from mmrec.events.producer import MemoryRecordProducer
from mmrec.features.stores import MemoryFeatureStore
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.item_statistics import decay_rates
from mmrec.serving.item_record import ItemUpdate, read_item_update
from mmrec.serving.keeper import CatalogueKeeper
from tests.fuzz.catalog_inputs import malformed_item, valid_item
from tests.fuzz.door import Fuzzed, Outcome, Parts, accepted, refused
from tests.fuzz.event_inputs import NOW_S, clock
from tests.serving_world import HALF_LIVES

TOPIC = "item-embeddings"
ENCODERS = {"text": "hashing-tf", "image": "color-histogram", "attributes": "attribute-hash"}


class CatalogueDoor:
    """What jobs.encode_items does with what it reads, with cheap encoders."""

    name = "catalogue"
    batch = 120
    seeds = 6

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="mmrec-fuzz-")
        self._encoders = {modality: encoder(modality, name) for modality, name in ENCODERS.items()}
        self._num_fed = 0

    def valid(self, rng: Random, number: int) -> Parts:
        return valid_item(rng, number)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        return malformed_item(rng, number)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        self._num_fed += 1
        records = [(f.parts[0], f.parts[1]) for f in inputs]
        changes = read_changes(records)
        producer, counts = MemoryRecordProducer(clock=clock()), ContentCounts()
        features = MemoryFeatureStore()
        publish_content(
            changes,
            encoders=self._encoders,
            store=ContentStore(f"{self._folder.name}/{self._num_fed}", cache_folder=f"{self._folder.name}/cache"),
            features=features,
            producer=producer,
            topic=TOPIC,
            counts=counts,
            cleaning="none",
            write_time_s=NOW_S,
        )
        updates = [read_item_update(record.key, record.value) for record in producer.records(TOPIC)]
        keeper = CatalogueKeeper(behaviors=shop_behaviors(), decay_per_day_H=decay_rates(HALF_LIVES))
        keeper.take(updates)
        keeper.publish()
        told = {update.item_id: update for update in updates}
        bad = {each.position for each in changes.refused}
        newest = {key: row for row, (key, _) in enumerate(records) if row not in bad}
        return [self._outcome(f, newest.get(f.parts[0]) == row, changes, told) for row, f in enumerate(inputs)]

    def _outcome(
        self, fuzzed: Fuzzed, is_newest: bool, changes: CatalogChanges, told: dict[str, ItemUpdate]
    ) -> Outcome:
        key, value = fuzzed.parts
        alone = read_changes([(key, value)])
        if alone.refused:
            refusal = alone.refused[0].refusal
            return refused(refusal.reason.value, refusal.detail)
        item_id = next(iter([*alone.items, *alone.removed]), None)
        if item_id is None:
            return refused("", "", problem="neither taken, removed nor refused")
        if not is_newest:
            return accepted()
        update = told.get(item_id)
        if update is None:
            return accepted(problem="taken, and not on the topic of embeddings")
        if value is None:
            return accepted(intact=update.entry is None)
        item = changes.items.get(item_id)
        if item is None or update.entry is None:
            return accepted(problem="taken alone, and not among others")
        if (update.entry.title, update.entry.price) != (item.title, item.price):
            return accepted(problem="another title or price reaches replicas")
        whole = set(update.vectors) >= {"text", "attributes"}
        return accepted(intact=whole and f"Red dress {item_id.removeprefix('item')}" == item.title)

    def close(self) -> None:
        self._folder.cleanup()
