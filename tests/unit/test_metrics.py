"""What processes show to Prometheus is the fixed list, and says what happened."""

import dataclasses
import json
import math
import re
import urllib.request
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from mmrec.cli.main import app
from mmrec.collecting.collect_metrics import CollectorMetrics
from mmrec.collecting.outcome_counts import CollectorFigures, OutcomeCounts
from mmrec.config import MetricsSettings
from mmrec.disk.objects import FolderObjects
from mmrec.errors import ConfigurationError
from mmrec.events.columns import EVENT_SCHEMA, REJECTED_SCHEMA, RESUBMITTED
from mmrec.events.served import SERVED_SCHEMA
from mmrec.features.record_counts import RecordCounts
from mmrec.features.values import StreamProgress
from mmrec.operating.observed import observe
from mmrec.operating.readings import parse_metrics, read_metrics
from mmrec.scoring.source import Source
from mmrec.scoring.verdicts import Verdict
from mmrec.serving.request_metrics import RequestMetrics
from mmrec.stores.log.size import log_size
from mmrec.stream.metrics import WHOLE, StreamMetrics
from mmrec.stream.rows import StreamBatch
from mmrec.telemetry.metric_names import METRICS, PROCESSES, MetricKind, MetricName
from mmrec.telemetry.metrics import MAX_SERIES, OTHER, Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.v1.collector_pb2 import EventOutcome, EventStatus
from services.stack.ports import any_free

NOW_S = 1_767_225_600.0
SOURCE = Source(cluster_id="c", topic_id="t", partition=1)


def readings(metrics: Metrics):
    return parse_metrics(metrics.exposition().decode())


def stream_batch(**columns: list) -> StreamBatch:
    count = len(next(iter(columns.values())))
    zeros = {"string": "", "bool": False}
    known = {
        field.name: pa.array(columns.get(field.name, [zeros.get(str(field.type), 0)] * count), field.type)
        for field in EVENT_SCHEMA
    }
    known["cluster_id"], known["topic_id"] = pa.array(["c"] * count), pa.array(["t"] * count)
    known["partition"] = pa.array([1] * count, pa.int32())
    places = pa.schema([EVENT_SCHEMA.field(n) for n in ("cluster_id", "topic_id", "partition", "offset")])
    return StreamBatch(
        events=pa.table(known, schema=EVENT_SCHEMA),
        rejected=REJECTED_SCHEMA.empty_table(),
        served=SERVED_SCHEMA.empty_table(),
        malformed_served=places.empty_table(),
        unknown_fields=places.append(pa.field("num_unknown_fields", pa.int64())).empty_table(),
        ends={SOURCE: count},
        newest_ingest_time_s=NOW_S,
    )


def observed_stream() -> Metrics:
    """Four events: fresh, an hour late and sent again, imported, half a second old."""
    metrics = Metrics("score_stream")
    watch = StreamMetrics(metrics, late_s=3_600.0)
    progress = StreamProgress(
        marks={SOURCE: 9},
        counts=RecordCounts(
            verdicts={Verdict.ACCEPTED: 4, Verdict.DUPLICATE: 2},
            rejected={"bad_id": 3},
            served_lists=5,
            malformed_served_lists=1,
        ),
        newest_ingest_time_s=NOW_S,
        log_sequence=7,
    )
    watch.observe(
        stream_batch(
            ingest_time_s=[NOW_S - 0.001, NOW_S - 0.5, NOW_S, NOW_S - 0.5],
            event_time_s=[NOW_S - 0.001, NOW_S - 3_601, NOW_S - 1e6, NOW_S - 0.5],
            imported=[False, False, True, False],
            context=["", json.dumps({RESUBMITTED: "x"}, separators=(",", ":")), "", ""],
        ),
        num_records=4,
        num_profiles=3,
        phases_s={WHOLE: 0.2, "read": 0.05, "write": 0.1, "log": 0.02},
        progress=progress,
        now_s=NOW_S,
    )
    other = Source(cluster_id="c", topic_id="else", partition=0)
    watch.lag({SOURCE: 14, other: 5}, {"t": "behavior-events"}, progress, now_s=NOW_S + 2)
    return metrics


def observed_collector() -> Metrics:
    metrics = Metrics("collector")
    watch = CollectorMetrics(metrics)
    acknowledged = EventStatus(outcome=EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED)
    rejected = EventStatus(outcome=EventOutcome.EVENT_OUTCOME_REJECTED, reason="bad_id")
    watch.answered_many([([acknowledged, acknowledged, rejected], 0.004)])
    watch.figures(
        CollectorFigures(
            in_flight=2,
            events=OutcomeCounts(acknowledged=2),
            items=OutcomeCounts(acknowledged=1, rejected=Counter(bad_price=3)),
            overlay={"overlay_entries": 11, "overlay_dropped": 1},
        )
    )
    return metrics


def observed_recommender() -> Metrics:
    metrics = Metrics("recommender")
    watch = RequestMetrics(metrics)
    watch.answered("RecommendItems", status="OK", seconds=0.01, degraded=["no_neighbors", "no_release"])
    watch.answered("SimilarItems", status="NOT_FOUND", seconds=0.001)
    return metrics


