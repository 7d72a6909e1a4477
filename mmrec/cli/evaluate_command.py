"""`mmrec evaluate`: models compared on a data set, without a stack."""

import math
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from mmrec.cli.study_command import Read, run_studies
from mmrec.cli.terminal import err, out
from mmrec.errors import InvalidRequestError
from mmrec.home import data_folder

if TYPE_CHECKING:
    from mmrec.experiments.data_sets import DataSet
    from mmrec.experiments.run import RunOptions

ENCODERS = "text=hashing-tf"
USUAL_PROTOCOL = "loo_full"
ColumnOption = Annotated[
    list[str] | None, typer.Option("--column", metavar="FIELD=COLUMN", help="a column whose name does not say it")
]
EncodeOption = Annotated[
    list[str] | None,
    typer.Option("--encode", metavar="MODALITY=ENCODER", help=f"encoders of content; {ENCODERS} where absent"),
]
StudyOption = Annotated[
    str, typer.Option(help="in place of models: tables of a paper, with commas between, such as s3_main,s3_ablations")
]
TargetOption = Annotated[
    str, typer.Option(help="behaviors that are judged, with commas between; the set's usual ones, else all")
]


def evaluate(
    events: Annotated[
        Path | None, typer.Option(help="table of events: user_id, item_id, time or position, behavior if any")
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="table of items: item_id; attributes, title, columns of vectors if any")
    ] = None,
    *,
    data: Annotated[str, typer.Option(help="in place of --events: a folder of MMREC_DATA_DIR, or s3")] = "",
    protocol: Annotated[
        str,
        typer.Option(help="SPLIT_CANDIDATES: loo, time, user80, by_user, rolling_1 to 3; full, uniform_M, popular_M"),
    ] = "",
    models: Annotated[str, typer.Option(help="names with commas between, or all, as where absent")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="fits of each model")] = 1,
    trials: Annotated[int, typer.Option(min=1, help="parameters tried for each model, on validation alone")] = 8,
    max_cpu_seconds: Annotated[float, typer.Option(min=0.0, help="of fits for the trials of one model")] = math.inf,
    target: TargetOption = "",
    seen: Annotated[
        str, typer.Option(metavar="new|any", help="whether items of the history count; by the data where absent")
    ] = "",
    max_targets: Annotated[int, typer.Option(min=1, help="of validation and of test; more are drawn from")] = 1_000_000,
    min_history: Annotated[int, typer.Option(min=0, help="users with fewer events before are not asked")] = 1,
    column: ColumnOption = None,
    encode: EncodeOption = None,
    study: StudyOption = "",
    folder: Annotated[
        Path | None, typer.Option("--out", help="folder of the run; what it holds is not done again")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="RUN RUN", help="show how two runs of one task differ")
    ] = None,
) -> None:
    """Tune, fit and judge models on one data set; needs no stack.

    Parameters are chosen by NDCG@10 on validation. Figures are of the test, for a fit without the validation events and
    for a refit with them. Writes report.json, report.md and report.html into --out, beside the place of every right
    item in every model's list. Started again, it goes on where it ended. With --study, tables and curves of a paper are
    rebuilt: on --data or --events, else on the sets that they are usually rebuilt on.

    Example: `mmrec evaluate --events E.parquet --items I.parquet --protocol loo_full --out RUN`,
    `mmrec evaluate --data amazon_beauty_sequences --models popularity,random --seeds 5 --out RUN`,
    `mmrec evaluate --study s3_main --max-targets 2000 --trials 2 --out RUN`,
    `mmrec evaluate --compare RUN OTHER`
    """
    if compare is not None:
        from mmrec.experiments.comparing import compare_runs

        _show_compared(compare_runs(*compare))
        return
    from mmrec.experiments.run import RunOptions

    folder = _asked_for(events, data, folder, study=study, models=models)
    options = RunOptions(
        protocol=protocol or ("" if study else USUAL_PROTOCOL),
        models=_names(models or "all"),
        num_seeds=seeds,
        num_trials=trials,
        max_cpu_seconds=max_cpu_seconds,
        seen="new" if seen == "new" else "any" if seen == "any" else _refused_policy(seen),
        max_targets=max_targets,
        min_history=min_history,
    )
    read = partial(_data_set, events, items, target=_names(target), column=column or [], encode=encode or [])
    if study:
        asked = None if events is not None else data
        run_studies(_names(study), options, asked, read=read, folder=folder, tell=_tell, of=_origin())
    else:
        _run(options, read, data, folder)


