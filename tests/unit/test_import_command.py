"""`mmrec import` shows how it reads a source before it sends anything; a dry run shows everything and sends nothing."""

import json
import os
from pathlib import Path

import pytest

from mmrec.cli.main import main
from tests import fashion_form


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which no stack runs."""
    for name in [name for name in os.environ if name.startswith("MMREC_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("MMREC_HOME", str(folder))
    return folder


def imported(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["import", *map(str, arguments)])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_a_dry_run_of_the_fashion_form_reports_every_planted_fault_and_leaves_nothing_behind(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop").mkdir()
    folder, report = fashion_form.write_fashion_form(tmp_path / "shop"), tmp_path / "report.json"
    status, out, err = imported(capsys, folder, "--dry-run", "--report", report)
    assert status == 0, err
    assert "is read as fashion:\n  styles.csv: CSV, utf-8\n  id -> item_id\n" in out
    assert '{"item_id": "1001", "title": "Brand0 Ipad"' in out
    assert "413 items would be sent; this was a dry run" in out
    document = json.loads(report.read_text())
    counts = {(each["reason"], each["attribute"]): each["count"] for each in document["findings"]}
    assert counts["rejoined_cells", ""] == fashion_form.NUM_OVERFLOWING
    assert counts["missing_file", ""] == fashion_form.NUM_MISSING_FILES
    assert counts["junk_column", ""] == len(fashion_form.JUNK_COLUMNS)
    assert counts["missing_title", ""] == document["num_dropped"] == fashion_form.MISSING["productDisplayName"]
    missing = {name: facts["num_missing"] for name, facts in document["attributes"].items() if facts["num_missing"]}
    assert missing == {name: n for name, n in fashion_form.MISSING.items() if name != "productDisplayName"}
    rare = {each["value"]: each["num_items"] for each in document["attributes"]["articleType"]["rare"]}
    assert rare == fashion_form.RARE["articleType"]
    assert not home.exists()


def test_a_dry_run_predicts_what_the_topic_refuses_with_its_own_rules(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"id,title\n1,Fine\n{'x' * 300},Long id\n3,{'y' * 9_000}\n4,&amp;amp; more\n")
    status, out, err = imported(capsys, path, "--dry-run")
    assert status == 1
    assert "2 of 4 items of items.csv are refused: bad_id 1, too_large 1" in err
    assert "bad_id: the key has 300 bytes; at most 256" in err
    assert '"title": "&amp;amp; more"' in out  # the topic's reader decodes it, once


def test_a_file_that_gives_no_item_is_refused_before_anything_is_sent(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,title\n1,\n2, \n")
    config = tmp_path / "mmrec.toml"
    config.write_text('[kafka]\nbootstrap = "127.0.0.1:9"\n')
    status, _, err = imported(capsys, path, "--config", config)
    assert status == 1
    assert "none of the first 2 rows" in err
    assert "nothing was sent" in err


def test_ratings_become_the_behaviors_that_the_rules_say(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating,timestamp\n1,2,4.5,1260759144\n1,3,2,1260759145\n1,4,,1260759146\n")
    status, _, err = imported(capsys, path, "--dry-run")
    assert status == 1
    assert "--behavior 'rating>=4=like'" in err
    rules = ("--behavior", "rating>=4=favorite", "--behavior", "rating>0=browse")
    status, out, err = imported(capsys, path, "--dry-run", *rules)
    assert status == 0, err
    assert "rating>0 2, rating>=4 1" in out
    assert "no_behavior: 1 (line 4)" in err
    status, _, err = imported(capsys, path, "--dry-run", "--behavior", "rating>=4=like")
    assert status == 1
    assert "'like' is not configured; give one of browse, favorite, cart, purchase" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--column", "title"], "'title' is no FIELD=COLUMN"),
        (["--column", "title=a", "--column", "title=b"], "says both title=a and title=b"),
        (["--column", "title=name"], "has no column 'name' for title; it has id, title"),
        (["--decimal", ";"], "import.decimal is ';'"),
        (["--kind", "users"], "import.kind is 'users'"),
        (["--time-unit", "minutes"], "import.time_unit is 'minutes'"),
        (["--form", "excel"], "no form 'excel'; there are fashion, movielens"),
        (["--form", "fashion"], "is no fashion form"),
        (["--kind", "events"], "no column says user_id"),
        (["--encoding", "klingon"], "encoding 'klingon' is not known"),
        (["--mapping", "none.toml"], "no file none.toml"),
        (["--images", "none"], "no folder or tar none"),
        (["--report", "none/report.json"], "there is no folder none"),
        (["--behavior", "rating>=high=like"], "'high' is no number"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    options: list[str], words: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,title\n1,Fine\n")
    status, _, err = imported(capsys, path, "--dry-run", *options)
    assert status == 1
    assert words in err


def test_a_condition_is_refused_for_a_file_of_behavior_events(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text('{"event_id": "1", "user_id": "u", "item_id": "i", "behavior": "browse"}\n')
    status, _, err = imported(capsys, path, "--dry-run", "--behavior", "rating>=4=favorite")
    assert status == 1
    assert "h.jsonl is a file of behavior events" in err
    status, out, _ = imported(capsys, path, "--dry-run")
    assert status == 0
    assert "1 events of h.jsonl would be sent (browse 1); this was a dry run" in out


def test_a_name_is_looked_up_in_the_folder_of_data_sets(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, err = imported(capsys, "my_shop")
    assert status == 1
    assert "no data set 'my_shop'; there are movielens" in err
    (tmp_path / "my_shop").mkdir()
    (tmp_path / "my_shop" / "items.csv").write_text("id,title\n1,Fine\n")
    monkeypatch.setenv("MMREC_DATA_DIR", str(tmp_path))
    status, out, err = imported(capsys, "my_shop", "--dry-run")
    assert status == 0, err
    assert "1 items would be sent" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--part", "live"], "--part live: this is for data sets by their name alone (movielens"),
        (["--mix", "--kind", "items"], "--mix: this is for data sets"),
        (["--report", "found.json"], "--report found.json: it is about items"),
        (["--report", "found.json", "--kind", "events"], "--report found.json: it is about"),
    ],
)
def test_an_option_that_would_have_no_effect_on_these_files_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    path = tmp_path / "clicks.csv"
    path.write_text("user,item,behavior,timestamp\nu1,i1,view,1260759144\n")
    status, _, err = imported(capsys, path, "--dry-run", *arguments)
    assert status != 0
    assert words in " ".join(err.split())
    events = tmp_path / "events.jsonl"
    events.write_text('{"event_id": "e1", "user_id": "u1", "item_id": "i1", "behavior": "view"}\n')
    status, _, err = imported(capsys, events, "--dry-run", *arguments)
    assert status != 0
    assert words in " ".join(err.split())
