"""A changed weight is taken from the file as it stands; what needs more than that is not."""

import os
from pathlib import Path

import pytest

from mmrec.config import Settings, load_settings
from mmrec.serving.live_weights import LiveWeights

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
