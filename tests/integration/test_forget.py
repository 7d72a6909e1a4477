"""A user whose id is a unique text is forgotten: no byte of it is left in any store, nor, after retention, in Kafka."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kafka as kafka_client
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kafka.admin import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from feature_repo.apply import apply_repository
from mmrec.cli.main import app
from mmrec.collecting.overlay import OverlayEntry
from mmrec.config import Settings
from mmrec.events.columns import RAW_SCHEMA
from mmrec.events.control import identify_event
from mmrec.events.encoding import encode_event
from mmrec.forgetting.user_bytes import scan_folder
from mmrec.scoring.source import Source
from mmrec.stores.kafka.admin import TopicAdmin
from mmrec.stores.kafka.readers import read_topic
from mmrec.stores.kafka.stream_topics import starting_offsets, stream_topics
from mmrec.stream.rows import decode_rows, split_rows
from mmrec.stream.step import ScoringStream
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.wiring import open_event_log, open_feature_store, open_overlay, open_producer, open_scoring_stream
from services.stack.kafka_broker import KafkaBroker

DAY_S = 86_400.0
pytestmark = pytest.mark.integration
MARK = "zq7-unique-user-zq7"
ANONYMOUS = f"{MARK}-before-login"


@dataclass
class Deployment:
    """A stream without Spark: records are read and handed to the step by pump()."""

    settings: Settings
    config: Path
    number: int = 0

    def open(self) -> ScoringStream:
        apply_repository(self.settings.stores, self.settings.scoring.decay_per_day)
        stream, _ = open_scoring_stream(self.settings, timer=time.monotonic)
        starts, _ = starting_offsets(
            self.settings.kafka.bootstrap, stream_topics(self.settings.kafka), stream.progress.marks
        )
        stream.recover(starts=starts, write_time_s=time.time())
        return stream

    def pump(self, stream: ScoringStream) -> None:
        """Everything that stands beyond the progress, as one micro-batch."""
        bootstrap, topics = self.settings.kafka.bootstrap, stream_topics(self.settings.kafka)
        starts, _ = starting_offsets(bootstrap, topics, stream.progress.marks)
        tables = []
        for name, topic in topics.items():
            start = {source.partition: offset for source, offset in starts.items() if source.topic_id == topic.topic_id}
            rows = [
                {"topic": name, "key": r.key, "value": r.value, "partition": r.partition, "offset": r.offset}
                | {"ingest_time_s": r.timestamp_s}
                for r in read_topic(bootstrap, name, start=start)
            ]
            tables.append(pa.Table.from_pylist(rows, schema=pa.schema([pa.field("topic", pa.string()), *RAW_SCHEMA])))
        raw = pa.concat_tables(tables)
        if raw.num_rows:
            rows = decode_rows(raw, topics, behaviors=self.settings.behaviors, settings=self.settings.events)
            stream.process(split_rows(rows, topics), write_time_s=time.time())

    @contextmanager
    def pumping(self, stream: ScoringStream) -> Iterator[None]:
        done = threading.Event()

        def work() -> None:
            while not done.wait(0.1):
                self.pump(stream)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(60)

    def send(self, *events: BehaviorEvent) -> None:
        with closing(open_producer(self.settings)) as producer:
            producer.send_many(self.settings.kafka.behavior_events, [encode_event(event) for event in events])

    def event(self, **more: Any) -> BehaviorEvent:
        self.number += 1
        return BehaviorEvent(**{"event_id": f"e{self.number}", "item_id": "i1", "behavior": "cart", **more})

    def serve_a_list(self, user: str) -> None:
        value = {"request_id": f"r-{user}", "user_id": user, "items": [{"item_id": "i1", "rank": 1}]}
        with closing(open_producer(self.settings)) as producer:
            producer.send_many(self.settings.kafka.served_lists, [(user.encode(), json.dumps(value).encode())])

    def found(self) -> list[str]:
        """Files of the deployment that hold the mark."""
        return list(scan_folder(Path(self.settings.stores.event_log).parent, [MARK]).found)


@pytest.fixture
def broker(new_broker: Callable[[], KafkaBroker]) -> Iterator[KafkaBroker]:
    broker = new_broker()
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def deployment(broker: KafkaBroker, settings: Callable[..., Any]) -> Deployment:
    made = settings(extra=f"[kafka]\nbootstrap = {json.dumps(broker.bootstrap)}")
    with TopicAdmin(broker.bootstrap) as admin:
        admin.create_topics(made.settings.kafka)
    return Deployment(settings=made.settings, config=made.config)


def run(*arguments: str) -> str:
    """A command as a person gives it; what it printed."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def put_beside(settings: Settings, source: Source) -> None:
    """What other programs keep: an overlay entry and offline rows."""
    now_s = time.time()
    entry = OverlayEntry(MARK, source, 1_000_000, "cart", "i1", "e9", now_s, now_s, now_s)
    open_overlay(settings).add([entry, entry._replace(user_key="bob", offset=1_000_001)])
    folder = Path(settings.stores.feature_repo) / "offline" / "user_profile"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"user_key": ["bob", MARK], "num_events": [1, 2]}), folder / "rows.parquet")


