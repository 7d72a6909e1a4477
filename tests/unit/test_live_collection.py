"""The live release's collection follows the catalogue exactly, whenever its writer ends, from release to release."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mmrec.errors import IncompatibleStateError, NotFoundError, StoreError
from mmrec.events.producer import TopicRecord
from mmrec.publishing.release import CollectionMark
from mmrec.serving.live_collection import CollectionWriter, LiveCollection, LiveCollectionParts
from mmrec.serving.release_loading import load_release
from tests.serving_world import EMBEDDING_DIM, PlainModel, ServingWorld, serving_world
from tests.unit.test_catalogue_keeper import record
from tests.unit.test_release import Deployment, untrained, wait_for


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world(num_users=40, num_items=60, days=10)


@pytest.fixture
def deployment(tmp_path, world) -> Deployment:
    return Deployment(tmp_path, world)


class Tower(PlainModel):
    """The plain model with vectors as wide as the release's."""

    embedding_dim = 64

    def item_embeddings(self, content):
        return np.repeat(super().item_embeddings(content), 2, axis=1) / np.float32(np.sqrt(2))


def at(offset: int, item_id: str, **fields) -> TopicRecord:
    key, value = (item_id.encode(), None) if fields.pop("removed", False) else record(item_id, **fields)
    return TopicRecord(key, value, 0, offset, 0.0)


def changes(world) -> list[TopicRecord]:
    first, second = world.entries[0].item_id, world.entries[1].item_id
    ones, half = np.ones(EMBEDDING_DIM), np.arange(EMBEDDING_DIM) % 2 + 0.0
    return [
        at(7, "fresh", vector=ones, title="Fresh"),
        at(8, first, removed=True),
        at(9, "bare", title="Not encoded yet"),
        at(10, second, vector=half, title="Changed"),
        at(11, "gone", vector=half),
        TopicRecord(b"broken", b"no json", 0, 12, 0.0),
        at(13, "gone", removed=True),
        at(14, "fresh", title="Dearer", price=3.0),
    ]


def writer(deployment, release, *, topic: str = "c/t", vectors=None) -> CollectionWriter:
    return CollectionWriter(
        release,
        tower=Tower(),
        vectors=vectors or deployment.vectors,
        releases=deployment.releases,
        topic=topic,
    )


def test_the_collection_holds_what_the_records_say_whenever_the_writer_ends(deployment, world):
    records = changes(world)
    once = deployment.publish(untrained(deployment.folder / "a"), now_s=1_000_000.0)
    writer(deployment, once).take(records)
    whole = deployment.vectors.load(once.collection)
    again = deployment.publish(untrained(deployment.folder / "b"), now_s=2_000_000.0)
    for start in range(len(records)):  # a new process each time, which repeats the last records of the one before
        writer(deployment, again).take(records[max(0, start - 2) : start + 1])
    piecewise = deployment.vectors.load(again.collection)
    assert whole.item_ids == piecewise.item_ids
    changed = [
        row for row, item_id in enumerate(whole.item_ids) if item_id in ("fresh", "bare", world.entries[1].item_id)
    ]
    assert np.allclose(whole.vectors_ID[changed], piecewise.vectors_ID[changed])
    assert {"fresh", "bare"} <= set(whole.item_ids)
    assert not {"gone", "broken", world.entries[0].item_id} & set(whole.item_ids)
    vector_of = dict(zip(whole.item_ids, whole.vectors_ID, strict=True))
    assert not vector_of["bare"].any()
    assert np.isclose(np.linalg.norm(vector_of["fresh"]), 1.0)
    assert deployment.releases.collection_mark(again) == CollectionMark(topic="c/t", offsets={0: 15})
    assert writer(deployment, again).start == {0: 15}
    assert writer(deployment, again, topic="c/another").start is None


def test_a_writer_that_fails_leaves_the_mark_where_everything_is_in(deployment, world):
    class Failing:
        def __init__(self, vectors, left):
            self.vectors, self.left = vectors, left

        def __getattr__(self, name):
            return getattr(self.vectors, name)

        def upsert(self, *args):
            self.left -= 1
            if self.left < 0:
                raise StoreError("gone away")
            self.vectors.upsert(*args)

    release = deployment.publish(untrained(deployment.folder / "a"))
    broken = writer(deployment, release, vectors=Failing(deployment.vectors, 1))
    broken.take(changes(world)[:3])
    with pytest.raises(StoreError):
        broken.take(changes(world)[3:])
    assert deployment.releases.collection_mark(release).offsets == {0: 10}
    writer(deployment, release).take(changes(world)[3:])
    assert "gone" not in deployment.vectors.load(release.collection).item_ids


