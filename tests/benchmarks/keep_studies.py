"""Keeps what studies found: a receipt and a page per study and data set.

    mmrec evaluate --study s3_main --out DIR && python -m tests.benchmarks.keep_studies DIR

Writes results/study_<study>_<data>.json, whose samples are the whole report, and the same as Markdown.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmrec.disk.files import replace_file
from mmrec.reports.study_report import study_markdown
from tests.benchmarks.receipt import RESULTS, write_receipt


def figures(report: dict[str, Any]) -> dict[str, float]:
    """Of every variant among the first candidates, by the fit that is told last."""
    fit = report["fits"][-1]
    found = {}
    for name, row in report["rows"].items():
        for metric, value in row["figures"][report["candidates"]][fit].items():
            found[f"{name}.{metric}_{fit}"] = value
    return found


def reports(folder: Path) -> Iterator[dict[str, Any]]:
    """Those of a folder of studies."""
    for path in sorted(folder.glob("*/*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        if "study" in report:
            yield report


def keep(report: dict[str, Any], *, results: Path = RESULTS) -> Path:
    """Write receipt and page."""
    name = f"study_{report['study']}_{report['data']['name']}"
    replace_file(results / f"{name}.md", study_markdown(report).encode())
    return write_receipt(
        name,
        figures(report),
        {"report": report},
        packages=("torch", "numpy", "scipy"),
        output=results / f"{name}.json",
        notes=tuple(report["differs"]),
    )


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.keep_studies", description=__doc__)
    parser.add_argument("folder", type=Path, help="--out of `mmrec evaluate --study`")
    for report in reports(parser.parse_args().folder):
        print(keep(report))


if __name__ == "__main__":
    main()
