"""A study on one data set: tuning, cells and report, resumable cell by cell.

    report = run_study(study_named("s3_main"), read_data_set("s3", ...), RunOptions(protocol=""), out=Path("OUT"))

    OUT/DATA/tuning/MODEL.json     parameters of each model, chosen on validation of the world as it is
    OUT/DATA/cells/VARIANT/SEED/   places, as of any run (mmrec.experiments.cells)
    OUT/DATA/STUDY.json            the report: made of the cells alone

Studies of one data set share its folder: a variant that two of them have is fitted once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mmrec.disk.files import replace_file
from mmrec.errors import InvalidRequestError
from mmrec.evaluation.candidates import DrawnCandidates
from mmrec.evaluation.task import Task
from mmrec.experiments.budget import Budget
from mmrec.experiments.cells import FITS, Cell, cell_done, code_digest
from mmrec.experiments.data_sets import DataSet
from mmrec.experiments.run import RunOptions, check_folder, drawn_candidates, run_key, task_of
from mmrec.experiments.study import Study, Variant, World
from mmrec.experiments.study_figures import study_report
from mmrec.experiments.target_file import is_same
from mmrec.experiments.tuning import Tuning, tuned
from mmrec.zoo.registry import model_named

Tell = Callable[[str], None]
FITS_OF: Final[Mapping[str, Sequence[str]]] = {"test": FITS, "validation": FITS[:1]}
"""What is learned from, by what is judged: a refit has seen what validation asks."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """One study on one data set, before anything is fitted."""

    study: Study
    options: RunOptions
    """With the protocol that counts."""
    candidates: str
    """Of the first figures."""
    world: World
    """As it is; its test is what the study judges."""
    drawn: Sequence[DrawnCandidates]
    variants: tuple[Variant, ...]
    notes: Sequence[str]


def run_study(
    study: Study,
    found: DataSet,
    options: RunOptions,
    *,
    out: Path,
    tell: Tell = lambda line: None,
    origin: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
) -> dict[str, Any]:
    """Tune, fit and judge what is not there yet, and write STUDY.json.

    Args:
        options: A protocol that is empty is the study's own; models are the study's.
        out: Folder of studies; this one's data set has a folder in it.
        origin: What the report says of machine, commit and command.
        budget: When it is over no trial or fit begins.

    Raises:
        DeadlineError: the budget is over before the last cell is there; those that are there are kept.
        InvalidRequestError: the protocol does not suit the data, the data have nothing to vary, or no trial of a model
            succeeds.
    """
    check_folder(out)
    options = replace(options, protocol=options.protocol or study.protocol)
    protocol, task = task_of(found, options)
    asked = asked_of_study(study, World(task=task, items=found.items), options, candidates=protocol.candidates)
    folder = out / found.name
    (folder / "tuning").mkdir(parents=True, exist_ok=True)
    tell(f"{study.name} on {found.name}: {len(asked.variants)} variants, {len(asked.world.task.test):,} targets")
    models = dict.fromkeys(variant.model for variant in asked.variants)
    tunings = {name: _tuned(name, task, found, options, folder=folder, tell=tell, budget=budget) for name in models}
    cells = {
        variant.name: _cells(variant, asked, tunings[variant.model], folder=folder, tell=tell, budget=budget)
        for variant in asked.variants
    }
    report = study_report(
        study,
        found,
        asked.world,
        options,
        variants=asked.variants,
        cells=cells,
        tunings=tunings,
        candidates=asked.candidates,
        fits=FITS_OF[study.judged],
        notes=asked.notes,
        origin=origin or {},
    )
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    replace_file(folder / f"{study.name}.json", text.encode())
    return report


def asked_of_study(study: Study, world: World, options: RunOptions, *, candidates: str) -> Asked:
    """What is to be fitted and judged.

    Args:
        world: As it is, with its validation and test.

    Raises:
        InvalidRequestError: there is no validation to judge by, or no variant.
    """
    if study.judged == "validation":
        if not len(world.task.validation):
            raise InvalidRequestError(f"{study.name} is judged on validation, and this split has no such targets")
        world = replace(world, task=replace(world.task, test=world.task.validation, refit_E=world.task.fit_E))
    drawn, notes = drawn_candidates(world.task, (candidates, *study.candidates), seed=options.candidate_seed)
    variants = tuple(study.variants(world))
    if not variants:
        raise InvalidRequestError(f"{study.name} has nothing to vary on these data; take another data set")
    return Asked(
        study=study,
        options=options,
        candidates=candidates,
        world=world,
        drawn=drawn,
        variants=variants,
        notes=notes,
    )


def _tuned(
    name: str, task: Task, found: DataSet, options: RunOptions, *, folder: Path, tell: Tell, budget: Budget | None
) -> Tuning:
    entry = model_named(name)
    return tuned(
        entry,
        task,
        found.items,
        num_trials=options.num_trials,
        max_cpu_seconds=options.max_cpu_seconds,
        path=folder / "tuning" / f"{name}.json",
        key=f"{run_key(task, found.items, ())} {code_digest(also=entry.rests_on)}",
        tell=tell,
        budget=budget,
    )


def _cells(
    variant: Variant, asked: Asked, tuning: Tuning, *, folder: Path, tell: Tell, budget: Budget | None
) -> list[Cell]:
    altered = variant.alter(asked.world)
    assert is_same(altered.task.test, asked.world.task.test), f"{variant.name} changes what is asked"
    return [
        cell_done(
            replace(model_named(variant.model), name=variant.name),
            altered.task,
            altered.items,
            asked.drawn,
            parameters={**tuning.best["parameters"], **variant.parameters},
            seed=seed,
            folder=folder,
            key=run_key(altered.task, altered.items, asked.drawn),
            tell=tell,
            fits=FITS_OF[asked.study.judged],
            budget=budget,
        )
        for seed in range(1, asked.options.num_seeds + 1)
    ]
