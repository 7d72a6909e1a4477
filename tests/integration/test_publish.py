"""jobs.publish on real engines: content store, Kafka, Feast, Milvus, release folder; then a replica serves it."""

import json
import subprocess
import sys
import time

import pytest

from feature_repo.apply import apply_repository
from mmrec.serving.recommend import Deadline
from mmrec.serving.replica import Replica
from mmrec.stores.kafka.producer import KafkaRecordProducer
from mmrec.stores.kafka.topic_ends import end_offsets
from mmrec.v1 import recommender_pb2
from mmrec.wiring import (
    live_collection,
    open_content_store,
    open_feature_store,
    open_release_store,
    open_vector_store,
    replica_parts,
)
from tests.serving_world import EMBEDDING_DIM, serving_world
from tests.unit.test_catalogue_keeper import record
from tests.unit.test_release import content_of, untrained, wait_for

pytestmark = pytest.mark.integration


def run_publish(config, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "jobs.publish", "--config", str(config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_published_release_serves_rolls_back_and_takes_items_that_came_since(settings, tmp_path):
    deployment = settings(kafka=True, milvus=True)
    stored, config = deployment.settings, deployment.config
    world = serving_world(num_users=40, num_items=80, days=10)
    apply_repository(stored.stores, stored.scoring.decay_per_day)
    store = open_feature_store(stored)
    store.write_item_content({e.item_id: e for e in world.entries}, write_time_s=1.0)
    store.write_profiles(world.store.read_profiles(world.user_ids), write_time_s=1.0)
    open_content_store(stored).put(content_of(world))
    producer = KafkaRecordProducer(stored.kafka.bootstrap)
    topic = stored.kafka.item_embeddings
    producer.send_many(topic, [record("before", title="Before the release")])

    first = run_publish(config, "--model", str(untrained(tmp_path / "first")))
    assert first.returncode == 0, first.stderr
    figures = json.loads(first.stdout)
    assert figures["num_items"] == len(world.entries)
    assert figures["metrics"]["index_recall_at_100"] == 1.0
    releases = open_release_store(stored)
    assert releases.current() == figures["release_id"]
    release = releases.read(figures["release_id"])
    ends = end_offsets(stored.kafka.bootstrap, topic)
    assert {int(p): offset for p, offset in release.embedding_offsets.items()} == ends

    weak = untrained(tmp_path / "weak", metrics={"hr_at_10": 0.01, "hr_at_10_popularity": 0.02})
    missed = run_publish(config, "--model", str(weak))
    assert missed.returncode == 3, missed.stderr
    assert releases.current() == figures["release_id"]

    replica, keeping = Replica(replica_parts(stored)), live_collection(stored)
    replica.start()
    keeping.start()
    vectors = open_vector_store(stored)
    try:
        assert replica.wait_ready(60)
        wait_for(lambda: replica.state.release_id == figures["release_id"])  # an engine that stumbles is asked again
        answer = replica.recommend(
            recommender_pb2.RecommendItemsRequest(user_id=world.user_ids[0]),
            deadline=Deadline(at_s=time.monotonic() + 30, clock=time.monotonic),
        )
        assert answer.release_id == figures["release_id"]
        assert len(answer.items) == 20
        assert answer.items[0].title
        producer.send_many(topic, [record("since", vector=[1.0] * EMBEDDING_DIM, title="Since the release")])
        wait_for(lambda: "since" in replica.state.catalogue.row_of)
        assert "before" not in replica.state.catalogue.row_of
        wait_for(lambda: "since" in vectors.load("items_live").item_ids)
        gone = world.entries[0].item_id
        producer.send_many(topic, [(gone.encode(), None)])
        wait_for(lambda: gone not in vectors.load("items_live").item_ids)

        time.sleep(1.0)  # release ids begin with the second they were made in
        second = json.loads(run_publish(config, "--model", str(untrained(tmp_path / "second"))).stdout)
        wait_for(lambda: replica.state.release_id == second["release_id"])
        assert vectors.describe("items_live")["release_id"] == second["release_id"]
        producer.send_many(topic, [record("later", vector=[1.0] * EMBEDDING_DIM, title="Later still")])
        wait_for(lambda: "later" in vectors.load("items_live").item_ids)
        back = run_publish(config, "--rollback")
        assert json.loads(back.stdout)["release_id"] == figures["release_id"]
        wait_for(lambda: replica.state.release_id == figures["release_id"])
        wait_for(lambda: "since" in replica.state.catalogue.row_of)
        # The release that came back is brought up to what came while another one was live.
        wait_for(lambda: "later" in vectors.load(release.collection).item_ids)
    finally:
        keeping.close()
        replica.close()
        producer.close()
    live = vectors.load("items_live")
    assert set(live.item_ids) == {*(entry.item_id for entry in world.entries), "since", "later"} - {gone}
    assert open_release_store(stored).collection_mark(release).offsets == end_offsets(stored.kafka.bootstrap, topic)
