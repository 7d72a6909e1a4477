"""Real embedded servers for tests, one of each per test session: broker, vector store, Java, jars.

Use them as fixtures: `kafka` (bootstrap address), `topics` (fresh topic names on that broker), `milvus_uri`, `settings`
(a deployment in a temporary folder), `spark_jars`, `java_home`. Everything is ended with the session, kill -9 included.
"""

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest

from mmrec.config import KafkaSettings, ServingSettings, Settings, StoreSettings, load_settings
from mmrec.disk.objects import Objects
from mmrec.stores.s3_objects import S3Objects, S3Place
from services.stack.guard import child_environment, end_processes, new_stack_id, start_guard
from services.stack.jars import JarSet, ensure_jars
from services.stack.java import ensure_java_home, java_environment
from services.stack.kafka_broker import KafkaBroker
from services.stack.ports import HOST, any_free, wait_open
from tests.milvus_server import VARIABLE, named_milvus, start_milvus
from tests.object_places import OBJECT_PLACES, place_for
from tests.redis_server import start_redis
from tests.s3_server import S3Server, s3_lacking, start_s3

MILVUS_SERVERS = [
    pytest.param("milvus_uri", id="lite"),
    pytest.param("real_milvus", id="real", marks=pytest.mark.long),
]
"""Fixtures of the servers that the vector store must be the same on; both need the marker `integration`."""

SERVICES = ("recommender", "collector", "admin")
"""Settings of [serving] with an address."""


@dataclass(frozen=True)
class Deployment:
    """A configuration file of its own and what it says."""

    settings: Settings
    config: Path


@pytest.fixture(scope="session")
def stack_id() -> Iterator[str]:
    """Marks everything the session starts; the guard ends it even if pytest is killed."""
    name = new_stack_id()
    guard = start_guard(name)
    yield name
    end_processes(name)
    guard.stdin.close()
    guard.wait(30)


@pytest.fixture(scope="session")
def java_home() -> Path:
    """A JAVA_HOME for Kafka and Spark."""
    return ensure_java_home()


@pytest.fixture(scope="session")
def jars(java_home: Path) -> JarSet:
    """The pinned Java archives."""
    return ensure_jars(java_home)


@pytest.fixture(scope="session")
def spark_jars(jars: JarSet) -> list[Path]:
    """Paths for Spark's `spark.jars`: the Kafka connector."""
    return jars.spark


@pytest.fixture(scope="session")
def java_variables(java_home: Path, spark_jars: list[Path]) -> dict[str, str]:
    """Environment variables of processes that start Spark, as the stack sets them."""
    return {**java_environment(java_home), "MMREC_SPARK_JARS": ",".join(str(jar) for jar in spark_jars)}


@pytest.fixture(scope="session")
def new_broker(
    java_home: Path, jars: JarSet, stack_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], KafkaBroker]]:
    """Makes brokers of one's own, not started, for tests that stop or kill them."""
    made = []

    def make() -> KafkaBroker:
        folder = tmp_path_factory.mktemp("kafka")
        broker = KafkaBroker(
            folder=folder,
            port=_free_pair(),
            java_home=java_home,
            jars=jars.kafka,
            environment=child_environment(stack_id),
        )
        made.append(broker)
        return broker

    yield make
    for broker in made:
        broker.stop()


@pytest.fixture(scope="session")
def kafka(new_broker: Callable[[], KafkaBroker]) -> str:
    """Bootstrap address of the session's broker."""
    broker = new_broker()
    broker.start()
    return broker.bootstrap


@pytest.fixture
def topics(kafka: str) -> Callable[..., KafkaSettings]:
    """Makes KafkaSettings with topic names nobody else uses, the topics created as production would.

    `topics(num_partitions=3)`; `create=False` leaves creation to the caller.
    """

    def make(*, num_partitions: int = 2, create: bool = True) -> KafkaSettings:
        settings = _fresh_topics(kafka, num_partitions)
        if create:
            _create_topics(settings)
        return settings

    return make


