"""jobs/score_stream.py and services/collector as processes that a test starts, kills and waits for.

stream = StreamProcess(config, environment)
stream.start(); stream.wait_drained(); stream.kill(); stream.restore(copy)
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import grpc

from mmrec.config import load_settings
from mmrec.features.ports import FeatureStore
from mmrec.scoring.source import Source
from mmrec.stores.kafka.admin import describe_topic
from mmrec.stores.kafka.topic_ends import end_offsets
from mmrec.stream.next_offsets import next_offsets
from mmrec.wiring import open_feature_store


class StreamProcess:
    """A score_stream process with its Spark, on one configuration file."""

    def __init__(self, config: Path, environment: dict[str, str]) -> None:
        self.config = config
        self.settings = load_settings(config)
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._store: FeatureStore | None = None

    @property
    def store(self) -> FeatureStore:
        """The online store as a reader sees it."""
        self._store = self._store or open_feature_store(self.settings)
        return self._store

    def start(self, *arguments: str) -> None:
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jobs.score_stream", "--config", str(self.config), *arguments],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End driver, JVM and workers without a warning."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(20)

    def stop(self) -> None:
        """The same, where it still runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def ended(self, *, timeout_s: float = 300.0) -> int:
        """Exit status of a stream that is expected to end by itself."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")[-6_000:]

    def num_behind(self) -> int:
        """Records on the events' topic that the store has not seen."""
        return self._num_behind(self._ends())

    def wait_drained(self, *, timeout_s: float = 480.0) -> None:
        """Wait until everything on the topic is in the store, what came meanwhile too."""
        while self._num_behind(ends := self._ends()):
            # Asking the broker costs a tenth of a second of processor: not at every look.
            self.wait_for(lambda: self._holds(ends), timeout_s=timeout_s)

    def wait_for(self, what: Callable[[], bool], *, timeout_s: float = 480.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < deadline, self.log
            assert self._process is None or self._process.poll() is None, self.log
            time.sleep(0.1)

    def _ends(self) -> dict[Source, int]:
        """The offset of the next record of each source of events."""
        kafka = self.settings.kafka
        topic = describe_topic(kafka.bootstrap, kafka.behavior_events)
        return {
            Source(topic.cluster_id, topic.topic_id, partition): end
            for partition, end in end_offsets(kafka.bootstrap, kafka.behavior_events).items()
        }

    def _marks(self) -> Mapping[Source, int]:
        progress = self.store.read_progress()
        return progress.marks if progress else {}

    def _num_behind(self, ends: Mapping[Source, int]) -> int:
        starts, _ = next_offsets({source: (0, end) for source, end in ends.items()}, self._marks())
        return sum(end - starts[source] for source, end in ends.items())

    def _holds(self, ends: Mapping[Source, int]) -> bool:
        marks = self._marks()
        return all(marks.get(source, -1) + 1 >= end for source, end in ends.items())

    @property
    def online_file(self) -> Path:
        return Path(self.settings.stores.feature_repo) / "online.db"

    def copy_store(self, target: Path) -> None:
        """A copy of the online store as of one instant, while it is written."""
        with closing(sqlite3.connect(self.online_file)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)

    def restore_store(self, copy: Path) -> None:
        """Put a copy in the store's place, as another file, so that who still reads the old one cannot write into it.

        The stream must not run.
        """
        arrived = self.online_file.with_suffix(".arrived")
        shutil.copyfile(copy, arrived)
        for suffix in ("-wal", "-shm"):
            self.online_file.with_name(self.online_file.name + suffix).unlink(missing_ok=True)
        arrived.replace(self.online_file)
        self._store = None

    @property
    def _log_file(self) -> Path:
        return self.config.parent / "score_stream.log"


@contextmanager
def collector_channel(config: Path) -> Iterator[grpc.Channel]:
    """A collector process of this configuration, and a channel to it once it answers."""
    process = subprocess.Popen([sys.executable, "-m", "services.collector", "--config", str(config)])
    try:
        with grpc.insecure_channel(load_settings(config).serving.collector) as channel:
            grpc.channel_ready_future(channel).result(timeout=300)
            yield channel
    finally:
        process.terminate()
        process.wait(30)