def _run(options: "RunOptions", read: Read, data: str, folder: Path) -> None:
    from mmrec.experiments.run import check_folder
    from mmrec.experiments.run import evaluate as run

    check_folder(folder)
    options.check_names()  # what is wrong with a name is said before anything is read
    report = run(read(data, {}), options, out=folder, tell=_tell, origin=_origin())
    _write_pages(report, folder)
    _show(report)
    out.print(f"{folder / 'report.html'} has strata, candidates, cost and curves", highlight=False, soft_wrap=True)


def _asked_for(events: Path | None, data: str, folder: Path | None, *, study: str, models: str) -> Path:
    """The folder of the run."""
    if study and models:
        raise InvalidRequestError(f"--study {study} brings its models; leave --models {models} out")
    if (events is not None and data) or not (events or data or study):
        raise InvalidRequestError("give either --events with a file, or --data with the name of a set")
    if folder is None:
        raise InvalidRequestError("--out is missing; name the folder that the run is written to")
    return folder


def _data_set(
    events: Path | None,
    items: Path | None,
    name: str,
    usual: Mapping[str, str],
    *,
    target: tuple[str, ...],
    column: Sequence[str],
    encode: Sequence[str],
) -> "DataSet":
    """The files, or the data set of that name.

    Args:
        usual: Encoders where none is named; empty for those of this command.
    """
    from dataclasses import replace

    from mmrec.experiments.data_sets import read_data_set, read_files

    encoders = _pairs(encode or ([] if usual else [ENCODERS]), "--encode", "text=minilm") or dict(usual)
    if events is not None:
        columns = _pairs(column, "--column", "user_id=customer")
        return read_files(events, items, columns=columns, encoders=encoders, target_behaviors=target)
    found = read_data_set(name, data_folder=data_folder(), encoders=encoders)
    return replace(found, target_behaviors=target) if target else found


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for each in text.split(",") if (name := each.strip()))


def _pairs(given: Sequence[str], option: str, example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in given:
        name, separator, value = each.partition("=")
        if not (name and separator and value):
            raise InvalidRequestError(f"{option} {each!r}; give a name and a value, such as {option} {example}")
        found[name.strip()] = value.strip()
    return found


def _refused_policy(seen: str) -> Any:
    if seen:
        raise InvalidRequestError(f"--seen {seen!r}; give new or any")
    return ""


def _tell(line: str) -> None:
    err.print(line, highlight=False, markup=False, soft_wrap=True)


def _origin() -> dict[str, Any]:
    """Of the report: command, versions and machine, without places on it."""
    import psutil

    arguments = [Path(each).name if "/" in each else each for each in sys.argv[1:]]
    packages = ("numpy", "scipy", "torch")
    return {
        "commit": _commit(),
        "command": " ".join(["mmrec", *arguments]),
        "machine": f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GB",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def _commit() -> str:
    """Of the checkout that this program is in; empty where it is in none."""
    here = ["git", "-C", str(Path(__file__).parent)]
    if shutil.which("git") is None:
        return ""
    commit = subprocess.run([*here, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*here, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
    return commit.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def _write_pages(report: Mapping[str, Any], folder: Path) -> None:
    from mmrec.disk.files import replace_file
    from mmrec.reports.evaluation_report import evaluation_markdown, evaluation_page

    replace_file(folder / "report.md", evaluation_markdown(report).encode())
    replace_file(folder / "report.html", evaluation_page(report).encode())


def _show(report: Mapping[str, Any]) -> None:
    columns = {"hr_at_5": "HR@5", "ndcg_at_5": "NDCG@5", "hr_at_10": "HR@10", "ndcg_at_10": "NDCG@10"}
    table = Table("model", "fit", *columns.values(), "seconds")
    models = report["models"]
    for name in sorted(models, key=lambda each: -models[each]["ndcg_at_10_refit"]):
        for fit, suffix in (("train only", ""), ("refit", "_refit")):
            figures = [f"{models[name][each + suffix]:.4f}" for each in columns]
            table.add_row(name, fit, *figures, f"{models[name]['fit_seconds' + suffix]:.1f}")
    out.print(table)


def _show_compared(found: Mapping[str, Any]) -> None:
    out.print(f"one: {found['one']}\nother: {found['other']}")
    table = Table("model", "fit", "metric", "one", "other", "difference, 95 %", "p (Holm)")
    for name, fits in found["models"].items():
        for fit, metrics in fits.items():
            for metric, each in metrics.items():
                difference = f"{each['difference']:+.4f} ({each['low']:+.4f} to {each['high']:+.4f})"
                table.add_row(
                    name, fit, metric, f"{each['one']:.4f}", f"{each['other']:.4f}", difference, f"{each['p_holm']:.4f}"
                )
    out.print(table)
