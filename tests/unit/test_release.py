"""Releases: written once, one pointer, gates, and a replica that takes what is promoted."""

import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from mmrec.clock import ManualClock
from mmrec.config import PublishSettings, Settings, StoreSettings
from mmrec.content.matrix import content_matrix
from mmrec.disk.objects import FolderObjects
from mmrec.errors import IncompatibleStateError, InvalidRequestError, NotFoundError, ReleaseGateError, StoreError
from mmrec.events.producer import TopicRecord
from mmrec.features.assemble import FEATURE_NAMES
from mmrec.features.values import StreamProgress
from mmrec.index.vectors import MemoryVectorStore, StoredVectors
from mmrec.models.bundle import new_bundle
from mmrec.models.settings import RankerSettings, TowerSettings
from mmrec.publishing.publish import LIVE_ALIAS, EmbeddingsMark, drop_old_collections, let_serve, publish, roll_back
from mmrec.publishing.release import ReleaseStore, check_gates
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.serving.release_loading import load_release
from mmrec.serving.replica import Replica, ReplicaParts
from mmrec.telemetry.logs import read_status
from mmrec.v1 import recommender_pb2
from tests.serving_world import EMBEDDING_DIM, ServingWorld, no_deadline, serving_world
from tests.unit.test_catalogue_keeper import record

GATES = PublishSettings()


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world(num_users=40, num_items=80, days=10)


@pytest.fixture
def model_folder(tmp_path):
    return untrained(tmp_path / "model")


