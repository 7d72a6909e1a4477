"""Alerts and dashboards of deploy/ speak of metrics that there are, and each alert says what to do."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmrec.cli.main import app
from mmrec.telemetry.metric_names import METRICS, MetricKind
from tests.manifests import DEPLOY, of_kind, rendered

BY_NAME = {metric.name: metric for metric in METRICS}
SCRAPED_LABELS = {"pod", "namespace", "app_kubernetes_io_component"}
"""Added by whoever scrapes."""
SUFFIXES = {"_bucket": {"le"}, "_sum": set[str](), "_count": set[str]()}
RUNBOOKS = (DEPLOY / "RUNBOOKS.md").read_text(encoding="utf-8")
SELECTOR = re.compile(r"\b(mmrec_\w+)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")


def _rules() -> list[dict[str, Any]]:
    groups = [g for m in of_kind("production", "PrometheusRule").values() for g in m["spec"]["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def _alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in _rules() if "alert" in rule}


def _panels() -> Iterator[tuple[str, str]]:
    """(expression, legend) of every dashboard."""
    for path in sorted((DEPLOY / "components" / "grafana").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            yield from ((target["expr"], target["legendFormat"]) for target in panel["targets"])


def _problems(expression: str) -> list[str]:
    """Metrics and labels of an expression that mmrec does not have."""
    found, labels = [], set(SCRAPED_LABELS)
    for name, matchers in SELECTOR.findall(expression):
        series, own = _series(name)
        if series is None:
            found.append(name)
            continue
        labels |= {*series.labels, *own}
        used = dict(re.findall(r'(\w+)\s*[=!]~?\s*"([^"]*)"', matchers))
        found += [f"{name}{{{label}}}" for label in used if label not in {*series.labels, *own, *SCRAPED_LABELS}]
        if "le" in used and float(used["le"]) not in series.buckets:
            found.append(f"{name} has no bucket {used['le']}")
    grouped = {label.strip() for text in GROUPED.findall(expression) for label in text.split(",") if label.strip()}
    return found + [f"by ({label})" for label in sorted(grouped - labels)]


def _series(name: str) -> tuple[Any, set[str]]:
    """The metric that a series belongs to and the labels that its kind adds; None where there is none."""
    if name in BY_NAME and BY_NAME[name].kind is not MetricKind.HISTOGRAM:
        return BY_NAME[name], set()
    for suffix, own in SUFFIXES.items():
        metric = BY_NAME.get(name.removesuffix(suffix))
        if name.endswith(suffix) and metric is not None and metric.kind is MetricKind.HISTOGRAM:
            return metric, own
    return None, set()


def test_rules_and_dashboards_ask_only_for_metrics_and_labels_that_there_are() -> None:
    expressions = [rule["expr"] for rule in _rules()] + [expression for expression, _ in _panels()]
    assert len(expressions) > 50
    assert {e: problems for e in expressions if (problems := _problems(e))} == {}


@pytest.mark.parametrize(
    ("expression", "problems"),
    [
        ("rate(mmrec_nothing_total[5m])", ["mmrec_nothing_total"]),
        ("mmrec_request_seconds", ["mmrec_request_seconds"]),
        ('mmrec_requests_total{verdict="OK"}', ["mmrec_requests_total{verdict}"]),
        ("sum by (color) (mmrec_requests_total)", ["by (color)"]),
        ('mmrec_request_seconds_bucket{le="0.7"}', ["mmrec_request_seconds_bucket has no bucket 0.7"]),
    ],
)
def test_the_rule_finds_what_there_is_not(expression: str, problems: list[str]) -> None:
    assert _problems(expression) == problems


def test_legends_show_labels_that_the_expression_keeps() -> None:
    wrong = []
    for expression, legend in _panels():
        kept = {label.strip() for text in GROUPED.findall(expression) for label in text.split(",")}
        wrong += [(expression, label) for label in re.findall(r"\{\{(\w+)\}\}", legend) if label not in kept]
    assert wrong == []


def test_every_recorded_ratio_is_defined_and_used() -> None:
    recorded = [rule["record"] for rule in _rules() if "record" in rule]
    assert len(recorded) == len(set(recorded))
    texts = [rule["expr"] for rule in _rules()] + [expression for expression, _ in _panels()]
    assert {name for text in texts for name in re.findall(r"mmrec:[\w:]+", text)} == set(recorded)


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    alerts = _alerts()
    assert len(alerts) > 15
    part = RUNBOOKS.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    sections = re.findall(r"^### (\w+)$", part, re.MULTILINE)
    assert sorted(sections) == sorted(alerts)
    for name, rule in alerts.items():
        assert rule["annotations"]["runbook_url"] == f"RUNBOOKS.md#{name.lower()}"
        assert rule["labels"]["severity"] in {"page", "ticket"}, name
        assert rule["annotations"]["summary"], name


def test_runbooks_name_commands_that_there_are() -> None:
    groups = {str(group.name) for group in app.registered_groups}
    commands = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback is not None}
    named = set(re.findall(r"`mmrec ([a-z]+)", RUNBOOKS))
    assert len(named) > 5
    assert named <= groups | commands


def test_every_dashboard_is_shipped() -> None:
    files = {path.name for path in (DEPLOY / "components" / "grafana").glob("*.json")}
    boards = of_kind("production", "GrafanaDashboard").values()
    assert {board["spec"]["configMapRef"]["key"] for board in boards} == files
    assert set(of_kind("production", "ConfigMap")["mmrec-dashboards"]["data"]) == files


def test_every_program_with_metrics_is_scraped() -> None:
    (monitor,) = [m for m in rendered("production") if m["kind"] == "PodMonitor" and m["metadata"]["name"] == "mmrec"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["scheme"]) == ("metrics", "https")


@pytest.fixture
def promtool() -> str:
    """Prometheus' own checker, which Debian has in its package prometheus."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not on the PATH")
    return found


def test_rules_are_promql_and_fire_when_they_should(promtool: str, tmp_path: Path) -> None:
    groups = [g for m in of_kind("production", "PrometheusRule").values() for g in m["spec"]["groups"]]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    cases = (Path(__file__).parent / "alerts.yaml").read_text(encoding="utf-8")
    (tmp_path / "alerts.yaml").write_text(cases, encoding="utf-8")
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "alerts.yaml"]):
        done = subprocess.run([promtool, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
