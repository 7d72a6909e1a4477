"""report.json of a run of models as Markdown and one HTML page: tables, strata, cost, curves (METHODS M39).

    text = evaluation_markdown(report)
    html = evaluation_page(report)

Both are made of the report alone. Rows are sorted by NDCG@10 of the refit.
"""

from collections.abc import Sequence
from typing import Any, Final

from mmrec.evaluation.candidates import COLD, FULL
from mmrec.evaluation.measure import HEADLINE
from mmrec.reports import page
from mmrec.reports.bar_charts import bar_chart
from mmrec.reports.charts import Line, line_chart
from mmrec.reports.lead import Report, counted, size_of, with_origin

Table = tuple[str, Sequence[str], Sequence[Sequence[Any]]]
"""Title, columns, rows."""
NAMES: Final = {"hr_at_5": "HR@5", "ndcg_at_5": "NDCG@5", "hr_at_10": "HR@10", "ndcg_at_10": "NDCG@10"}
MORE: Final = ("recall_at_10", "precision_at_10", "f1_at_10", "graded_ndcg_at_10", "mrr", "auc")
MAX_CURVES: Final = 6


def evaluation_markdown(report: Report) -> str:
    """The whole report."""
    parts = [f"# {_title(report)}\n\n{_lead(report)}\n"]
    for title, columns, rows in _tables(report):
        parts.append(f"## {title}\n\n{markdown_table(columns, rows)}")
    return "\n".join(parts)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table, ending with a line's end."""
    lines = [markdown_row(columns), f"|{'---|' * len(columns)}", *(markdown_row(row) for row in rows)]
    return "\n".join(lines) + "\n"


def markdown_row(cells: Sequence[Any]) -> str:
    """One row of a table, on one line, whatever its cells hold."""
    texts = (" ".join(_shown(cell).split()).replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(texts)} |"


def evaluation_page(report: Report) -> str:
    """One file that opens from disk."""
    models = report["models"]
    sections = [
        page.section(
            "At a glance",
            bar_chart("NDCG@10, refit", {name: models[name]["ndcg_at_10_refit"] for name in _ranked(report)}),
            bar_chart("Seconds of a fit", {name: models[name]["fit_seconds_refit"] for name in _ranked(report)}),
        )
    ]
    for title, columns, rows in _tables(report):
        sections.append(page.section(title, page.table([[_shown(cell) for cell in row] for row in rows], columns)))
    sections.append(page.section("Activity", *_activity(report), text="By events in the history, refit."))
    if curves := _curves(report):
        sections.append(page.section("Learning curves", *curves, text="As the models say, by step or epoch."))
    sections.append(page.section("Trials", *_trials(report), text="NDCG@10 on validation, best so far."))
    return page.page(_title(report), sections, lead=_lead(report))


def _title(report: Report) -> str:
    return f"{report['data']['name']}, {report['task']['protocol']}"


def _lead(report: Report) -> str:
    data, task = report["data"], report["task"]
    said = (
        f"{size_of(data)}. Judged: "
        f"{', '.join(task['judged'])}; {task['test_targets']:,} targets, {task['test_positives']:,} right items; "
        f"counted: {counted(task['seen'])}. Split {task['split']}: fits see "
        f"{task['fit_events']:,} events, refits {task['refit_events']:,}. Parameters are chosen by NDCG@10 on "
        f"{task['validation_targets']:,} validation targets. Intervals: 95 %, bootstrap over users."
    )
    return with_origin(said, report, task["notes"])


def _ranked(report: Report) -> list[str]:
    models = report["models"]
    return sorted(models, key=lambda name: -models[name]["ndcg_at_10_refit"])


def _tables(report: Report) -> list[Table]:
    found = [_main(report, "Train only", ""), _main(report, "Refit with the validation events", "_refit")]
    if compared := _compared(report):
        found.append(compared)
    return [
        *found,
        _other_metrics(report),
        *_by_candidates(report),
        _lists(report),
        *_regret(report),
        _strata(report),
        *_cold(report),
        _costs(report),
        _parameters(report),
    ]


def _main(report: Report, title: str, suffix: str) -> Table:
    rows = []
    for name in _ranked(report):
        model = report["models"][name]
        cells = [name]
        for metric in HEADLINE:
            low, high = model["intervals"][metric + suffix]
            cells.append(f"{model[metric + suffix]:.4f} [{low:.4f}, {high:.4f}]")
        rows.append([*cells, f"{model['spread_over_seeds']['ndcg_at_10' + suffix]:.4f}", len(model["seeds"])])
    return title, ["model", *(NAMES[metric] for metric in HEADLINE), "NDCG@10 between seeds", "seeds"], rows


def _compared(report: Report) -> Table | None:
    compared = report.get("comparison")
    if not compared:
        return None
    rows = []
    for name in _ranked(report):
        for metric, found in compared["models"].get(name, {}).items():
            interval = f"{found['difference']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
            rows.append([name, NAMES[metric], interval, f"{found['p_holm']:.4f}"])
    title = f"Against {compared['reference']}, best on validation (refit, paired by user)"
    return title, ["model", "metric", "difference", "p (Holm)"], rows


def _other_metrics(report: Report) -> Table:
    task, models = report["task"], report["models"]
    kind = f"{task['candidates']}.{task['seen']}"
    rows = [[name, *(models[name]["metrics"][kind]["refit"][metric] for metric in MORE)] for name in _ranked(report)]
    return f"Other metrics, {kind}, refit", ["model", *MORE], rows


