"""A run: models on one data set by one protocol, from tuning to report.json, resumable cell by cell.

    report = evaluate(read_data_set("amazon_beauty_sequences", data_folder=...), options, out=Path("OUT"))

OUT holds tuning/MODEL.json and cells/MODEL/SEED/ as each is done, then report.json. A run that is started again goes on
where it ended. The report is of the models that are named: to add one, name it beside the others, whose cells are kept.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from mmrec.disk.files import replace_file
from mmrec.errors import InvalidRequestError
from mmrec.evaluation.candidates import CANDIDATES, COLD, FULL, DrawnCandidates, draw_candidates
from mmrec.evaluation.interactions import ItemFeatures
from mmrec.evaluation.judging import popularity_of
from mmrec.evaluation.splits import SplitOptions
from mmrec.evaluation.task import SeenPolicy, Task
from mmrec.experiments.cells import Cell, cell_done, code_digest
from mmrec.experiments.data_sets import DataSet
from mmrec.experiments.figures import comparisons, model_figures
from mmrec.experiments.protocols import Protocol, protocol_named
from mmrec.experiments.target_file import write_targets
from mmrec.experiments.tuning import CHOSEN_BY, FAILURES, Tuning, tuned
from mmrec.wire.declared import AtLeastOne, Count, NotNegativeOrEndless, check
from mmrec.zoo.registry import MODELS, model_named
from mmrec.zoo.zoo_model import ZooModel

REPORT: Final = "report.json"
ALL: Final = "all"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What is compared, and how."""

    protocol: str = "loo_full"
    models: tuple[str, ...] = (ALL,)
    """Names of mmrec.zoo.registry, or "all"."""
    num_seeds: AtLeastOne = 1
    """Fits of each model, with seeds 1, 2, ..."""
    num_trials: AtLeastOne = 8
    """Parameters tried for each model, the defaults among them; models without a search space have one."""
    max_cpu_seconds: NotNegativeOrEndless = math.inf
    """Of the processor, for the trials of one model: the same for each, besides the number of trials."""
    seen: SeenPolicy | Literal[""] = ""
    """Which items count in the first figures; empty takes the data set's, else "any" where most is not new."""
    max_targets: AtLeastOne = 1_000_000
    min_history: Count = 1
    candidate_seed: Count = 0
    """Of drawn candidates: the same for all models and seeds."""

    def __post_init__(self) -> None:
        check(self, "evaluate")

    def entries(self) -> tuple[ZooModel, ...]:
        """The models that are meant; NotFoundError names those that exist, InvalidRequestError where none is named."""
        if not self.models:
            raise InvalidRequestError(f"no model is named; give {ALL}, or some of {', '.join(e.name for e in MODELS)}")
        named = tuple(model_named(name) for name in dict.fromkeys(self.models) if name != ALL)
        return MODELS if ALL in self.models else named

    def check_names(self) -> None:
        """Errors of evaluate() that need no data."""
        protocol_named(self.protocol)
        self.entries()


