"""A real recommender for tests: Ray Serve, HAProxy, Kafka, Feast and Milvus around a storefront with known answers.

Fixtures: `recommender` (a running service and all it stands on), `client` (someone who has nothing but the protos).
"""

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from feature_repo.apply import apply_repository
from mmrec.catalog.item import CatalogEntry, CatalogItem, catalog_entry
from mmrec.config import KafkaSettings, Settings, load_settings
from mmrec.content.encode import encode_items
from mmrec.content.feed import embedding_records
from mmrec.content.matrix import content_matrix
from mmrec.content.store import ContentStore
from mmrec.features.assemble import feature_names
from mmrec.features.values import StreamProgress
from mmrec.models.bundle import new_bundle
from mmrec.models.settings import RankerSettings, TowerSettings
from mmrec.publishing.publish import EmbeddingsMark, publish
from mmrec.stores.kafka.admin import TopicAdmin, describe_topic
from mmrec.telemetry.logs import read_status
from mmrec.wiring import open_feature_store, open_producer, open_release_store, open_vector_store
from services.recommender.environment import ray_environment
from services.stack.guard import child_environment
from services.stack.ports import HOST, is_free, next_free
from tests.query_encoder import HereQueryEncoder
from tests.serving_world import EMBEDDING_DIM, HALF_LIVES, ServingWorld, content_vectors, serving_world

ROOT = Path(__file__).resolve().parents[1]
START_S = 300.0
ENCODERS = {"attributes": "plain"}


@dataclass(frozen=True)
class RunningRecommender:
    """The service, its configuration, and the world it recommends from."""

    target: str
    replica_port: int
    """Where HAProxy finds the replica; Ray Serve listens there on all interfaces."""
    settings: Settings
    config: Path
    world: ServingWorld
    process: "subprocess.Popen[bytes]"
    log: Path

    def status(self) -> dict[str, Any]:
        """Counters as `mmrec status` reads them."""
        return read_status(self.settings.stores.status).get("recommender", {})

    def wait_status(self, condition: Callable[[dict[str, Any]], bool], *, timeout_s: float = 30.0) -> dict[str, Any]:
        """The first counters that fulfil `condition`."""
        give_up_s = time.monotonic() + timeout_s
        while time.monotonic() < give_up_s:
            figures = self.status()
            if figures and condition(figures):
                return figures
            assert self.process.poll() is None, self.log.read_text()[-4_000:]
            time.sleep(0.1)
        raise AssertionError(f"still {self.status()}\n{self.log.read_text()[-4_000:]}")


@pytest.fixture(scope="module")
def recommender(
    kafka: str, milvus_uri: str, stack_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningRecommender]:
    """`python -m services.recommender` on a Ray of its own; no release is promoted yet."""
    folder = tmp_path_factory.mktemp("recommender")
    config = folder / "mmrec.toml"
    port = next_free(21_000)
    config.write_text(_configuration(kafka, milvus_uri, port), encoding="utf-8")
    settings = load_settings(config)
    admin = TopicAdmin(settings.kafka.bootstrap)
    admin.create_topics(settings.kafka)
    admin.close()
    apply_repository(settings.stores, settings.scoring.decay_per_day)
    world = serving_world(num_users=60, num_items=150, days=15.0)
    _fill(settings, world)
    # Without RAY_ADDRESS the service starts a Ray of its own.
    inherited = {k: v for k, v in child_environment(stack_id).items() if not k.startswith("RAY_")}
    environment = {**inherited, **ray_environment(settings)}
    log = folder / "recommender.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.recommender", "--config", str(config)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    running = RunningRecommender(
        target=f"{HOST}:{port}",
        replica_port=int(environment["RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT"]),
        settings=settings,
        config=config,
        world=world,
        process=process,
        log=log,
    )
    running.wait_status(lambda figures: figures["ready"], timeout_s=START_S)
    with grpc.insecure_channel(running.target) as channel:
        grpc.channel_ready_future(channel).result(START_S)
    yield running
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, log.read_text()[-4_000:]
    assert is_free(port), "somebody still listens on the recommender's port"


