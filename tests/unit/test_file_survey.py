"""What a file would come to is known before any of it is sent, and is what the codec says of it afterwards."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmrec.cli.main import main
from mmrec.config import EventSettings
from mmrec.errors import InvalidRequestError
from mmrec.events.event_edits import EventEdit
from mmrec.events.event_files import open_event_file
from mmrec.events.file_survey import FileSurvey, counted, survey
from mmrec.events.rules import Refusal, decode_record
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.wire.instants import rfc3339

NOW_S = 1_767_225_600.0
STRANGE = ("view", "addtocart", "transaction")


def lines(path: Path, behaviors: list[str], **changes: object) -> Path:
    rows = [
        {
            "event_id": f"e{n}",
            "user_id": f"u{n % 3}",
            "item_id": f"i{n}",
            "behavior": behavior,
            "event_time": rfc3339(NOW_S - n),
            **changes,
        }
        for n, behavior in enumerate(behaviors)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def surveyed(path: Path, edit: EventEdit | None = None) -> FileSurvey:
    return survey(
        open_event_file(path).rows(),
        edit or EventEdit(imported=True),
        behaviors=shop_behaviors(),
        settings=EventSettings(),
        now_s=NOW_S,
    )


def test_unknown_behaviors_are_counted_and_the_message_says_how_to_map_them(tmp_path: Path) -> None:
    found = surveyed(lines(tmp_path / "h.jsonl", ["view"] * 20 + ["addtocart"] * 7 + ["transaction"] * 3))
    assert found.unknown == {"view": 20, "addtocart": 7, "transaction": 3}
    with pytest.raises(InvalidRequestError) as refused:
        found.check(file_name="h.jsonl", behaviors=shop_behaviors())
    for said in ("30 of 30", "view 20, addtocart 7, transaction 3", "--behavior view=browse", "--skip-unknown"):
        assert said in str(refused.value)


def test_mapped_behaviors_are_taken_and_unmapped_ones_left_out_where_that_is_said(tmp_path: Path) -> None:
    path = lines(tmp_path / "h.jsonl", ["view", "addtocart", "cart", "transaction"])
    mapping = {"view": "browse", "addtocart": "cart"}
    found = surveyed(path, EventEdit(behaviors=mapping, imported=True))
    assert (found.unknown, found.num_refused, found.num_events) == ({"transaction": 1}, 1, 4)
    edit = EventEdit(behaviors=mapping, known=frozenset(shop_behaviors().names), imported=True)
    found = surveyed(path, edit)
    found.check(file_name="h.jsonl", behaviors=shop_behaviors())
    assert (found.num_events, found.num_refused, found.left_out) == (3, 0, {"transaction": 1})
    sent = [edit.apply(row.key, row.value) for row in open_event_file(path).rows()]
    assert [json.loads(each.value)["behavior"] for each in sent if not each.is_left_out] == ["browse", "cart", "cart"]
    assert sorted(found.sent_names) == ["addtocart", "cart", "view"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event_id": ""}, "missing_event_id"),
        ({"user_id": None}, "missing_user_id"),
        ({"event_time": "2099-01-01T00:00:00Z"}, "time_in_future"),
        ({"event_time": "1969-01-01T00:00:00Z"}, "time_before_horizon"),
        ({"event_time": 1_767_225_600_000}, "wrong_type"),
        ({"quantity": -1}, "out_of_range"),
    ],
)
def test_a_file_of_which_nothing_would_be_taken_is_not_sent(
    changes: dict[str, object], reason: str, tmp_path: Path
) -> None:
    found = surveyed(lines(tmp_path / "h.jsonl", ["cart"] * 12, **changes))
    with pytest.raises(InvalidRequestError, match=f"no event of h.jsonl would be taken.*{reason} 12.*the first, 1,"):
        found.check(file_name="h.jsonl", behaviors=shop_behaviors())


def test_a_file_without_events_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "blank.jsonl").write_text("\n \r\n")
    empty = pa.table({name: pa.array([], pa.string()) for name in ("event_id", "user_id", "item_id", "behavior")})
    pq.write_table(empty, tmp_path / "empty.parquet")
    for name in ("blank.jsonl", "empty.parquet"):
        with pytest.raises(InvalidRequestError, match=f"{name} holds no events"):
            surveyed(tmp_path / name).check(file_name=name, behaviors=shop_behaviors())


def test_the_survey_says_of_each_row_what_the_codec_says(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    good = {"event_id": "a", "user_id": "u", "item_id": "i", "behavior": "cart"}
    wrong = ["{", '{"a": 1, "a": 2}', json.dumps({**good, "price": "x"}), json.dumps({**good, "item_id": "\ud83d"})]
    path.write_text("\n\n".join(wrong * 3 + [json.dumps(good)] * 3) + "\n")
    edit = EventEdit(imported=True)
    found, reasons = surveyed(path, edit), Counter[str]()
    for row in open_event_file(path).rows():
        edited = edit.apply(row.key, row.value)
        outcome = decode_record(
            edited.key, edited.value, ingest_time_s=NOW_S, behaviors=shop_behaviors(), settings=EventSettings()
        )
        if isinstance(outcome, Refusal):
            reasons[outcome.reason.value] += 1
    assert found.refused == reasons == {"malformed_json": 9, "wrong_type": 3}
    assert (found.num_events, found.num_untimed) == (15, 3)
    assert [sample.number for sample in found.samples] == [1, 3, 5, 7, 9]
    found.check(file_name="h.jsonl", behaviors=shop_behaviors())


def test_many_names_are_counted_in_bounded_memory_and_shown_in_a_line(tmp_path: Path) -> None:
    found = surveyed(lines(tmp_path / "h.jsonl", [f"b{n}" for n in range(3_000)]))
    assert found.unknown.total() == 3_000
    assert len(found.unknown) <= 1_001
    assert "more" in counted(found.unknown)
    assert counted(Counter({"a\nb": 2, "": 1})) == "'a\\nb' 2, '' 1"


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A deployment whose broker does not answer, so that whatever is sent fails."""
    path = tmp_path / "mmrec.toml"
    path.write_text('[kafka]\nbootstrap = "127.0.0.1:9"\n')
    return str(path)


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that ends with status 1 says."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("command", ["import", "replay"])
def test_nothing_is_sent_and_no_mark_is_left_of_a_file_with_unknown_behaviors(
    command: str, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lines(tmp_path / "h.jsonl", [*STRANGE, *["cart"] * 27])
    for _ in range(2):
        line = said([command, str(path), "--config", config], capsys)
        assert line.startswith("error: 3 of 30 events of h.jsonl have behaviors that are not configured")
        assert line.count("\n") == 1
    assert not list(tmp_path.rglob("imports/*"))


@pytest.mark.parametrize("command", ["import", "replay"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--behavior", "view"], "'view' is no NAME=BEHAVIOR"),
        (["--behavior", "=browse"], "'=browse' is no NAME=BEHAVIOR"),
        (["--behavior", "view=look"], "'look' is not configured; give one of browse, favorite, cart, purchase"),
        (["--behavior", "view=browse", "--behavior", "view=cart"], "both view=browse and view=cart"),
        (["--time-unit", "minutes"], "time unit 'minutes'; give one of s, ms, us, ns"),
        (["--time-zone", "Berlin"], "time zone 'Berlin' is not known"),
        (["--time-unit", "ms"], "time unit and time zone are for columns"),
    ],
)
def test_options_that_say_nothing_of_a_file_are_refused(
    command: str, options: list[str], words: str, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lines(tmp_path / "h.jsonl", ["view"])
    assert words in said([command, str(path), "--config", config, *options], capsys)


def test_a_data_set_takes_no_options_of_files(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "movielens is a data set" in said(["import", "movielens", "--skip-unknown", "--config", config], capsys)