def _by_candidates(report: Report) -> list[Table]:
    """Of all candidates; and of drawn ones once more, where every right item is ranked among them alone."""
    kinds = sorted({kind for model in report["models"].values() for kind in model["metrics"]})
    found = [_of_kinds(report, "HR@5 / NDCG@5 by candidates and policy, refit", kinds, ("hr_at_5", "ndcg_at_5"))]
    if drawn := [kind for kind in kinds if kind.partition(".")[0] not in (FULL, COLD)]:
        title = "HR@5 / NDCG@5 of every right item among drawn candidates alone, refit"
        found.append(_of_kinds(report, title, drawn, ("hr_each_at_5", "ndcg_each_at_5")))
    return found


def _of_kinds(report: Report, title: str, kinds: Sequence[str], metrics: Sequence[str]) -> Table:
    rows = []
    for name in _ranked(report):
        of_kinds = [report["models"][name]["metrics"].get(kind, {}).get("refit", {}) for kind in kinds]
        cells = (
            " / ".join(f"{found[metric]:.3f}" for metric in metrics) if metrics[0] in found else "-"
            for found in of_kinds
        )
        rows.append([name, *cells])
    return title, ["model", *kinds], rows


def _lists(report: Report) -> Table:
    models = report["models"]
    columns = list(dict.fromkeys(name for model in models.values() for name in model["lists"]))
    rows = [[name, *(models[name]["lists"][column] for column in columns)] for name in _ranked(report)]
    return "Lists of ten among all items, refit", ["model", *(each.replace("_", " ") for each in columns)], rows


def _regret(report: Report) -> list[Table]:
    """Where true preferences are known."""
    rows = []
    for name in _ranked(report):
        if found := report["models"][name].get("regret_at_10"):
            cells = [
                f"{each['mean']:.3f} [{each['interval'][0]:.3f}, {each['interval'][1]:.3f}]"
                for each in (found["train"], found["refit"])
            ]
            rows.append([name, *cells, found["refit"]["num_targets"]])
    title = "Regret of lists of ten to the best list: share of its worth that is missed"
    return [(title, ["model", "train only", "refit", "targets"], rows)] if rows else []


def _cold(report: Report) -> list[Table]:
    """What content is worth on items without events."""
    if not (found := report.get("cold")):
        return []
    rows = [
        [found["with_content"], "yes", found["hr_at_10_with_content"]],
        [found["without_content"], "no", found["hr_at_10_without_content"]],
    ]
    ratio = f"{found['ratio']:g} times" if found["ratio"] is not None else "no"
    title = f"HR@10 among cold items with and without content ({ratio} gain; best on validation), refit"
    return [(title, ["model", "reads content", "HR@10"], rows)]


def _strata(report: Report) -> Table:
    models = report["models"]
    names = list(dict.fromkeys(name for model in models.values() for name in model["strata"]))
    ranked = _ranked(report)
    rows = []
    for stratum in names:
        of_models = [models[name]["strata"].get(stratum) for name in ranked]
        num = next(found["num_targets"] for found in of_models if found)
        rows.append([stratum, num, *(f"{found['hr_at_10']:.4f}" if found else "-" for found in of_models)])
    return "HR@10 by stratum, refit", ["stratum", "targets", *ranked], rows


def _costs(report: Report) -> Table:
    columns = ("fit_seconds", "fit_seconds_refit", "fit_cpu_seconds_refit", "memory_mb", "score_ms_per_user")
    models = report["models"]
    rows = [
        [name, *(f"{models[name][column]:,.2f}" for column in columns), f"{models[name]['tuning']['cpu_seconds']:,.1f}"]
        for name in _ranked(report)
    ]
    return "Cost", ["model", *(each.replace("_", " ") for each in columns), "tuning cpu seconds"], rows


def _parameters(report: Report) -> Table:
    rows = []
    for name in _ranked(report):
        model = report["models"][name]
        chosen = ", ".join(f"{key} = {_shown(value)}" for key, value in model["options"].items()) or "none"
        tuning = model["tuning"]
        rows.append([name, model["about"], chosen, tuning["trials"], f"{tuning['validation_ndcg_at_10']:.4f}"])
    return "Models", ["model", "what it is", "options, chosen on validation", "trials", "validation NDCG@10"], rows


def _activity(report: Report) -> list[str]:
    lines = []
    for name in _ranked(report)[:MAX_CURVES]:
        strata = report["models"][name]["strata"]
        points = [
            (float(stratum.split("_")[1]), found["hr_at_10"])
            for stratum, found in sorted(strata.items())
            if stratum.startswith("activity_")
        ]
        lines.append(Line(name=name, points=points, with_dots=True))
    return [line_chart("HR@10 by activity decile", lines, x="decile", y="HR@10")]


def _curves(report: Report) -> list[str]:
    return [
        line_chart(
            name, [Line(name=each, points=points) for each, points in curves.items()], x="step or epoch", y="loss"
        )
        for name in _ranked(report)
        if (curves := dict(list(report["models"][name]["learning_curves"].items())[:MAX_CURVES]))
    ]


def _trials(report: Report) -> list[str]:
    lines = []
    for name in _ranked(report)[:MAX_CURVES]:
        best, points = 0.0, []
        for number, trial in enumerate(report["models"][name]["tuning"]["tried"], start=1):
            best = max(best, trial["ndcg_at_10"])
            points.append((float(number), best))
        if len(points) > 1:
            lines.append(Line(name=name, points=points, with_dots=True))
    return [line_chart("Trials", lines, x="trial", y="NDCG@10")]


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
