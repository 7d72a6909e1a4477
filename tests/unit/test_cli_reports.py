"""What commands show of a profile, a list, a record and a machine."""

import io
import json
import os
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mmrec.cli.checks import Health, worst
from mmrec.cli.doctor import check_data, check_packages, check_runtime, diagnose
from mmrec.cli.event_lines import event_line, record_document, rejected_line
from mmrec.cli.list_report import list_document, print_list, session_event
from mmrec.cli.listeners import check_ports
from mmrec.cli.log_lines import brief_line, follow, plain_line, reason_line, tail, timed_line
from mmrec.cli.profile_report import print_profile
from mmrec.cli.programs import run_job
from mmrec.cli.worlds import check_behaviors
from mmrec.config import KafkaSettings, ServingSettings, Settings
from mmrec.errors import ConfigurationError, InvalidRequestError, MachineError
from mmrec.events.producer import TopicRecord
from mmrec.events.rejected import encode_rejected
from mmrec.features.stores import MemoryFeatureStore
from mmrec.home import StackHome
from mmrec.operating.profile_document import profile_document
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import session_batch
from mmrec.scoring.behaviors import media_behaviors, shop_behaviors
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum
from mmrec.scoring.settings import ScoringConfig
from mmrec.v1 import recommender_pb2

NOW_S = 1_767_225_600.0
DAY_S = 86_400.0
SCORING = ScoringConfig(behaviors=shop_behaviors())


def console() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=160), text


@pytest.fixture
def store() -> MemoryFeatureStore:
    """One user: three browses and a cart, the newest an hour ago."""
    behaviors = SCORING.behaviors
    events = [
        ("i1", "browse", 3 * DAY_S),
        ("i1", "cart", 2 * DAY_S),
        ("i[2]", "browse", DAY_S),
        ("i3", "browse", 3_600.0),
    ]
    batch = session_batch(
        user_key="u1",
        item_ids=[item for item, _, _ in events],
        behavior_ids=[int(behaviors.ids_B[behaviors.index(name)]) for _, name, _ in events],
        event_times_s=[NOW_S - age_s for _, _, age_s in events],
        event_ids=[f"e{n}" for n in range(len(events))],
        ingest_time_s=NOW_S,
    )
    store = MemoryFeatureStore()
    store.write_profiles(apply({}, batch, config=SCORING).profiles, write_time_s=NOW_S)
    return store


def test_a_profiles_affinities_are_the_plain_sum_read_now(store: MemoryFeatureStore) -> None:
    profile = store.read_profiles(["u1"])["u1"]
    ledger = [
        LedgerEvent(event_id="e0", user_key="u1", item_id="i1", behavior="browse", event_time_s=NOW_S - 3 * DAY_S),
        LedgerEvent(event_id="e1", user_key="u1", item_id="i1", behavior="cart", event_time_s=NOW_S - 2 * DAY_S),
    ]
    later_s = NOW_S + DAY_S
    expected = plain_sum(ledger, behaviors=SCORING.behaviors, decay_per_day=0.05, as_of_s=later_s)[("u1", "i1")]
    document = profile_document("u1", profile, config=SCORING, as_of_s=later_s)
    assert document["items"][0]["item_id"] == "i1"
    assert document["items"][0]["affinity"] == pytest.approx(expected, rel=1e-12)


def test_a_profiles_export_leaves_nothing_out(store: MemoryFeatureStore) -> None:
    profile = store.read_profiles(["u1"])["u1"]
    document = json.loads(json.dumps(profile_document("u1", profile, config=SCORING, as_of_s=NOW_S)))
    assert document["num_events"] == 4
    assert [event["behavior"] for event in document["newest_events"]] == ["browse", "cart", "browse", "browse"]
    assert document["newest_events"][-1]["event_time"] == "2025-12-31T23:00:00Z"
    assert len(document["event_ids_remembered"]) == len(profile.ring_ids_R)
    assert {int(e["hash"], 16) for e in document["event_ids_remembered"]} == set(profile.ring_ids_R.tolist())
    counts = {item["item_id"]: item["counts"] for item in document["items"]}
    assert counts["i[2]"] == [{"browse": 1.0, "favorite": 0.0, "cart": 0.0, "purchase": 0.0}]
    np.testing.assert_allclose(list(document["totals"][0].values()), profile.totals_HB[0])


