"""Two runs of one task side by side, from the places they kept: paired by user, nothing is fitted.

found = compare_runs(Path("A"), Path("B"))          B minus A, models of the same name
"""

import json
from pathlib import Path
from typing import Any

from mmrec.errors import InvalidRequestError, NotFoundError, PreconditionError
from mmrec.evaluation.judging import Kind
from mmrec.evaluation.measure import mean_of
from mmrec.evaluation.paired_tests import holm, paired_p
from mmrec.experiments.cells import FITS, Cell, read_cell
from mmrec.experiments.figures import COMPARED, DIGITS, SEED, asked_of, interval_of, values_of
from mmrec.experiments.run import REPORT
from mmrec.experiments.target_file import is_same, read_targets


def compare_runs(one: Path, other: Path) -> dict[str, Any]:
    """Differences of two runs by model, fit and metric; with one model in each these two are compared, whatever their
    names.

    Returns:
        "models": name -> fit -> metric -> both means, the difference `other` minus `one`, its 95 % interval over users
        and p, corrected by Holm for all of them.

    Raises:
        NotFoundError: a folder is none of a run.
        InvalidRequestError: the runs ask different things, or share no model.
        PreconditionError: a folder holds targets of another run than its report.
    """
    (targets, _), (others, _) = found_targets = read_targets(one), read_targets(other)
    reports = [_report(folder) for folder in (one, other)]
    for folder, (_, key), report in zip((one, other), found_targets, reports, strict=True):
        if key != report["task"]["key"]:
            raise PreconditionError(
                f"{folder} holds targets of run {key or 'without a key'} and a report of {report['task']['key']}: it "
                f"was begun for another task and did not end; let `mmrec evaluate --out {folder}` end first"
            )
    if not is_same(targets, others):
        said = " and ".join(f"{r['data']['name']} by {r['task']['protocol']}" for r in reports)
        raise InvalidRequestError(f"{one} and {other} ask different things ({said}); compare runs of one task")
    kinds: list[Kind] = [
        (_candidates(report), "new" if report["task"]["seen"] == "new" else "any") for report in reports
    ]
    if kinds[0] != kinds[1]:
        raise InvalidRequestError(
            f"{one} counts {'.'.join(kinds[0])} and {other} {'.'.join(kinds[1])}; compare alike runs"
        )
    pairs = _pairs(reports[0], reports[1])
    found: dict[str, Any] = {}
    p_values: dict[str, float] = {}
    for name, names in pairs.items():
        cells = [
            _cells(folder, report, each) for folder, report, each in zip((one, other), reports, names, strict=True)
        ]
        for fit in FITS:
            both = [values_of(each, targets, fit, kinds[0], cuts=(10,)) for each in cells]
            for metric in COMPARED:
                difference = both[1][metric] - both[0][metric]
                low, high = interval_of(difference, targets)
                p_values[f"{name} {fit} {metric}"] = paired_p(asked_of(difference), seed=SEED)
                found.setdefault(name, {}).setdefault(fit, {})[metric] = {
                    "one": round(mean_of(both[0][metric]), DIGITS),
                    "other": round(mean_of(both[1][metric]), DIGITS),
                    "difference": round(mean_of(difference), DIGITS),
                    "low": low,
                    "high": high,
                }
    for key, p in holm(p_values).items():
        name, fit, metric = key.rsplit(" ", 2)
        found[name][fit][metric]["p_holm"] = round(p, DIGITS)
    return {"one": str(one), "other": str(other), "candidates": ".".join(kinds[0]), "models": found}


def _report(folder: Path) -> dict[str, Any]:
    path = folder / REPORT
    if not path.is_file():
        raise NotFoundError(f"no {REPORT} in {folder}; let `mmrec evaluate --out {folder}` end first")
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def _candidates(report: dict[str, Any]) -> str:
    return str(report["task"]["candidates"])


def _pairs(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[str, str]]:
    shared = [name for name in one["models"] if name in other["models"]]
    if shared:
        return {name: (name, name) for name in shared}
    if len(one["models"]) == len(other["models"]) == 1:
        pair = (next(iter(one["models"])), next(iter(other["models"])))
        return {f"{pair[1]} against {pair[0]}": pair}
    raise InvalidRequestError(
        f"the runs share no model: {', '.join(one['models'])} and {', '.join(other['models'])}; give runs of the same "
        "models, or of one each"
    )


def _cells(folder: Path, report: dict[str, Any], model: str) -> list[Cell]:
    found = [read_cell(folder / "cells" / model / str(seed), model, seed) for seed in report["models"][model]["seeds"]]
    missing = [seed for seed, cell in zip(report["models"][model]["seeds"], found, strict=True) if cell is None]
    if missing:
        raise NotFoundError(f"{folder} lacks the cells of {model} with seeds {missing}; run it again")
    return [cell for cell in found if cell is not None]