def untrained(folder, *, feature_names=FEATURE_NAMES, metrics=None, fingerprints=None):
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
        fingerprints=fingerprints,
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
        self.folder = folder
        self.settings = Settings(stores=StoreSettings(status=str(folder / "status")))
        self.releases = ReleaseStore(FolderObjects(folder / "releases"))
        self.vectors = MemoryVectorStore()
        self.world = world
        self.records: list[list[TopicRecord]] = []
        self.outage: Exception | None = None
        """Raised as long as it is there when somebody opens the vectors."""

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

    def open_vectors(self):
        if self.outage is not None:
            raise self.outage
        return self.vectors

    def replica(self, **changes) -> Replica:
        return Replica(
            ReplicaParts(
                settings=self.settings,
                open_features=lambda: self.world.store,
                open_vectors=self.open_vectors,
                releases=self.releases,
                follow=self.follow,
                topic_name=lambda: "c/t",
                clock=ManualClock(self.world.end_s),
            ),
            **changes,
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


def test_a_release_is_never_written_twice(deployment, model_folder):
    release = deployment.publish(model_folder)
    with pytest.raises(InvalidRequestError, match=f"{release.release_id}.*exists already.*give a new id"):
        deployment.releases.write(replace(release, num_items=1), model_folder)
    assert deployment.releases.read(release.release_id) == release


def test_publishing_writes_the_collection_the_release_and_the_pointer(deployment, model_folder):
    release = deployment.publish(model_folder)
    assert deployment.releases.current() == release.release_id
    assert deployment.releases.read(release.release_id) == release
    assert release.collection == f"items_{release.release_id}"
    assert deployment.vectors.load(LIVE_ALIAS).item_ids == deployment.vectors.load(release.collection).item_ids
    assert release.embedding_offsets == {"0": 7}
    assert release.metrics["index_recall_at_100"] == 1.0


def publish_many(deployment, model_folder, number) -> list[str]:
    return [deployment.publish(model_folder, now_s=1_000_000.0 + 60 * n).release_id for n in range(number)]


def test_rolling_back_walks_back_one_release_at_a_time(deployment, model_folder):
    first, second, third = publish_many(deployment, model_folder, 3)
    assert deployment.releases.list() == (first, second, third)
    for expected in (second, first):
        assert deployment.releases.before() == expected
        assert roll_back(releases=deployment.releases, vectors=deployment.vectors).release_id == expected
        assert deployment.releases.current() == expected
    assert deployment.releases.before() == ""
    with pytest.raises(NotFoundError, match="no release before"):
        roll_back(releases=deployment.releases, vectors=deployment.vectors)
    deployment.releases.promote(third)
    assert deployment.releases.rollback() == first


def test_collections_of_old_releases_are_dropped_but_for_the_current_and_the_one_before(deployment, model_folder):
    deployment.settings = replace(deployment.settings, publish=PublishSettings(num_collections=2))
    first, second, third = publish_many(deployment, model_folder, 3)
    assert deployment.vectors.collections() == (f"items_{second}", f"items_{third}")
    with pytest.raises(NotFoundError, match="was dropped"):
        let_serve(first, releases=deployment.releases, vectors=deployment.vectors)
    assert deployment.releases.current() == third
    let_serve(second, releases=deployment.releases, vectors=deployment.vectors)
    drop_old_collections(deployment.releases, deployment.vectors, num_kept=1)
    assert deployment.vectors.collections() == (f"items_{second}", f"items_{third}")
    weak = untrained(model_folder.parent / "weak", metrics={"hr_at_10": 0.0, "hr_at_10_popularity": 1.0})
    with pytest.raises(ReleaseGateError):
        deployment.publish(weak, now_s=2_000_000.0)
    deployment.publish(model_folder, now_s=2_000_060.0)
    assert f"items_{second}" in deployment.vectors.collections()


def test_a_release_holds_what_its_ranker_was_trained_with(deployment, model_folder):
    behaviors = BehaviorSet(tuple(replace(b, weight=2.0) for b in deployment.settings.behaviors))
    other = replace(deployment.settings.scoring, behaviors=behaviors)
    release = deployment.publish(model_folder, settings=replace(deployment.settings, scoring=other))
    assert release.behavior_weights == {"browse": 1.0, "favorite": 3.0, "cart": 5.0, "purchase": 10.0}
    assert release.half_lives_days == (1.0, 7.0, 30.0)
    assert deployment.releases.read(release.release_id) == release


@pytest.mark.parametrize("document", ['{"format": 2, "release_id": "x"}', '{"format": 2, "new": 1}', "[", "{}"])
def test_a_broken_release_is_incompatible(deployment, model_folder, document):
    release_id = deployment.publish(model_folder).release_id
    path = next(deployment.folder.glob("releases/*/release.json"))
    path.write_text(document)
    with pytest.raises(IncompatibleStateError, match=r"publish( it)? again"):
        deployment.releases.read(release_id)


def test_a_model_below_popularity_is_kept_but_does_not_serve(deployment, tmp_path):
    weak = untrained(tmp_path / "weak", metrics={"hr_at_10": 0.05, "hr_at_10_popularity": 0.08})
    before = deployment.publish(untrained(tmp_path / "good")).release_id
    with pytest.raises(ReleaseGateError, match=r"hr_at_10 is 0\.0500"):
        deployment.publish(weak, now_s=1_000_100.0)
    assert deployment.releases.current() == before
    assert len(deployment.releases.list()) == 2
    (refused, reason) = next(iter(deployment.releases.refusals().items()))
    assert refused == deployment.releases.list()[-1]
    assert "hr_at_10 is 0.0500, at least 0.0800 is needed" in reason


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
    return replica.recommend(message, deadline=no_deadline())


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
        alike = recommender_pb2.SimilarItemsRequest(item_id="fresh", num_items=5)
        assert len(replica.similar(alike, deadline=no_deadline()).items) == 5
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


@contextmanager
def running(replica):
    replica.start()
    try:
        assert replica.wait_ready(20)
        yield replica
    finally:
        replica.close()


@pytest.mark.parametrize("error", [StoreError("Milvus is away"), RuntimeError("something else"), OSError("no route")])
def test_a_release_that_an_engine_failed_to_deliver_is_tried_again_and_items_go_on(
    deployment, model_folder, world, error
):
    good = deployment.publish(model_folder).release_id
    with running(deployment.replica()) as replica:
        assert replica.state.release_id == good
        deployment.outage = error
        second = deployment.publish(model_folder, now_s=1_000_200.0).release_id
        wait_for(lambda: replica.state.unusable_release)
        assert ask(replica, world.user_ids[0]).release_id == good
        deployment.records.append([TopicRecord(*record("fresh", vector=np.ones(EMBEDDING_DIM)), 0, 7, 0.0)])
        wait_for(lambda: "fresh" in replica.state.catalogue.row_of)
        deployment.outage = None
        wait_for(lambda: replica.state.release_id == second)
        assert not replica.state.unusable_release


def test_a_release_for_other_half_lives_neighbor_decays_or_behaviors_is_not_loaded(deployment, model_folder, world):
    good = deployment.publish(model_folder)
    for name, changes in (
        ("longer", {"half_lives_days": (2.0, 14.0, 60.0)}),
        ("near", {"neighbor_decays": (0.05, 1.0)}),
        ("named", {"behavior_weights": {"a": 1.0}}),
    ):
        deployment.releases.write(replace(good, release_id=name, **changes), model_folder)
        with pytest.raises(IncompatibleStateError, match="made for other"):
            load_release(
                name,
                settings=deployment.settings,
                releases=deployment.releases,
                open_vectors=deployment.open_vectors,
                features=world.store,
            )


class ForgetfulVectors(MemoryVectorStore):
    """An engine that returns a collection otherwise than it was written."""

    def __init__(self, change) -> None:
        super().__init__()
        self.change = change

    def load(self, name):
        return self.change(super().load(name))


def without_last(stored):
    return StoredVectors(item_ids=stored.item_ids[:-1], vectors_ID=stored.vectors_ID[:-1], fields={})


def renamed_first(stored):
    return replace(stored, item_ids=('tv 5"', *stored.item_ids[1:]))


def other_vector(stored):
    vectors_ID = stored.vectors_ID.copy()
    vectors_ID[3] += 0.01
    return replace(stored, vectors_ID=vectors_ID)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_last, r"was written with 80 items and reads back 79, without '"),
        (renamed_first, r"80 items and reads back 80, without '.*', with a strange 'tv 5\"'"),
        (other_vector, r"other vectors for 1 of 80 items, among them '"),
    ],
)
def test_a_collection_that_cannot_be_read_back_whole_is_never_promoted(deployment, model_folder, change, said):
    good = deployment.publish(model_folder).release_id
    with pytest.raises(ReleaseGateError, match=said):
        deployment.publish(model_folder, now_s=1_000_200.0, vectors=ForgetfulVectors(change))
    assert deployment.releases.current() == good
    assert len(deployment.releases.list()) == 2, "it is kept, as one that misses another gate is"


