"""Figures of a run from the places that its cells hold: report.json is made of them alone, without a fit.

Values of a metric are per target; with several seeds a target's value is the mean over them. Intervals hold 95 % of
the bootstrap samples over users; comparisons are paired by user and corrected for their number (METHODS M33).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from mmrec.evaluation.candidates import COLD, FULL
from mmrec.evaluation.interactions import FloatArray, ItemFeatures
from mmrec.evaluation.intervals import clustered_interval
from mmrec.evaluation.judging import Kind, popularity_of
from mmrec.evaluation.list_metrics import coverage, diversity, novelty, personalization
from mmrec.evaluation.measure import HEADLINE, mean_of, per_target
from mmrec.evaluation.paired_tests import holm, paired_p
from mmrec.evaluation.regret import ListWorth
from mmrec.evaluation.strata import strata
from mmrec.evaluation.task import Targets, Task
from mmrec.experiments.cells import FITS, Cell
from mmrec.experiments.tuning import CHOSEN_BY, Tuning
from mmrec.zoo.zoo_model import ZooModel

NUM_DRAWS: Final = 1_000
COMPARED: Final = ("hr_at_10", "ndcg_at_10")
SEED: Final = 0
"""Of intervals and tests."""
DIGITS: Final = 5
COLD_STRATUM: Final = "item_cold_among_cold"
LEAST_COLD: Final = 20
"""Cold items that there must be for hits at 10 among them to say anything."""


def values_of(cells: Sequence[Cell], targets: Targets, fit: str, kind: Kind, **options: Any) -> dict[str, FloatArray]:
    """Metric -> value per target, mean over the seeds of one model."""
    of_seeds = [per_target(cell.places[fit, kind], targets, **options) for cell in cells]
    return {name: np.mean([values[name] for values in of_seeds], axis=0) for name in of_seeds[0]}


def model_figures(
    cells: Sequence[Cell],
    tuning: Tuning,
    task: Task,
    items: ItemFeatures,
    *,
    entry: ZooModel,
    primary: str,
    behavior_names: tuple[str, ...],
    worth: ListWorth | None = None,
) -> dict[str, Any]:
    """What a report says of one model.

    Args:
        cells: Of all its seeds.
        primary: Candidates of the first figures.
        worth: What lists are worth, where true preferences are known.
    """
    chosen = dict(cells[0].said["parameters"])
    found: dict[str, Any] = {
        "about": entry.about,
        "reads_content": entry.reads_content,
        "parameters": chosen,
        "options": entry.values(chosen),
    }
    intervals: dict[str, list[float]] = {}
    spread: dict[str, float] = {}
    for fit in FITS:
        suffix = "" if fit == "train" else "_refit"
        values = values_of(cells, task.test, fit, (primary, task.seen), cuts=(5, 10))
        for name in HEADLINE:
            found[name + suffix] = round(mean_of(values[name]), DIGITS)
            low, high = interval_of(values[name], task.test)
            intervals[name + suffix] = [low, high]
            means = [
                mean_of(per_target(cell.places[fit, (primary, task.seen)], task.test, cuts=(5, 10))[name])
                for cell in cells
            ]
            spread[name + suffix] = round(float(np.std(means, ddof=1)), DIGITS) if len(means) > 1 else 0.0
    found |= {"intervals": intervals, "spread_over_seeds": spread, "seeds": [cell.seed for cell in cells]}
    found |= _costs(cells)
    found["tuning"] = _tried(tuning)
    found["metrics"] = {
        ".".join(kind): {
            fit: {
                name: round(mean_of(values), DIGITS) for name, values in values_of(cells, task.test, fit, kind).items()
            }
            | {"num_targets": _num_asked(cells[0], fit, kind, task)}
            for fit in FITS
            if all((fit, kind) in cell.places for cell in cells)
        }
        for kind in sorted({kind for cell in cells for _, kind in cell.places})
    }
    found["lists"] = list_figures(cells, task, items)
    if worth is not None:
        found["regret_at_10"] = {fit: _regret(cells, task, fit, worth) for fit in FITS}
    found["strata"] = _strata(cells, task, primary, behavior_names)
    found["learning_curves"] = {
        f"{fit}, seed {cell.seed}": cell.said[fit]["learning_curve"]
        for cell in cells
        for fit in FITS
        if cell.said[fit].get("learning_curve")
    }
    return found


def _tried(tuning: Tuning) -> dict[str, Any]:
    return {
        "trials": len(tuning.tried),
        "cpu_seconds": round(tuning.cpu_seconds, 2),
        f"validation_{CHOSEN_BY}": round(tuning.best[CHOSEN_BY], DIGITS),
        "tried": [
            {"parameters": trial["parameters"], CHOSEN_BY: round(trial[CHOSEN_BY], DIGITS)}
            | ({"failed": trial["failed"]} if "failed" in trial else {})
            for trial in tuning.tried
        ],
    }


def comparisons(
    by_model: Mapping[str, Sequence[Cell]], task: Task, *, reference: str, kind: Kind, fit: str = "refit"
) -> dict[str, Any]:
    """Every model against one: paired differences with interval, p and Holm's p.

    Args:
        reference: Name of the model the others are compared with.
    """
    base = values_of(by_model[reference], task.test, fit, kind, cuts=(10,))
    found: dict[str, dict[str, Any]] = {}
    for metric in COMPARED:
        differences = {
            name: values_of(cells, task.test, fit, kind, cuts=(10,))[metric] - base[metric]
            for name, cells in by_model.items()
            if name != reference
        }
        corrected = holm({name: paired_p(asked_of(values), seed=SEED) for name, values in differences.items()})
        for name, values in differences.items():
            low, high = interval_of(values, task.test)
            found.setdefault(name, {})[metric] = {
                "difference": round(mean_of(values), DIGITS),
                "low": low,
                "high": high,
                "p_holm": round(corrected[name], DIGITS),
            }
    return {"reference": reference, "fit": fit, "candidates": ".".join(kind), "models": found}


def interval_of(values_N: FloatArray, targets: Targets) -> tuple[float, float]:
    """95 % of the bootstrap samples over users lie between; of targets of which something was asked."""
    asked_N = ~np.isnan(values_N)
    if not asked_N.any():
        return 0.0, 0.0
    users = [str(user) for user in targets.users_N[asked_N].tolist()]
    found = clustered_interval(values_N[asked_N], users, seed=SEED, num_draws=NUM_DRAWS)
    return round(found.low, DIGITS), round(found.high, DIGITS)


def asked_of(values_N: FloatArray) -> FloatArray:
    """Values of the targets of which something was asked."""
    return values_N[~np.isnan(values_N)]


def _num_asked(cell: Cell, fit: str, kind: Kind, task: Task) -> int:
    asked_P = cell.places[fit, kind].positions_P > 0
    return len(np.unique(task.test.targets_P[asked_P]))


def _costs(cells: Sequence[Cell]) -> dict[str, float]:
    def mean(fit: str, what: str) -> float:
        return round(float(np.mean([cell.said[fit][what] for cell in cells])), 3)

    return {
        "fit_seconds": mean("train", "seconds"),
        "fit_seconds_refit": mean("refit", "seconds"),
        "fit_cpu_seconds_refit": mean("refit", "cpu_seconds"),
        "memory_mb": mean("refit", "memory_mb"),
        "score_ms_per_user": mean("refit", "score_ms_per_user"),
    }


def list_figures(cells: Sequence[Cell], task: Task, items: ItemFeatures, *, fit: str = "refit") -> dict[str, float]:
    """Of lists among all items, mean over seeds: coverage, novelty, personalization, diversity by each modality."""
    events_I = popularity_of(task.data.items_E[task.refit_E if fit == "refit" else task.fit_E], task.data.num_items)
    kept = (cell.places[fit, (FULL, task.seen)].lists_NK for cell in cells)
    lists = [each for each in kept if each is not None]
    found = {
        "coverage_at_10": np.mean([coverage(each, num_items=task.data.num_items) for each in lists]),
        "novelty_at_10": np.mean([novelty(each, events_I=events_I) for each in lists]),
        "personalization_at_10": np.mean([personalization(each) for each in lists]),
        **{
            f"diversity_at_10_{name}": np.mean([diversity(each, vectors_ID) for each in lists])
            for name, vectors_ID in items.vectors.items()
        },
    }
    return {name: round(float(value), DIGITS) for name, value in found.items()}


def _regret(cells: Sequence[Cell], task: Task, fit: str, worth: ListWorth) -> dict[str, Any]:
    """Of lists among all items: mean over targets and seeds, with its interval."""
    kept = (cell.places[fit, (FULL, task.seen)].lists_NK for cell in cells)
    values_N = np.mean([worth.regrets(each) for each in kept if each is not None], axis=0)
    low, high = interval_of(values_N, task.test)
    return {
        "mean": round(mean_of(values_N), DIGITS),
        "interval": [low, high],
        "num_targets": len(asked_of(values_N)),
    }


def cold_gain(models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """What content is worth on items without events: the best model that reads it beside the best one that does not.

    Both are the best by validation, so the test chooses nothing.

    Args:
        models: Name -> what model_figures() says.

    Returns:
        Names, HR@10 among cold items of both, and their ratio; None where no cold item was asked for, or where all
        models are of one kind. The ratio is None where the second HR@10 is 0.
    """
    best: dict[bool, str] = {}
    for name, found in models.items():
        kind = bool(found["reads_content"])
        if COLD_STRATUM in found["strata"] and (kind not in best or _chosen_by(found) > _chosen_by(models[best[kind]])):
            best[kind] = name
    if len(best) < 2:
        return None
    with_content, without = (models[best[kind]]["strata"][COLD_STRATUM]["hr_at_10"] for kind in (True, False))
    return {
        "with_content": best[True],
        "without_content": best[False],
        "hr_at_10_with_content": with_content,
        "hr_at_10_without_content": without,
        "ratio": round(with_content / without, 2) if without else None,
    }


def _chosen_by(found: Mapping[str, Any]) -> float:
    return float(found["tuning"][f"validation_{CHOSEN_BY}"])


def _strata(cells: Sequence[Cell], task: Task, primary: str, behavior_names: tuple[str, ...]) -> dict[str, Any]:
    """Of the refit: HR@10 and NDCG@10 by stratum, and of cold items among themselves."""
    seen_E = task.refit_E
    events_I = popularity_of(task.data.items_E[seen_E], task.data.num_items)
    found: dict[str, Any] = {}
    for name, kept_P in strata(task.test, events_I=events_I, behavior_names=behavior_names).items():
        values = values_of(cells, task.test, "refit", (primary, task.seen), cuts=(10,), kept_P=kept_P)
        if num := int((~np.isnan(values["hr_at_10"])).sum()):
            found[name] = {"num_targets": num, **{each: round(mean_of(values[each]), DIGITS) for each in COMPARED}}
    cold: Kind = (COLD, task.seen)
    several = int((events_I == 0).sum()) >= LEAST_COLD
    if primary == FULL and several and all(("refit", cold) in cell.places for cell in cells):
        values = values_of(cells, task.test, "refit", cold, cuts=(10,))
        if num := int((~np.isnan(values["hr_at_10"])).sum()):
            found[COLD_STRATUM] = {
                "num_targets": num,
                **{each: round(mean_of(values[each]), DIGITS) for each in COMPARED},
            }
    return found
