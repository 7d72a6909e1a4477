"""jobs.refit on real engines: a served release goes on with the newest days of the log, or says why it does not."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feature_repo.apply import apply_repository
from jobs.publish import publish_model
from jobs.refit import tried
from mmrec.catalog.item import catalog_entry
from mmrec.content.encode import encode_items
from mmrec.content.registry import encoder
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront
from mmrec.training.build import build_examples
from mmrec.training.event_columns import EVENT_COLUMNS
from mmrec.training.example_config import ExampleConfig
from mmrec.training.recipe import train_here
from mmrec.training.refit_recipe import RefitOptions
from mmrec.training.towers_recipe import TOWERS
from mmrec.wiring import (
    open_content_store,
    open_deployment_data,
    open_event_log,
    open_feature_store,
    open_release_store,
)
from tests.integration.test_build_examples import log_table

pytestmark = [pytest.mark.integration, pytest.mark.long]
WORLD = Storefront(StorefrontConfig(seed=3, num_users=60, num_items=80, days=20.0))
ENCODERS = {"text": "hashing-tf", "attributes": "attribute-hash"}
OPTIONS = RefitOptions(window_days=15.0, least_lists=20, max_lists=80, epochs=1)


def test_a_refit_serves_with_its_origin_or_says_why_it_does_not(settings: Callable[..., Any], tmp_path: Path) -> None:
    deployment = settings(kafka=True, milvus=True)
    # Towers of a few seconds may lose against themselves on so few lists: what is tested is the way, not the figure.
    stored = replace(deployment.settings, publish=replace(deployment.settings.publish, max_loss_to_served=1.0))
    releases = open_release_store(stored)
    apply_repository(stored.stores, stored.scoring.decay_per_day)
    items = list(WORLD.catalog())
    entries = {item.item_id: catalog_entry(item) for item in items}
    open_feature_store(stored).write_item_content(entries, write_time_s=1.0)
    content = open_content_store(stored)
    content.put(encode_items(items, {m: encoder(m, name) for m, name in ENCODERS.items()}, content).matrix)
    log, num_events = open_event_log(stored), 0
    for chunk in WORLD.events():
        log.append(log_table(num_events, chunk), batch_key=str(num_events))
        num_events += len(chunk)

    nothing = tried(stored, OPTIONS)
    assert nothing["outcome"] == "left_out" and nothing["reason"].startswith("no release serves that could be refitted")
    config = ExampleConfig(max_ranker_lists=80, max_validation_lists=40, neighbor_builds=1)
    events = log.read(columns=EVENT_COLUMNS)
    build_examples(events, entries, settings=stored, config=config).save(tmp_path / "examples")
    options = TOWERS.options(examples=str(tmp_path / "examples"), epochs=1, embedding_dim=16, hidden_dim=32)
    data = open_deployment_data(stored)
    train_here(TOWERS, options, data, out=tmp_path / "model")
    served = publish_model(stored, releases, tmp_path / "model").release_id

    found = tried(stored, OPTIONS)
    assert found["outcome"] == "promoted", found
    assert releases.current() == found["release_id"] and releases.warm() == {found["release_id"]: served}
    too_few = tried(stored, replace(OPTIONS, least_lists=100_000))
    assert too_few["outcome"] == "left_out" and "at least 100000 are needed" in too_few["reason"]
    strict = replace(stored, publish=replace(stored.publish, min_margin_over_popularity=1.0))
    refused = tried(strict, OPTIONS)
    assert refused["outcome"] == "refused" and "decayed popularity and margin" in refused["reason"]
    assert releases.current() == found["release_id"]
    assert list(releases.refusals().values()) == [refused["reason"]]

    command = [sys.executable, "-m", "jobs.refit", "--config", str(deployment.config), "--follow"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and "training.refit.every_minutes is 0: no refits" in done.stderr
    listed = subprocess.run(
        [sys.executable, "-m", "jobs.publish", "--config", str(deployment.config), "--list"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(listed.stdout)["warm_from"][found["release_id"]] == served