@pytest.mark.parametrize("make", [observed_stream, observed_collector, observed_recommender])
def test_what_a_process_exposes_is_in_the_list_as_it_says(make) -> None:
    metrics = make()
    listed = {m.name: m for m in METRICS if metrics.process in m.processes}
    shown = list(text_string_to_metric_families(metrics.exposition().decode()))
    assert shown
    for family in shown:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert family.type == listed[name].kind.value
        assert family.documentation == listed[name].help
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(listed[name].labels)


def test_the_list_names_every_metric_once_and_only_known_processes() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(metric.name.startswith("mmrec_") and metric.help.endswith(".") for metric in METRICS)
    assert {process for metric in METRICS for process in metric.processes} == set(PROCESSES)
    files = {"certificate_file", "key_file", "client_ca_file", "ca_file"}
    assert {f.name for f in dataclasses.fields(MetricsSettings)} == {*PROCESSES, "late_s"} | files
    with pytest.raises(ValueError, match="_total"):
        MetricName(name="x", kind=MetricKind.COUNTER, help="", processes=frozenset())
    with pytest.raises(ValueError, match="buckets"):
        MetricName(name="x", kind=MetricKind.HISTOGRAM, help="", processes=frozenset(), buckets=(2.0, 1.0))


def test_a_name_or_label_that_is_not_in_the_list_is_an_error() -> None:
    metrics = Metrics("collector")
    for name, labels, says in (
        ("mmrec_events", {}, "collector has no counter mmrec_events;"),
        ("mmrec_events_total", {"verdict": "accepted", "reason": ""}, "collector has no counter mmrec_events_total;"),
        ("mmrec_collector_events_total", {"outcome": "acknowledged"}, "has labels ('outcome', 'reason'), not"),
        ("mmrec_overlay_entries", {}, "collector has no counter mmrec_overlay_entries;"),
    ):
        with pytest.raises(KeyError, match=re.escape(says)):
            metrics.add(name, **labels)


def test_the_stream_tells_verdicts_freshness_lateness_and_lag() -> None:
    found = readings(observed_stream())
    assert found.total("mmrec_events_total", verdict="accepted") == 4
    assert found.total("mmrec_events_total", verdict="rejected", reason="bad_id") == 3
    assert found.by("outcome", "mmrec_served_lists_total") == {"logged": 5, "malformed": 1}
    assert found.total("mmrec_late_events_total") == 1
    assert found.total("mmrec_resubmitted_total") == 1
    assert found.total("mmrec_event_to_servable_seconds_count", path="stream") == 3  # imported history is no news
    assert found.total("mmrec_event_to_servable_seconds_sum") == pytest.approx(1.001)
    assert found.total("mmrec_stream_lag_records", topic="behavior-events", partition="1") == 4
    assert found.total("mmrec_stream_lag_seconds") == pytest.approx(2.0)
    assert found.total("mmrec_store_seconds_sum", operation="write") == pytest.approx(0.1)
    assert found.total("mmrec_log_append_seconds_count") == 1
    assert found.total("mmrec_stream_batch_seconds_sum", phase="decode") == pytest.approx(0.03)


def test_a_partition_that_is_read_to_its_end_has_no_lag() -> None:
    metrics = Metrics("score_stream")
    progress = StreamProgress(marks={SOURCE: 9}, newest_ingest_time_s=NOW_S)
    StreamMetrics(metrics, late_s=1.0).lag({SOURCE: 10}, {"t": "b"}, progress, now_s=NOW_S + 1e6)
    found = readings(metrics)
    assert (found.most("mmrec_stream_lag_seconds"), found.most("mmrec_stream_lag_records")) == (0.0, 0.0)


def test_before_the_first_record_the_age_of_the_next_is_not_made_up() -> None:
    metrics = Metrics("score_stream")
    StreamMetrics(metrics, late_s=1.0).lag({SOURCE: 10}, {"t": "b"}, StreamProgress(), now_s=NOW_S)
    found = readings(metrics)
    assert (found.most("mmrec_stream_lag_seconds"), found.most("mmrec_stream_lag_records")) == (None, 10.0)


def test_a_process_that_began_anew_counts_in_full() -> None:
    before, after = Metrics("recommender"), Metrics("recommender")
    before.add("mmrec_degraded_total", 9, reason="no_release")
    after.add("mmrec_degraded_total", 4, reason="no_release")
    assert readings(after).since(readings(before)).total("mmrec_degraded_total") == 4
    assert readings(before).since(readings(after)).total("mmrec_degraded_total") == 5


