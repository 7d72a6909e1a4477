"""One page from the receipts of the stream: curves, shares, tables; and one small figure for the README.

    python -m tests.benchmarks.page          writes .mmrec/bench-stream.html and tests/benchmarks/results/stream.svg

What no receipt speaks about is left out. The page needs nothing but itself.
"""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.page_charts import Line, line_chart, share_bar
from tests.benchmarks.receipt import RESULTS, ROOT

PAGE = ROOT / ".mmrec" / "bench-stream.html"
WINDOW_S = 2.0
"""Throughput is shown as the mean of this long."""
STORES = {"sqlite": "SQLite", "redis": "Redis"}
Receipt = Mapping[str, Any]
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p { opacity: .85; } .row { display: flex; flex-wrap: wrap; gap: 12px; } svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; } td, th { padding: 3px 16px 3px 0; border-bottom: 1px solid #8884; text-align: left;
font-variant-numeric: tabular-nums; vertical-align: top; } svg text { fill: currentColor; }
"""


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
        _section("From Kafka to the online store", throughput_chart(stream), *_shares(stream), _table(_plain(stream))),
        _section("Freshness", freshness_chart(stream)),
        _section("Growth", *growth_charts(growth), _table(_plain(growth))),
        _section("Kills", _table(_plain(receipts["chaos_stream"]))),
        _section("Sensitivity", *sensitivity_charts(receipts["sensitivity"]), text=SENSITIVITY_TEXT),
        _section("Pruning", *(_table(_rows(found), name) for name, found in pruning.items())),
    ]
    origin = "; ".join(
        f"{name}: {receipt['command']}, commit {receipt['commit']}, {receipt['machine']['cores']} cores"
        for name, receipt in receipts.items()
        if receipt
    )
    notes = [note for receipt in receipts.values() for note in receipt.get("notes", ())]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>mmrec: the scoring stream measured</title>'
        f"<style>{_STYLE}</style><h1>The scoring stream, measured</h1><p>{html.escape(origin)}</p>"
        f"{''.join(sections)}<h2>Notes</h2>{''.join(f'<p>{html.escape(note)}</p>' for note in notes)}</html>\n"
    )


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


def _section(title: str, *parts: str, text: str = "") -> str:
    body = "".join(part for part in parts if part)
    if not body:
        return ""
    return f'<h2>{html.escape(title)}</h2>{f"<p>{html.escape(text)}</p>" if text else ""}<div class="row">{body}</div>'


def _table(rows: Mapping[str, Any], title: str = "") -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td>{html.escape(name.replace('_', ' '))}</td><td>{html.escape(_text(value))}</td></tr>"
        for name, value in rows.items()
    )
    head = f'<tr><th colspan="2">{html.escape(title)}</th></tr>' if title else ""
    return f"<table>{head}{lines}</table>"


def _text(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _read(path: Path) -> Receipt:
    if not path.is_file():
        return {}
    receipt: Receipt = json.loads(path.read_text(encoding="utf-8"))
    return receipt


if __name__ == "__main__":
    print(write_page().name, "written")
