"""jobs.train on Ray Train: two workers, killed in the middle, started again; the model it leaves serves."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from feature_repo.apply import apply_repository
from mmrec.catalog.item import catalog_entry
from mmrec.content.alignment import AlignmentModel
from mmrec.content.encode import encode_items
from mmrec.content.registry import encoder
from mmrec.models.bundle import ModelBundle
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront
from mmrec.training.build import build_examples
from mmrec.training.example_config import ExampleConfig
from mmrec.wiring import open_content_store, open_feature_store

pytestmark = pytest.mark.integration
WORLD = Storefront(StorefrontConfig(seed=3, num_users=40, num_items=80, days=10.0))
ENCODERS = {"text": "hashing-tf", "image": "color-histogram", "attributes": "attribute-hash"}


def events_table() -> pa.Table:
    chunks = list(WORLD.events())
    return pa.table(
        {
            "user_key": np.concatenate([c.user_ids for c in chunks]).tolist(),
            "item_id": np.concatenate([c.item_ids for c in chunks]).tolist(),
            "behavior": np.concatenate([c.behaviors for c in chunks]).tolist(),
            "event_time_s": np.concatenate([c.event_times_s for c in chunks]),
            "known_time_s": np.concatenate([c.send_times_s for c in chunks]),
            "ingest_time_s": np.concatenate([c.send_times_s for c in chunks]),
        }
    )


def prepare(deployment: Any, folder: Path) -> Path:
    apply_repository(deployment.settings.stores, deployment.settings.scoring.decay_per_day)
    items = list(WORLD.catalog())
    entries = {item.item_id: catalog_entry(item) for item in items}
    open_feature_store(deployment.settings).write_item_content(entries, write_time_s=1.0)
    store = open_content_store(deployment.settings)
    store.put(encode_items(items, {m: encoder(m, name) for m, name in ENCODERS.items()}, store).matrix)
    config = ExampleConfig(max_ranker_lists=80, max_validation_lists=40, neighbor_builds=1)
    build_examples(events_table(), entries, settings=deployment.settings, config=config).save(folder)
    return folder


def has_checkpoint(run: Path) -> bool:
    """Whether Ray has kept a checkpoint; epochs are told sooner, and may be shorter than keeping one takes."""
    try:
        kept = json.loads((run / "ray" / "checkpoint_manager_snapshot.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(kept["latest_checkpoint_result"])


def test_a_killed_run_goes_on_where_it_was_and_its_model_serves(settings: Callable[..., Any], tmp_path: Path) -> None:
    deployment = settings()
    examples, out = prepare(deployment, tmp_path / "examples"), tmp_path / "model"
    command = [
        *(sys.executable, "-m", "jobs.train", "--config", str(deployment.config), "--examples", str(examples)),
        *("--out", str(out), "--epochs", "5", "--num-workers", "2", "--user-tower", "causal"),
        *("--mlflow", str(tmp_path / "mlruns")),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (tmp_path / "first.log").open("wb") as log:
        first = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)
        until_s = time.monotonic() + 240
        while not has_checkpoint(tmp_path / "model.run"):
            assert first.poll() is None, (tmp_path / "first.log").read_text()[-3000:]
            assert time.monotonic() < until_s, "no checkpoint within four minutes"
            time.sleep(0.02)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert not (out / "metrics.json").exists()
    second = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400, check=False)
    assert second.returncode == 0, second.stderr[-3000:]
    told = [json.loads(line) for line in second.stderr.splitlines() if line.startswith('{"time"')]
    resumed = [line for line in told if line["event"] == "resumed"]
    assert resumed
    assert 1 <= resumed[0]["epoch"] <= 5
    figures = json.loads(second.stdout.splitlines()[-1])
    assert {"hr_at_10", "hr_at_10_popularity", "recall_of_candidates"} <= set(figures)
    assert {"hr_at_10_recall", "ranker_is_trees", "source_weight_neighbors"} <= set(figures)
    bundle = ModelBundle.load(out)
    matrix = open_content_store(deployment.settings).load_matrix()
    np.testing.assert_allclose(np.linalg.norm(bundle.item_embeddings(matrix), axis=1), 1.0, atol=1e-4)
    curves = json.loads((out / "curves.json").read_text())
    judged = [curve["epoch"] for curve in curves["towers"] if "ndcg" in curve]
    assert 3 <= len(judged) <= 5
    # Two refits of two epochs each: one part more before the figures, one more after them.
    assert [curve["epoch"] for curve in curves["towers"]] == [float(n) for n in range(1, len(judged) + 5)]
    assert not (tmp_path / "model.run").exists()
    assert bundle.tower_settings.user_tower == "causal"
    told_of = [path.read_text().splitlines() for path in (tmp_path / "mlruns").rglob("towers_epoch.ndcg")]
    assert [len(lines) for lines in told_of] == [len(judged)], "one run, with the epochs before the kill"
    searched(deployment, examples, tmp_path / "tuned")


def searched(deployment: Any, examples: Path, out: Path) -> None:
    """A search on the same examples: two trials of two epochs."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "jobs.tune", "--config", str(deployment.config), "--examples", str(examples)),
            *("--out", str(out), "--num-trials", "2", "--size", "smoke", "--epochs", "2", "--num-concurrent", "2"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((out / "tuned.json").read_text())
    assert json.loads(done.stdout.splitlines()[-1]) == report["best"]
    assert [trial["epochs"] for trial in report["trials"]] == [2, 2]
    assert {} in [trial["parameters"] for trial in report["trials"]]
    assert all(0 < trial["ndcg"] <= 1 for trial in report["trials"])
    assert '"towers_epoch"' in done.stderr
    assert not out.with_name("tuned.run").exists()


@pytest.mark.long
def test_pictures_and_texts_of_a_deployment_are_aligned_by_two_workers(
    settings: Callable[..., Any], tmp_path: Path
) -> None:
    deployment, out = settings(), tmp_path / "alignment"
    apply_repository(deployment.settings.stores, deployment.settings.scoring.decay_per_day)
    items, store = list(WORLD.catalog()), open_content_store(deployment.settings)
    store.put(encode_items(items, {m: encoder(m, name) for m, name in ENCODERS.items()}, store).matrix)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "jobs.train", "--config", str(deployment.config), "--task", "align"),
            *("--out", str(out), "--num-workers", "2", "--epochs", "2", "--num-heads", "1", "--hidden-dim", "32"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert {"text_to_image_recall_at_10", "text_to_image_recall_at_10_strict", "temperature"} <= set(figures)
    vectors, known = AlignmentModel.load(out).embed_items(store.load_matrix())
    assert known.all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)


def test_a_folder_without_examples_is_named(settings: Callable[..., Any], tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "jobs.train", "--config", str(settings().config)),
            *("--examples", str(tmp_path / "none"), "--out", str(tmp_path / "model")),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "jobs.build_examples" in done.stderr
