"""All models on all sets by all protocols, five seeds: every table of the project, cell by cell.

    python -m tests.benchmarks.evaluate_all --budget-minutes 60        reads $MMREC_DATA_DIR, else ../shared/data
    python -m tests.benchmarks.evaluate_all --sheets beauty_loo --models ease,sasrec --seeds 1

What is done is kept in build/evaluate: run again, it goes on where it ended. Writes SHEET.json and tables.md into the
folder `evaluate` of tests/benchmarks/results.
"""

import argparse
import math
import platform
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

from mmrec.experiments.all_sheets import run_sheets
from mmrec.experiments.budget import Budget
from mmrec.experiments.data_sets import DataSet, read_data_set
from mmrec.experiments.sheets import NUM_SEEDS, SHEETS, sheet_named
from mmrec.wire.declared import AtLeastOne, NotNegativeOrEndless, argument
from tests.benchmarks.receipt import RESULTS, ROOT, commit_now
from tests.public_data import public_data

PACKAGES = ("numpy", "scipy", "torch", "implicit")


def main() -> None:
    """Run what is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget-minutes", type=argument(NotNegativeOrEndless), default=math.inf)
    parser.add_argument("--sheets", default=",".join(sheet.name for sheet in SHEETS), help="names, commas between")
    parser.add_argument("--models", default="all", help="names, commas between")
    parser.add_argument("--seeds", type=argument(AtLeastOne), default=NUM_SEEDS)
    parser.add_argument("--trials", type=argument(AtLeastOne), default=None, help="those of the sheets where absent")
    parser.add_argument("--threads", type=argument(AtLeastOne), default=1, help="of torch")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "evaluate")
    parser.add_argument("--results", type=Path, default=RESULTS / "evaluate")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    changed = {"models": tuple(asked.models.split(",")), **({"num_trials": asked.trials} if asked.trials else {})}
    sheets = [sheet_named(name) for name in asked.sheets.split(",")]
    unfinished = run_sheets(
        [replace(sheet, options=replace(sheet.options, **changed)) for sheet in sheets],
        read=_read,
        out=asked.out,
        results=asked.results,
        budget=Budget(asked.budget_minutes),
        num_seeds=asked.seeds,
        tell=lambda line: print(line, flush=True),
        origin={
            "commit": commit_now(),
            "command": " ".join(
                ["python -m tests.benchmarks.evaluate_all", *(Path(each).name for each in sys.argv[1:])]
            ),
            "machine": f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GB",
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        },
    )
    print(f"not complete: {', '.join(unfinished)}" if unfinished else "complete")


def _read(name: str) -> DataSet:
    return read_data_set(name, data_folder=str(public_data()))


if __name__ == "__main__":
    main()
