"""`mmrec evaluate --study`: tables and curves of the papers, rebuilt on data that anybody has."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from mmrec.cli.terminal import out

if TYPE_CHECKING:
    from mmrec.experiments.data_sets import DataSet
    from mmrec.experiments.run import RunOptions

Read = Callable[[str, Mapping[str, str]], "DataSet"]
"""The data set of a name, with encoders by modality; an empty name reads the files that are given."""


def run_studies(
    names: Sequence[str],
    options: "RunOptions",
    data: str | None,
    *,
    read: Read,
    folder: Path,
    tell: Callable[[str], None],
    of: Mapping[str, Any],
) -> None:
    """Run studies, each on the data set that is named, else on those that it is usually run on.

    Args:
        data: Name of a data set; empty for the usual ones, None for the files that are given.
        folder: Gets one folder per data set, with STUDY.json, STUDY.md and STUDY.html.
        of: What reports say of machine, commit and command.

    Raises:
        NotFoundError: there is no such study or data set.
    """
    from mmrec.experiments.protocols import protocol_named
    from mmrec.experiments.run import check_folder
    from mmrec.experiments.studies import study_named
    from mmrec.experiments.study_run import run_study

    check_folder(folder)
    studies = [study_named(name) for name in dict.fromkeys(names)]
    if options.protocol:
        protocol_named(options.protocol)
    usual = list(dict.fromkeys(name for study in studies for name in study.data_sets))
    for name in [""] if data is None else [data] if data else usual:
        found_with: dict[tuple[tuple[str, str], ...], DataSet] = {}
        for study in studies:
            if data == "" and name not in study.data_sets:
                continue
            encoders = tuple(study.encoders.items())
            if encoders not in found_with:
                found_with[encoders] = read(name, study.encoders)
            found = found_with[encoders]
            report = run_study(study, found, options, out=folder, tell=tell, origin=of)
            _write_pages(report, folder / found.name)
            _show(report)
    out.print(f"{folder} has a page per data set and study", highlight=False, soft_wrap=True)


def _write_pages(report: Mapping[str, Any], folder: Path) -> None:
    from mmrec.disk.files import replace_file
    from mmrec.reports.study_report import study_markdown, study_page

    replace_file(folder / f"{report['study']}.md", study_markdown(report).encode())
    replace_file(folder / f"{report['study']}.html", study_page(report).encode())


def _show(report: Mapping[str, Any]) -> None:
    fit, candidates = report["fits"][-1], report["candidates"]
    table = Table("variant", *report["metrics"], title=f"{report['study']} on {report['data']['name']}, {fit}")
    for row in report["rows"].values():
        figures = row["figures"][candidates][fit]
        table.add_row(row["label"], *(f"{figures[name]:.4f}" for name in report["metrics"]))
    out.print(table)