def evaluate(
    found: DataSet,
    options: RunOptions,
    *,
    out: Path,
    tell: Callable[[str], None] = lambda line: None,
    origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Tune, fit and judge whatever is not there yet, and write report.json.

    Args:
        out: Folder of the run.
        tell: Called with a line per trial and cell.
        origin: What the report says of machine, commit and command.

    Raises:
        InvalidRequestError: the protocol does not exist, or does not suit the data; every model failed, where one
            alone is left out with a note.
        NotFoundError: a model does not exist.
    """
    check_folder(out)
    entries = options.entries()
    protocol, task = task_of(found, options)
    drawn, notes = drawn_candidates(task, (protocol.candidates, *CANDIDATES), seed=options.candidate_seed)
    if not len(task.validation):
        notes.append("there are no validation targets: nothing is chosen, every model has its defaults")
    tell(_told(found, task))
    key = run_key(task, found.items, drawn)
    out.mkdir(parents=True, exist_ok=True)
    write_targets(out, task.test, key=key)
    tunings: dict[str, Tuning] = {}
    by_model: dict[str, Sequence[Cell]] = {}
    (out / "tuning").mkdir(exist_ok=True)
    for entry in entries:
        try:
            tuning, cells = _of_model(entry, task, found.items, drawn, options, out=out, key=key, tell=tell)
        except FAILURES as error:
            notes.append(f"{entry.name} is left out: {error}")
            tell(notes[-1])
        else:
            tunings[entry.name], by_model[entry.name] = tuning, cells
    if not tunings:
        raise InvalidRequestError(f"no model could be judged: {'; '.join(notes)}")
    report = _report(found, task, protocol, options, key=key, notes=notes, origin=origin or {})
    for entry in (each for each in entries if each.name in tunings):
        report["models"][entry.name] = model_figures(
            by_model[entry.name],
            tunings[entry.name],
            task,
            found.items,
            about=entry.about,
            primary=protocol.candidates,
            behavior_names=tuple(found.data.behavior_names),
        )
    if len(tunings) > 1:
        best = max(tunings, key=lambda name: tunings[name].best[CHOSEN_BY])  # by validation: the test chooses nothing
        report["comparison"] = comparisons(by_model, task, reference=best, kind=(protocol.candidates, task.seen))
    replace_file(out / REPORT, (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())
    return report


def _of_model(
    entry: ZooModel,
    task: Task,
    items: ItemFeatures,
    drawn: Sequence[DrawnCandidates],
    options: RunOptions,
    *,
    out: Path,
    key: str,
    tell: Callable[[str], None],
) -> tuple[Tuning, list[Cell]]:
    """Trials and cells of one model; FAILURES where none of its trials, or a fit with the best of them, succeeds."""
    tuning = tuned(
        entry,
        task,
        items,
        num_trials=options.num_trials,
        max_cpu_seconds=options.max_cpu_seconds,
        path=out / "tuning" / f"{entry.name}.json",
        key=f"{key} {code_digest()}",
        tell=tell,
    )
    cells = [
        cell_done(
            entry,
            task,
            items,
            drawn,
            parameters=tuning.best["parameters"],
            seed=seed,
            folder=out,
            key=key,
            tell=tell,
        )
        for seed in range(1, options.num_seeds + 1)
    ]
    return tuning, cells


def check_folder(out: Path) -> None:
    """InvalidRequestError where a run cannot be written to `out`, which need not be there yet."""
    there = next(each for each in (out, *out.parents) if each.exists())
    if not there.is_dir():
        raise InvalidRequestError(f"--out {out}: {there} is a file; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InvalidRequestError(f"--out {out}: {there} may not be written to; name a folder that may")


def task_of(found: DataSet, options: RunOptions) -> tuple[Protocol, Task]:
    """The protocol and its task; errors as evaluate()."""
    protocol = protocol_named(options.protocol)

    def split(seen: SeenPolicy) -> Task:
        return protocol.task(
            found.data,
            SplitOptions(
                target_behaviors=found.target_behaviors,
                weights={name: found.grades.get(name, 1.0) for name in found.data.behavior_names},
                seen=seen,
                min_history=options.min_history,
                max_targets=options.max_targets,
            ),
        )

    if wanted := options.seen or found.seen:
        return protocol, split(wanted)
    task = split("new")
    return protocol, task if task.test.is_new_P.mean() >= 0.5 else split("any")


def run_key(task: Task, items: ItemFeatures, drawn: Sequence[DrawnCandidates]) -> str:
    """Short text that is another one where task, content or candidates differ."""
    digest = blake2b(task.fingerprint().encode(), digest_size=8)
    for each in drawn:
        digest.update(f"{each.name} {each.seen} {each.items_NM.shape} ".encode() + each.items_NM.tobytes())
    for name in sorted(items.vectors):
        digest.update(name.encode() + items.vectors[name].tobytes())
    if items.labels is not None:
        digest.update("\0".join(items.labels.names).encode())
        digest.update(items.labels.offsets.tobytes() + items.labels.codes_A.tobytes())
    return digest.hexdigest()


def drawn_candidates(task: Task, names: Sequence[str], *, seed: int) -> tuple[list[DrawnCandidates], list[str]]:
    """Those of the names that are drawn, each once, and what is said of those that the catalogue is too small for.

    Raises:
        InvalidRequestError: it is too small for the first one.
    """
    popularity_I = popularity_of(task.data.items_E[task.refit_E], task.data.num_items).astype(np.float64)
    drawn, left_out = [], []
    for name in dict.fromkeys(names):
        if name in (FULL, COLD):
            continue
        try:
            drawn.append(draw_candidates(task.test, name, seen=task.seen, popularity_I=popularity_I, seed=seed))
        except InvalidRequestError as error:
            if name == names[0]:
                raise
            left_out.append(f"{name} is left out: {error}")
    return drawn, left_out


def _told(found: DataSet, task: Task) -> str:
    return (
        f"{found.name}: {found.data.num_users:,} users, {found.data.num_items:,} items, {len(found.data):,} events; "
        f"{task.name}: fits see {int(task.fit_E.sum()):,} events, refits {int(task.refit_E.sum()):,}; "
        f"{len(task.validation):,} targets of validation, {len(task.test):,} of test, counted: {task.seen}"
    )


def _report(
    found: DataSet,
    task: Task,
    protocol: Protocol,
    options: RunOptions,
    *,
    key: str,
    notes: Sequence[str],
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "data": {
            "name": found.name,
            "num_users": found.data.num_users,
            "num_items": found.data.num_items,
            "num_events": len(found.data),
            "clock": found.data.clock,
            "behaviors": list(found.data.behavior_names),
            "modalities": sorted(found.items.vectors),
            "num_labels": len(found.items.labels.names) if found.items.labels is not None else 0,
        },
        "task": {
            "protocol": protocol.name,
            "candidates": protocol.candidates,
            "split": task.name,
            "seen": task.seen,
            "judged": list(found.target_behaviors) or ["any behavior"],
            "fit_events": int(task.fit_E.sum()),
            "refit_events": int(task.refit_E.sum()),
            "validation_targets": len(task.validation),
            "test_targets": len(task.test),
            "test_positives": len(task.test.items_P),
            "candidate_seed": options.candidate_seed,
            "key": key,
            "notes": list(notes),
        },
        **origin,
        "models": {},
    }
