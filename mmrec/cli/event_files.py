"""Files of events on the command line: their options, the check before sending, and the report afterwards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmrec.cli.terminal import counting
from mmrec.config import EventSettings, Settings
from mmrec.errors import InvalidRequestError
from mmrec.scoring.behaviors import BehaviorSet

if TYPE_CHECKING:
    from mmrec.events.event_edits import EventEdit
    from mmrec.events.event_files import EventFile, Record
    from mmrec.events.file_survey import FileSurvey
    from mmrec.events.file_times import FileReading
    from mmrec.events.import_marks import ImportMark

BehaviorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--behavior",
        metavar="RULE=BEHAVIOR",
        help="a name in the file, or a condition such as 'rating>=4', and the configured behavior it is",
    ),
]
SkipUnknownOption = Annotated[
    bool, typer.Option("--skip-unknown", help="leave out events of behaviors that are not configured")
]
TimeUnitOption = Annotated[
    str, typer.Option("--time-unit", metavar="s|ms|us|ns", help="unit of a column event_time of numbers since 1970")
]
TimeZoneOption = Annotated[
    str,
    typer.Option(
        "--time-zone",
        metavar="ZONE",
        help="of zone-less timestamps, such as Europe/Berlin (UTC); of a time that comes twice the earlier is taken",
    ),
]


@dataclass(frozen=True)
class FileOptions:
    """What the options of a call say about a file."""

    behaviors: dict[str, str] = field(default_factory=dict)
    """Names in the file to configured behaviors."""
    skip_unknown: bool = False
    """Leave out events of behaviors that are neither mapped nor configured."""
    time_unit: str = ""
    time_zone: str = ""

    def reading(self, events: EventSettings | None = None) -> "FileReading":
        """How columns are read; InvalidRequestError where unit or zone does not exist."""
        from mmrec.events.file_times import FileReading

        max_bytes = (events or EventSettings()).max_value_bytes
        return FileReading(time_unit=self.time_unit, time_zone=self.time_zone, max_bytes=max_bytes)

    def edit(self, settings: Settings) -> "EventEdit":
        """The changes to events; InvalidRequestError where a name is mapped to a behavior that is not configured."""
        from mmrec.events.event_edits import EventEdit

        behaviors = settings.behaviors
        for name, behavior in self.behaviors.items():
            if behavior not in behaviors:
                raise InvalidRequestError(
                    f"--behavior {name}={behavior}: {behavior!r} is not configured; give one of "
                    f"{', '.join(behaviors.names)}"
                )
        return EventEdit(
            behaviors=self.behaviors,
            known=frozenset(behaviors.names) if self.skip_unknown else None,
            max_bytes=settings.events.max_value_bytes,
        )

    def for_mark(self, behaviors: BehaviorSet) -> dict[str, Any]:
        """The options that make an import of the same file a different import."""
        said = {"behaviors": self.behaviors, "time_unit": self.time_unit, "time_zone": self.time_zone}
        known = sorted(behaviors.names) if self.skip_unknown else []
        return {name: value for name, value in {**said, "known": known}.items() if value}


def named_behaviors(options: Sequence[str] | None, file: Path) -> dict[str, str]:
    """`--behavior view=browse` as a table, for a file of behavior events.

    Raises:
        InvalidRequestError: one is no rule, a name is given two behaviors, or one is a condition.
    """
    from mmrec.events.behavior_rules import parse_behaviors

    rules = parse_behaviors(options)
    if rules.conditions:
        condition = next(iter(rules.conditions))
        raise InvalidRequestError(
            f"--behavior {condition.text!r} is a condition on a column, and {file.name} is a file of behavior events, "
            f"which name their behavior; give NAME=BEHAVIOR, such as view=browse"
        )
    return dict(rules.names)


def look_through(events: "EventFile", edit: "EventEdit", settings: Settings, *, now_s: float) -> "FileSurvey":
    """Check all events of a file before any is sent, and print what is noteworthy.

    Raises:
        InvalidRequestError: sending would have no effect, or not the intended one; or the file cannot be read.
    """
    from mmrec.events.file_survey import counted, survey

    with counting(f"events of {events.path.name} looked at") as told:
        found = survey(
            events.rows(), edit, behaviors=settings.behaviors, settings=settings.events, now_s=now_s, told=told
        )
    found.check(file_name=events.path.name, behaviors=settings.behaviors)
    for row in found.samples:
        typer.echo(f"{events.path}, {events.row_word} {row.number:,}: {row.reason}: {row.detail}", err=True)
    if events.ignored_columns:
        typer.echo(f"columns that no event has, not read: {', '.join(events.ignored_columns)}", err=True)
    if found.left_out:
        typer.echo(f"{found.left_out.total():,} events are left out: {counted(found.left_out)}", err=True)
    if found.num_untimed:
        typer.echo(f"{found.num_untimed:,} events have no event_time and count as of their arrival", err=True)
    if idle := [name for name in edit.behaviors if name not in found.names]:
        typer.echo(f"no event has the behavior {', '.join(map(ascii, idle))} that --behavior names", err=True)
    return found


def sent_records(events: "EventFile", edit: "EventEdit") -> "Iterator[Record]":
    """The records of a file that are to be sent, in the form in which they are sent."""
    for row in events.rows():
        edited = edit.apply(row.key, row.value)
        if not edited.is_left_out:
            yield edited.key, edited.value


def tell_imported(mark: "ImportMark", file: Path) -> None:
    """Say that a file was imported before."""
    refused = f", of which {mark.num_refused:,} were refused" if mark.num_refused else ""
    typer.echo(f"{mark.num_sent:,} events of {file.name} were imported before{refused}; --again sends them")


def tell_refused(found: "FileSurvey", file: Path) -> None:
    """End with status 1 where events of a file were refused, after all the others were sent.

    Raises:
        InvalidRequestError: some were.
    """
    from mmrec.events.file_survey import counted

    if found.num_refused:
        raise InvalidRequestError(
            f"{found.num_refused:,} of {found.num_events:,} events of {file.name} are refused: "
            f"{counted(found.refused)}; `mmrec events rejected` shows them. The others were sent"
        )