def test_a_collection_that_was_damaged_since_is_not_promoted_nor_gone_back_to(deployment, model_folder):
    first, second = (deployment.publish(model_folder, now_s=1_000_000.0 + 100 * n) for n in range(2))
    item_ids, vectors_ID = list(deployment.world.vectors.item_ids), deployment.world.vectors.vectors_ID
    deployment.vectors.create_collection(first.collection, item_ids[:-1], vectors_ID[:-1], {})
    kept = {"releases": deployment.releases, "vectors": deployment.vectors}
    for move in (lambda: let_serve(first.release_id, **kept), lambda: roll_back(**kept)):
        with pytest.raises(IncompatibleStateError, match=r"holds 79 items.*was made with 80; publish its model again"):
            move()
        assert deployment.releases.current() == second.release_id


def test_a_replica_without_the_promoted_release_is_not_ready_and_says_why(deployment, model_folder, world):
    deployment.outage = StoreError("cannot read beyond item 'tv 5\"'")
    release_id = deployment.publish(model_folder).release_id
    with running(deployment.replica()) as replica:
        assert not replica.ready
        assert ask(replica, world.user_ids[0]).items, "it answers all the same"
        wait_for(lambda: "recommender" in read_status(deployment.settings.stores.status))
        figures = read_status(deployment.settings.stores.status)["recommender"]
        assert (figures["ready"], figures["unusable_release_id"]) == (False, release_id)
        assert 'tv 5"' in figures["error"]
        deployment.outage = None
        wait_for(lambda: replica.ready)


