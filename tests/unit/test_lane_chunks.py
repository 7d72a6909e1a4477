"""Single changes of one poll: which go first, and how many together."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from mmrec.content.encoder import Encodings
from mmrec.content.lanes import PORTION_S, Lanes
from mmrec.serving.item_record import read_item_update
from tests.unit.test_catalog_feed import NOW_S, Deployment
from tests.unit.test_lanes import Topic, Watching


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


class Counting(Watching):
    """The text encoder; remembers how many it was asked for at once."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.sizes: list[int] = []

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        self.sizes.append(len(payloads))
        return super().encode(payloads)


def test_what_brings_no_new_content_is_there_before_anything_else_of_its_poll_is_encoded(
    deployment: Deployment,
) -> None:
    topic, seen = Topic(), []

    def price() -> float | None:
        sent = [read_item_update(r.key, r.value) for r in deployment.broker.records("item-embeddings")]
        return next((update.entry.price for update in reversed(sent) if update.item_id == "dear"), None)

    feed = deployment.feed(encoders={"text": Watching(lambda: seen.append(price()))})
    lanes = Lanes(feed, read=topic.read, elapsed_s=lambda: 0.0)
    lanes.arrived([topic.send("dear", "Lamp", price=9.0)], now_s=NOW_S)
    assert seen == [None]
    others = [topic.send(f"other{number}", f"Chair {number}") for number in range(20)]
    lanes.arrived([*others, topic.send("dear", "Lamp", price=1.0)], now_s=NOW_S)
    assert set(seen[1:]) == {1.0}


def test_single_changes_stay_together_on_a_slow_machine(deployment: Deployment) -> None:
    topic, encoder, clock = Topic(), Counting(), iter(range(10**6))
    lanes = Lanes(
        deployment.feed(encoders={"text": encoder}), read=topic.read, elapsed_s=lambda: 2 * PORTION_S * next(clock)
    )
    lanes.arrived([topic.send(f"new{number}", f"Lamp {number}") for number in range(12)], now_s=NOW_S)
    assert encoder.sizes == [4, 4, 4]
