"""The command that brings catalogues and past events in: a data set, a folder or file of any form, a file of events."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmrec.cli.event_files import BehaviorOption, FileOptions, SkipUnknownOption, TimeUnitOption, TimeZoneOption
from mmrec.cli.terminal import ConfigOption, RateOption, deployment_settings
from mmrec.errors import InvalidRequestError
from mmrec.home import data_folder

if TYPE_CHECKING:
    from mmrec.catalog.importers.mapping import ImportOptions

MixOption = Annotated[bool, typer.Option("--mix", help="send it also where another data set is in the stores already")]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="FIELD=COLUMN", help="a field, or an attribute, and the column that holds it"),
]


@dataclass(frozen=True, kw_only=True)
class ImportCall:
    """How a source is to be sent."""

    again: bool
    is_dry: bool
    rate: float
    report: Path | None
    """Where the cleaning report is written as JSON."""


def import_(
    source: Annotated[
        str, typer.Argument(help="movielens, another folder in MMREC_DATA_DIR, or a folder or file of any known form")
    ] = "movielens",
    *,
    config: ConfigOption = "",
    form: Annotated[str, typer.Option(help="name of the form, such as fashion or plain; recognized where absent")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="read and check everything, show it, send nothing")
    ] = False,
    column: ColumnOption = None,
    ignore: Annotated[list[str] | None, typer.Option(help="a column that is not read")] = None,
    mapping: Annotated[Path | None, typer.Option(help="TOML with [columns], [behaviors] and [reading]")] = None,
    images: Annotated[
        str, typer.Option(help="folder or tar of pictures; what lies beside the table where absent")
    ] = "",
    kind: Annotated[str, typer.Option(metavar="items|events", help="what to bring in, or what a table holds")] = "",
    domain: Annotated[str, typer.Option(help="of items that do not say theirs")] = "",
    encoding: Annotated[str, typer.Option(help="of text files; by their bytes where absent")] = "",
    decimal: Annotated[str, typer.Option(metavar=",|.", help="decimal sign; by the numbers where absent")] = "",
    behavior: BehaviorOption = None,
    skip_unknown: SkipUnknownOption = False,
    time_unit: TimeUnitOption = "",
    time_zone: TimeZoneOption = "",
    report: Annotated[Path | None, typer.Option(help="write the cleaning report to this file, as JSON")] = None,
    part: Annotated[
        str, typer.Option(help="of movielens: all; history (first nine tenths); live (the last, not flagged)")
    ] = "all",
    again: Annotated[bool, typer.Option("--again", help="send files from their beginning, whatever was sent")] = False,
    rate: RateOption = 0.0,
    mix: MixOption = False,
) -> None:
    """Bring a catalogue and past events into Kafka: a data set, or files of your own.

    How columns are read is shown first; the file is checked, and if it has behaviors that are not configured, or
    nothing that would be accepted, nothing is sent. Items are cleaned, and a report counts what was found. Events are
    flagged as imported history. Single records that are refused do not stop the others; `mmrec events rejected` and
    `mmrec items rejected` show them, and the command ends with status 1. An interrupted import continues where it
    stopped, and files that were sent as a whole are not sent again.

    Example: `mmrec import shop/ --dry-run`, `mmrec import ratings.csv --behavior 'rating>=4=like'`
    """
    from mmrec.cli.import_sources import import_event_file, import_source, is_event_file, source_path
    from mmrec.cli.worlds import DATASETS
    from mmrec.events.behavior_rules import parse_behaviors

    asked: dict[str, Any] = {"images": images, "kind": kind, "domain": domain, "encoding": encoding, "decimal": decimal}
    asked |= {"columns": _columns(column), "ignore": tuple(ignore or ())}
    is_read_freely = bool(form or mapping or dry_run or report or any(asked.values()))
    if source in DATASETS and not is_read_freely:
        options = FileOptions(parse_behaviors(behavior).table, skip_unknown, time_unit, time_zone)
        _import_dataset(source, options, config=config, part=part, rate=rate, mix=mix)
        return
    path = source_path(source, data_folder())
    if part != "all" or mix:
        said = " and ".join([*([f"--part {part}"] if part != "all" else []), *(["--mix"] if mix else [])])
        raise InvalidRequestError(
            f"{said}: this is for data sets by their name alone ({', '.join(DATASETS)}); {path} is read as files"
        )
    call = ImportCall(again=again, is_dry=dry_run, rate=rate, report=report)
    if not (form or mapping or any(asked.values())) and is_event_file(path):
        import_event_file(path, behavior, FileOptions({}, skip_unknown, time_unit, time_zone), config=config, call=call)
        return
    options_ = _options(asked, behavior, mapping, time_unit=time_unit, time_zone=time_zone)
    import_source(path, options_, form=form, skip_unknown=skip_unknown, config=config, call=call)


def _options(
    asked: dict[str, Any], behavior: list[str] | None, mapping: Path | None, *, time_unit: str, time_zone: str
) -> "ImportOptions":
    from mmrec.catalog.importers.mapping import ImportOptions, read_mapping
    from mmrec.events.behavior_rules import parse_behaviors

    times: dict[str, Any] = {"time_unit": time_unit, "time_zone": time_zone}
    options = ImportOptions(**asked, **times, rules=parse_behaviors(behavior))
    return options if mapping is None else read_mapping(mapping, options)


def _columns(pairs: list[str] | None) -> dict[str, str]:
    table: dict[str, str] = {}
    for pair in pairs or ():
        name, equals, column = pair.partition("=")
        name, column = name.strip(), column.strip()
        if not (name and equals and column):
            raise InvalidRequestError(f"--column {pair!r} is no FIELD=COLUMN; give one such as title=product_name")
        if table.setdefault(name, column) != column:
            raise InvalidRequestError(f"--column says both {name}={table[name]} and {pair}; give one")
    return table


def _import_dataset(name: str, options: FileOptions, *, config: str, part: str, rate: float, mix: bool) -> None:
    from mmrec.cli.sending import send, send_catalog
    from mmrec.cli.worlds import check_behaviors, claim_home, open_dataset, world_records

    settings = deployment_settings(config)
    if options != FileOptions():
        raise InvalidRequestError(
            f"--behavior, --skip-unknown and times are for files; {name} is a data set. Its folder is read as files "
            f"with --form {name}"
        )
    world = open_dataset(name, data_folder=data_folder(), now_s=time.time())
    check_behaviors(settings, world.behaviors.names, dataset=name)
    records = world_records(world, part=part)
    claim_home(settings, world.identity, mix=mix)
    if part != "live":
        send_catalog(settings, world.catalog())
    send(settings, records, what=f"events ({part}) of {name}", rate=rate)