def shorten_retention(broker: KafkaBroker, topics: list[str]) -> None:
    short = {"retention.ms": "1000", "segment.ms": "1000", "file.delete.delay.ms": "100"}
    with closing(kafka_client.KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, short) for topic in topics])


def test_no_byte_of_a_forgotten_user_is_left_and_nothing_revives_one(
    deployment: Deployment, broker: KafkaBroker, tmp_path: Path
) -> None:
    settings = deployment.settings
    stream = deployment.open()
    old = [deployment.event(anonymous_id=ANONYMOUS), *(deployment.event(user_id=MARK) for _ in range(3))]
    deployment.send(*old, deployment.event(user_id="bob"), deployment.event(user_id=MARK, behavior="no-such-behavior"))
    deployment.serve_a_list(MARK)
    deployment.serve_a_list("bob")
    deployment.pump(stream)
    deployment.send(identify_event(event_id="login", user_id=MARK, anonymous_id=ANONYMOUS))
    deployment.pump(stream)
    put_beside(settings, next(iter(stream.progress.marks)))
    store, log = open_feature_store(settings), open_event_log(settings)
    assert store.read_profiles([MARK])[MARK].merged_from == (f"~{ANONYMOUS}",)
    assert {Path(name).parts[0] for name in deployment.found()} == {"log", "feature_repo"}

    export, receipt_file = tmp_path / "export.json", tmp_path / "receipt.json"
    run("profile", MARK, "--config", str(deployment.config), "--export", str(export))
    document = json.loads(export.read_text())
    assert {name: len(rows) for name, rows in document.items()} == {
        "user_keys": 2,
        "profiles": 2,
        "events": 5,
        "served_lists": 1,
        "not_yet_in_the_profile": 1,
        "offline_rows": 1,
    }

    with deployment.pumping(stream):
        told = run("forget", MARK, "--config", str(deployment.config), "--receipt", str(receipt_file))
    receipt = json.loads(receipt_file.read_text())
    assert "5 log_rows, 1 served_lists" in told
    assert "until 20" in told  # when Kafka will have deleted its own files
    assert deployment.found() == []
    assert MARK not in receipt_file.read_text() + told.replace(str(tmp_path), "")
    assert [store["found"] for store in receipt["stores"]] == [[]] * len(receipt["stores"])
    removed = {name: number for store in receipt["stores"] for name, number in store["removed"].items()}
    assert removed == {"log_rows": 5, "served_lists": 1, "profiles": 2, "overlay_entries": 1, "parquet_rows": 1}
    assert receipt["profiles_left"] == 0
    instant_s = receipt["forgotten_up_to_s"]
    assert [topic["bytes_may_stand_until_s"] > instant_s + 30 * DAY_S for topic in receipt["kafka"]] == [True] * 3
    assert log.read(columns=["user_key"])["user_key"].to_pylist() == ["bob"]
    assert set(store.read_profiles([MARK, "bob", f"~{ANONYMOUS}"])) == {"bob"}

    # A store that was lost is filled up from the log, and all old records are read once more.
    shutil.rmtree(settings.stores.feature_repo)
    stream = deployment.open()
    imported = deployment.event(user_id=MARK, imported=True)
    imported.event_time.FromMilliseconds(int((receipt["forgotten_up_to_s"] - 3_600) * 1_000))
    deployment.send(imported)
    deployment.pump(stream)
    assert set(open_feature_store(settings).read_profiles([MARK, "bob", f"~{ANONYMOUS}"])) == {"bob"}
    assert open_event_log(settings).read(columns=["user_key"])["user_key"].to_pylist() == ["bob"]
    assert open_event_log(settings).read_served()["user_key"].to_pylist() == ["bob"]
    # The old served list was logged once more, hidden from readers; the log's tender takes it away.
    assert {Path(name).parts[:2] for name in deployment.found()} <= {("log", "served")}
    open_event_log(settings).tend()
    assert deployment.found() == []

    assert scan_folder(broker.folder, [MARK]).found != ()  # Kafka's own segments, as the receipt says
    shorten_retention(broker, [settings.kafka.behavior_events, settings.kafka.served_lists, settings.kafka.rejected])
    until_s = time.monotonic() + 60
    while scan_folder(broker.folder, [MARK]).found and time.monotonic() < until_s:
        time.sleep(0.5)
    assert scan_folder(broker.folder, [MARK]).found == ()

    deployment.send(deployment.event(user_id=MARK))
    deployment.pump(stream)
    assert open_feature_store(settings).read_profiles([MARK])[MARK].num_events == 1