def test_the_collector_tells_outcomes_and_how_soon_requests_see_events() -> None:
    found = readings(observed_collector())
    assert found.by("outcome", "mmrec_collector_events_total") == {"acknowledged": 2, "rejected": 1}
    assert found.total("mmrec_collector_ack_seconds_count") == 1
    assert found.total("mmrec_event_to_servable_seconds_count", path="overlay") == 2
    assert found.total("mmrec_overlay_entries") == 11


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=60))
def test_many_observations_at_once_are_the_same_as_one_by_one(values: list[float]) -> None:
    one_by_one, at_once = Metrics("collector"), Metrics("collector")
    for value in values:
        one_by_one.observe("mmrec_collector_ack_seconds", value)
    at_once.observe_many("mmrec_collector_ack_seconds", np.array([*values, math.nan]))
    found, expected = readings(at_once).values, readings(one_by_one).values
    assert found["mmrec_collector_ack_seconds_bucket"] == expected["mmrec_collector_ack_seconds_bucket"]
    ((_, total),) = found["mmrec_collector_ack_seconds_sum"].items()
    assert total == pytest.approx(sum(values))


@given(st.lists(st.floats(1e-3, 4.9), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    metrics = Metrics("collector")
    metrics.observe_many("mmrec_collector_ack_seconds", np.array(values))
    bounds = [0.0, *next(m.buckets for m in METRICS if m.name == "mmrec_collector_ack_seconds")]
    true = sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]
    upper = next(n for n, bound in enumerate(bounds) if true <= bound)
    found = readings(metrics).quantile("mmrec_collector_ack_seconds", share)
    assert found is not None
    assert bounds[upper - 1] <= found <= bounds[upper] + 1e-12
    assert readings(metrics).quantile("mmrec_request_seconds", share) is None


def test_totals_kept_elsewhere_never_fall() -> None:
    metrics = Metrics("score_stream")
    for total in (10, 7, 12, 11):
        metrics.set("mmrec_identified_total", total)
    assert readings(metrics).total("mmrec_identified_total") == 12


def test_label_values_are_bounded() -> None:
    metrics = Metrics("recommender")
    for number in range(MAX_SERIES + 50):
        metrics.add("mmrec_degraded_total", reason=f"r{number}" * 40)
    found = readings(metrics).by("reason", "mmrec_degraded_total")
    assert len(found) == MAX_SERIES + 1
    assert found[OTHER] == 50
    assert max(map(len, found)) <= 64


def test_an_endpoint_answers_until_it_is_closed_and_waits_for_a_taken_port() -> None:
    (port,) = any_free(1)
    settings = MetricsSettings(collector=f"127.0.0.1:{port}")
    assert read_metrics(settings.collector) is None
    first, second = (serve_metrics(observed_collector(), settings) for _ in range(2))
    try:
        found = wait_for_readings(settings.collector)
        assert found.total("mmrec_overlay_entries") == 11
        with urllib.request.urlopen(f"http://{settings.collector}/metrics", timeout=5) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")
    finally:
        first.close()
        second.close()
    assert read_metrics(settings.collector) is None
    serve_metrics(observed_collector(), MetricsSettings()).close()


def wait_for_readings(address: str):
    for _ in range(200):
        if (found := read_metrics(address)) is not None:
            return found
    raise AssertionError(f"nobody answers at {address}")


def test_status_shows_rates_over_the_interval_and_quantiles() -> None:
    collector_port, recommender_port = any_free(2)
    settings = MetricsSettings(collector=f"127.0.0.1:{collector_port}", recommender=f"127.0.0.1:{recommender_port}")
    assert observe(settings, interval_s=1.0, sleep=pytest.fail).processes == ()
    metrics = observed_collector()
    endpoints = [serve_metrics(metrics, settings), serve_metrics(observed_recommender(), settings)]
    try:
        for address in (settings.collector, settings.recommender):
            wait_for_readings(address)

        def traffic(_: float) -> None:
            metrics.add("mmrec_collector_events_total", 6, outcome="acknowledged", reason="")
            metrics.observe("mmrec_event_to_servable_seconds", 0.25, times=6, path="overlay")

        found = observe(settings, interval_s=2.0, sleep=traffic)
    finally:
        for endpoint in endpoints:
            endpoint.close()
    assert found.processes == ("collector", "recommender")
    assert found.rates == {"collector acknowledged": 3.0}
    assert found.figures["overlay_entries"] == 11
    assert 0.2 <= float(found.figures["freshness_overlay_p50_s"]) <= 0.3
    assert 0.2 <= float(found.figures["freshness_overlay_now_p50_s"]) <= 0.3
    assert 0.005 <= float(found.figures["request_p95_s"]) <= 0.01


def test_the_command_prints_the_whole_list() -> None:
    result = CliRunner().invoke(app, ["metrics", "--json"])
    assert [row["name"] for row in json.loads(result.output)] == [metric.name for metric in METRICS]
    one = json.loads(CliRunner().invoke(app, ["metrics", "--process", "recommender", "--json"]).output)
    assert {row["name"] for row in one} >= {"mmrec_requests_total", "mmrec_degraded_total"}
    assert "mmrec_stream_lag_seconds" in CliRunner().invoke(app, ["metrics"]).output


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"metrics\.collector"):
        MetricsSettings(collector="localhost")


def test_the_logs_size_is_that_of_its_tables(tmp_path) -> None:
    for name, count in (("events/a.parquet", 3), ("served/day/b.parquet", 4), ("events/manifest.json", 99)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * count)
    assert log_size(FolderObjects(tmp_path)) == (2, 7)
    assert log_size(FolderObjects(tmp_path / "none")) == (0, 0)