def test_a_replica_that_starts_later_has_the_items_without_the_topic(deployment, world):
    release = deployment.publish(untrained(deployment.folder / "a"))
    writer(deployment, release).take(changes(world))
    loaded = load_release(
        release.release_id,
        settings=deployment.settings,
        releases=deployment.releases,
        open_vectors=deployment.open_vectors,
        features=world.store,
    )
    catalogue = loaded.keeper.catalogue
    assert loaded.mark.start("c/t") == {0: 15}
    assert catalogue.embedded_I[catalogue.row_of["fresh"]]
    assert not catalogue.embedded_I[catalogue.row_of["bare"]]
    assert world.entries[0].item_id not in catalogue.row_of


def test_a_collection_of_other_fingerprints_is_refused_by_readers_and_writers(deployment, world):
    release = deployment.publish(untrained(deployment.folder / "a"))
    said = deployment.vectors.describe(release.collection)
    assert said["release_id"] == release.release_id
    assert len(said["tower"]) == 16
    other = replace(release, tower_fingerprint="0" * 16)
    with pytest.raises(
        IncompatibleStateError, match=r"made for tower .*, release .* has 0000.*publish its model again"
    ):
        writer(deployment, other)
    stored = deployment.vectors.load(release.collection)
    deployment.vectors.create_collection(
        release.collection,
        stored.item_ids,
        stored.vectors_ID,
        stored.fields,
        description={**said, "encoders": {"attributes": "another"}},
    )
    with pytest.raises(IncompatibleStateError, match=r"made for encoders .*another"):
        load_release(
            release.release_id,
            settings=deployment.settings,
            releases=deployment.releases,
            open_vectors=deployment.open_vectors,
            features=world.store,
        )


def test_the_thread_follows_the_release_that_is_promoted_and_catches_up_one_that_comes_back(deployment):
    sent: list[TopicRecord] = []

    def follow(start, stop):
        place = (start or {}).get(0, 0)
        while not stop():
            fresh = [each for each in sent if each.offset >= place]
            place = max([place, *(each.offset + 1 for each in fresh)])
            wait_for(lambda: True)
            yield fresh

    live = LiveCollection(
        LiveCollectionParts(
            releases=deployment.releases,
            open_vectors=deployment.open_vectors,
            follow=follow,
            topic_name=lambda: "c/t",
        )
    )
    live.start()
    try:
        first = deployment.publish(untrained(deployment.folder / "a"), now_s=1_000_000.0)
        wait_for(lambda: live.counts.release_id == first.release_id)
        sent.append(at(7, "one", title="One", vector=np.ones(EMBEDDING_DIM)))
        wait_for(lambda: "one" in deployment.vectors.load(first.collection).item_ids)
        second = deployment.publish(untrained(deployment.folder / "b"), now_s=2_000_000.0)
        wait_for(lambda: live.counts.release_id == second.release_id)
        wait_for(lambda: "one" in deployment.vectors.load(second.collection).item_ids)
        sent.append(at(8, "two", title="Two", vector=np.ones(EMBEDDING_DIM)))
        wait_for(lambda: "two" in deployment.vectors.load("items_live").item_ids)
        assert "two" not in deployment.vectors.load(first.collection).item_ids
        deployment.releases.rollback()
        wait_for(lambda: "two" in deployment.vectors.load(first.collection).item_ids)
    finally:
        live.close()
    assert live.figures()["num_failures"] == 0
    assert json.dumps(live.figures())


def test_a_release_that_cannot_be_used_for_long_opens_no_connection_each_time(deployment):
    release = deployment.publish(untrained(deployment.folder / "a"), now_s=1_000_000.0)
    deployment.vectors.drop(release.collection)
    opened: list[None] = []

    def open_vectors():
        opened.append(None)
        return deployment.open_vectors()

    live = LiveCollection(
        LiveCollectionParts(
            releases=deployment.releases,
            open_vectors=open_vectors,
            follow=lambda start, stop: iter(()),
            topic_name=lambda: "c/t",
        )
    )
    for _ in range(3):
        with pytest.raises(NotFoundError, match=release.collection):
            live._keep_up()
    assert len(opened) == 1