def test_a_replica_that_holds_an_older_release_is_ready_and_its_status_is_not(deployment, model_folder):
    good = deployment.publish(model_folder).release_id
    with running(deployment.replica()) as replica:
        bad = deployment.publish(model_folder, now_s=1_000_200.0)
        deployment.releases.promote(good)
        wait_for(lambda: replica.state.release_id == good)
        deployment.vectors.create_collection(bad.collection, ["only"], np.ones((1, bad.embedding_dim), np.float32), {})
        deployment.releases.promote(bad.release_id)
        status = deployment.settings.stores.status
        wait_for(lambda: read_status(status).get("recommender", {}).get("unusable_release_id"))
        figures = read_status(status)["recommender"]
        assert (figures["release_id"], figures["unusable_release_id"]) == (good, bad.release_id)
        assert "holds 1 items" in figures["error"]
        assert replica.ready


def test_requests_are_ranked_with_the_weights_of_the_release(deployment, model_folder):
    deployment.publish(model_folder)
    trained = deployment.settings.behaviors
    live = BehaviorSet(tuple(replace(b, weight=2.0) for b in trained))
    deployment.settings = replace(deployment.settings, scoring=replace(deployment.settings.scoring, behaviors=live))
    with running(deployment.replica()) as replica:
        assert replica.state.ranker_behaviors == trained
        assert replica.state.scoring.behaviors == live


def test_a_status_that_cannot_be_written_does_not_end_the_thread(deployment, model_folder):
    with running(deployment.replica()) as replica:
        status = deployment.folder / "status"
        while status.is_dir():  # the thread may be writing into it
            shutil.rmtree(status, ignore_errors=True)
        status.write_text("a file stands where the folder was")
        release_id = deployment.publish(model_folder).release_id
        wait_for(lambda: replica.state.release_id == release_id)
        assert replica.ready


def test_a_replica_whose_thread_has_ended_is_not_ready(deployment):
    with running(deployment.replica()) as replica:
        assert replica.ready
    assert not replica.ready


def test_a_replica_knows_how_far_the_stream_is(deployment, world):
    with running(deployment.replica()) as replica:
        assert not ask(replica, world.user_ids[0]).state.HasField("stream_lag")
        progress = StreamProgress(newest_ingest_time_s=world.end_s - 4.0)
        world.store.write_profiles({}, write_time_s=0.0, progress=progress)
        wait_for(lambda: ask(replica, "never seen").state.stream_lag.ToSeconds() == 4)


def test_more_figures_stand_in_the_status_and_loading_is_told(deployment, model_folder):
    told = []
    replica = deployment.replica(figures=lambda: {"num_more": 3}, after_load=lambda: told.append(1))
    with running(replica):
        release_id = deployment.publish(model_folder).release_id
        wait_for(lambda: read_status(str(deployment.folder / "status"))["recommender"]["release_id"] == release_id)
        assert read_status(str(deployment.folder / "status"))["recommender"]["num_more"] == 3
    assert len(told) == 2


def test_a_changed_weight_is_read_next_and_the_ranker_keeps_its_own(deployment, model_folder, tmp_path):
    behaviors = deployment.settings.behaviors
    file = tmp_path / "mmrec.toml"

    def write(weight: float) -> None:
        tables = [
            f'[[behaviors]]\nname = "{b.name}"\nbehavior_id = {b.behavior_id}\n'
            f"weight = {weight if b.name == 'browse' else b.weight}\n"
            for b in behaviors
        ]
        file.write_text("".join(tables))

    write(1.0)
    deployment.settings = replace(deployment.settings, config_file=str(file))
    deployment.publish(model_folder)
    with running(deployment.replica()) as replica:
        wait_for(lambda: replica.state.release_id)
        write(7.25)
        wait_for(lambda: replica.state.scoring.behaviors.weights_B[0] == 7.25)
        assert replica.state.catalogue.weights_B[0] == 7.25
        assert replica.state.ranker_behaviors.weights_B[0] == behaviors.weights_B[0]
