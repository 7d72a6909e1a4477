"""The job that builds item views, as a process of its own, on a Parquet log and a Feast repository."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from mmrec.config import Settings
from mmrec.events.columns import EVENT_SCHEMA
from mmrec.features.ports import FeatureStore
from mmrec.features.values import PopularItems
from mmrec.telemetry.logs import read_status
from mmrec.wiring import open_event_log, open_feature_store

pytestmark = pytest.mark.integration
NOW_S = 1_767_225_600.0


def events(pairs: list[tuple[str, str]], first_offset: int = 0) -> pa.Table:
    defaults = {"string": "", "bool": False}
    columns = {f.name: pa.array([defaults.get(str(f.type), 0)] * len(pairs), f.type) for f in EVENT_SCHEMA}
    columns["user_key"] = pa.array([user for user, _ in pairs])
    columns["item_id"] = pa.array([item for _, item in pairs])
    columns["behavior"] = pa.array(["cart"] * len(pairs))
    columns["domain"] = pa.array(["fashion"] * len(pairs))
    columns["event_time_s"] = pa.array([NOW_S + n for n in range(len(pairs))], pa.float64())
    columns["ingest_time_s"] = columns["event_time_s"]
    columns["offset"] = pa.array(range(first_offset, first_offset + len(pairs)), pa.int64())
    return pa.table([columns[name] for name in EVENT_SCHEMA.names], schema=EVENT_SCHEMA)


def command(config: object, *more: str) -> list[str]:
    return [sys.executable, "-m", "jobs.build_neighbors", "--config", str(config), *more]


def waited(store: FeatureStore, item_id: str) -> PopularItems:
    for _ in range(1_200):  # a busy machine takes long to start the job
        popular = store.read_popular("fashion")
        if popular is not None and item_id in popular.item_ids and store.read_neighbors([item_id]):
            return popular
        time.sleep(0.1)
    pytest.fail(f"{item_id} never became popular")


def says(settings: Settings, name: str, value: object) -> bool:
    """Whether the job's status comes to say so."""
    for _ in range(600):
        if read_status(settings.stores.status)["build_neighbors"][name] == value:
            return True
        time.sleep(0.1)
    return False


def test_once_and_then_following_the_log(settings: Callable[..., Any]) -> None:
    deployment = settings(extra="[statistics]\nrefresh_s = 0.2\nneighbors_refresh_s = 0.2")
    found: Settings = deployment.settings
    subprocess.run([sys.executable, "-m", "feature_repo.apply", "--config", str(deployment.config)], check=True)
    log = open_event_log(found)
    log.append(events([(f"u{n}", item) for n in range(6) for item in ("dress", "coat")]), batch_key="0")
    subprocess.run(command(deployment.config), check=True, timeout=120)
    store = open_feature_store(found)
    assert store.read_neighbors(["dress"])["dress"].item_ids == ("coat",)
    assert store.read_item_statistics(["coat"])["coat"].counts_HB[1].sum() == pytest.approx(6.0, rel=1e-3)
    popular = store.read_popular("")
    assert popular is not None
    assert set(popular.item_ids) == {"dress", "coat"}
    status = read_status(found.stores.status)["build_neighbors"]
    assert (status["sequence"], status["neighbors_sequence"], status["ready"]) == (1, 1, False)

    process = subprocess.Popen(command(deployment.config, "--follow"))
    try:
        log.append(events([(f"u{n}", "hat") for n in range(6)], first_offset=100), batch_key="1")
        assert waited(store, "hat").item_ids[0] in {"dress", "coat", "hat"}
        assert says(found, "ready", True), "the status follows what was written"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert read_status(found.stores.status)["build_neighbors"]["sequence"] == 2
