"""The job that builds training examples, as a process of its own, on a Parquet log and a Feast repository."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from feature_repo.apply import apply_repository
from mmrec.catalog.item import catalog_entry
from mmrec.events.columns import EVENT_SCHEMA
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront
from mmrec.training.examples import RankingExamples, RetrievalExamples
from mmrec.wiring import open_event_log, open_feature_store

pytestmark = pytest.mark.integration
WORLD = Storefront(StorefrontConfig(seed=3, num_users=40, num_items=80, days=10.0))


def log_table(first_offset: int, chunk: Any) -> pa.Table:
    defaults = {"string": "", "bool": False}
    columns = {f.name: pa.array([defaults.get(str(f.type), 0)] * len(chunk), f.type) for f in EVENT_SCHEMA}
    given = {
        "user_key": chunk.user_ids.tolist(),
        "item_id": chunk.item_ids.tolist(),
        "behavior": chunk.behaviors.tolist(),
        "event_id": chunk.event_ids.tolist(),
        "event_time_s": chunk.event_times_s,
        "ingest_time_s": chunk.send_times_s,
        "known_time_s": chunk.send_times_s,
        "offset": np.arange(first_offset, first_offset + len(chunk)),
    }
    columns.update({name: pa.array(values, EVENT_SCHEMA.field(name).type) for name, values in given.items()})
    return pa.table([columns[name] for name in EVENT_SCHEMA.names], schema=EVENT_SCHEMA)


def test_the_job_writes_examples_of_the_whole_log_and_says_what_it_dropped(
    settings: Callable[..., Any], tmp_path: Path
) -> None:
    deployment = settings()
    apply_repository(deployment.settings.stores, deployment.settings.scoring.decay_per_day)
    log, num_events = open_event_log(deployment.settings), 0
    for chunk in WORLD.events(chunk_events=300):
        log.append(log_table(num_events, chunk), batch_key=str(num_events))
        num_events += len(chunk)
    store = open_feature_store(deployment.settings)
    store.write_item_content(
        {item.item_id: catalog_entry(item) for item in WORLD.catalog(with_images=False)}, write_time_s=1.0
    )
    command = [sys.executable, "-m", "jobs.build_examples", "--config", str(deployment.config)]
    out = tmp_path / "examples"
    done = subprocess.run(
        [
            *command,
            "--out",
            str(out),
            "--max-validation-lists",
            "9",
            "--neighbor-builds",
            "2",
            "--label-window-s",
            "60",
        ],
        check=True,
        timeout=120,
        stdout=subprocess.PIPE,
    )
    report = json.loads(done.stdout)
    retrieval, ranking = RetrievalExamples.load(out / "retrieval"), RankingExamples.load(out / "ranking")
    assert report["num_events"] == num_events
    assert len(retrieval) + sum(report["retrieval_dropped"].values()) == num_events
    assert report["ranking_lists"] == {"towers": 0, "ranker": len(ranking) - 9, "validation": 9}
    assert ranking.item_ids == retrieval.item_ids
    assert report["neighbor_builds"] == len(ranking.neighbors) == 4
    assert report["config"]["label_window_s"] == 60
    assert report["ranking_labels"] == len(ranking.label_rows_M) > report["ranking_labels_later"]


def test_a_missing_configuration_is_a_failure_and_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "jobs.build_examples"),
            *("--config", str(tmp_path / "none.toml"), "--out", str(tmp_path)),
        ],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "ConfigurationError" in done.stderr
    assert "Traceback" not in done.stderr
