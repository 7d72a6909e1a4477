"""One page from the receipts of the stream: curves, shares, tables; and one small figure for the README.

    python -m tests.benchmarks.page          writes .mmrec/bench-stream.html and tests/benchmarks/results/stream.svg

What no receipt speaks about is left out. The page needs nothing but itself.
"""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmrec.reports.bar_charts import share_bar
from mmrec.reports.charts import Line, line_chart
from mmrec.reports.page import named_values, page, section
from tests.benchmarks.receipt import RESULTS, ROOT

PAGE = ROOT / ".mmrec" / "bench-stream.html"
WINDOW_S = 2.0
"""Throughput is shown as the mean of this long."""
STORES = {"sqlite": "SQLite", "redis": "Redis"}
Receipt = Mapping[str, Any]


def write_page(stream: Path = RESULTS / "stream.json") -> Path:
    """Write page and figure; `stream` is the receipt of bench_stream, the others lie beside it or in results."""
    receipts = {name: _read(stream.parent / f"{name}.json") or _read(RESULTS / f"{name}.json") for name in OTHERS}
    receipts["stream"] = _read(stream)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render(receipts), encoding="utf-8")
    figure = throughput_chart(receipts["stream"])
    if figure and stream == RESULTS / "stream.json":
        (RESULTS / "stream.svg").write_text(figure + "\n", encoding="utf-8")
    return PAGE


OTHERS = ("stream_growth", "chaos_stream", "sensitivity", "pruning")


def render(receipts: Mapping[str, Receipt]) -> str:
    """The page of the receipts that are there (others are empty)."""
    stream, growth = receipts["stream"], receipts["stream_growth"]
    pruning = receipts["pruning"].get("figures", {})
    sections = [
        section(
            "From Kafka to the online store", throughput_chart(stream), *_shares(stream), named_values(_plain(stream))
        ),
        section("Freshness", freshness_chart(stream)),
        section("Growth", *growth_charts(growth), named_values(_plain(growth))),
        section("Kills", named_values(_plain(receipts["chaos_stream"]))),
        section("Sensitivity", *sensitivity_charts(receipts["sensitivity"]), text=SENSITIVITY_TEXT),
        section("Pruning", *(named_values(_rows(found), name) for name, found in pruning.items())),
    ]
    origin = "; ".join(
        f"{name}: {receipt['command']}, commit {receipt['commit']}, {receipt['machine']['cores']} cores"
        for name, receipt in receipts.items()
        if receipt
    )
    notes = [note for receipt in receipts.values() for note in receipt.get("notes", ())]
    closing = f"<h2>Notes</h2>{''.join(f'<p>{html.escape(note)}</p>' for note in notes)}"
    return page("The scoring stream, measured", [*sections, closing], lead=origin)


def throughput_chart(stream: Receipt) -> str:
    """Events per second over the seconds of each store's middle run."""
    lines = []
    for store, name in STORES.items():
        runs = stream.get("samples", {}).get(store, {}).get("runs", [])
        if runs:
            run = sorted(runs, key=lambda r: r["events_per_s"])[len(runs) // 2]
            lines.append(Line(name=name, points=rates(run["records_over_time"])))
    return line_chart(
        "Events per second while a backlog is drained", lines, x="seconds since the first batch", y="events/s"
    )


def rates(seen: Sequence[tuple[float, int]]) -> list[tuple[float, float]]:
    """(middle, rate) of windows of at least WINDOW_S between the instants at which progress was seen."""
    points, start = [], (0.0, 0)
    for when, number in seen:
        if when - start[0] >= WINDOW_S:
            points.append(((when + start[0]) / 2, (number - start[1]) / (when - start[0])))
            start = (when, number)
    return points


def freshness_chart(stream: Receipt) -> str:
    """Share of events that a list shows within so many milliseconds."""
    lines = []
    for way, values in stream.get("samples", {}).get("freshness_ms", {}).items():
        points = [(value, (place + 1) / len(values)) for place, value in enumerate(sorted(values))]
        lines.append(Line(name=f"sent to {'the collector' if way == 'collector' else 'Kafka'}", points=points))
    return line_chart("Events shown by a list within ...", lines, x="milliseconds", y="share of events", log_x=True)


def growth_charts(growth: Receipt) -> list[str]:
    """Throughput and memory over one long run."""
    samples = growth.get("samples", {})
    speed, memory = samples.get("records_over_time", []), samples.get("rss_mb_over_time", [])
    return [
        line_chart("Events per second", [Line(name="", points=rates(speed))], x="seconds", y="events/s"),
        line_chart("Memory: driver, JVM, workers", [Line(name="", points=memory)], x="seconds", y="MiB"),
    ]


SENSITIVITY_TEXT = (
    "Difference of validation NDCG@5 to the default (decay 0.05 per day; 1, 3, 5, 10), one value changed at a time, "
    "with 95 % intervals by users. any item: all items; new: items that are new to the user."
)


def sensitivity_charts(sensitivity: Receipt) -> list[str]:
    """One chart per value that was swept."""
    charts = []
    for name, points in sensitivity.get("samples", {}).get("curves", {}).items():
        lines = [
            Line(
                name=label,
                points=[(p["value"], p[f"{measure}_difference"]["mean"]) for p in points],
                band=[
                    (p["value"], p[f"{measure}_difference"]["low"], p[f"{measure}_difference"]["high"]) for p in points
                ],
                with_dots=True,
            )
            for measure, label in (("ndcg", "any item"), ("new_ndcg", "new"))
        ]
        label = "decay per day" if name == "decay_per_day" else f"weight of {name}"
        charts.append(line_chart(label, lines, x=label, y="NDCG@5 difference", from_zero=False))
    return charts


def _shares(stream: Receipt) -> list[str]:
    bars = []
    for store, name in STORES.items():
        figures = stream.get("figures", {})
        bars.append(share_bar(f"{name}: where the time of a batch goes", figures.get(f"phase_share_{store}", {})))
        bars.append(share_bar(f"{name}: processor time by process", figures.get(f"cpu_share_{store}", {})))
    return bars


def _plain(receipt: Receipt) -> dict[str, Any]:
    """Figures in one level."""
    return _rows(receipt.get("figures", {}))


def _rows(figures: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            found |= {f"{name}: {inner}": v for inner, v in _rows(value).items()}
        else:
            found[name] = value
    return found


def _read(path: Path) -> Receipt:
    if not path.is_file():
        return {}
    receipt: Receipt = json.loads(path.read_text(encoding="utf-8"))
    return receipt


if __name__ == "__main__":
    print(write_page().name, "written")
