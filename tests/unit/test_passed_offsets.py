"""Offsets that hold no record for the stream: passed in its progress, and nothing with them that is still to come."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.planned_ends import planned_ends
from mmrec.config import Settings
from mmrec.operating.readings import parse_metrics
from mmrec.operating.standing import read_standing
from mmrec.scoring.source import Source
from mmrec.stream.metrics import StreamMetrics
from mmrec.telemetry.logs import StatusFile
from mmrec.telemetry.metrics import Metrics
from tests.unit.test_stream import NOW_S, TOPICS, CrashError, Deployment, event

PLACE, SOURCE = ("behavior-events", 0), Source("c", "t", 0)


def test_markers_at_the_end_leave_no_lag() -> None:
    deployment = Deployment()
    deployment.records[PLACE] = [event(1, "ann")]
    stream = deployment.start()
    stream.process(deployment.batch({PLACE: 0}, {PLACE: 1}), write_time_s=NOW_S)
    watch = StreamMetrics(metrics := Metrics("score_stream"), late_s=60)
    for passed, lag in (({}, 2), ({SOURCE: 2}, 0), ({SOURCE: 1}, 0)):
        stream.pass_over(passed, write_time_s=NOW_S)
        watch.lag({SOURCE: 3}, {"t": "behavior-events"}, stream.progress, now_s=NOW_S)
        assert parse_metrics(metrics.exposition().decode()).total("mmrec_stream_lag_records") == lag
    assert deployment.start().progress.marks == {SOURCE: 2}


def test_a_skipped_batch_is_counted_in_the_store_once() -> None:
    deployment = Deployment()
    stream = deployment.start()
    for _ in range(2):
        stream.pass_over({SOURCE: 9}, num_skipped=1, write_time_s=NOW_S)
    assert deployment.start().progress.counts.document() == {"skipped_batches": 1}
    watch = StreamMetrics(metrics := Metrics("score_stream"), late_s=60)
    watch.totals(stream.progress)
    assert parse_metrics(metrics.exposition().decode()).total("mmrec_skipped_batches_total") == 1


def test_what_a_crash_left_in_the_log_counts_when_offsets_are_passed() -> None:
    deployment = Deployment()
    deployment.records[PLACE] = [event(1, "ann"), event(2, "ann")]
    stream = deployment.start()
    deployment.crash_before_profiles = True
    with pytest.raises(CrashError):
        stream.process(deployment.batch({PLACE: 0}, {PLACE: 2}), write_time_s=NOW_S)
    stream = deployment.start()
    stream.process(deployment.batch({PLACE: 0}, {PLACE: 2}), write_time_s=NOW_S)
    stream.pass_over({SOURCE: 5}, write_time_s=NOW_S)
    assert stream.progress.counts.document() == {"accepted": 2}
    assert stream.progress.log_sequence == deployment.log.sequence()
    assert deployment.recovery.num_applied == 2


def test_spark_says_up_to_where_it_planned_a_batch(tmp_path: Path) -> None:
    (tmp_path / "offsets").mkdir()
    ends = {"behavior-events": {"0": 7, "1": 0}, "served-lists": {"0": 3}}
    (tmp_path / "offsets" / "4").write_text("v1\n" + json.dumps({"batchWatermarkMs": 0}) + "\n" + json.dumps(ends))
    found = planned_ends(tmp_path, 4, TOPICS)
    assert found == {SOURCE: 6, replace(SOURCE, partition=1): -1, Source("c", "s", 0): 2}


def test_status_shows_skipped_batches_of_all_processes(tmp_path: Path) -> None:
    settings = Settings()
    settings = replace(settings, stores=replace(settings.stores, status=str(tmp_path)))
    assert "skipped_batches" not in read_standing(settings, now_s=NOW_S).figures
    StatusFile(str(tmp_path), "score_stream").write({"counts": {"accepted": 1, "skipped_batches": 2}}, now_s=NOW_S)
    StatusFile(str(tmp_path), "encode_items").write({"num_skipped_batches": 1}, now_s=NOW_S)
    standing = read_standing(settings, now_s=NOW_S)
    assert standing.figures["skipped_batches"] == 3
    assert standing.events == {"accepted": 1, "rejected": 0}
