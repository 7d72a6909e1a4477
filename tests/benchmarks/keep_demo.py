"""Keeps what runs of the demo found: README's figures are then those of a commit, and the demo says when it drifts.

    make demo DATASET=movielens && python -m tests.benchmarks.keep_demo .mmrec/demo.json

Writes results/demo_<dataset>.json. Runs of the same commit come together, for trainings and machines spread; the first
run of another commit begins anew.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from mmrec.demo.stated import Stated, kept, read_stated
from tests.benchmarks.receipt import RESULTS, commit_now, write_receipt


def figures(stated: Stated) -> dict[str, float]:
    """Means over the runs, and the range of what README shows."""
    low, high = stated.range("hr_at_10")
    means = {name: round(stated.mean(name), 4) for name in stated.runs[0]}
    return {"num_runs": len(stated.runs), **means, "hr_at_10_lowest": round(low, 4), "hr_at_10_highest": round(high, 4)}


def keep(document: dict[str, Any], *, results: Path = RESULTS) -> Path:
    """Add a run to the receipt of its data set."""
    name = f"demo_{document['dataset']}"
    before = read_stated(results / f"{name}.json")
    commit = commit_now()
    runs = list(before.runs) if before is not None and before.commit == commit else []
    stated = Stated(commit=commit, runs=[*runs, kept(document)])
    return write_receipt(
        name,
        figures(stated),
        {"runs": list(stated.runs)},
        packages=("torch", "numpy", "ray"),
        output=results / f"{name}.json",
        notes=(document["split"],),
    )


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.keep_demo", description=__doc__)
    parser.add_argument("demo", type=Path, nargs="+", help="demo.json of a run")
    for path in parser.parse_args().demo:
        print(keep(json.loads(path.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
