"""The figures of deploy/SIZING.md follow from the costs that it states."""

import math
import re

import pytest

from tests.manifests import DEPLOY, of_kind

TEXT = (DEPLOY / "SIZING.md").read_text(encoding="utf-8")
EVENT_US, EVENT_BYTES, PARTITION_PER_S, COLLECTOR_PER_S = 38, 230, 3_900, 5_000
REPLICA_GB, ITEM_KB = 0.85, 5.2


def _rows(title: str) -> list[list[str]]:
    part = TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]
    return rows[2:]


def test_the_costs_are_those_that_the_table_states() -> None:
    for stated in ("38 CPU-µs", "230 bytes", "3,900 events/s", "asked for 5,000", ".85 GB, and 5.2 KB"):
        assert stated in TEXT


@pytest.mark.parametrize("row", _rows("By events"), ids=lambda row: row[0])
def test_every_row_of_events_is_its_rate_times_the_costs(row: list[str]) -> None:
    rate = int(row[0].replace(",", ""))
    assert int(row[1]) == max(2, math.ceil(round(2 * rate * EVENT_US / 1e6, 6)))
    assert int(row[2]) == next(n for n in (16, 64, 256) if n >= round(rate / PARTITION_PER_S))
    assert int(row[3]) == max(2, math.ceil(rate / COLLECTOR_PER_S))
    assert float(row[4]) == round(rate * EVENT_BYTES / 1e6, 1)
    assert float(row[5]) == round(rate * EVENT_BYTES * 86_400 * 30 * 3 / 1e12, 1)


@pytest.mark.parametrize("row", _rows("By items"), ids=lambda row: row[0])
def test_every_row_of_items_is_its_number_times_the_costs(row: list[str]) -> None:
    memory = REPLICA_GB + int(row[0].replace(",", "")) * ITEM_KB / 1e6
    assert float(row[1]) == pytest.approx(memory, abs=0.06)
    assert int(row[2]) == round(1.5 * memory)


def test_a_million_events_cost_what_their_parts_cost() -> None:
    stream, collector = 40, 1_000_000 / 15_100 * 2
    whole = (stream + round(collector)) / 0.5
    assert re.search(rf"{round(collector)}\ncore-seconds", TEXT)
    assert f"{round(whole)}\ncore-seconds = .{round(whole / 3_600 * 1_000):03d} core-hours" in TEXT


def test_production_has_room_for_the_rows_that_it_names() -> None:
    overlay = (DEPLOY / "overlays" / "production" / "kustomization.yaml").read_text(encoding="utf-8")
    assert "for 10,000 events/s and 1 M items" in overlay
    events = next(row for row in _rows("By events") if row[0] == "10,000")
    items = next(row for row in _rows("By items") if row[0] == "1,000,000")
    stream = of_kind("production", "Deployment")["score-stream"]["spec"]["template"]["spec"]["containers"][0]
    assert int(stream["resources"]["requests"]["cpu"]) >= int(events[1])
    assert of_kind("production", "KafkaTopic")["behavior-events"]["spec"]["partitions"] >= int(events[2])
    assert of_kind("production", "ScaledObject")["collector"]["spec"]["minReplicaCount"] >= int(events[3])
    brokers = of_kind("production", "KafkaNodePool")["broker"]["spec"]
    terabytes = int(brokers["storage"]["volumes"][0]["size"].removesuffix("Ti")) * 1.0995
    assert brokers["replicas"] >= int(events[6])
    assert brokers["replicas"] * terabytes >= float(events[5])
    workers = of_kind("production", "RayService")["recommender"]["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]
    memory = workers["template"]["spec"]["containers"][0]["resources"]
    assert memory["limits"]["memory"] == f"{items[2]}Gi"
    assert int(memory["requests"]["memory"].removesuffix("Gi")) >= float(items[1]) - 0.1
