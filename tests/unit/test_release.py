"""Releases: written once, one pointer, gates, and a replica that takes what is promoted."""

import threading
import time

import numpy as np
import pytest

from mmrec.clock import ManualClock
from mmrec.config import PublishSettings, Settings, StoreSettings
from mmrec.content.matrix import content_matrix
from mmrec.errors import IncompatibleStateError, NotFoundError, ReleaseGateError
from mmrec.events.producer import TopicRecord
from mmrec.features.assemble import FEATURE_NAMES
from mmrec.index.vectors import MemoryVectorStore
from mmrec.models.bundle import new_bundle
from mmrec.models.settings import RankerSettings, TowerSettings
from mmrec.pipeline import Deadline
from mmrec.publishing import LIVE_ALIAS, EmbeddingsMark, publish
from mmrec.release import ReleaseStore, check_gates
from mmrec.serving.replica import Replica, ReplicaParts
from mmrec.v1 import recommender_pb2
from tests.serving_world import EMBEDDING_DIM, ServingWorld, serving_world
from tests.unit.test_catalogue_keeper import record

GATES = PublishSettings()


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world(num_users=40, num_items=80, days=10)


@pytest.fixture
def model_folder(tmp_path):
    return untrained(tmp_path / "model")


def untrained(folder, *, feature_names=FEATURE_NAMES, metrics=None):
    """A bundle as training saves it, with random weights."""
    bundle = new_bundle(
        tower_settings=TowerSettings(),
        ranker_settings=RankerSettings(),
        known_item_ids=(),
        feature_names=feature_names,
        behavior_ids=(1, 2, 3, 4),
        behavior_weights=(1.0, 3.0, 5.0, 10.0),
        content_dims={"attributes": EMBEDDING_DIM},
        encoders={"attributes": "plain"},
        metrics=metrics or {},
    )
    bundle.save(folder)
    return folder


def content_of(world, *, encoder="plain"):
    ids = list(world.vectors.item_ids)
    vectors = dict(zip(ids, world.vectors.vectors_ID, strict=True))
    return content_matrix(
        ids, {"attributes": vectors}, embedding_dims={"attributes": EMBEDDING_DIM}, encoders={"attributes": encoder}
    )


class Deployment:
    """Stores of one deployment, in a folder and in memory."""

    def __init__(self, folder, world) -> None:
        self.settings = Settings(stores=StoreSettings(status=str(folder / "status")))
        self.releases = ReleaseStore(str(folder / "releases"))
        self.vectors = MemoryVectorStore()
        self.world = world
        self.records: list[list[TopicRecord]] = []

    def publish(self, model_folder, *, now_s=1_000_000.0, **changes):
        values = {
            "content": content_of(self.world),
            "entries": {e.item_id: e for e in self.world.entries},
            "mark": EmbeddingsMark(topic="c/t", offsets={0: 7}),
            "settings": self.settings,
            "feature_fingerprint": self.world.store.fingerprint,
            "vectors": self.vectors,
            "releases": self.releases,
            "now_s": now_s,
        }
        return publish(model_folder, **{**values, **changes})

    def follow(self, start, stop):
        while not stop():
            time.sleep(0.005)
            yield self.records.pop(0) if self.records else []

    def replica(self) -> Replica:
        return Replica(
            ReplicaParts(
                settings=self.settings,
                open_features=lambda: self.world.store,
                open_vectors=lambda: self.vectors,
                releases=self.releases,
                follow=self.follow,
                topic_name=lambda: "c/t",
                clock=ManualClock(self.world.end_s),
            )
        )


@pytest.fixture
def deployment(tmp_path, world) -> Deployment:
    return Deployment(tmp_path, world)


def wait_for(condition, *, timeout_s: float = 20.0) -> None:
    waiting = threading.Event()
    for _ in range(int(timeout_s / 0.02)):
        if condition():
            return
        waiting.wait(0.02)
    raise AssertionError("it did not come about")


def test_nothing_serves_before_something_is_promoted(deployment):
    assert deployment.releases.current() == ""
    assert deployment.releases.list() == ()
    with pytest.raises(NotFoundError, match="there are none"):
        deployment.releases.promote("x")


def test_publishing_writes_the_collection_the_release_and_the_pointer(deployment, model_folder):
    release = deployment.publish(model_folder)
    assert deployment.releases.current() == release.release_id
    assert deployment.releases.read(release.release_id) == release
    assert release.collection == f"items_{release.release_id}"
    assert deployment.vectors.load(LIVE_ALIAS).item_ids == deployment.vectors.load(release.collection).item_ids
    assert release.embedding_offsets == {"0": 7}
    assert release.metrics["index_recall_at_100"] == 1.0


