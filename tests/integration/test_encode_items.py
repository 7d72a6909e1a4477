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

from feature_repo.apply import apply_repository
from mmrec.catalog.item import to_json_value
from mmrec.events.producer import BULK_HEADER
from mmrec.serving.item_record import ItemUpdate, read_item_update
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront
from mmrec.stores.kafka.readers import read_topic
from mmrec.telemetry.logs import read_status
from mmrec.wiring import open_content_store, open_feature_store, open_producer
from tests.damaged_pictures import damaged_avif, endless_jpeg
from tests.picture_shop import Shop, png

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


def send(deployment: Any, records: list[tuple[bytes, bytes | None]], *, header: str = "") -> None:
    producer = open_producer(deployment.settings, header=header)
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
    counts = next(line for line in told if line["event"] == "catalogue_encoded")
    return {**counts, "events": {line["event"] for line in told}, "table": done.stdout}


@contextmanager
def following(deployment: Any, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "jobs.encode_items", "--config", str(deployment.config), "--follow"]
    with (tmp_path / "follow.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, start_new_session=True, env=environment(tmp_path))
        try:
            yield process
        finally:
            if process.poll() is None:
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
    apply_repository(deployment.settings.stores, deployment.settings.scoring.decay_per_day)
    broken = replace(ITEMS[0], item_id="broken", image=b"no image")
    untitled = replace(ITEMS[0], item_id="untitled", title="")
    records = [(item.item_id.encode(), to_json_value(item)) for item in [*ITEMS, broken, untitled]]
    send(deployment, [*records, (b"junk", b"{no json")])
    counts = run(deployment, tmp_path)
    assert counts["num_items"] == len(ITEMS) + 1
    assert counts["rejected"] == {"missing_title": 1, "malformed_json": 1}
    assert counts["mended"]["broken_image"] == 1
    assert counts["encoded"]["text"] == len({item.title + item.description for item in ITEMS})
    assert ["item", "broken_image", "1"] in [line.split() for line in counts["table"].splitlines()]
    progress = figures(deployment)["progress"]
    assert progress["num_done"] == progress["num_all"] > 0
    matrix = open_content_store(deployment.settings).load_matrix()
    assert set(matrix.item_ids) == {*(item.item_id for item in ITEMS), "broken"}
    assert not matrix.present["image"][matrix.row_of["broken"]]
    found = updates(deployment)
    assert set(found) == set(matrix.item_ids)
    stored = open_feature_store(deployment.settings).read_item_content(matrix.item_ids)
    assert {item_id: update.entry for item_id, update in found.items()} == stored
    # Nothing new: nothing is read again, nothing encoded.
    again = run(deployment, tmp_path)
    assert again["num_items"] == 0
    assert not again["encoded"]
    assert "encoders_started" not in again["events"]

    newcomer = replace(ITEMS[1], item_id="newcomer", title="A coat nobody has seen")
    with following(deployment, tmp_path):
        wait_for(lambda: read_status(deployment.settings.stores.status).get("encode_items", {}).get("ready", False))
        send(deployment, [(b"newcomer", to_json_value(newcomer)), (b"broken", None)])
        wait_for(lambda: {"newcomer"} <= set(updates(deployment)) and updates(deployment)["broken"].entry is None)
        many = [replace(ITEMS[2], item_id=f"many{number}", title=f"Lamp {number}") for number in range(30)]
        send(deployment, [(item.item_id.encode(), to_json_value(item)) for item in many], header=BULK_HEADER)
        wait_for(lambda: all(encoded(deployment).get(item.item_id) for item in many))
        wait_for(lambda: read_status(deployment.settings.stores.status)["encode_items"]["num_waiting_in_bulk"] == 0)
    kafka = deployment.settings.kafka
    assert sum(record.is_bulk for record in read_topic(kafka.bootstrap, kafka.catalog_items)) == len(many)
    assert "newcomer" in open_content_store(deployment.settings).load_matrix().row_of
    assert "broken" not in open_content_store(deployment.settings).load_matrix().row_of


def encoded(deployment: Any) -> dict[str, set[str]]:
    """Item id -> modalities of its newest record on the topic."""
    return {item_id: set(update.vectors) for item_id, update in updates(deployment).items()}


def figures(deployment: Any) -> dict[str, Any]:
    return read_status(deployment.settings.stores.status).get("encode_items", {})


def test_a_picture_whose_decoder_raises_or_never_ends_stops_nothing_after_it(
    settings: Callable[..., Any], tmp_path: Path
) -> None:
    deployment = settings(kafka=True, extra=CHEAP + "picture_timeout_s = 0.5\n")
    apply_repository(deployment.settings.stores, deployment.settings.scoring.decay_per_day)
    bad = {"avif": damaged_avif(), "endless": endless_jpeg(20_000), "none": b"no picture"}
    send(deployment, [(b"before", to_json_value(replace(ITEMS[2], item_id="before")))])  # while no job was there
    with following(deployment, tmp_path) as process:
        wait_for(lambda: figures(deployment).get("ready", False))
        for item_id, image in bad.items():
            pair = [replace(ITEMS[0], item_id=item_id, image=image), replace(ITEMS[1], item_id=f"after-{item_id}")]
            send(deployment, [(item.item_id.encode(), to_json_value(item)) for item in pair])
        wait_for(lambda: {*bad, *(f"after-{item_id}" for item_id in bad)} <= set(updates(deployment)))
        wait_for(lambda: "image" in encoded(deployment).get("before", ()))
        found = encoded(deployment)
        for item_id in bad:
            assert found[item_id] == {"text", "attributes"}
            assert found[f"after-{item_id}"] == {"text", "attributes", "image"}
        wait_for(lambda: figures(deployment)["mended"].get("broken_image") == len(bad))
        samples = {each["item_id"]: each["detail"] for each in figures(deployment)["samples"]["broken_image"]}
        assert set(samples) == set(bad)
        assert "RuntimeError" in samples["avif"]
        assert "0.5 s" in samples["endless"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    told = [json.loads(line) for line in (tmp_path / "follow.log").read_text().splitlines() if line.startswith("{")]
    assert {line["item_id"] for line in told if line.get("reason") == "broken_image"} == set(bad)


def test_a_picture_given_by_uri_is_fetched_and_what_fails_is_kept_with_its_reason(
    settings: Callable[..., Any], tmp_path: Path, shop: Shop
) -> None:
    hosts = 'image_private_hosts = ["127.0.0.1"]\nimage_fetch_retries = 0\n'
    deployment = settings(kafka=True, extra=CHEAP + hosts)
    apply_repository(deployment.settings.stores, deployment.settings.scoring.decay_per_day)
    uris = {
        "good": shop.gives("/red.png", png()),
        "away": shop.gives("/away.png", b"", status=503),
        "gone": shop.url + "/gone.png",
        "within": f"http://localhost:{shop.server.server_address[1]}/red.png",
        "file": "file:///etc/hostname",
        "broken": shop.gives("/broken.avif", damaged_avif()),
    }
    by_uri = {i: replace(ITEMS[0], item_id=i, image=None, image_uri=uri) for i, uri in uris.items()}
    send(deployment, [(item_id.encode(), to_json_value(item)) for item_id, item in by_uri.items()])
    counts = run(deployment, tmp_path)
    assert counts["num_items"] == len(uris)
    assert {name: number for name, number in counts["absent"].items() if name.startswith("image.")} == {
        "image.not_fetched": len(uris),
        "image.unreachable": 1,
        "image.refused": 1,
        "image.forbidden_address": 1,
        "image.forbidden_scheme": 1,
        "image.broken": 1,
    }
    found = encoded(deployment)
    assert found.pop("good") == {"text", "attributes", "image"}
    assert found == {item_id: {"text", "attributes"} for item_id in uris if item_id != "good"}
    matrix = open_content_store(deployment.settings).load_matrix()
    assert [i for i in matrix.item_ids if matrix.present["image"][matrix.row_of[i]]] == ["good"]

    # What was away is fetched by the next process; what is kept is not asked for again.
    shop.gives("/away.png", png((0, 0, 255)))
    newcomer = replace(by_uri["good"], item_id="newcomer", title="Red again")
    with following(deployment, tmp_path):
        wait_for(lambda: "image" in encoded(deployment)["away"])
        send(deployment, [(b"newcomer", to_json_value(newcomer))])
        wait_for(lambda: "image" in encoded(deployment).get("newcomer", set()))
        wait_for(lambda: "awaited" not in figures(deployment)["images"]["wanted"])
        assert figures(deployment)["images"]["wanted"] == {
            "broken": 1,
            "forbidden_address": 1,
            "forbidden_scheme": 1,
            "refused": 1,
        }
    assert shop.asked["/red.png"] == 1
