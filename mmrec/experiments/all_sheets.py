"""Every sheet and study, cell by cell, as far as the time allows: run again, it goes on where it ended.

    unfinished = run_sheets(SHEETS, read=read, out=Path("build/evaluate"), results=Path("RESULTS"), budget=Budget(60))

    out/SHEET/               cells and report of the run (mmrec.experiments.run)
    results/SHEET.json       what is kept of the report: figures of every model, with commit and machine
    results/SHEET.svg        NDCG@10 of every model, drawn
    results/tables.md        all of them as tables, published figures beside

First every sheet has one seed, then all seeds. A result that is kept is replaced by one of as many fits, and by a
complete one.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mmrec.disk.files import replace_file
from mmrec.errors import DeadlineError, InvalidRequestError, MachineError
from mmrec.experiments.budget import Budget
from mmrec.experiments.data_sets import DataSet
from mmrec.experiments.run import evaluate
from mmrec.experiments.sheets import NUM_SEEDS, Sheet
from mmrec.reports.sheet_tables import sheet_bars, sheet_tables

TABLES: Final = "tables.md"
_OF_MODEL: Final = (
    "about",
    "reads_content",
    "options",
    "seeds",
    "hr_at_5",
    "ndcg_at_5",
    "hr_at_10",
    "ndcg_at_10",
    "hr_at_5_refit",
    "ndcg_at_5_refit",
    "hr_at_10_refit",
    "ndcg_at_10_refit",
    "intervals",
    "spread_over_seeds",
    "fit_seconds",
    "fit_seconds_refit",
    "memory_mb",
    "score_ms_per_user",
    "lists",
    "regret_at_10",
    "strata",
)
_OF_REPORT: Final = ("data", "task", "commit", "command", "machine", "versions", "missing", "comparison", "cold")


def run_sheets(
    sheets: Sequence[Sheet],
    *,
    read: Callable[[str], DataSet],
    out: Path,
    results: Path,
    budget: Budget,
    num_seeds: int = NUM_SEEDS,
    tell: Callable[[str], None] = lambda line: None,
    origin: Mapping[str, Any] | None = None,
) -> list[str]:
    """Do what is not done yet, until the budget is over, and write what there is into `results`.

    Args:
        read: The data set of a name; one that is not on this machine leaves its sheets out.
        num_seeds: Of the second round.
        tell: Called with a line per trial, cell and sheet.
        origin: What results say of machine, commit and command.

    Returns:
        Names of sheets that are not complete.
    """
    unfinished: dict[str, None] = {}
    for seeds in dict.fromkeys((1, num_seeds)):
        for sheet in sheets:
            try:
                budget.check()
                found = read(sheet.data)
                report = evaluate(
                    found,
                    replace(sheet.options, num_seeds=seeds),
                    out=out / sheet.name,
                    tell=tell,
                    origin=origin,
                    budget=budget,
                )
            except (DeadlineError, InvalidRequestError, MachineError) as error:
                unfinished[sheet.name] = None
                tell(f"{sheet.name}: {error}")
                continue
            keep(sheet, report, results)
            if report["missing"] or (seeds < num_seeds):
                unfinished[sheet.name] = None
            else:
                unfinished.pop(sheet.name, None)
    write_tables(sheets, results)
    return list(unfinished)


def keep(sheet: Sheet, report: Mapping[str, Any], results: Path) -> bool:
    """Write SHEET.json, unless what is there says more; whether it was written."""
    path = results / f"{sheet.name}.json"
    kept = {
        "sheet": sheet.name,
        "about": sheet.about,
        **{name: report[name] for name in _OF_REPORT if name in report},
        "models": {
            name: {
                **{each: found[each] for each in _OF_MODEL if each in found},
                "trials": found["tuning"]["trials"],
                "validation_ndcg_at_10": found["tuning"]["validation_ndcg_at_10"],
                "metrics": {kind: by_fit.get("refit", {}) for kind, by_fit in found["metrics"].items()},
            }
            for name, found in report["models"].items()
        },
    }
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if report["missing"] and _num_cells(kept) < _num_cells(before):
            return False
    results.mkdir(parents=True, exist_ok=True)
    replace_file(path, (json.dumps(kept, indent=1, ensure_ascii=False) + "\n").encode())
    return True


def write_tables(sheets: Sequence[Sheet], results: Path) -> None:
    """Write tables.md and drawings of the results that there are; none where there are none."""
    kept = [
        (json.loads(path.read_text(encoding="utf-8")), sheet.published)
        for sheet in sheets
        if (path := results / f"{sheet.name}.json").is_file()
    ]
    for result, _ in kept:
        replace_file(results / f"{result['sheet']}.svg", sheet_bars(result).encode())
    if kept:
        replace_file(results / TABLES, sheet_tables(kept).encode())


def _num_cells(kept: Mapping[str, Any]) -> int:
    return sum(len(found["seeds"]) for found in kept["models"].values())
