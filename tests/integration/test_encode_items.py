"""jobs.encode_items on a real broker: the batch form, what it counts, and the near-line form."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmrec.catalog.item import to_json_value
from mmrec.serving.item_record import ItemUpdate, read_item_update
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront
from mmrec.stores.kafka import read_topic
from mmrec.telemetry import read_status
from mmrec.wiring import open_content_store, open_feature_store, open_producer

pytestmark = pytest.mark.integration
ITEMS = list(Storefront(StorefrontConfig(seed=3, num_users=10, num_items=110, days=3.0)).catalog())
CHEAP = '[content]\ntext_encoder = "hashing-tf"\nimage_encoder = "color-histogram"\n'


def updates(deployment: Any) -> dict[str, ItemUpdate]:
    kafka = deployment.settings.kafka
    return {
        update.item_id: update
        for record in read_topic(kafka.bootstrap, kafka.item_embeddings)
        for update in [read_item_update(record.key, record.value)]
    }


def send(deployment: Any, records: list[tuple[bytes, bytes | None]]) -> None:
    producer = open_producer(deployment.settings)
    producer.send_many(deployment.settings.kafka.catalog_items, records)
    producer.close()


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MMREC_CACHE_DIR": str(tmp_path / "cache")}


def run(deployment: Any, tmp_path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "jobs.encode_items", "--config", str(deployment.config)],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('{"time"')]
    return next(line for line in told if line["event"] == "catalogue_encoded")


@contextmanager
def following(deployment: Any, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "jobs.encode_items", "--config", str(deployment.config), "--follow"]
    with (tmp_path / "follow.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, start_new_session=True, env=environment(tmp_path))
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(what: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 120
    while not what():
        assert time.monotonic() < until_s, "nothing within two minutes"
        time.sleep(0.2)


def test_the_catalogue_reaches_store_feast_and_topic_and_is_encoded_once(
    settings: Callable[..., Any], tmp_path: Path
) -> None:
    deployment = settings(kafka=True, extra=CHEAP)
    subprocess.run([sys.executable, "-m", "feature_repo.apply", "--config", str(deployment.config)], check=True)
    broken = replace(ITEMS[0], item_id="broken", image=b"no image")
    untitled = replace(ITEMS[0], item_id="untitled", title="")
    records = [(item.item_id.encode(), to_json_value(item)) for item in [*ITEMS, broken, untitled]]
    send(deployment, [*records, (b"junk", b"{no json")])
    counts = run(deployment, tmp_path)
    assert counts["num_items"] == len(ITEMS) + 1
    assert counts["rejected"] == {"missing_title": 1, "malformed_json": 1}
    assert counts["mended"]["broken_image"] == 1
    matrix = open_content_store(deployment.settings).load_matrix()
    assert set(matrix.item_ids) == {*(item.item_id for item in ITEMS), "broken"}
    assert not matrix.present["image"][matrix.row_of["broken"]]
    found = updates(deployment)
    assert set(found) == set(matrix.item_ids)
    stored = open_feature_store(deployment.settings).read_item_content(matrix.item_ids)
    assert {item_id: update.entry for item_id, update in found.items()} == stored
    # Nothing new: nothing is read again, nothing encoded.
    assert run(deployment, tmp_path)["num_items"] == 0

    newcomer = replace(ITEMS[1], item_id="newcomer", title="A coat nobody has seen")
    with following(deployment, tmp_path):
        wait_for(lambda: read_status(deployment.settings.stores.status).get("encode_items", {}).get("ready", False))
        send(deployment, [(b"newcomer", to_json_value(newcomer)), (b"broken", None)])
        wait_for(lambda: {"newcomer"} <= set(updates(deployment)) and updates(deployment)["broken"].entry is None)
    assert "newcomer" in open_content_store(deployment.settings).load_matrix().row_of
    assert "broken" not in open_content_store(deployment.settings).load_matrix().row_of
