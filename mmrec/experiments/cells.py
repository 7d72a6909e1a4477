"""Cells of a run, kept as each is done: one model with one seed, fitted for train only and once more for the refit.

    OUT/cells/MODEL/SEED/places.npz    places of every positive, by fit and candidates: what all figures are made of
    OUT/cells/MODEL/SEED/cell.json     parameters and cost; written last, so a cell with it is complete

A cell counts as done where task, candidates, model, code, parameters and seed are those of the run.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np

import mmrec
from mmrec.disk.files import replace_file, replacing
from mmrec.evaluation.candidates import DrawnCandidates
from mmrec.evaluation.interactions import ItemFeatures
from mmrec.evaluation.judging import Kind, Places, judge, popularity_of
from mmrec.evaluation.model import Learner
from mmrec.evaluation.task import Task
from mmrec.experiments.budget import Budget
from mmrec.experiments.fitting import TimedModel, fitted
from mmrec.zoo.zoo_model import ZooModel

FITS: Final = ("train", "refit")
"""What was learned from: fit_E of the task, or refit_E."""
CODE: Final = (
    "zoo/*.py",
    "models/fusion.py",
    "models/losses.py",
    "models/printed_heads.py",
    "recall/neighbors.py",
    "recall/pull.py",
    "models/towers.py",
    "training/fit_alignment.py",
    "training/stalling.py",
    "scoring/behaviors.py",
    "scoring/decay.py",
    "evaluation/candidates.py",
    "evaluation/catalogue_parts.py",
    "evaluation/content_metrics.py",
    "evaluation/judging.py",
    "evaluation/metrics.py",
)
"""What places are made by: models rest on files of other models, so all of them count for each. What one model rests on
beside them its entry says (ZooModel.rests_on)."""
_PACKAGE: Final = Path(mmrec.__file__).parent


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """One model with one seed."""

    model: str
    seed: int
    said: Mapping[str, Any]
    """Parameters, costs of both fits, learning curve."""
    places: Mapping[tuple[str, Kind], Places]
    """(fit, candidates) -> places."""


def code_digest(package: Path = _PACKAGE, *, also: Sequence[str] = ()) -> str:
    """Digest of the code that models and places rest on: another one where any of its files differs.

    Args:
        also: Patterns beside CODE.
    """
    digest = blake2b(digest_size=8)
    for path in sorted({path for pattern in (*CODE, *also) for path in package.glob(pattern)}):
        digest.update(f"{path.relative_to(package)} {path.stat().st_size} ".encode() + path.read_bytes())
    return digest.hexdigest()


def cell_done(
    entry: ZooModel,
    task: Task,
    items: ItemFeatures,
    drawn: Sequence[DrawnCandidates],
    *,
    parameters: Mapping[str, Any],
    seed: int,
    folder: Path,
    key: str,
    tell: Callable[[str], None],
    fits: Sequence[str] = FITS,
    budget: Budget | None = None,
) -> Cell:
    """The cell, read where it is there, else fitted and judged.

    Args:
        folder: Of the run.
        key: Of task, candidates and items.
        tell: Called with a line when a cell is done.
        fits: What is learned from, some of FITS.
        budget: Asked before a cell that is not there is begun.

    Raises:
        DeadlineError: the budget is over.
    """
    about = [key, entry.name, code_digest(also=entry.rests_on), dict(parameters), seed, list(fits)]
    whole_key = blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=12).hexdigest()
    place = folder / "cells" / entry.name / str(seed)
    kept = read_cell(place, entry.name, seed)
    if kept is not None and kept.said["key"] == whole_key:
        return kept
    if budget is not None:
        budget.check()
    said: dict[str, Any] = {"key": whole_key, "parameters": dict(parameters)}
    places: dict[tuple[str, Kind], Places] = {}
    visible = dict(zip(FITS, (task.fit_E, task.refit_E), strict=True))
    for fit, visible_E in ((name, visible[name]) for name in fits):
        data, model = task.data.take(visible_E), entry.model(parameters)
        cost = fitted(model, data, items, seed=seed)
        timed = TimedModel(model)
        cold_I = popularity_of(data.items_E, data.num_items) == 0
        judged = judge(timed, task.test, drawn, cold_I=cold_I if cold_I.any() else None, seed=seed)
        places |= {(fit, kind): each for kind, each in judged.items()}
        said[fit] = {**asdict(cost), "score_ms_per_user": timed.ms_per_user}
        if isinstance(model, Learner):
            said[fit]["learning_curve"] = [list(point) for point in model.learning_curve]
    place.mkdir(parents=True, exist_ok=True)
    (place / "cell.json").unlink(missing_ok=True)  # of an earlier task: it never stands beside these places
    _write(place / "places.npz", places)
    replace_file(place / "cell.json", (json.dumps(said, indent=1) + "\n").encode())
    took = " and ".join(f"{said[fit]['seconds']:.1f} s" for fit in fits)
    tell(f"{entry.name}, seed {seed}: fitted in {took}")
    return Cell(model=entry.name, seed=seed, said=said, places=places)


def read_cell(place: Path, model: str, seed: int) -> Cell | None:
    """A cell as it was written; None where it is not there as a whole."""
    if not (place / "cell.json").is_file() or not (place / "places.npz").is_file():
        return None
    said = json.loads((place / "cell.json").read_text(encoding="utf-8"))
    places: dict[tuple[str, Kind], Places] = {}
    with np.load(place / "places.npz") as arrays:
        for name in arrays.files:
            fit, candidates, seen, what = name.split(".")
            if what == "positions":
                kind: Kind = (candidates, "new" if seen == "new" else "any")
                others_N = arrays[f"{fit}.{candidates}.{seen}.others"].astype(np.int64)
                lists = f"{fit}.{candidates}.{seen}.lists"
                places[fit, kind] = Places(
                    positions_P=arrays[name].astype(np.int64),
                    num_others_N=others_N,
                    lists_NK=arrays[lists].astype(np.int64) if lists in arrays.files else None,
                )
    return Cell(model=model, seed=seed, said=said, places=places)


def _write(path: Path, places: Mapping[tuple[str, Kind], Places]) -> None:
    arrays: dict[str, Any] = {}
    for (fit, (candidates, seen)), each in places.items():
        arrays[f"{fit}.{candidates}.{seen}.positions"] = each.positions_P.astype(np.int32)
        arrays[f"{fit}.{candidates}.{seen}.others"] = each.num_others_N.astype(np.int32)
        if each.lists_NK is not None:
            arrays[f"{fit}.{candidates}.{seen}.lists"] = each.lists_NK.astype(np.int32)
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)
