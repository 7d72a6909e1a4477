"""A changed weight is taken from the file as it stands; what needs more than that is not, nor what drops for good."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmrec.clock import ManualClock
from mmrec.collecting.overlay import MemoryOverlay, OverlayEntry
from mmrec.config import Settings, load_settings
from mmrec.disk.objects import FolderObjects
from mmrec.features.stores import MemoryFeatureStore
from mmrec.index.vectors import MemoryVectorStore
from mmrec.publishing.release import ReleaseStore
from mmrec.scoring.source import Source
from mmrec.serving.live_weights import LiveWeights
from mmrec.serving.replica import Replica, ReplicaParts
from tests.unit.test_stream import NOW_S, Deployment

BEHAVIORS = """
[[behaviors]]
name = "browse"
behavior_id = 1
weight = {browse}
[[behaviors]]
name = "{second}"
behavior_id = 2
weight = 3.0
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mmrec.toml"
    write(path)
    return path


def write(path: Path, *, browse: object = 1.0, second: str = "favorite", more: str = "") -> None:
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(more + BEHAVIORS.format(browse=browse, second=second))
    os.utime(path, ns=(before + 1_000_000, before + 1_000_000))  # a clock too coarse to tell two writes apart


def weights(live: LiveWeights) -> list[float]:
    return live.behaviors().weights_B.tolist()


def test_a_changed_weight_is_taken_without_a_restart(file: Path) -> None:
    live = LiveWeights(load_settings(file))
    assert weights(live) == [1.0, 3.0]
    write(file, browse=2.5)
    assert weights(live) == [2.5, 3.0]


def test_an_unchanged_file_gives_the_same_object(file: Path) -> None:
    live = LiveWeights(load_settings(file))
    assert live.behaviors() is live.behaviors()


def test_a_broken_file_leaves_the_last_good_weights(file: Path) -> None:
    live = LiveWeights(load_settings(file))
    write(file, browse='"much"')
    assert weights(live) == [1.0, 3.0]
    file.write_text("[[behav")
    assert weights(live) == [1.0, 3.0]
    write(file, browse=4.0)
    assert weights(live) == [4.0, 3.0]


def test_other_behaviors_wait_for_the_next_start(file: Path) -> None:
    live = LiveWeights(load_settings(file))
    write(file, browse=9.0, second="cart")
    assert live.behaviors().names == ("browse", "favorite")
    assert weights(live) == [1.0, 3.0]


def test_settings_made_in_code_keep_their_weights() -> None:
    settings = Settings()
    assert LiveWeights(settings).behaviors() is settings.behaviors


FULL = "[scoring]\nmax_items = 1\n"
"""A profile holds one item, the most valuable one."""


def test_a_replica_reads_a_full_profile_by_the_new_weights(file: Path, tmp_path: Path) -> None:
    write(file, more=FULL)
    overlay, topic = MemoryOverlay(), Source("c", "t", 0)
    overlay.add(
        OverlayEntry("ann", topic, offset, behavior, item_id, f"e{offset}", NOW_S, NOW_S, NOW_S)
        for offset, (behavior, item_id) in enumerate([("browse", "looked at"), ("favorite", "liked")])
    )

    def follow(start: Any, stop: Any) -> Iterator[list[Any]]:
        while not stop():
            time.sleep(0.005)
            yield []

    replica = Replica(
        ReplicaParts(
            settings=load_settings(file),
            open_features=MemoryFeatureStore,
            open_vectors=MemoryVectorStore,
            releases=ReleaseStore(FolderObjects(tmp_path / "releases")),
            follow=follow,
            topic_name=lambda: "c/t",
            clock=ManualClock(NOW_S),
            open_overlay=lambda: overlay,
        )
    )

    def kept() -> tuple[str, ...]:
        profile = replica.read_profile("ann").profile
        return () if profile is None else profile.item_ids

    assert kept() == ("liked",)
    replica.start()
    try:
        write(file, browse=9.0, more=FULL)
        waiting = threading.Event()
        for _ in range(1_000):
            if kept() == ("looked at",):
                break
            waiting.wait(0.02)
        assert kept() == ("looked at",)
    finally:
        replica.close()


def test_the_stream_drops_items_by_the_weights_of_its_start(file: Path) -> None:
    write(file, more=FULL)
    shop = Deployment()
    shop.settings = load_settings(file)
    stream = shop.start()
    write(file, browse=9.0, more=FULL)
    shop.records["behavior-events", 0] += [
        (b"ann", b'{"event_id": "1", "user_id": "ann", "item_id": "looked at", "behavior": "browse"}'),
        (b"ann", b'{"event_id": "2", "user_id": "ann", "item_id": "liked", "behavior": "favorite"}'),
    ]
    place = ("behavior-events", 0)
    stream.process(shop.batch({place: 0}, {place: 2}), write_time_s=NOW_S)
    assert shop.store.read_profiles(["ann"])["ann"].item_ids == ("liked",)