def test_a_profile_is_shown_best_items_first(store: MemoryFeatureStore) -> None:
    shown, text = console()
    profile = store.read_profiles(["u1"])["u1"]
    print_profile("u1", profile, config=SCORING, as_of_s=NOW_S, num_rows=2, console=shown)
    lines = text.getvalue()
    assert lines.startswith("u1: 4 events on 3 items; newest event 60 min ago")
    assert lines.index("i1") < lines.index("i3")
    assert "and 1 more items" in lines
    print_profile("u1", profile, config=SCORING, as_of_s=NOW_S, num_rows=9, console=shown)
    assert "i[2]" in text.getvalue()


def test_a_list_shows_why_and_how_complete_it_is() -> None:
    answer = recommender_pb2.RecommendItemsResponse(release_id="r1", request_id="q")
    item = answer.items.add(item_id="i[1]", rank=1, ranking_score=0.5, sources=["vectors", "popular"], title="A [b] c")
    item.explanation.text = "You put something like it into your cart."
    answer.state.degraded = True
    answer.state.degraded_reasons.append("no_neighbors")
    shown, text = console()
    print_list(answer, shown)
    for part in ("i[1]", "A [b] c", "0.5000", "vectors, popular", "into your cart.", "degraded: no_neighbors"):
        assert part in text.getvalue()
    assert list_document(answer)["items"][0]["ranking_score"] == 0.5


def test_session_events_part_at_the_last_colon() -> None:
    assert session_event("urn:i:7:cart") == ("urn:i:7", "cart")
    for text in ("i1", ":cart", "i1:"):
        with pytest.raises(InvalidRequestError):
            session_event(text)


def test_an_event_is_one_line_whatever_it_holds() -> None:
    good = json.dumps({"event_id": "e1", "userId": "u1", "item_id": "i1", "behavior": "browse", "imported": True})
    evil = json.dumps({"event_id": "\x1b[2J", "user_id": "a\nb", "item_id": "i1", "behavior": "browse"})
    for value in (good.encode(), evil.encode(), b"\x1b[2J{", b"[]", None):
        line = event_line(TopicRecord(b"u1", value, 1, 42, NOW_S))
        assert line.startswith("00:00:00.000 1:42")
        assert line.isprintable()
    assert "u1 browse i1" in event_line(TopicRecord(b"u1", good.encode(), 1, 42, NOW_S))
    assert record_document(TopicRecord(b"u1", b"{", 1, 42, NOW_S))["value"] == "{"


def test_a_refused_record_is_one_line_with_its_reason() -> None:
    key, value = encode_rejected(
        {
            "reason": "unknown_behavior",
            "detail": "behavior is 'fly'",
            "cluster_id": "c",
            "topic_id": "t",
            "partition": 1,
            "offset": 7,
            "original_key": b"u1",
            "original_value": b'{"behavior":"fly"}\n' + b"x" * 1_000,
            "ingest_time_s": NOW_S,
        }
    )
    line = rejected_line(TopicRecord(key, value, 0, 3, NOW_S))
    assert "unknown_behavior: behavior is 'fly'" in line
    assert "record 1:7" in line
    assert len(line) < 400
    assert line.isprintable()
    assert rejected_line(TopicRecord(b"", b"no json", 0, 3, NOW_S)).endswith("'no json'")


def test_a_log_is_followed_over_half_lines_and_truncation(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"line {n}\n" for n in range(20_000)))
    last, place = tail(path, 3)
    assert last == ["line 19997", "line 19998", "line 19999"]
    steps = iter(["half", " line\nwhole\n", None])

    def grow() -> None:
        step = next(steps)
        if step is None:
            path.write_text("anew\n")
        else:
            with path.open("a") as file:
                file.write(step)

    lines = follow(path, place, stop=lambda: False, wait=grow)
    assert [next(lines) for _ in range(3)] == ["half line", "whole", "anew"]


