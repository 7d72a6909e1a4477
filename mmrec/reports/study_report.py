"""The report of a study as Markdown and one HTML page: figures, printed ones beside them, curves (METHODS M37, M39).

    text = study_markdown(report)
    html = study_page(report)

Both are made of the report alone (mmrec.experiments.study_figures). Figures that a paper prints are never ranked with
ours: what differs is said above the table.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, Final

from mmrec.reports import page
from mmrec.reports.charts import Line, line_chart
from mmrec.reports.evaluation_report import markdown_table
from mmrec.reports.lead import Report, counted, size_of, with_origin

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Title, columns, rows."""
NONE: Final = "–"
FITS: Final = {"train": "train only", "refit": "refit"}
SHORT: Final = {"hr": "HR", "ndcg": "NDCG", "auc": "AUC", "mrr": "MRR", "f1": "F1"}


def study_markdown(report: Report) -> str:
    """The whole report."""
    parts = [f"# {_title(report)}\n\n{_lead(report)}\n"]
    if differs := _differs(report):
        parts.append("What differs from the paper:\n\n" + "\n".join(f"- {each}" for each in differs) + "\n")
    for title, columns, rows in _tables(report):
        parts.append(f"## {title}\n\n{markdown_table(columns, rows)}")
    return "\n".join(parts)


def study_page(report: Report) -> str:
    """One file that opens from disk."""
    sections = [page.section("What differs from the paper", page.table([[each] for each in _differs(report)]))]
    sections += [page.section(curve, *charts) for curve, charts in _charts(report).items()]
    sections += [page.section(title, page.table(rows, columns)) for title, columns, rows in _tables(report)]
    return page.page(_title(report), sections, lead=_lead(report))


def _title(report: Report) -> str:
    return f"{report['study']} on {report['data']['name']}, {report['task']['protocol']}"


def _lead(report: Report) -> str:
    data, task = report["data"], report["task"]
    said = (
        f"{report['about']} {size_of(data)}; "
        f"content: {', '.join(data['modalities']) or 'none'}. Judged on {task['judged']}: "
        f"{', '.join(task['behaviors'])}; {task['targets']:,} targets, {task['positives']:,} right items; counted: "
        f"{counted(task['counted'])}. First candidates: "
        f"{report['candidates']}. Seeds: {', '.join(map(str, task['seeds']))}. Intervals: 95 %, bootstrap over users."
    )
    return with_origin(said, report, task["notes"])


def _differs(report: Report) -> list[str]:
    table = report["published"]
    return [*report["differs"], *([f"{table['source']} prints: {table['what']}."] if table else [])]


def _tables(report: Report) -> list[Table]:
    found = [_figures(report, fit) for fit in report["fits"]]
    found += [_against(report), _alone(report), _candidates(report), _lists(report), _parts(report), _models(report)]
    return [table for table in found if table[2]]


def _figures(report: Report, fit: str) -> Table:
    """Every variant, printed figures beside those that the paper has."""
    printed = report["published"] or {"metrics": [], "rows": {}, "source": ""}
    rows = []
    for row in report["rows"].values():
        of_fit = row["figures"][report["candidates"]][fit]
        cells = [_with_interval(of_fit[name], row["intervals"][fit][name]) for name in report["metrics"]]
        beside = printed["rows"].get(row["printed"])
        cells += [f"{value:.3f}" for value in beside] if beside else [NONE] * len(printed["metrics"])
        rows.append([row["label"], *cells])
    columns = [_metric(name) for name in report["metrics"]]
    columns += [f"{printed['source']} prints {_metric(name)}" for name in printed["metrics"]]
    return f"Among {report['candidates']}, {FITS[fit]}", ["", *columns], rows


def _alone(report: Report) -> Table:
    """What the paper prints and nothing here stands beside."""
    table = report["published"]
    if not table:
        return "", [], []
    shown = {row["printed"] for row in report["rows"].values()}
    rows = [
        [name, *(f"{value:.3f}" for value in figures)] for name, figures in table["rows"].items() if name not in shown
    ]
    return f"{table['source']} prints as well", ["", *map(_metric, table["metrics"])], rows


