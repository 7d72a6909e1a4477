"""A rebuild and a backup while Spark scores live events: exact before, during and after, and after going back."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from feature_repo.apply import apply_repository
from mmrec.state.audit import audit_profiles
from mmrec.state.backup import backup, restore
from mmrec.state.rebuild_run import back, rebuild
from mmrec.stores.sqlite.engine import DATABASE
from mmrec.stores.sqlite.writer_lock import take_writer_lock
from mmrec.stream.rebuild import RebuildParts
from mmrec.wiring import (
    open_event_log,
    open_feature_store,
    open_forgotten_users,
    open_generations,
    open_objects,
    open_producer,
)
from tests.oracle import Oracle, new_event, record_of
from tests.servers import Deployment
from tests.stream_process import StreamProcess

pytestmark = pytest.mark.integration
BEHAVIORS = ("browse", "browse", "favorite", "cart", "purchase")


class Traffic:
    """Events of 40 users, noted by the oracle before they are sent."""

    def __init__(self, deployment: Deployment) -> None:
        settings = deployment.settings
        self.oracle = Oracle(behaviors=settings.behaviors, decay_per_day=settings.scoring.decay_per_day[0])
        self.producer = open_producer(settings)
        self._settings = settings
        self._rng = random.Random(5)
        self._number = 0

    def send(self, number: int) -> None:
        events = []
        for _ in range(number):
            self._number += 1
            user, item = f"u{self._rng.randrange(40)}", f"i{self._rng.randrange(30)}"
            age_s = self._rng.uniform(0.0, 30 * 86_400.0)
            events.append(new_event(f"e{self._number}", user, item, self._rng.choice(BEHAVIORS), time.time() - age_s))
        self.oracle.sent(*events)
        self.producer.send_many(self._settings.kafka.behavior_events, [record_of(event) for event in events])

    @contextmanager
    def going_on(self) -> Iterator[None]:
        done = threading.Event()

        def run() -> None:
            while not done.wait(0.05):
                self.send(10)

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(1.0)
        try:
            yield
        finally:
            done.set()
            thread.join()


class Wall:
    def now_s(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def test_profiles_are_exact_through_rebuild_and_back_and_from_a_backup_made_meanwhile(
    settings: Callable[..., Deployment], java_variables: dict[str, str], tmp_path: Path
) -> None:
    made = settings(kafka=True, extra="[scoring]\nmax_items = 0\n")
    deployed = made.settings
    apply_repository(deployed.stores, deployed.scoring.decay_per_day)
    stream, traffic = StreamProcess(made.config, java_variables), Traffic(made)
    parts = RebuildParts(
        store=open_generations(deployed),
        log=open_event_log(deployed),
        forgotten=open_forgotten_users(deployed),
        config=deployed.scoring,
    )

    def differences() -> list[object]:
        found = audit_profiles(
            parts.store, parts.log, forgotten=parts.forgotten, config=parts.config, num_sample=40, seed=1
        )
        assert found.num_compared == 40
        return list(found.differences)

    def take_lock() -> object:
        return take_writer_lock(Path(deployed.stores.feature_repo))

    traffic.send(2_000)
    try:
        stream.start()
        stream.wait_drained()
        with traffic.going_on():
            assert differences() == []
            done = rebuild(parts, take_lock=take_lock, waiting=Wall(), with_flip=True, wait_s=60)
            assert (done.generation, done.flipped_by) == ("b", "the stream")
            assert parts.store.live_generation() == "b"
            assert differences() == []
            backup(
                deployed,
                tmp_path / "backup",
                store=parts.store,
                log=open_objects(deployed.stores, "event_log"),
                releases=open_objects(deployed.stores, "releases"),
                database=DATABASE,
                config=made.config,
                made_time_s=time.time(),
                with_content=False,
                overwrite=False,
            )
            assert back(parts, take_lock=take_lock, waiting=Wall(), wait_s=60).generation == "a"
            assert differences() == []
            assert traffic.oracle.num_accepted > 2_000
        stream.wait_drained()
        assert traffic.oracle.differences(parts.store, time.time()) == []
        assert traffic.oracle.log_differences(parts.log) == []
    finally:
        stream.stop()
        traffic.producer.close()
    restore(
        deployed,
        tmp_path / "backup",
        open_store=lambda: open_feature_store(deployed),
        log=open_objects(deployed.stores, "event_log"),
        releases=open_objects(deployed.stores, "releases"),
        database=DATABASE,
        overwrite=True,
    )
    assert open_generations(deployed).live_generation() == "b"
    try:
        stream = StreamProcess(made.config, java_variables)
        stream.start()
        stream.wait_drained()
        assert traffic.oracle.differences(stream.store, time.time()) == []
        assert traffic.oracle.log_differences(open_event_log(deployed)) == []
    finally:
        stream.stop()
