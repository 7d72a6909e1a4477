"""A broker, a feature store and a scoring stream of one's own to measure, on SQLite or Redis.

with StreamStack(folder, online_store="sqlite") as stack:
    stack.start_stream(); ...; stack.stop_stream(); stack.keep(); ...; stack.restore()
"""

import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from feature_repo.apply import apply_repository
from mmrec.config import load_settings
from mmrec.features.ports import FeatureStore
from mmrec.features.values import StreamProgress
from mmrec.scoring.source import Source
from mmrec.stores.kafka.admin import TopicAdmin, describe_topic
from mmrec.stores.kafka.topic_ends import end_offsets
from mmrec.wiring import open_feature_store
from services.stack.guard import child_environment, end_processes, new_stack_id, start_guard
from services.stack.jars import ensure_jars
from services.stack.java import ensure_java_home, java_environment
from services.stack.kafka_broker import KafkaBroker
from services.stack.ports import HOST, any_free, next_free
from tests.redis_server import start_redis

STREAM = "score_stream"
"""Program name by which the processes of the stream are found."""


class StreamStack:
    """Everything between a topic and the online store."""

    def __init__(
        self, folder: Path, *, online_store: str = "sqlite", scoring: str = "", cores: int | None = None
    ) -> None:
        """Nothing is started yet.

        Args:
            online_store: "sqlite" or "redis".
            scoring: Lines of the [scoring] table.
            cores: How many of the machine's cores the stream may use; None: all.
        """
        self.folder = folder.resolve()
        self.stack_id = new_stack_id()
        self.online_store = online_store
        self._ending = ExitStack()
        self._scoring = scoring
        self._pinned = ["taskset", "-c", f"0-{cores - 1}"] if cores else []
        self._stream: subprocess.Popen[bytes] | None = None
        self._store: FeatureStore | None = None
        self._redis: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "StreamStack":
        with ExitStack() as stack:
            guard = start_guard(self.stack_id)
            stack.callback(guard.wait, 30)
            stack.callback(guard.stdin.close)
            stack.callback(end_processes, self.stack_id)
            kafka = next_free(19_500)
            collector, self.metrics_port, self._redis_port = any_free(3)
            self.config = self._write_configuration(kafka, collector)
            self.settings = load_settings(self.config)
            java_home = ensure_java_home()
            jars = ensure_jars(java_home)
            self._java = {**java_environment(java_home), "MMREC_SPARK_JARS": ",".join(str(jar) for jar in jars.spark)}
            broker = KafkaBroker(
                folder=self.folder / "kafka",
                port=kafka,
                java_home=java_home,
                jars=jars.kafka,
                environment=child_environment(self.stack_id, program="kafka"),
            )
            stack.callback(broker.stop)
            broker.start()
            with TopicAdmin(self.settings.kafka.bootstrap) as admin:
                admin.create_topics(self.settings.kafka)
            if self.online_store == "redis":
                self._start_redis()
            apply_repository(self.settings.stores, self.settings.scoring.decay_per_day)
            topic = describe_topic(self.settings.kafka.bootstrap, self.settings.kafka.behavior_events)
            self._topic = (topic.cluster_id, topic.topic_id)
            self._ending = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_stream()
        if self._redis is not None:
            self._redis.terminate()
            self._redis.wait(30)
        self._ending.close()

    @property
    def store(self) -> FeatureStore:
        """The online store as a reader sees it."""
        self._store = self._store or open_feature_store(self.settings)
        return self._store

    def progress(self) -> StreamProgress:
        """How far the store has come."""
        return self.store.read_progress() or StreamProgress()

    def num_behind(self, progress: StreamProgress) -> int:
        """Records of the events' topic that the store has not seen."""
        ends = end_offsets(self.settings.kafka.bootstrap, self.settings.kafka.behavior_events)
        return sum(end - 1 - progress.marks.get(Source(*self._topic, p), -1) for p, end in ends.items())

    def environment(self, program: str) -> dict[str, str]:
        """Variables of a process that the stack ends, Java's among them."""
        return {**child_environment(self.stack_id, program=program), **self._java}

    def start_stream(self, *arguments: str, niceness: int = 0) -> float:
        """Start jobs/score_stream.py; returns the instant (epoch seconds)."""
        command = [*self._pinned, *(["nice", "-n", str(niceness)] if niceness else [])]
        command += [sys.executable, "-m", "jobs.score_stream", "--config", str(self.config), *arguments]
        began_s = time.time()
        with self.log_file.open("ab") as log:
            self._stream = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment(STREAM), start_new_session=True
            )
        return began_s

    def check_stream(self) -> None:
        """RuntimeError where the stream has ended by itself."""
        if self._stream is None or self._stream.poll() is not None:
            raise RuntimeError("the stream ended:\n" + self.log_file.read_text(errors="replace")[-4_000:])

    def stop_stream(self) -> None:
        """Ask the stream to end, and wait."""
        if self._stream is not None:
            self._stream.send_signal(signal.SIGTERM)
            try:
                self._stream.wait(30)
            except subprocess.TimeoutExpired:
                end_processes(self.stack_id, program=STREAM)
            self._stream = None

    @property
    def log_file(self) -> Path:
        return self.folder / "score_stream.log"

    @property
    def first_batch_s(self) -> float | None:
        """When the newest start of the stream planned its first micro-batch: Spark notes that in its checkpoint."""
        for path in (self.folder / "checkpoint" / "score_stream").glob("*/offsets/0"):
            if noted := re.search(r'"batchTimestampMs":(\d+)', path.read_text(encoding="utf-8")):
                return int(noted[1]) / 1_000
        return None

    def keep(self) -> None:
        """Set the state aside, to come back to it; the stream must not run."""
        for name in ("feature_repo", "log"):
            shutil.copytree(self.folder / name, self.folder / "kept" / name, dirs_exist_ok=True)
        if self._redis is not None:
            self._redis_client().save()
            shutil.copyfile(self.folder / "dump.rdb", self.folder / "kept" / "dump.rdb")

    def restore(self) -> None:
        """Back to what was kept."""
        self._store = None
        for name in ("feature_repo", "log"):
            shutil.rmtree(self.folder / name)
            shutil.copytree(self.folder / "kept" / name, self.folder / name)
        if self._redis is not None:
            self._redis_client().shutdown(nosave=True)
            self._redis.wait(30)
            shutil.copyfile(self.folder / "kept" / "dump.rdb", self.folder / "dump.rdb")
            self._start_redis()

    def _redis_client(self):
        import redis

        return redis.Redis(host=HOST, port=self._redis_port)

    def _start_redis(self) -> None:
        self._redis = start_redis(self._redis_port, self.folder, stack_id=self.stack_id, program="redis")
        while True:
            try:
                if self._redis_client().ping():
                    return
            except Exception as error:  # it is loading what was kept
                if "LOADING" not in str(error).upper():
                    raise
            time.sleep(0.1)

    def _write_configuration(self, kafka: int, collector: int) -> Path:
        config = self.folder / "mmrec.toml"
        stores = f'online_store = "{self.online_store}"\n'
        if self.online_store == "redis":
            stores += f'redis_connection = "{HOST}:{self._redis_port}"\n'
        scoring = f"[scoring]\n{self._scoring}\n" if self._scoring else ""
        config.write_text(
            f'[kafka]\nbootstrap = "{HOST}:{kafka}"\n[serving]\ncollector = "{HOST}:{collector}"\n'
            f'[metrics]\nscore_stream = "{HOST}:{self.metrics_port}"\n[stores]\n{stores}{scoring}',
            encoding="utf-8",
        )
        return config
