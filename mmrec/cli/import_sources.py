"""Imports of files and folders: what is shown before, what is sent, what is told afterwards."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from mmrec.cli.event_files import FileOptions, look_through, named_behaviors, sent_records, tell_imported, tell_refused
from mmrec.cli.sending import send
from mmrec.cli.terminal import counting, deployment_settings
from mmrec.config import Settings
from mmrec.errors import InvalidRequestError, MachineError
from mmrec.events.producer import BULK_HEADER

if TYPE_CHECKING:
    from mmrec.catalog.cleaning import CleaningPolicy
    from mmrec.catalog.importers.cleaned import ItemFindings
    from mmrec.catalog.importers.event_rows import ImportedEvent
    from mmrec.catalog.importers.importer import ImportSource, Part
    from mmrec.catalog.importers.mapping import ImportOptions
    from mmrec.catalog.importers.reading import Reading
    from mmrec.catalog.item import CatalogItem
    from mmrec.cli.import_commands import ImportCall
    from mmrec.disk.objects import Objects
    from mmrec.events.event_files import EventFile, Record

EVENT_SUFFIXES: Final = (".jsonl", ".ndjson", ".json", ".parquet")
LOOKED_AT: Final = 200
"""First items of which at least one has to be fit, before any is sent."""


def source_path(source: str, data_folder: str) -> Path:
    """The file or folder that is meant: as it is named, else in the folder of data sets.

    Raises:
        InvalidRequestError: there is neither, and the name is not that of a file.
    """
    from mmrec.catalog.movielens import FOLDER
    from mmrec.cli.worlds import DATASETS

    path = Path(source).expanduser()
    if path.exists():
        return path
    inside = Path(data_folder or ".").expanduser() / (FOLDER if source == "movielens" else source)
    if data_folder and inside.is_dir():
        return inside
    if path.suffix or "/" in source:
        return path
    raise InvalidRequestError(
        f"no data set {source!r}; there are {', '.join(DATASETS)}. Nor is there a file or folder of this name here or "
        f"in MMREC_DATA_DIR"
    )


def is_event_file(path: Path) -> bool:
    """Whether a file is one of behavior events (mmrec.events.event_files), broken ones included: it has event ids.

    A file that is not there counts as one, since its error says what could be given.
    """
    if path.suffix not in EVENT_SUFFIXES:
        return path.suffix != "" and not path.exists()
    if not path.is_file():
        return not path.exists()
    from mmrec.catalog.importers.table import open_table

    try:
        columns = open_table(path).columns
    except InvalidRequestError:
        return True
    return not {"event_id", "eventId"}.isdisjoint(columns)


def import_event_file(
    file: Path, behavior: list[str] | None, options: FileOptions, *, config: str, call: "ImportCall"
) -> None:
    """A file of behavior events, checked and sent; errors as open_event_file()."""
    from mmrec.events.event_files import open_event_file

    options = replace(options, behaviors=named_behaviors(behavior, file))
    if call.report is not None:
        raise InvalidRequestError(_no_report(file, call.report))
    settings = _settings(config, call)
    events = open_event_file(file, options.reading(settings.events))
    _send_events(settings, events, events, options, call, said={}, files=(file,))


def import_source(
    path: Path, options: "ImportOptions", *, form: str, skip_unknown: bool, config: str, call: "ImportCall"
) -> None:
    """A file or folder of any form: items first, then events.

    Raises:
        InvalidRequestError: it cannot be read, nothing of it would be taken, or some was refused.
    """
    from mmrec.catalog.importers.registry import find_importer

    if call.report is not None and not call.report.expanduser().parent.is_dir():
        raise InvalidRequestError(
            f"--report {call.report}: there is no folder {call.report.parent}; make it, or name another"
        )
    importer = find_importer(path, form)
    settings = _settings(config, call)
    options = options.with_usual(importer.usual_behaviors)
    source = importer.open(path, options)
    typer.echo(f"{path} is read as {importer.name}:")
    for line in source.mapping:
        typer.echo(f"  {line}")
    if (options.kind == "events" and source.events is None) or (options.kind == "items" and source.items is None):
        raise InvalidRequestError(f"{path} holds no {options.kind} of the form {importer.name}")
    if call.report is not None and (source.items is None or options.kind == "events"):
        raise InvalidRequestError(_no_report(path, call.report))
    problems = []
    if source.items is not None and options.kind != "events":
        problem = _items(settings, source, options, call)
        if problem is None:
            return
        problems.append(problem)
    if source.events is not None and options.kind != "items":
        try:
            _events(settings, source, options, call, skip_unknown=skip_unknown)
        except InvalidRequestError as error:
            problems.append(str(error))
    if found := [problem for problem in problems if problem]:
        raise InvalidRequestError(" ".join(found))


def _no_report(path: Path, report: Path) -> str:
    return f"--report {report}: it is about items and how they were cleaned, and only events are read of {path}"


def _settings(config: str, call: "ImportCall") -> Settings:
    """Of the deployment; a dry run does without one."""
    try:
        return deployment_settings(config)
    except MachineError:
        if not call.is_dry or config:
            raise
        typer.echo("no stack runs, so this is checked with the settings of a new one", err=True)
        return Settings()


def _marks(settings: Settings) -> "Objects":
    from mmrec.wiring import open_objects

    return open_objects(settings.stores, "event_log").within("imports")


def _items(settings: Settings, source: "ImportSource", options: "ImportOptions", call: "ImportCall") -> str | None:
    """Clean, judge and send the items; what is to be said of refused ones, None where Ctrl-C ended it."""
    from mmrec.catalog.cleaning import cleaning_policy
    from mmrec.catalog.cleaning_report import CleaningReport, rare_values
    from mmrec.catalog.importers.cleaned import ItemFindings, cleaned_records
    from mmrec.catalog.importers.reading import Reading
    from mmrec.events.import_marks import ImportMarks

    part = source.items
    assert part is not None
    policy = cleaning_policy(settings.catalog, form=source.form)
    first, *others = part.files
    said = {"kind": "items", "form": source.form, **options.for_mark(), "cleaning": _said_policy(settings, policy)}
    marks = None if call.is_dry else ImportMarks(_marks(settings), first, said, also=others)
    if marks is not None and marks.mark.is_done and not call.again:
        typer.echo(f"{marks.mark.num_sent:,} items of {source.path} were imported before; --again sends them")
        if call.report is not None:
            typer.echo(f"{call.report} is not written: nothing was cleaned; --dry-run cleans and sends nothing")
        return ""
    rare = rare_values(part.read(Reading()), policy, settings.catalog.rare_below)
    policy = replace(policy, rare_values=rare)
    findings = ItemFindings(report=CleaningReport(rare_below=settings.catalog.report_rare_below), reading=Reading())
    records = _checked(cleaned_records(part.read(findings.reading), policy, findings), findings, source)
    if marks is None:
        with counting(f"items of {source.path.name} looked at") as told:
            for _ in records:
                told(1)
    else:
        goes_on = marks.mark.num_sent > 0 and not call.again
        if not goes_on:
            marks.begin()
        rest = islice(records, marks.mark.num_sent, None)
        what, topic = f"items of {source.path.name}", settings.kafka.catalog_items
        if not send(settings, rest, what=what, topic=topic, header=BULK_HEADER, rate=call.rate, told=marks.sent):
            return None
        marks.done(num_refused=findings.num_refused)
    _tell_items(findings, call)
    if not findings.num_refused:
        return ""
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in findings.refused.most_common())
    return f"{findings.num_refused:,} of {findings.num_records:,} items of {source.path.name} are refused: {reasons}."


def _said_policy(settings: Settings, policy: "CleaningPolicy") -> dict[str, Any]:
    """Settings that change which items are sent."""
    missing = {name: sorted(values) for name, values in policy.missing_values.items()}
    junk, unknown = sorted(policy.junk_attributes), sorted(policy.unknown_attributes)
    said = {"missing": missing, "junk": junk, "unknown": unknown, "rare": dict(settings.catalog.rare_below)}
    return {name: value for name, value in said.items() if value}


def _checked(records: "Iterator[Record]", findings: "ItemFindings", source: "ImportSource") -> "Iterator[Record]":
    """The same records, if at least one of the first is fit."""
    first = list(islice(records, LOOKED_AT))
    if findings.is_in_vain or not first:
        for sample in findings.samples:
            typer.echo(sample, err=True)
        for line in findings.whole_report().lines():
            typer.echo(line, err=True)
        raise InvalidRequestError(
            f"none of the first {findings.reading.num_rows:,} rows of {source.path} gives an item that would be taken, "
            f"so nothing was sent; name the columns with --column item_id=COLUMN and --column title=COLUMN"
        )
    return chain(first, records)


def _tell_items(findings: "ItemFindings", call: "ImportCall") -> None:
    report = findings.whole_report()
    for sample in findings.samples:
        typer.echo(sample, err=True)
    if call.is_dry:
        for item in findings.first:
            typer.echo(_shown_item(item))
    for line in report.lines():
        typer.echo(line)
    if call.report is not None:
        call.report.expanduser().write_text(
            json.dumps(report.document(), ensure_ascii=False, indent=1), encoding="utf-8"
        )
    if call.is_dry:
        typer.echo(f"{findings.num_records:,} items would be sent; this was a dry run")


def _shown_item(item: "CatalogItem") -> str:
    """The item as JSON, content by its size."""
    said = {name: value for name, value in asdict(item).items() if value not in (None, "", 0, 0.0, {}, ())}
    if item.image is not None:
        said["image"] = f"{len(item.image):,} bytes"
    if item.media:
        said["media"] = [f"{each.modality}, {len(each.content):,} bytes" for each in item.media]
    return json.dumps(said, ensure_ascii=False)


def _events(
    settings: Settings, source: "ImportSource", options: "ImportOptions", call: "ImportCall", *, skip_unknown: bool
) -> None:
    from mmrec.catalog.importers.reading import Reading

    reading = Reading()
    part = source.events
    assert part is not None
    path = source.path if len(part.files) > 1 else part.files[0]
    looked, sent = _event_file(part, path, reading), _event_file(part, path, Reading())
    file_options = FileOptions(options.rules.table, skip_unknown)
    try:
        said = {"form": source.form, **options.for_mark()}
        _send_events(settings, looked, sent, file_options, call, said=said, files=part.files)
    finally:
        for line in reading.lines():
            typer.echo(line, err=True)


def _event_file(part: "Part[ImportedEvent]", path: Path, reading: "Reading") -> "EventFile":
    from mmrec.events.event_files import EventFile

    return EventFile(path=path, row_word="row", ignored_columns=(), read=lambda: (e.row() for e in part.read(reading)))


def _send_events(
    settings: Settings,
    looked: "EventFile",
    events: "EventFile",
    options: FileOptions,
    call: "ImportCall",
    *,
    said: dict[str, Any],
    files: tuple[Path, ...],
) -> None:
    """Check a file of events with one pass and send it with another.

    Args:
        looked: The file as the check reads it.
        said: What makes the import of the same file another one, beside `options`.
        files: Everything that it is read from.
    """
    from mmrec.events.file_survey import counted
    from mmrec.events.import_marks import ImportMarks

    file = events.path
    edit = replace(options.edit(settings), imported=True)
    if call.is_dry:
        found = look_through(looked, edit, settings, now_s=time.time())
        names = ", ".join(f"{name} {number:,}" for name, number in found.names.most_common())
        typer.echo(f"{found.num_events:,} events of {file.name} would be sent ({names}); this was a dry run")
        if found.num_refused:
            typer.echo(f"{found.num_refused:,} of them would be refused: {counted(found.refused)}")
        return
    asked = {**said, **options.for_mark(settings.behaviors)}
    marks = ImportMarks(_marks(settings), files[0], asked, also=files[1:])
    if marks.mark.is_done and not call.again:
        tell_imported(marks.mark, file)
        return
    goes_on = marks.mark.num_sent > 0 and not call.again
    left_out = frozenset(marks.mark.left_out) if goes_on else edit.sent_before({} if call.again else marks.before)
    edit = replace(edit, left_out=left_out)
    found = look_through(looked, edit, settings, now_s=time.time())
    if not goes_on:
        marks.begin(behaviors={name: edit.target(name) for name in ("", *found.sent_names)}, left_out=left_out)
    rest = islice(sent_records(events, edit), marks.mark.num_sent, None)
    if send(settings, rest, what=f"events of {file.name}", rate=call.rate, told=marks.sent):
        marks.done(num_refused=found.num_refused)
        tell_refused(found, file)