class ProtoClient:
    """A caller who compiled the protos and knows nothing else of this project."""

    def __init__(self, descriptors: Path, target: str) -> None:
        self.descriptors = descriptors
        files = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())
        self._pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self._pool.Add(file)
        self.channel = grpc.insecure_channel(target)

    def message(self, name: str, **values: Any) -> Any:
        """A message of mmrec.v1."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"mmrec.v1.{name}"))(**values)

    def call(self, method: str, *, timeout: float | None = 10.0, **values: Any) -> Any:
        """The answer to RecommenderService/`method`, asked with a request of `values`."""
        service = self._pool.FindServiceByName("mmrec.v1.RecommenderService")
        described = service.methods_by_name[method]
        request = message_factory.GetMessageClass(described.input_type)(**values)
        answer = message_factory.GetMessageClass(described.output_type)
        invoke = self.channel.unary_unary(
            f"/{service.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return invoke(request, timeout=timeout)

    def stream(self, method: str, *, timeout: float | None = 30.0, **values: Any) -> Any:
        """The answers to RecommenderService/`method`, one after the other; the call can be cancelled."""
        service = self._pool.FindServiceByName("mmrec.v1.RecommenderService")
        described = service.methods_by_name[method]
        invoke = self.channel.unary_stream(
            f"/{service.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
        )
        return invoke(message_factory.GetMessageClass(described.input_type)(**values), timeout=timeout)

    def refusal(self, method: str, **values: Any) -> grpc.RpcError:
        """The error a call ends with."""
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, **values)
        return caught.value


@pytest.fixture(scope="module")
def client(recommender: RunningRecommender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProtoClient]:
    """A client from the protos alone, compiled in a temporary folder."""
    descriptors = tmp_path_factory.mktemp("protos") / "descriptors.binpb"
    include = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{ROOT / 'proto'}", f"-I{include}", "--include_imports"]
    proto = str(ROOT / "proto/mmrec/v1/recommender.proto")
    assert protoc.main([*arguments, f"--descriptor_set_out={descriptors}", proto]) == 0
    made = ProtoClient(descriptors, recommender.target)
    yield made
    made.channel.close()


def promote_release(recommender: RunningRecommender) -> str:
    """Publish and promote an untrained model over the world's content; the id of the release."""
    settings, world = recommender.settings, recommender.world
    item_ids = [entry.item_id for entry in world.entries]
    vectors_ID = content_vectors(world.entries)
    vectors = dict(zip(item_ids, vectors_ID, strict=True))
    torch.manual_seed(0)
    model = new_bundle(
        tower_settings=TowerSettings(embedding_dim=16, projected_dim=16, hidden_dim=16, use_ids=False),
        ranker_settings=RankerSettings(hidden_dims=(8,)),
        known_item_ids=(),
        feature_names=feature_names(settings.behaviors, num_half_lives=len(HALF_LIVES)),
        behavior_ids=tuple(sorted(int(behavior_id) for behavior_id in settings.behaviors.ids_B)),
        behavior_weights=tuple(settings.behaviors.weights_B[np.argsort(settings.behaviors.ids_B)].tolist()),
        content_dims={"attributes": EMBEDDING_DIM},
        encoders=ENCODERS,
    )
    model.item_tower.projections["attributes"].fit(vectors_ID)
    folder = recommender.config.parent / "model"
    model.save(folder)
    topic = describe_topic(settings.kafka.bootstrap, settings.kafka.item_embeddings)
    release = publish(
        folder,
        content=content_matrix(
            item_ids, {"attributes": vectors}, embedding_dims={"attributes": EMBEDDING_DIM}, encoders=ENCODERS
        ),
        entries={entry.item_id: entry for entry in world.entries},
        mark=EmbeddingsMark(topic=f"{topic.cluster_id}/{topic.topic_id}", offsets={}),
        settings=settings,
        feature_fingerprint=open_feature_store(settings).fingerprint,
        vectors=open_vector_store(settings),
        releases=open_release_store(settings),
        now_s=world.end_s,
    )
    return release.release_id


def announce_content(recommender: RunningRecommender, items: Sequence[CatalogItem]) -> None:
    """Put items into topic item-embeddings with the vectors of their texts and pictures, as encode_items would."""
    encoders = HereQueryEncoder().encoders
    matrix = encode_items(items, encoders, ContentStore(recommender.config.parent / "content")).matrix
    descriptions = {item.item_id: item.description for item in items}
    records = embedding_records(matrix, {i.item_id: catalog_entry(i) for i in items}, descriptions=descriptions)
    producer = open_producer(recommender.settings)
    producer.send_many(recommender.settings.kafka.item_embeddings, records)
    producer.close()


def announce_item(recommender: RunningRecommender, item_id: str, *, like: CatalogEntry) -> None:
    """Put a new item with the content of another into topic item-embeddings, as encode_items would."""
    record = {
        "item_id": item_id,
        "title": f"Another {like.title}",
        "domain": like.domain,
        "attributes": dict(like.attributes),
        "price": like.price,
        "availability": "AVAILABILITY_AVAILABLE",
        "modalities": [
            {"modality": "attributes", "encoder": "plain", "values": content_vectors([like])[0].tolist()},
        ],
    }
    producer = open_producer(recommender.settings)
    producer.send(recommender.settings.kafka.item_embeddings, item_id.encode(), json.dumps(record).encode())
    producer.close()


def _configuration(bootstrap: str, milvus_uri: str, port: int) -> str:
    prefix = f"t{uuid.uuid4().hex[:8]}"
    kafka = KafkaSettings(bootstrap=bootstrap)
    names = ("behavior_events", "catalog_items", "item_embeddings", "served_lists", "rejected", "catalog_rejected")
    kafka = replace(kafka, **{name: f"{prefix}.{getattr(kafka, name)}" for name in names})
    lines = ["[kafka]", *(f"{f.name} = {json.dumps(getattr(kafka, f.name))}" for f in fields(kafka))]
    lines += ["[serving]", f'recommender = "{HOST}:{port}"', "default_deadline_ms = 5000"]
    lines += ["[stores]", f"milvus_uri = {json.dumps(milvus_uri)}"]
    # Encoders that need no weights, in the process that encodes queries.
    lines += ["[content]", 'text_encoder = "hashing-tf"', 'image_encoder = "color-histogram"']
    lines += ["[statistics]", f"half_lives_days = {list(HALF_LIVES)}"]
    return "\n".join([*lines, ""])


def _fill(settings: Settings, world: ServingWorld) -> None:
    """What the jobs would have written after the storefront's history."""
    store, item_ids = open_feature_store(settings), [entry.item_id for entry in world.entries]
    at_s = world.end_s
    progress = StreamProgress(newest_ingest_time_s=at_s)
    store.write_profiles(world.store.read_profiles(world.user_ids), write_time_s=at_s, progress=progress)
    store.write_item_statistics(world.store.read_item_statistics(item_ids), write_time_s=at_s)
    store.write_neighbors(world.store.read_neighbors(item_ids), write_time_s=at_s)
    store.write_item_content(world.store.read_item_content(item_ids), write_time_s=at_s)
    popular = world.store.read_popular("")
    assert popular is not None
    store.write_popular("", popular, write_time_s=at_s)