@pytest.fixture(scope="session")
def milvus_uri(stack_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the session's Milvus Lite server."""
    folder = tmp_path_factory.mktemp("milvus")
    port = any_free(1)[0]
    program = shutil.which("milvus-lite", path=str(Path(sys.executable).parent)) or "milvus-lite"
    command = [program, "server", "--data-dir", str(folder / "data"), "--host", HOST, "--port", str(port)]
    log = folder / "milvus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=child_environment(stack_id),
            start_new_session=True,
        )
    assert wait_open(port, timeout_s=60, alive=lambda: process.poll() is None), log.read_text()
    yield f"http://{HOST}:{port}"
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="session")
def real_milvus(stack_id: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a real Milvus server, as MMREC_TEST_MILVUS names it (tests.milvus_server); a skipped test without."""
    given = named_milvus()
    if not given:
        pytest.skip(f"{VARIABLE} names no Milvus server: an address, or a folder with the package milvus==2.3.5")
    return given if "://" in given else start_milvus(given, tmp_path_factory.mktemp("real_milvus"), stack_id=stack_id)


@pytest.fixture(params=MILVUS_SERVERS)
def any_milvus(request: pytest.FixtureRequest) -> str:
    """Address of Milvus Lite, then of the real server."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture(scope="session")
def s3_server(stack_id: str, tmp_path_factory: pytest.TempPathFactory) -> S3Server:
    """An object store of the session's own; a skipped test where its program or the client is not installed."""
    if lacking := s3_lacking():
        pytest.skip(lacking)
    server = start_s3(tmp_path_factory.mktemp("s3"), stack_id=stack_id)
    stores = StoreSettings(s3_endpoint=server.endpoint, s3_key_file=str(server.key_file))
    S3Objects(S3Place.of("s3://tests", stores)).write("first", b"makes the bucket")
    return server


@pytest.fixture
def new_bucket(s3_server: S3Server) -> Callable[[], S3Objects]:
    """Makes places in a bucket that nobody else uses."""
    stores = StoreSettings(s3_endpoint=s3_server.endpoint, s3_key_file=str(s3_server.key_file))
    return lambda: S3Objects(S3Place.of(f"s3://tests/{uuid.uuid4().hex}", stores))


@pytest.fixture(params=OBJECT_PLACES)
def objects(request: pytest.FixtureRequest) -> Objects:
    """An empty place for objects: a folder, then a bucket."""
    return place_for(request)


@pytest.fixture(scope="session")
def redis_server(stack_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a Redis of the session's own, or of the one MMREC_TEST_REDIS names; tests empty what they use."""
    given = os.environ.get("MMREC_TEST_REDIS", "")
    if given:
        yield given
        return
    port = any_free(1)[0]
    process = start_redis(port, tmp_path_factory.mktemp("redis"), stack_id=stack_id)
    yield f"{HOST}:{port}"
    process.terminate()
    process.wait(20)


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Deployment]:
    """Makes deployments in folders of their own: `settings(kafka=True, milvus=True)` -> (settings, config file).

    `kafka=True` takes fresh topics on the session's broker, `milvus=True` the session's vector server; what is not
    asked for is not started. `extra` is TOML text appended to the file, e.g. "[scoring]\\nmax_items = 0".
    """

    def make(*, kafka: bool = False, milvus: bool = False, num_partitions: int = 2, extra: str = "") -> Deployment:
        folder = tmp_path / f"deployment-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        ports = dict(zip(SERVICES, any_free(len(SERVICES)), strict=True))
        serving = replace(ServingSettings(), **{name: f"{HOST}:{port}" for name, port in ports.items()})
        lines = ["[serving]", *_assignments(serving, SERVICES)]
        if kafka:
            names = request.getfixturevalue("topics")(num_partitions=num_partitions)
            lines += ["[kafka]", *_assignments(names, tuple(f.name for f in fields(names)))]
        if milvus:
            lines += ["[stores]", f"milvus_uri = {json.dumps(request.getfixturevalue('milvus_uri'))}"]
        config = folder / "mmrec.toml"
        config.write_text("\n".join([*lines, extra, ""]), encoding="utf-8")
        return Deployment(settings=load_settings(config), config=config)

    return make


def deployment_on(bootstrap: str, folder: Path) -> Deployment:
    """A deployment with fresh topics on a broker, for fixtures that live longer than one test."""
    topics = _fresh_topics(bootstrap, 2)
    _create_topics(topics)
    ports = dict(zip(SERVICES, any_free(len(SERVICES)), strict=True))
    serving = replace(ServingSettings(), **{name: f"{HOST}:{port}" for name, port in ports.items()})
    lines = ["[serving]", *_assignments(serving, SERVICES)]
    lines += ["[kafka]", *_assignments(topics, tuple(f.name for f in fields(topics)))]
    lines += ["[stores]", f'milvus_uri = "http://{HOST}:{any_free(1)[0]}"', ""]
    config = folder / "mmrec.toml"
    config.write_text("\n".join(lines), encoding="utf-8")
    return Deployment(settings=load_settings(config), config=config)


def _assignments(values: object, names: tuple[str, ...]) -> list[str]:
    return [f"{name} = {json.dumps(getattr(values, name))}" for name in names]


def _fresh_topics(bootstrap: str, num_partitions: int) -> KafkaSettings:
    prefix = f"t{uuid.uuid4().hex[:8]}"
    known = KafkaSettings()
    names = {
        name: f"{prefix}.{getattr(known, name)}"
        for name in (
            "behavior_events",
            "catalog_items",
            "item_embeddings",
            "served_lists",
            "rejected",
            "catalog_rejected",
            "administrative_acts",
        )
    }
    return KafkaSettings(bootstrap=bootstrap, num_partitions=num_partitions, **names)


def _create_topics(settings: KafkaSettings) -> None:
    from mmrec.stores.kafka.admin import TopicAdmin

    admin = TopicAdmin(settings.bootstrap)
    try:
        admin.create_topics(settings)
    finally:
        admin.close()


def _free_pair() -> int:
    """A free port whose successor is free too: a broker takes both."""
    from services.stack.ports import is_free

    while True:
        port = any_free(1)[0]
        if port < 65_535 and is_free(port + 1):
            return port


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# A Spark of a test lives for seconds: what Java's second compiler makes in them costs more than it brings.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1")
