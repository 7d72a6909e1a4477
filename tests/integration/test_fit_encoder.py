"""jobs.fit_encoder on a real broker: a catalogue's topic to a file, and an encoder by that file's name."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmrec.catalog.item import CatalogItem, to_json_value
from mmrec.content.registry import encoder
from mmrec.wiring import open_producer
from tests.servers import Deployment

pytestmark = pytest.mark.integration


def test_an_encoder_is_fitted_to_the_newest_state_of_the_topics_items(
    settings: Callable[..., Deployment], tmp_path: Path
) -> None:
    deployment = settings(kafka=True)
    titles = [("a", "Old title"), ("a", "Red dress"), ("b", "Blue dress"), ("c", "Gone with the wind")]
    records = [(i.encode(), to_json_value(CatalogItem(item_id=i, title=title))) for i, title in titles]
    producer = open_producer(deployment.settings)
    producer.send_many(deployment.settings.kafka.catalog_items, [*records, (b"c", None), (b"bad", b"{")])
    producer.close()
    file = tmp_path / "fitted" / "tfidf.json"
    done = subprocess.run(
        [sys.executable, "-m", "jobs.fit_encoder", "tfidf", str(file), "--config", str(deployment.config)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert '"num_items": 2' in done.stderr
    dress, red, gone = encoder("text", f"tfidf:{file}").encode([b"dress", b"red", b"wind"]).values_ND
    both = encoder("text", f"tfidf:{file}").encode([b"red dress"]).values_ND[0]
    assert both @ red > both @ dress > both @ gone - 1e-6
