"""On a real broker: an import that leaves something out says so, and every event counts once however it is repeated."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmrec.catalog.rules import ItemChange, parse_change
from mmrec.cli.main import main
from mmrec.config import Settings, load_settings
from mmrec.events.rejected import decode_rejected
from mmrec.stores.kafka.readers import read_topic
from tests.fashion_form import overflowing_title, write_fashion_form
from tests.integration.test_rejected import KNOWN, Stream

pytestmark = pytest.mark.integration


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a command ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A deployment with the stream over its topics."""

    stream: Stream
    settings: Settings
    config: Path
    capsys: pytest.CaptureFixture[str]

    def call(self, *arguments: object, config: Path | None = None) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), "--config", str(config or self.config)])
        said = self.capsys.readouterr()
        return Said(status=int(ended.value.code or 0), out=said.out, err=said.err)

    def num_sent(self) -> int:
        return len(list(read_topic(self.settings.kafka.bootstrap, self.settings.kafka.behavior_events)))

    def rejected(self) -> list[dict[str, Any]]:
        records = read_topic(self.settings.kafka.bootstrap, self.settings.kafka.rejected)
        return [decode_rejected(record.value or b"") for record in records]


@pytest.fixture
def shop(settings: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> Iterator[Shop]:
    made = settings(kafka=True)
    stream = Stream(made.settings)
    yield Shop(stream=stream, settings=made.settings, config=made.config, capsys=capsys)
    stream.close()


def line(number: int, behavior: str, **changes: object) -> str:
    fields = {"event_id": f"e{number}", "user_id": "ann", "item_id": f"i{number}", "behavior": behavior}
    return json.dumps({**fields, "event_time": f"2025-01-01T00:00:{number:02d}Z", **changes})


def test_refused_lines_stop_nobody_are_told_with_their_place_and_are_not_sent_again(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    odd = [line(1, "cart", item_id="\ud83d"), "{no json", line(2, "purchase", quantity=-1)]
    path.write_text("\ufeff" + "\n".join([line(0, "cart"), *odd, line(3, "cart")]))
    said = shop.call("import", path)
    assert said.status == 1
    assert "5 events of history.jsonl sent" in said.out
    assert [f"{path}, line {number}: " in said.err for number in range(1, 6)] == [False, True, True, True, False]
    assert "3 of 5 events of history.jsonl are refused: malformed_json 2, out_of_range 1" in said.err
    counts = shop.stream.run(shop.settings)
    assert counts["accepted"] == 2
    assert sorted(row["reason"] for row in shop.rejected()) == ["malformed_json", "malformed_json", "out_of_range"]

    said = shop.call("import", path)
    assert said.status == 0
    assert "5 events of history.jsonl were imported before, of which 3 were refused" in said.out
    assert shop.num_sent() == 5
    assert shop.call("replay", path).status == 1
    assert shop.stream.run(shop.settings)["duplicate"] == 2


def test_rows_of_a_file_with_odd_columns_are_refused_on_the_topic_of_all_refusals(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    columns = {
        "event_id": ["a", "b", "c"],
        "user_id": ["ann"] * 3,
        "item_id": pa.array([b"i1", b"\xff", b"i3"]),
        "behavior": ["cart"] * 3,
        "price": [1.5, 2.5, float("nan")],
        "event_time": [1_735_689_600_000, 1_735_689_601_000, 1_735_689_602_000],
    }
    pq.write_table(pa.table(columns), path)
    said = shop.call("import", path)
    assert (said.status, shop.num_sent()) == (1, 0)
    assert "column event_time is int64" in said.err
    said = shop.call("import", path, "--time-unit", "ms")
    assert said.status == 1
    assert "row 2: wrong_type: item_id is {'bytes that are no UTF-8'" in said.err
    assert "row 3: wrong_type: price is 'nan'" in said.err
    assert shop.stream.run(shop.settings)["accepted"] == 1
    assert shop.stream.log.read()["event_time_s"].to_pylist() == [1_735_689_600.0]
    places = [json.loads(row["original_value"])["file_row"] for row in shop.rejected()]
    assert sorted(places) == ["history.parquet:2", "history.parquet:3"]


def test_behaviors_that_come_to_be_known_are_imported_once_and_the_others_not_again(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text("\n".join(line(n, name) for n, name in enumerate(["view", "browse", "stare", "cart", "view"])))
    assert shop.call("import", path).status == 1
    assert shop.num_sent() == 0
    said = shop.call("import", path, "--skip-unknown")
    assert said.status == 0, said.err
    assert "3 events are left out: view 2, stare 1" in said.err
    assert shop.num_sent() == 2
    assert "2 events of history.jsonl were imported before" in shop.call("import", path, "--skip-unknown").out

    said = shop.call("import", path, "--behavior", "view=cart", "--skip-unknown")
    assert said.status == 0, said.err
    assert shop.num_sent() == 4
    said = shop.call("import", path, "--behavior", "view=browse", "--behavior", "stare=browse")
    assert said.status == 1
    assert "events of 'view' in this file were imported as cart, not browse" in said.err

    known = shop.config.with_name("known.toml")
    known.write_text(shop.config.read_text() + KNOWN)
    said = shop.call("import", path, "--behavior", "view=cart", "--behavior", "cart=browse", config=known)
    assert said.status == 1  # where cart is not configured, it cannot have been imported as browse
    known.write_text(
        shop.config.read_text() + KNOWN + '\n[[behaviors]]\nname = "cart"\nbehavior_id = 3\nweight = 5.0\n'
    )
    said = shop.call("import", path, "--behavior", "view=cart", config=known)
    assert said.status == 0, said.err
    assert shop.num_sent() == 5
    counts = shop.stream.run(load_settings(known))
    assert (counts["accepted"], counts.get("duplicate", 0)) == (5, 0)
    assert sorted(shop.stream.log.read()["behavior"].to_pylist()) == ["browse", "cart", "cart", "cart", "stare"]
    assert shop.stream.log.read()["imported"].to_pylist() == [True] * 5


def test_a_catalogue_and_its_ratings_are_sent_once_and_go_on_where_they_stopped(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    write_fashion_form(folder)
    said = shop.call("import", folder)
    assert said.status == 0, said.err
    assert "413 items of store sent" in said.out
    assert "rejoined_cells" in said.out
    records = list(read_topic(shop.settings.kafka.bootstrap, shop.settings.kafka.catalog_items))
    changes = [parse_change(record.key, record.value) for record in records]
    items = {change.item.item_id: change.item for change in changes if isinstance(change, ItemChange) and change.item}
    assert len(items) == len(records) == 413
    assert items["1011"].title == overflowing_title(0)
    assert items["1420"].attributes["usage"] == "Unknown"  # "NA" of this form, gone before it was sent
    assert items["1001"].image is not None

    assert "413 items of " in shop.call("import", folder).out
    (mark,) = tmp_path.rglob("imports/*.json")
    document = json.loads(mark.read_text())
    mark.write_text(json.dumps({**document, "num_sent": 400, "is_done": False}))
    assert "13 items of store sent" in shop.call("import", folder).out
    assert "413 items of store sent" in shop.call("import", folder, "--again").out
    assert len(list(read_topic(shop.settings.kafka.bootstrap, shop.settings.kafka.catalog_items))) == 413 + 13 + 413

    ratings = tmp_path / "ratings.csv"
    ratings.write_text("user,item,rating,timestamp\nann,1001,5,1735689600\nann,1002,2,1735689601\nbob,,3,1735689602\n")
    rules = ("--behavior", "rating>=4=cart", "--behavior", "rating>0=browse")
    said = shop.call("import", ratings, *rules)
    assert said.status == 0, said.err
    assert "missing_id of item: 1" in said.err
    assert "3 events of ratings.csv were imported before" in shop.call("import", ratings, *rules).out
    assert shop.stream.run(shop.settings)["accepted"] == 3
    log = shop.stream.log.read()
    assert sorted(log["behavior"].to_pylist()) == ["browse", "browse", "cart"]
    assert log["imported"].to_pylist() == [True] * 3
