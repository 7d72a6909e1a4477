"""The report of a study, from places that its cells hold: figures of every variant, printed ones beside them.

Values are per target and paired by user, as of any run (mmrec.experiments.figures).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mmrec.evaluation.candidates import COLD
from mmrec.evaluation.judging import Kind
from mmrec.evaluation.measure import CUTS, mean_of
from mmrec.evaluation.paired_tests import holm, paired_p
from mmrec.experiments.cells import Cell
from mmrec.experiments.data_sets import DataSet
from mmrec.experiments.figures import DIGITS, SEED, asked_of, interval_of, list_figures, values_of
from mmrec.experiments.run import RunOptions
from mmrec.experiments.study import Study, Variant, World
from mmrec.experiments.tuning import CHOSEN_BY, Tuning

Figures = dict[str, Any]


def study_report(
    study: Study,
    found: DataSet,
    world: World,
    options: RunOptions,
    *,
    variants: Sequence[Variant],
    cells: Mapping[str, Sequence[Cell]],
    tunings: Mapping[str, Tuning],
    candidates: str,
    fits: Sequence[str],
    notes: Sequence[str],
    origin: Mapping[str, Any],
) -> Figures:
    """What is told of a study.

    Args:
        cells: Of every seed, by the variant's name.
        tunings: By the model's name.
        candidates: Of the first figures.
    """
    task, primary = world.task, (candidates, world.task.seen)
    rows = {
        variant.name: _row(variant, study, world, cells[variant.name], primary=primary, fits=fits)
        for variant in variants
    }
    return {
        "study": study.name,
        "about": study.about,
        "differs": list(study.differs),
        "metrics": list(study.metrics),
        "candidates": ".".join(primary),
        "fits": list(fits),
        "data": {
            "name": found.name,
            "num_users": found.data.num_users,
            "num_items": found.data.num_items,
            "num_events": len(found.data),
            "behaviors": list(found.data.behavior_names),
            "modalities": sorted(world.items.vectors),
        },
        "task": {
            "protocol": options.protocol,
            "split": task.name,
            "judged": study.judged,
            "counted": task.seen,
            "behaviors": list(found.target_behaviors) or ["any behavior"],
            "targets": len(task.test),
            "positives": len(task.test.items_P),
            "seeds": list(range(1, options.num_seeds + 1)),
            "max_targets": options.max_targets,
            "notes": list(notes),
        },
        **origin,
        "published": _published(study),
        "tuning": {
            name: {
                "trials": len(tuning.tried),
                "parameters": tuning.best["parameters"],
                f"validation_{CHOSEN_BY}": round(tuning.best[CHOSEN_BY], DIGITS),
            }
            for name, tuning in tunings.items()
        },
        "reference": study.reference,
        "differences": _differences(study, world, variants, cells, primary=primary, fit=fits[-1]),
        "rows": rows,
    }


def _row(
    variant: Variant, study: Study, world: World, cells: Sequence[Cell], *, primary: Kind, fits: Sequence[str]
) -> Figures:
    test, cuts = world.task.test, _cuts(study)
    kinds = sorted({kind for _, kind in cells[0].places if kind[0] != COLD and kind[1] == world.task.seen})
    values = {(fit, kind): values_of(cells, test, fit, kind, cuts=cuts) for fit in fits for kind in kinds}
    found: Figures = {
        "label": variant.label or variant.name,
        "model": variant.model,
        "parameters": dict(cells[0].said["parameters"]),
        "fixed": dict(variant.parameters),
        "printed": variant.printed,
        "curve": variant.curve,
        "value": variant.value,
        "figures": {
            ".".join(kind): {fit: {name: _mean(values[fit, kind][name]) for name in study.metrics} for fit in fits}
            for kind in kinds
        },
        "intervals": {
            fit: {name: list(interval_of(values[fit, primary][name], test)) for name in study.metrics} for fit in fits
        },
        "lists": list_figures(cells, world.task, world.items, fit=fits[-1]),
        "fit_seconds": {fit: round(sum(cell.said[fit]["seconds"] for cell in cells) / len(cells), 2) for fit in fits},
    }
    found["parts"] = {
        part: {
            name: _mean(values_of(cells, test, fits[-1], primary, cuts=cuts, kept_P=kept_P)[name])
            for name in study.metrics
        }
        for part, kept_P in study.parts(world).items()
    }
    return found


def _differences(
    study: Study,
    world: World,
    variants: Sequence[Variant],
    cells: Mapping[str, Sequence[Cell]],
    *,
    primary: Kind,
    fit: str,
) -> Figures:
    """Of the last metric, variant minus reference; p corrected for the number of variants (Holm)."""
    if not study.reference:
        return {}
    test, metric, cuts = world.task.test, study.metrics[-1], _cuts(study)
    base_N = values_of(cells[study.reference], test, fit, primary, cuts=cuts)[metric]
    found, p_values = {}, {}
    for variant in variants:
        if variant.name == study.reference:
            continue
        difference_N = values_of(cells[variant.name], test, fit, primary, cuts=cuts)[metric] - base_N
        low, high = interval_of(difference_N, test)
        p_values[variant.name] = paired_p(asked_of(difference_N), seed=SEED)
        found[variant.name] = {"metric": metric, "difference": _mean(difference_N), "low": low, "high": high}
    for name, p in holm(p_values).items():
        found[name]["p_holm"] = round(p, DIGITS)
    return found


def _published(study: Study) -> Figures | None:
    table = study.published
    if table is None:
        return None
    rows = {name: list(figures) for name, figures in table.rows.items()}
    return {"source": table.source, "what": table.what, "metrics": list(table.metrics), "rows": rows}


def _cuts(study: Study) -> tuple[int, ...]:
    """Those of CUTS that its metrics name."""
    return tuple(cut for cut in CUTS if any(name.endswith(f"_at_{cut}") for name in study.metrics)) or CUTS[:1]


def _mean(values_N: Any) -> float:
    return round(mean_of(values_N), DIGITS)