def _against(report: Report) -> Table:
    reference = report["reference"]
    rows = []
    for name, found in report["differences"].items():
        difference = f"{found['difference']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
        rows.append([report["rows"][name]["label"], _metric(found["metric"]), difference, f"{found['p_holm']:.4f}"])
    title = f"Against {report['rows'][reference]['label'] if reference else ''}, {FITS[report['fits'][-1]]}, by user"
    return title, ["", "metric", "difference", "p (Holm)"], rows


def _candidates(report: Report) -> Table:
    """HR@5 and NDCG@5, or what the study has in their place, among every kind of candidates."""
    metrics, fit = report["metrics"][-2:], report["fits"][-1]
    kinds = sorted({kind for row in report["rows"].values() for kind in row["figures"]})
    rows = []
    for row in report["rows"].values():
        cells = [" / ".join(f"{row['figures'][kind][fit][name]:.3f}" for name in metrics) for kind in kinds]
        rows.append([row["label"], *cells])
    return f"{' / '.join(map(_metric, metrics))} by candidates, {FITS[fit]}", ["", *kinds], rows


def _lists(report: Report) -> Table:
    columns = list(dict.fromkeys(name for row in report["rows"].values() for name in row["lists"]))
    rows = [
        [row["label"], *(f"{row['lists'][name]:.4f}" if name in row["lists"] else NONE for name in columns)]
        for row in report["rows"].values()
    ]
    return "Lists of ten among all items", ["", *(name.replace("_", " ") for name in columns)], rows


def _parts(report: Report) -> Table:
    metrics = report["metrics"][-2:]
    parts = list(dict.fromkeys(part for row in report["rows"].values() for part in row["parts"]))
    rows = [
        [row["label"], *(f"{row['parts'][part][name]:.4f}" for part, name in product(parts, metrics))]
        for row in report["rows"].values()
        if parts
    ]
    return "By part", ["", *(f"{part}, {_metric(name)}" for part, name in product(parts, metrics))], rows


def _models(report: Report) -> Table:
    rows = []
    for row in report["rows"].values():
        tuning = report["tuning"][row["model"]]
        parameters = ", ".join(f"{key} = {value}" for key, value in row["parameters"].items()) or "defaults"
        seconds = " / ".join(f"{value:.1f}" for value in row["fit_seconds"].values())
        rows.append([row["label"], row["model"], parameters, str(tuning["trials"]), seconds])
    return "Variants", ["", "model", "parameters", "trials of the model", "seconds of a fit"], rows


def _charts(report: Report) -> dict[str, list[str]]:
    """By curve: the last metrics, and how lists differ, each over the value that is changed."""
    fit, found = report["fits"][-1], {}
    curves = dict.fromkeys(row["curve"] for row in report["rows"].values() if row["curve"])
    for curve in curves:
        points = [row for row in report["rows"].values() if row["curve"] == curve]
        charts = [
            line_chart(_metric(name), _by_model(points, "figures", report["candidates"], fit, name), x=curve, y="")
            for name in report["metrics"][-2:]
        ]
        kinds = [name for name in points[0]["lists"] if name.startswith(("diversity", "personalization", "coverage"))]
        charts += [
            line_chart(name.replace("_", " "), _by_model(points, "lists", name), x=curve, y="") for name in kinds
        ]
        found[curve] = charts
    return found


def _by_model(points: Sequence[Report], *keys: str) -> list[Line]:
    """One line per model; its value is what the keys lead to."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in points:
        value: Any = row
        for key in keys:
            value = value[key]
        lines.setdefault(row["model"], []).append((row["value"], value))
    return [Line(name=model, points=sorted(line), with_dots=True) for model, line in lines.items()]


def _metric(name: str) -> str:
    word, _, cut = name.partition("_at_")
    return SHORT.get(word, word.replace("_", " ")) + (f"@{cut}" if cut else "")


def _with_interval(value: float, interval: Sequence[float]) -> str:
    return f"{value:.4f} [{interval[0]:.4f}, {interval[1]:.4f}]"
