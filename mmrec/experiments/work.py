"""The work of a run, model by model: trials and cells, as many as the time allows.

Each is kept as it is done (tuning.py, cells.py), so that a run that is started again goes on where it ended.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrec.errors import DeadlineError, InvalidRequestError
from mmrec.evaluation.candidates import DrawnCandidates
from mmrec.evaluation.interactions import ItemFeatures
from mmrec.evaluation.task import Task
from mmrec.experiments.budget import Budget
from mmrec.experiments.cells import Cell, cell_done, code_digest
from mmrec.experiments.tuning import FAILURES, Tuning, tuned
from mmrec.zoo.zoo_model import ZooModel

Done = tuple[Tuning, Sequence[Cell]]
"""Trials of a model, and its cells by ascending seed, one at least."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """What every model of a run is given."""

    task: Task
    items: ItemFeatures
    drawn: Sequence[DrawnCandidates]
    num_trials: int
    max_cpu_seconds: float
    num_seeds: int
    out: Path
    key: str
    tell: Callable[[str], None]
    budget: Budget | None

    def done(self, entries: Sequence[ZooModel], notes: list[str]) -> tuple[dict[str, Done], list[str]]:
        """What is there of each model in the end, by name; and names of models that lack a seed or all of it.

        Args:
            notes: Gets a line for what is left out, and for what is not there yet.

        Raises:
            DeadlineError: the budget is over, and nothing is there yet.
            InvalidRequestError: every model failed.
        """
        found: dict[str, Done] = {}
        missing: list[str] = []
        for entry in entries:
            try:
                found[entry.name] = self.of_model(entry)
            except FAILURES as error:
                notes.append(f"{entry.name} is left out: {error}")
                self.tell(notes[-1])
            except DeadlineError:
                missing.append(entry.name)
            else:
                if len(found[entry.name][1]) < self.num_seeds:
                    missing.append(entry.name)
        if missing:
            notes.append(f"not all there yet: {', '.join(missing)}")
            self.tell(f"the budget of time is over; {notes[-1]}")
        if not found and missing:
            raise DeadlineError(f"the budget of time is over, and no model is there yet: let it go on in {self.out}")
        if not found:
            raise InvalidRequestError(f"no model could be judged: {'; '.join(notes)}")
        return found, missing

    def of_model(self, entry: ZooModel) -> Done:
        """Trials and cells of one model: of the seeds that are there, once the budget is over.

        Raises:
            DeadlineError: the budget is over before the first cell is there.
            ValueError, ArithmeticError: none of its trials, or a fit with the best of them, succeeds.
        """
        tuning = tuned(
            entry,
            self.task,
            self.items,
            num_trials=self.num_trials,
            max_cpu_seconds=self.max_cpu_seconds,
            path=self.out / "tuning" / f"{entry.name}.json",
            key=f"{self.key} {code_digest(also=entry.rests_on)}",
            tell=self.tell,
            budget=self.budget,
        )
        cells: list[Cell] = []
        for seed in range(1, self.num_seeds + 1):
            try:
                cells.append(self._cell(entry, tuning, seed))
            except DeadlineError:
                if not cells:
                    raise
                break
        return tuning, cells

    def _cell(self, entry: ZooModel, tuning: Tuning, seed: int) -> Cell:
        return cell_done(
            entry,
            self.task,
            self.items,
            self.drawn,
            parameters=tuning.best["parameters"],
            seed=seed,
            folder=self.out,
            key=self.key,
            tell=self.tell,
            budget=self.budget,
        )
