"""The command line explains itself, and says in one line what is wrong."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmrec.cli.main import app, main
from mmrec.config import Settings, parse_settings
from mmrec.content.matrix import content_matrix
from mmrec.content.store import ContentStore
from mmrec.demo.world import storefront_name
from mmrec.errors import MachineError
from mmrec.home import StackHome
from mmrec.operating.running import read_record, require_stack, running_stack
from mmrec.scoring.behaviors import media_behaviors
from mmrec.state.home_world import keep, meet, world_of

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    *("up", "status", "logs", "down", "doctor", "demo", "simulate"),
    *("replay", "import", "train", "publish", "recommend", "profile"),
)


@dataclass(frozen=True)
class Ended:
    """How a call ended."""

    returncode: int
    stdout: str
    stderr: str


class Caller:
    """Calls the command line in this process, with a home folder of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ended:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = self._capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Caller:
    for name in [name for name in os.environ if name.startswith("MMREC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MMREC_HOME", str(tmp_path))
    return Caller(capsys)


def write_record(home: StackHome, *, pid: int, started_s: float) -> None:
    home.folder.mkdir(parents=True, exist_ok=True)
    program = {"state": "ready", "pid": 17, "restarts": 2, "since_s": started_s, "port": 19092}
    document = {
        "stack_id": "abc",
        "pid": pid,
        "started_s": started_s,
        "environment": {"RAY_ADDRESS": "127.0.0.1:1"},
        "programs": {"kafka": program, "topics": {**program, "state": "done", "pid": None, "port": 0, "restarts": 0}},
    }
    home.record.write_text(json.dumps(document))


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("command", [*COMMANDS, "metrics", "events tail", "events rejected"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Example: " in result.output
    assert f"mmrec {command}" in result.output


def test_the_first_help_names_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert [name for name in (*COMMANDS, "events") if name not in result.output] == []


@pytest.mark.parametrize("command", ["status", "recommend u1", "profile u1", "simulate", "train", "events tail"])
def test_without_a_stack_one_line_says_what_to_do(command: str, call: Caller, tmp_path: Path) -> None:
    result = call(*command.split())
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"error: no stack runs in {tmp_path}; start one with `mmrec up`, or name its folder in MMREC_HOME"
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replay", "nowhere.jsonl"), "no file nowhere.jsonl"),
        (("recommend", "u1", "--session", "i1"), "'i1' is no item:behavior"),
        (("recommend", "u1", "--as-of", "yesterday"), "give RFC 3339"),
        (("status", "--config", "nowhere.toml"), "no configuration at nowhere.toml"),
        (("up", "--dataset", "nothing"), "no data set 'nothing'; there are movielens"),
        (("logs", "nothing"), "no log of 'nothing'"),
        (("publish",), "no trained model in"),
    ],
)
def test_a_wrong_value_is_one_line_and_status_1(arguments: tuple[str, ...], said: str, call: Caller) -> None:
    result = call(*arguments)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line


def called(home: Path, *arguments: str) -> Ended:
    """The command line as a process of its own: `up` and `demo` become the stack's shell."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MMREC_")}
    ended = subprocess.run(
        [sys.executable, "-m", "mmrec.cli.main", *arguments],
        cwd=ROOT,
        env={**variables, "MMREC_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def keeps_films(home: Path) -> None:
    """A home as a demo on films leaves it."""
    films = parse_settings(
        {"behaviors": [{"name": b.name, "behavior_id": b.behavior_id, "weight": b.weight} for b in media_behaviors()]},
        where="films",
        folder=home,
    )
    world = world_of(films, made_s=0.0, dataset="movielens", made_by="demo")
    keep(StackHome(folder=home), world, meet(StackHome(folder=home), world))


def test_a_stack_of_a_shop_is_refused_in_a_home_of_films(tmp_path: Path) -> None:
    keeps_films(tmp_path)
    result = called(tmp_path, "up")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path} keeps the state of movielens, made by `mmrec demo`")
    for way in ("`mmrec up --dataset movielens`", "`mmrec up --fresh`", "`MMREC_HOME=other mmrec up`"):
        assert way in line
    assert not (tmp_path / "mmrec.toml").exists()


def test_a_demo_does_not_empty_a_home_that_somebody_works_in(tmp_path: Path) -> None:
    world = world_of(Settings(), made_s=0.0)
    keep(StackHome(folder=tmp_path), world, meet(StackHome(folder=tmp_path), world))
    result = called(tmp_path, "demo")
    assert result.returncode == 1
    assert "`mmrec demo --dataset storefront --fresh` empties it" in result.stderr
    assert (tmp_path / "world.json").exists()


def test_a_storefront_is_not_sent_into_a_home_of_another(call: Caller, tmp_path: Path) -> None:
    home = StackHome(folder=tmp_path)
    write_record(home, pid=os.getpid(), started_s=time.time())
    home.config.write_text("")
    world = world_of(Settings(), made_s=0.0, dataset=storefront_name(seed=8, num_items=1_000))
    keep(home, world, meet(home, world))
    result = call("simulate")
    assert result.returncode == 1
    assert "storefront (seed 7, 1000 items) is another one, and nothing was sent. `--mix`" in result.stderr


def test_a_wrong_call_is_status_2() -> None:
    for arguments in (("recommend",), ("publish", "--list", "--rollback"), ("recommend", "u1", "-n", "0"), ("fly",)):
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == 2, arguments


def test_a_stack_that_was_killed_is_told_from_one_that_never_ran(tmp_path: Path) -> None:
    home = StackHome(folder=tmp_path)
    write_record(home, pid=ended_pid(), started_s=time.time())
    assert running_stack(home) is None
    with pytest.raises(MachineError, match="was killed; `mmrec down` clears what is left"):
        require_stack(home)


def test_another_process_under_the_same_id_is_no_stack(tmp_path: Path) -> None:
    home = StackHome(folder=tmp_path)
    write_record(home, pid=os.getpid(), started_s=time.time() - 10 * 86_400)
    assert running_stack(home) is None


def test_a_record_that_cannot_be_read_is_no_stack(tmp_path: Path) -> None:
    home = StackHome(folder=tmp_path)
    for text in ("", "[]", '{"pid": 1}', '{"stack_id": "x", "pid": "y", "started_s": 0}'):
        home.record.write_text(text)
        assert read_record(home) is None


def test_status_shows_programs_counts_and_reasons(call: Caller, tmp_path: Path) -> None:
    home, now_s = StackHome(folder=tmp_path), time.time()
    write_record(home, pid=os.getpid(), started_s=now_s)
    home.config.write_text("")
    home.status.mkdir()
    counts = {"accepted": 1234, "duplicate": 5, "rejected.malformed_json": 2, "rejected.unknown_behavior": 1}
    for name, figures in {
        "score_stream": {
            "counts": {**counts, "served_lists": 9},
            "records_behind": 3,
            "newest_ingest_time_s": now_s - 4,
        },
        "build_neighbors": {"sequence": 12, "neighbors_sequence": 11},
        "recommender": {
            "release_id": "r1",
            "num_items": 40,
            "num_items_indexed": 38,
            "updated_s": now_s - 100,
            "num_items_to_come": 1,
            "next_publish_s": 4_070_908_800.0,
        },
        "collector": {"in_flight": 0, "acknowledged": 7, "rejected": 1, "rejected.bad_id": 1, "overlay_entries": 4},
        # As a feed says that has just started again: itself it has done nothing yet.
        "encode_items": {"num_items": 0, "num_catalogue_items": 2, "rejected": {}, "rejected_total": {"bad_price": 4}},
    }.items():
        (home.status / f"{name}.json").write_text(json.dumps({"pid": 1, "updated_s": now_s, "ready": True, **figures}))

    content = ContentStore(tmp_path / "content")
    content.put(content_matrix(["a", "b", "c"], {}, embedding_dims={}, encoders={}))

    result = call("status")
    assert result.returncode == 0, result.stderr
    rows = [" ".join(line.replace("│", " ").split()) for line in result.stdout.splitlines()]
    assert "accepted 1,234" in rows
    assert "rejected 3" in rows
    assert "malformed_json 2" in rows
    assert "serving items indexed 38" in rows
    assert "catalogue items 3" in rows
    assert "bad_price 4" in rows
    assert "catalogue items not published yet 1" in rows
    assert "next publish time 2099-01-01T00:00:00Z" in rows
    assert any(row.startswith("collector, since it started") for row in rows)
    assert any(row.startswith("kafka ready 17 19092 2") for row in rows)
    assert any(row.startswith("topics done 0") for row in rows)
    assert any("recommender has not written its counters" in row for row in rows)

    document = json.loads(call("status", "--json").stdout)
    assert document["events"] == {"accepted": 1234, "duplicate": 5, "rejected": 3}
    assert document["rejected"] == {"malformed_json": 2, "unknown_behavior": 1}
    assert document["catalogue_rejected"] == {"bad_price": 4}
    assert document["figures"]["catalogue_items"] == 3
    assert document["collector"] == {"in_flight": 0, "acknowledged": 7, "rejected": 1, "rejected.bad_id": 1}
    assert document["figures"]["log_sequence"] == 12
    assert document["figures"]["stream_records_behind"] == 3
    assert document["stale"] == ["recommender"]


@pytest.mark.parametrize("item_id", ['tv 5"', "cat\\new", "[/red]", "[bold]x", "ends in \\"])
def test_the_reason_why_a_release_does_not_serve_is_shown_whatever_id_it_names(
    item_id: str, call: Caller, tmp_path: Path
) -> None:
    home, now_s = StackHome(folder=tmp_path), time.time()
    write_record(home, pid=os.getpid(), started_s=now_s)
    home.config.write_text("")
    home.status.mkdir()
    refused = {"ready": False, "release_id": "r1", "unusable_release_id": "r2", "error": f"without '{item_id}'"}
    (home.status / "recommender.json").write_text(json.dumps({"pid": 1, "updated_s": now_s, **refused}))
    rows = [" ".join(line.replace("│", " ").split()) for line in call("status").stdout.splitlines()]
    assert "serving ready False" in rows
    assert "serving refused release id r2" in rows
    assert f"serving error without '{item_id}'" in rows


def test_logs_are_listed_and_shown_without_a_stack(call: Caller, tmp_path: Path) -> None:
    logs = StackHome(folder=tmp_path).logs
    logs.mkdir()
    line = {"time": "2026-01-31T12:00:01.500Z", "level": "error", "logger": "x", "event": "failed", "reason": "no disk"}
    (logs / "kafka.log").write_text("started\n" * 5 + json.dumps(line) + "\n")
    assert call("logs").stdout.split() == ["kafka"]
    shown = call("logs", "kafka", "-n", "2").stdout.splitlines()
    assert shown == ["started", "12:00:01.500 error failed reason=no disk"]
    refused = call("logs", "../secret")
    assert refused.returncode == 1
    assert "there are kafka" in refused.stderr


def test_the_installed_program_ends_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mmrec.cli.main", "profile", "u1"]
    variables = {**os.environ, "MMREC_HOME": str(tmp_path), "MMREC_CONFIG": ""}
    ended = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: no stack runs")
    assert "Traceback" not in ended.stderr
