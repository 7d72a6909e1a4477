"""A recommender of one's own to measure: real broker, Feast on SQLite, Milvus Lite, Ray Serve; a simulated world.

The model has trained shapes and untrained weights: it costs what a trained one costs.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from feature_repo.apply import apply_repository
from mmrec.client import RecommenderClient
from mmrec.config import Settings, load_settings
from mmrec.content.encoder import Encoder
from mmrec.content.matrix import content_matrix
from mmrec.features.assemble import FEATURE_NAMES
from mmrec.models.bundle import new_bundle
from mmrec.models.settings import RankerSettings, TowerSettings
from mmrec.publishing.publish import EmbeddingsMark, publish
from mmrec.stores.kafka.admin import TopicAdmin, describe_topic
from mmrec.stores.kafka.topic_ends import end_offsets
from mmrec.wiring import open_feature_store, open_release_store, open_vector_store
from services.stack.guard import child_environment, end_processes, new_stack_id, start_guard
from services.stack.jars import ensure_jars
from services.stack.java import ensure_java_home
from services.stack.kafka_broker import KafkaBroker
from services.stack.ports import HOST, any_free, next_free, wait_open
from tests.serving_world import ServingWorld, serving_world

CONTENT_DIMS = {"text": 384, "image": 1_280}
START_S = 180.0


@dataclass(frozen=True)
class OwnRecommender:
    """What to call, and whom to ask for."""

    settings: Settings
    user_ids: tuple[str, ...]
    num_items: int
    item_ids: tuple[str, ...]
    config: Path
    stack_id: str
    """Marks processes that are to end with it."""


@contextmanager
def own_recommender(
    folder: Path, *, num_users: int, num_items: int, encoders: Mapping[str, Encoder] | None = None
) -> Iterator[OwnRecommender]:
    """Start everything, yield while it serves, end it all.

    Args:
        encoders: Whose vectors the model takes; without them it takes those of nobody, and new items get no embedding.
    """
    stack_id = new_stack_id()
    with ExitStack() as stack:
        guard = start_guard(stack_id)
        stack.callback(guard.wait, 30)
        stack.callback(guard.stdin.close)
        stack.callback(end_processes, stack_id)
        settings, config = _settings(folder)
        java_home = ensure_java_home()
        broker = KafkaBroker(
            folder=folder / "kafka",
            port=int(settings.kafka.bootstrap.rpartition(":")[2]),
            java_home=java_home,
            jars=ensure_jars(java_home).kafka,
            environment=child_environment(stack_id),
        )
        stack.callback(broker.stop)
        broker.start()
        with TopicAdmin(settings.kafka.bootstrap) as admin:
            admin.create_topics(settings.kafka)
        _start_milvus(settings, folder, stack_id)
        world = serving_world(num_users=num_users, num_items=num_items, days=60)
        _fill(settings, world, folder, encoders or {})
        command = [sys.executable, "-m", "services.recommender", "--config", str(config)]
        environment = {k: v for k, v in child_environment(stack_id).items() if k != "RAY_ADDRESS"}
        environment["RAY_worker_niceness"] = "0"  # as the stack starts it
        with (folder / "recommender.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        stack.callback(_end, process)
        _wait_serving(settings, folder / "recommender.log", world.user_ids[0])
        yield OwnRecommender(
            settings=settings,
            user_ids=world.user_ids,
            num_items=len(world.entries),
            item_ids=tuple(entry.item_id for entry in world.entries),
            config=config,
            stack_id=stack_id,
        )


def _settings(folder: Path) -> tuple[Settings, Path]:
    recommender, milvus = any_free(2)
    kafka = next_free(19_300)
    recommender = next_free(18_700)
    collector = next_free(18_900)
    config = folder / "mmrec.toml"
    config.write_text(
        f'[kafka]\nbootstrap = "{HOST}:{kafka}"\n[serving]\nrecommender = "{HOST}:{recommender}"\n'
        f'collector = "{HOST}:{collector}"\n'
        f'[stores]\nmilvus_uri = "http://{HOST}:{milvus}"\n',
        encoding="utf-8",
    )
    return load_settings(config), config


def _start_milvus(settings: Settings, folder: Path, stack_id: str) -> None:
    program = shutil.which("milvus-lite", path=str(Path(sys.executable).parent)) or "milvus-lite"
    port = settings.stores.milvus_uri.rpartition(":")[2]
    command = [program, "server", "--data-dir", str(folder / "milvus"), "--host", HOST, "--port", port]
    with (folder / "milvus.log").open("wb") as log:
        subprocess.Popen(command, stdout=log, stderr=log, env=child_environment(stack_id), start_new_session=True)
    if not wait_open(int(port), timeout_s=60):
        raise RuntimeError((folder / "milvus.log").read_text(encoding="utf-8"))


def _fill(settings: Settings, world: ServingWorld, folder: Path, made_by: Mapping[str, Encoder]) -> None:
    apply_repository(settings.stores, settings.scoring.decay_per_day)
    write_item_views(settings, world)
    profiles = world.store.read_profiles(world.user_ids)
    open_feature_store(settings).write_profiles(profiles, write_time_s=time.time())
    publish_untrained(settings, world, folder / "model", made_by)


def write_item_views(settings: Settings, world: ServingWorld) -> None:
    """What serving reads of items."""
    store, now_s = open_feature_store(settings), time.time()
    items = [entry.item_id for entry in world.entries]
    store.write_item_content({e.item_id: e for e in world.entries}, write_time_s=now_s)
    store.write_item_statistics(world.store.read_item_statistics(items), write_time_s=now_s)
    store.write_neighbors(world.store.read_neighbors(items), write_time_s=now_s)
    popular = world.store.read_popular("")
    assert popular is not None
    store.write_popular("", popular, write_time_s=now_s)


def publish_untrained(
    settings: Settings, world: ServingWorld, folder: Path, made_by: Mapping[str, Encoder], *, seed: int = 0
) -> str:
    """Publish a release of an untrained model and promote it; its id.

    Args:
        folder: Of the model.
        made_by: As `encoders` of own_recommender().
        seed: Of the items' content.
    """
    items = [entry.item_id for entry in world.entries]
    dims = {name: encoder.embedding_dim for name, encoder in made_by.items()} or CONTENT_DIMS
    encoders = {name: made_by[name].name if name in made_by else f"random-{name}" for name in dims}
    fingerprints = {name: encoder.fingerprint for name, encoder in made_by.items()}
    bundle = new_bundle(
        tower_settings=TowerSettings(),
        ranker_settings=RankerSettings(),
        known_item_ids=tuple(items),
        feature_names=FEATURE_NAMES,
        behavior_ids=tuple(int(b) for b in settings.behaviors.ids_B),
        behavior_weights=tuple(settings.behaviors.weights_B.tolist()),
        content_dims=dims,
        encoders=encoders,
        fingerprints=fingerprints,
    )
    bundle.save(folder)
    rng = np.random.default_rng(seed)
    vectors = {n: dict(zip(items, rng.normal(size=(len(items), d)), strict=True)) for n, d in dims.items()}
    topic = describe_topic(settings.kafka, settings.kafka.item_embeddings)
    release = publish(
        folder,
        content=content_matrix(items, vectors, embedding_dims=dims, encoders=encoders, fingerprints=fingerprints),
        entries={e.item_id: e for e in world.entries},
        mark=EmbeddingsMark(
            topic=f"{topic.cluster_id}/{topic.topic_id}",
            offsets=end_offsets(settings.kafka, settings.kafka.item_embeddings),
        ),
        settings=settings,
        feature_fingerprint=open_feature_store(settings).fingerprint,
        vectors=open_vector_store(settings),
        releases=open_release_store(settings),
        now_s=time.time(),
    )
    return str(release.release_id)


def _wait_serving(settings: Settings, log: Path, user_id: str) -> None:
    give_up_s = time.monotonic() + START_S
    with RecommenderClient(settings.serving.recommender) as client:
        while time.monotonic() < give_up_s:
            if client.is_serving() and client.recommend(user_id).release_id:
                return
            time.sleep(0.25)
    raise RuntimeError(f"the recommender did not serve within {START_S} s:\n{log.read_text(encoding='utf-8')[-4000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