def test_rolling_back_is_one_pointer_and_goes_both_ways(deployment, model_folder):
    first = deployment.publish(model_folder, now_s=1_000_000.0).release_id
    second = deployment.publish(model_folder, now_s=1_000_060.0).release_id
    assert deployment.releases.list() == (first, second)
    assert deployment.releases.rollback() == first
    assert deployment.releases.current() == first
    assert deployment.releases.rollback() == second


def test_a_model_below_popularity_is_kept_but_does_not_serve(deployment, tmp_path):
    weak = untrained(tmp_path / "weak", metrics={"hr_at_10": 0.05, "hr_at_10_popularity": 0.08})
    before = deployment.publish(untrained(tmp_path / "good")).release_id
    with pytest.raises(ReleaseGateError, match=r"hr_at_10 is 0\.0500"):
        deployment.publish(weak, now_s=1_000_100.0)
    assert deployment.releases.current() == before
    assert len(deployment.releases.list()) == 2


def test_gates_name_everything_that_was_missed():
    with pytest.raises(ReleaseGateError, match=r"recall@100 .*; hr_at_10"):
        check_gates({"index_recall_at_100": 0.2, "hr_at_10": 0.1, "hr_at_10_popularity": 0.2}, GATES)
    check_gates({"index_recall_at_100": 1.0}, GATES)


def test_a_model_for_other_features_or_encoders_is_refused(deployment, tmp_path, world):
    with pytest.raises(IncompatibleStateError, match="other features"):
        deployment.publish(untrained(tmp_path / "other", feature_names=FEATURE_NAMES[:-1]))
    with pytest.raises(IncompatibleStateError, match="another"):
        deployment.publish(untrained(tmp_path / "model"), content=content_of(world, encoder="another"))


def ask(replica, user_id):
    message = recommender_pb2.RecommendItemsRequest(user_id=user_id)
    return replica.recommend(message, deadline=Deadline(at_s=1e9, clock=lambda: 0.0))


def test_a_replica_serves_before_any_release_and_takes_one_without_restart(deployment, model_folder, world):
    replica = deployment.replica()
    replica.start()
    try:
        assert replica.wait_ready(20)
        bare = ask(replica, world.user_ids[0])
        assert len(bare.items) == 20
        assert list(bare.state.degraded_reasons) == ["no_release"]
        release_id = deployment.publish(model_folder).release_id
        wait_for(lambda: replica.state.release_id == release_id)
        whole = ask(replica, world.user_ids[0])
        assert whole.release_id == release_id
        assert not whole.state.degraded
        assert ask(replica, world.user_ids[0]).items == whole.items
    finally:
        replica.close()


def test_a_replica_takes_new_items_and_lets_removed_ones_go(deployment, model_folder, world):
    deployment.publish(model_folder)
    replica = deployment.replica()
    replica.start()
    try:
        assert replica.wait_ready(20)
        gone = world.entries[0].item_id
        deployment.records.append(
            [
                TopicRecord(*record("fresh", vector=np.ones(EMBEDDING_DIM), title="Fresh"), 0, 7, 0.0),
                TopicRecord(gone.encode(), None, 0, 8, 0.0),
                TopicRecord(b"broken", b"no json", 0, 9, 0.0),
            ]
        )
        wait_for(lambda: "fresh" in replica.state.catalogue.row_of)
        catalogue = replica.state.catalogue
        assert catalogue.embedded_I[catalogue.row_of["fresh"]]
        assert not catalogue.showable_I[catalogue.row_of[gone]]
        assert replica.counters.num_broken_updates == 1
        assert len(replica.similar(recommender_pb2.SimilarItemsRequest(item_id="fresh", num_items=5)).items) == 5
    finally:
        replica.close()


def test_a_release_that_cannot_be_used_leaves_the_one_before_serving(deployment, model_folder, world):
    good = deployment.publish(model_folder).release_id
    replica = deployment.replica()
    replica.start()
    try:
        wait_for(lambda: replica.state.release_id == good)
        bad = deployment.publish(model_folder, now_s=1_000_200.0)
        deployment.releases.promote(good)
        deployment.vectors.drop(bad.collection)
        deployment.releases.promote(bad.release_id)
        wait_for(lambda: replica.state.unusable_release)
        answer = ask(replica, world.user_ids[0])
        assert answer.release_id == good
        assert list(answer.state.degraded_reasons) == ["release_unusable"]
        deployment.releases.promote(good)
        wait_for(lambda: not replica.state.unusable_release)
    finally:
        replica.close()