def test_a_log_line_is_told_briefly_and_its_reason_alone() -> None:
    line = json.dumps({"level": "error", "event": "failed", "error": "NotFoundError: no x", "metrics": {"a": 1}})
    assert plain_line(line) == "error failed error=NotFoundError: no x metrics={'a': 1}"
    assert brief_line(line) == "error failed error=NotFoundError: no x"
    assert reason_line(line) == "NotFoundError: no x"
    for other in ("\x1b[36mplain\x1b[0m words\n", "[1]", "7"):
        assert brief_line(other) == reason_line(other) == timed_line(other)
        assert brief_line(other).isprintable()


def test_a_job_that_fails_has_its_last_words_in_the_error(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(MachineError, match=r"json.tool ended with status 1: .*Expecting value"):
        (tmp_path / "x").write_text("no json")
        run_job("json.tool", [str(tmp_path / "x")], environment={}, tell=told.append)
    assert told
    (tmp_path / "y").write_text('{"a": 1}')
    found = run_job("json.tool", ["--compact", str(tmp_path / "y")], environment={}, tell=told.append)
    assert found == {"a": 1}


def test_a_deployment_that_does_not_know_the_behaviors_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError, match="watch, like of movielens"):
        check_behaviors(Settings(), media_behaviors().names, dataset="movielens")
    check_behaviors(Settings(), shop_behaviors().names, dataset="storefront")


def test_packages_are_judged_by_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    version = np.__version__
    lock.write_text(f"numpy=={version} \\\n    --hash=sha256:0\nnot-for-here==1 ; sys_platform == 'win32' \\\n")
    assert check_packages(lock).health is Health.OK
    lock.write_text("numpy==0.1 \\\nnever-installed[extra]==3.0 \\\n")
    check = check_packages(lock)
    assert check.health is Health.FAIL
    assert f"numpy {version} (locked 0.1)" in check.found
    assert "never-installed missing" in check.found
    twice = f"numpy==0.1 ; python_version < '3' \\\nnumpy=={version} ; python_version >= '3' \\\n"
    lock.write_text(twice)
    assert check_packages(lock).health is Health.OK
    assert check_packages(tmp_path / "nowhere").health is Health.WARN


def test_java_and_archives_are_judged_by_what_the_stack_found() -> None:
    good = {"java_version": "17.0.9", "num_jars": 50, "missing_jars": [], "machine_error": ""}
    assert [c.health for c in check_runtime(good)] == [Health.OK, Health.OK]
    bad = {**good, "java_version": "", "java_error": "no Java", "missing_jars": ["kafka-1"], "machine_error": "no disk"}
    assert [(c.health, c.found.split(":")[0]) for c in check_runtime(bad)] == [
        (Health.FAIL, "no Java"),
        (Health.FAIL, "1 of 50 missing or damaged"),
        (Health.FAIL, "no disk"),
    ]
    assert worst(check_runtime({"check_error": "it crashed"})) is Health.FAIL


def test_a_taken_port_names_who_holds_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = Settings(
            kafka=KafkaSettings(bootstrap=f"127.0.0.1:{port}"), serving=ServingSettings(recommender="far.away:1")
        )
        checks = {c.name: c for c in check_ports(settings, None)}
    assert checks["port of Kafka"].health is Health.WARN
    assert f"pid {os.getpid()}" in checks["port of Kafka"].found
    assert "port of recommender" not in checks


def test_a_whole_diagnosis_has_a_row_for_everything(tmp_path: Path) -> None:
    checks = diagnose(
        StackHome(folder=tmp_path),
        runtime={"check_error": "not asked"},
        lock=tmp_path / "requirements.lock",
        data_folder=str(tmp_path / "nowhere"),
        now_s=time.time(),
    )
    names = {check.name for check in checks}
    assert {"Python", "packages", "Java", "disk", "memory", "stack", "network", "data sets"} <= names
    assert [check.name for check in checks if check.health is not Health.OK and not check.advice] == []


def test_a_data_folder_is_optional(tmp_path: Path) -> None:
    (tmp_path / "movielens_small_posters").mkdir()
    assert check_data(str(tmp_path)).found.endswith("movielens_small_posters")
    assert check_data(str(tmp_path / "no")).health is Health.WARN
    assert check_data("").health is Health.OK
    assert "MMREC_DATA_DIR is not set" in check_data("").found
