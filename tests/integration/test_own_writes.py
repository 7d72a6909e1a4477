"""Read your own writes on real parts: Kafka, the collector, Spark and Feast, raced by readers; the driver is killed."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from feature_repo.apply import apply_repository
from mmrec.config import Settings
from mmrec.features.ports import FeatureStore
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum, relative_errors
from mmrec.serving.fresh_profile import read_fresh_profile
from mmrec.telemetry.logs import read_status
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.collector_pb2 import EventOutcome, RecordBehaviorsRequest
from mmrec.v1.collector_pb2_grpc import CollectorServiceStub
from mmrec.wiring import open_feature_store, open_overlay
from tests.stream_process import StreamProcess, collector_channel

pytestmark = pytest.mark.integration
NUM_READERS = 3
USERS_EACH = 4
NUM_READS = 60
"""In each phase."""


@dataclass
class Phase:
    """What readers saw while one thing went on."""

    name: str
    num_reads: int = 0
    num_from_overlay: int = 0


@dataclass
class Race:
    """Readers that write an event, wait for its acknowledgement, and look at once."""

    settings: Settings
    phase: Phase
    stop: threading.Event = field(default_factory=threading.Event)
    failures: list[str] = field(default_factory=list)

    def run(self, number: int) -> None:
        try:
            self._run(number)
        except Exception as error:
            self.failures.append(repr(error))

    def _run(self, number: int) -> None:
        store, overlay = open_feature_store(self.settings), open_overlay(self.settings)
        ledgers: dict[str, list[LedgerEvent]] = {f"reader{number}-{n}": [] for n in range(USERS_EACH)}
        behaviors = self.settings.behaviors
        with grpc.insecure_channel(self.settings.serving.collector) as channel:
            record = CollectorServiceStub(channel).RecordBehaviors
            step = 0
            while not self.stop.is_set():
                user_key = f"reader{number}-{step % USERS_EACH}"
                event = BehaviorEvent(
                    event_id=f"{user_key}-{step}",
                    user_id=user_key,
                    item_id=f"i{step % 7}",
                    behavior=behaviors.names[step % len(behaviors)],
                )
                event.event_time.seconds = int(time.time()) - step % 5 * 86_400
                (response,) = record(iter([RecordBehaviorsRequest(events=[event])]), timeout=30)
                assert response.statuses[0].outcome == EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED, response
                ledgers[user_key].append(
                    LedgerEvent(
                        event_id=event.event_id,
                        user_key=user_key,
                        item_id=event.item_id,
                        behavior=event.behavior,
                        event_time_s=float(event.event_time.seconds),
                    )
                )
                for key in (user_key, f"reader{number}-{(step * 5 + 1) % USERS_EACH}"):
                    self._look(key, ledgers[key], store, overlay)
                step += 1
                time.sleep(0.05)
        overlay.close()

    def _look(self, user_key: str, ledger: list[LedgerEvent], store: FeatureStore, overlay: Any) -> None:
        scoring = self.settings.scoring
        found = read_fresh_profile(user_key, overlay=overlay, read_profiles=store.read_profiles, config=scoring)
        assert found.overlay_available
        assert (found.profile.num_events if found.profile else 0) == len(ledger), (user_key, self.phase)
        as_of_s, rate = time.time() + 86_400.0, scoring.decay_per_day[0]
        if found.profile is not None:
            expected = plain_sum(ledger, behaviors=scoring.behaviors, decay_per_day=rate, as_of_s=as_of_s)
            errors = relative_errors(
                found.profile,
                {item_id: score for (_, item_id), score in expected.items()},
                behaviors=scoring.behaviors,
                decay_per_day=rate,
                as_of_s=as_of_s,
            )
            assert max(errors.values(), default=0.0) <= 1e-9, (user_key, self.phase)
        self.phase.num_reads += 1
        self.phase.num_from_overlay += bool(found.num_overlay_events)


@pytest.fixture
def running(settings: Callable[..., Any], java_variables: dict[str, str]) -> Iterator[tuple[StreamProcess, Settings]]:
    deployment = settings(kafka=True, extra="[scoring]\nmax_items = 0\nring_size = 10000\n")
    apply_repository(deployment.settings.stores, deployment.settings.scoring.decay_per_day)
    stream = StreamProcess(deployment.config, java_variables)
    try:
        stream.start()
        with collector_channel(deployment.config):
            yield stream, deployment.settings
    finally:
        stream.stop()


def test_every_read_after_an_acknowledgement_has_exactly_the_acknowledged_events(
    running: tuple[StreamProcess, Settings],
) -> None:
    stream, settings = running

    def collector(figure: str) -> int:
        return int(read_status(settings.stores.status).get("collector", {}).get(figure, 0))

    def wait(what: Callable[[], bool]) -> None:
        for _ in range(2_400):
            if what():
                return
            time.sleep(0.1)
        pytest.fail(stream.log)

    race = Race(settings, Phase("before the stream"))
    readers = [threading.Thread(target=race.run, args=(number,)) for number in range(NUM_READERS)]
    for reader in readers:
        reader.start()
    wait(lambda: bool(race.failures) or read_status(settings.stores.status).get("score_stream", {}).get("ready", False))
    phases = [race.phase]
    for name in ("with the stream", "driver dead"):
        if name == "driver dead":
            stream.kill()
        race.phase = Phase(name)
        phases.append(race.phase)
        wait(lambda: bool(race.failures) or phases[-1].num_reads >= NUM_READS)
    stream.start()
    race.phase = Phase("driver back")
    phases.append(race.phase)
    before = collector("overlay_pruned")
    wait(lambda: bool(race.failures) or collector("overlay_pruned") > before)
    back = race.phase.num_reads
    wait(lambda: bool(race.failures) or race.phase.num_reads >= back + NUM_READS)
    race.stop.set()
    for reader in readers:
        reader.join(30)
    assert race.failures == []
    assert all(phase.num_reads > 0 for phase in phases), phases
    assert phases[2].num_from_overlay > 0
    wait(lambda: collector("overlay_entries") == 0)
    assert collector("overlay_missed") == 0