def test_a_request_that_timed_out_is_finished_by_the_next_one_guests_and_broken_files_included(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = deployment.settings
    guests = [f"{MARK}-guest-{number}" for number in range(3)]
    stream = deployment.open()
    deployment.send(*(deployment.event(anonymous_id=guest) for guest in guests), deployment.event(user_id="bob"))
    deployment.send(*(identify_event(event_id=f"l{g}", user_id=MARK, anonymous_id=g) for g in guests[:2]))
    deployment.pump(stream)
    # Nobody has read this one when the command looks.
    deployment.send(identify_event(event_id="late", user_id=MARK, anonymous_id=guests[2]))
    folder = tmp_path / "examples"
    folder.mkdir()
    pq.write_table(pa.table({"user_key": ["~" + guests[1], "bob", "~" + guests[2]]}), folder / "rows.parquet")
    (folder / "broken.parquet").write_bytes(b"PAR1, cut short")
    receipt = tmp_path / "receipt.json"
    command = ["forget", MARK, "--config", str(deployment.config), "--receipt", str(receipt), "--also", str(folder)]

    timed_out = CliRunner().invoke(app, [*command, "--wait", "0"])
    assert timed_out.exit_code == 1
    assert not receipt.exists()
    deployment.pump(stream)
    monkeypatch.chdir(folder)  # the second run may come from anywhere
    with deployment.pumping(stream):
        incomplete = CliRunner().invoke(app, command, catch_exceptions=False)
    assert incomplete.exit_code == 1
    assert "COULD NOT READ broken.parquet" in incomplete.output
    document = json.loads(receipt.read_text())
    assert (document["complete"], len(document["merged_hashes"])) == (False, 3)
    assert pq.read_table(folder / "rows.parquet")["user_key"].to_pylist() == ["bob"]
    assert [Path(name).parts[:2] for name in deployment.found()] == [("log", "forgetting")]

    (folder / "broken.parquet").unlink()
    with deployment.pumping(stream):
        run(*command)
    document = json.loads(receipt.read_text())
    assert (document["complete"], len(document["merged_hashes"])) == (True, 3)
    assert [store["found"] + store["unread"] for store in document["stores"]] == [[]] * len(document["stores"])
    assert deployment.found() == []
    assert set(open_feature_store(settings).read_profiles([MARK, "bob", *(f"~{g}" for g in guests)])) == {"bob"}
