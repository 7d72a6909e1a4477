"""Kept results of all sheets as Markdown: figures of every model, published ones below them (METHODS M37).

Made of the results alone (mmrec.experiments.all_sheets). Published figures are not ranked with ours: what differs is
said beside them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mmrec.evaluation.published import Published
from mmrec.reports.bar_charts import bar_chart
from mmrec.reports.evaluation_report import NAMES, markdown_table
from mmrec.reports.lead import counted, size_of

Result = Mapping[str, Any]
NONE: Final = "–"


def sheet_tables(results: Sequence[tuple[Result, Sequence[Published]]]) -> str:
    """One page.

    Args:
        results: Of each sheet, with the figures that papers print.
    """
    parts = [
        "# Compared models\n\nParameters are chosen by NDCG@10 on validation, for every model with as many trials. "
        "Rows are sorted by NDCG@10 of the refit; intervals are 95 %, by a bootstrap over users. "
        "Made by `python -m tests.benchmarks.evaluate_all`.\n"
    ]
    for result, published in results:
        parts.append(f"## {result['sheet']}\n\n{_lead(result)}\n")
        parts.append(markdown_table(_main_columns(result), [_main_row(result, name) for name in _ranked(result)]))
        parts.append(f"![NDCG@10 of each model]({result['sheet']}.svg)\n")
        parts += [_published(each) for each in published]
    return "\n".join(parts)


def sheet_bars(result: Result) -> str:
    """NDCG@10 of every model of a sheet as a drawing, best first; numbers are those of the table."""
    return bar_chart(
        f"{result['data']['name']}, {result['task']['protocol']}: NDCG@10 of the refit",
        {name: result["models"][name]["ndcg_at_10_refit"] for name in _ranked(result)},
    )


def _lead(result: Result) -> str:
    data, task = result["data"], result["task"]
    said = [
        result["about"],
        f"{data['name']}: {size_of(data)}; {task['test_targets']:,} targets; {task['protocol']}, "
        f"{counted(task['seen'])}.",
    ]
    if cold := result.get("cold"):
        said.append(
            f"HR@10 among cold items: {cold['hr_at_10_with_content']:.3f} with content ({cold['with_content']}), "
            f"{cold['hr_at_10_without_content']:.3f} without ({cold['without_content']})."
        )
    if result.get("missing"):
        said.append(f"Not all there yet: {', '.join(result['missing'])}.")
    said += [f"{name.capitalize()} {result[name]}." for name in ("commit", "machine") if result.get(name)]
    return " ".join(said)


def _ranked(result: Result) -> list[str]:
    models = result["models"]
    return sorted(models, key=lambda name: -models[name]["ndcg_at_10_refit"])


def _main_columns(result: Result) -> list[str]:
    regret = ["regret@10"] if _has_regret(result) else []
    names = [f"{name}{fit}" for fit in ("", ", refit") for name in NAMES.values()]
    return ["model", "seeds", "trials", *names, "NDCG@10, refit: interval", *regret, "fit, s"]


def _main_row(result: Result, name: str) -> list[str]:
    found = result["models"][name]
    low, high = found["intervals"]["ndcg_at_10_refit"]
    regret = [f"{found['regret_at_10']['refit']['mean']:.3f}"] if _has_regret(result) else []
    figures = [f"{found[metric + fit]:.4f}" for fit in ("", "_refit") for metric in NAMES]
    counts = [str(len(found["seeds"])), str(found["trials"])]
    return [name, *counts, *figures, f"{low:.4f} to {high:.4f}", *regret, f"{found['fit_seconds_refit']:.1f}"]


def _has_regret(result: Result) -> bool:
    return all("regret_at_10" in found for found in result["models"].values())


def _published(table: Published) -> str:
    rows = [
        [name, *(f"{figures[metric]:.4f}" if metric in figures else NONE for metric in NAMES)]
        for name, figures in ((name, dict(zip(table.metrics, row, strict=True))) for name, row in table.rows.items())
    ]
    return f"Published: {table.source}. {table.what}.\n\n" + markdown_table(["as printed", *NAMES.values()], rows)
