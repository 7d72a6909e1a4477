"""Commands that bring events and items in: simulate, replay, import."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from mmrec.catalog.item import CatalogItem, to_json_value
from mmrec.cli.event_files import (
    BehaviorOption,
    FileOptions,
    SkipUnknownOption,
    TimeUnitOption,
    TimeZoneOption,
    look_through,
    renamed,
    sent_records,
    tell_imported,
    tell_refused,
)
from mmrec.cli.terminal import (
    ConfigOption,
    RateOption,
    counting,
    deployment_settings,
    out,
    until_interrupted,
)
from mmrec.config import Settings
from mmrec.errors import InvalidRequestError
from mmrec.events.event_files import Record
from mmrec.events.producer import RecordProducer
from mmrec.home import data_folder

MixOption = Annotated[bool, typer.Option("--mix", help="send it also where another data set is in the stores already")]


def simulate(
    *,
    config: ConfigOption = "",
    users: Annotated[int, typer.Option(help="users of the storefront")] = 600,
    items: Annotated[int, typer.Option(help="items, half beauty, half fashion")] = 1_000,
    days: Annotated[float, typer.Option(help="days of history, flagged as imported")] = 60.0,
    seed: Annotated[int, typer.Option(help="the same seed gives the same world")] = 7,
    rate: Annotated[float, typer.Option(min=0.0, help="go on live with so many events per second")] = 0.0,
    num_events: Annotated[int | None, typer.Option("--events", min=1, help="end after so many live events")] = None,
    history: Annotated[bool, typer.Option("--history/--no-history", help="send catalogue and history first")] = True,
    mix: MixOption = False,
) -> None:
    """Send a simulated storefront through Kafka: catalogue, history, and with --rate live events until Ctrl-C.

    Example: `mmrec simulate --rate 20`, later `mmrec simulate --no-history --rate 100 --events 5000`
    """
    from mmrec.cli.worlds import check_behaviors, claim_home
    from mmrec.demo.world import storefront_name
    from mmrec.simulator.live import live_records, storefront_until
    from mmrec.simulator.settings import BEHAVIORS, StorefrontConfig

    settings, now_s = deployment_settings(config), time.time()
    check_behaviors(settings, BEHAVIORS, dataset="storefront")
    claim_home(settings, storefront_name(seed=seed, num_items=items), mix=mix)
    world = storefront_until(now_s, StorefrontConfig(seed=seed, num_users=users, num_items=items, days=days))
    if history:
        _send_catalog(settings, world.catalog(as_of_s=now_s))
        past = (record for chunk in world.history(None, now_s) for record in chunk.records)
        _send(settings, past, what="events of history")
    if rate:
        live = live_records(world, from_s=now_s, run=uuid.uuid4().hex[:8], now_s=time.time)
        _send(settings, live, what="live events", rate=rate, max_records=num_events)


def replay(
    file: Annotated[Path, typer.Argument(help="behavior events: .jsonl (proto3 JSON, one a line) or .parquet")],
    *,
    config: ConfigOption = "",
    shift_to_now: Annotated[
        bool, typer.Option("--shift-to-now", help="move times so that the last event is now")
    ] = False,
    imported: Annotated[bool, typer.Option("--imported", help="flag all as imported history")] = False,
    behavior: BehaviorOption = None,
    skip_unknown: SkipUnknownOption = False,
    time_unit: TimeUnitOption = "",
    time_zone: TimeZoneOption = "",
    rate: RateOption = 0.0,
) -> None:
    """Send a file of behavior events to Kafka, with the same order and gaps; the stream refuses broken lines.

    The file is checked first, as `mmrec import` does.

    Example: `mmrec replay clicks.jsonl --shift-to-now --rate 50`
    """
    from mmrec.events.event_files import newest_event_time_s, open_event_file

    options = FileOptions(renamed(behavior), skip_unknown, time_unit, time_zone)
    open_event_file(file, options.reading())
    settings, shift_s = deployment_settings(config), 0.0
    events = open_event_file(file, options.reading(settings.events))
    if shift_to_now:
        newest_s = newest_event_time_s((row.key, row.value) for row in events.rows())
        shift_s = 0.0 if newest_s is None else time.time() - newest_s
    edit = replace(options.edit(settings), shift_s=shift_s, imported=imported)
    found = look_through(events, edit, settings, now_s=time.time())
    if _send(settings, sent_records(events, edit), what=f"events of {file.name}", rate=rate):
        tell_refused(found, file)


def import_(
    dataset: Annotated[
        str, typer.Argument(help="movielens (in MMREC_DATA_DIR), or a file of events: .jsonl or .parquet")
    ] = "movielens",
    *,
    config: ConfigOption = "",
    part: Annotated[
        str, typer.Option(help="of a data set: all; history (first nine tenths); live (the last, not flagged)")
    ] = "all",
    again: Annotated[bool, typer.Option("--again", help="send a file from its beginning, whatever was sent")] = False,
    behavior: BehaviorOption = None,
    skip_unknown: SkipUnknownOption = False,
    time_unit: TimeUnitOption = "",
    time_zone: TimeZoneOption = "",
    rate: RateOption = 0.0,
    mix: MixOption = False,
) -> None:
    """Bring past events into Kafka, flagged as imported history: a data set with its catalogue, or a file.

    A file is checked first: if it has behaviors that are not configured, or nothing that would be accepted, nothing is
    sent. Single events that are refused do not stop the others; `mmrec events rejected` shows them, and the command
    ends with status 1. An interrupted import of a file continues where it stopped, and a file that was sent as a whole
    is not sent again.

    Example: `mmrec import history.parquet --behavior view=browse --time-unit ms`
    """
    from mmrec.cli.worlds import check_behaviors, claim_home, open_dataset, world_records

    options = FileOptions(renamed(behavior), skip_unknown, time_unit, time_zone)
    settings = deployment_settings(config)
    if Path(dataset).suffix:
        _import_file(settings, Path(dataset), options, again=again, rate=rate)
        return
    if options != FileOptions():
        raise InvalidRequestError(f"--behavior, --skip-unknown and times are for files; {dataset} is a data set")
    world = open_dataset(dataset, data_folder=data_folder(), now_s=time.time())
    check_behaviors(settings, world.behaviors.names, dataset=dataset)
    records = world_records(world, part=part)
    claim_home(settings, world.identity, mix=mix)
    if part != "live":
        _send_catalog(settings, world.catalog())
    _send(settings, records, what=f"events ({part}) of {dataset}", rate=rate)


def _import_file(settings: Settings, file: Path, options: FileOptions, *, again: bool, rate: float) -> None:
    from mmrec.events.event_files import open_event_file
    from mmrec.events.import_marks import ImportMarks
    from mmrec.events.log import local_folder

    events = open_event_file(file, options.reading(settings.events))
    edit = replace(options.edit(settings), imported=True)
    folder = local_folder(settings.stores.event_log) / "imports"
    marks = ImportMarks(folder, file, options.for_mark(settings.behaviors))
    if marks.mark.is_done and not again:
        tell_imported(marks.mark, file)
        return
    goes_on = marks.mark.num_sent > 0 and not again
    left_out = frozenset(marks.mark.left_out) if goes_on else edit.sent_before({} if again else marks.before)
    edit = replace(edit, left_out=left_out)
    found = look_through(events, edit, settings, now_s=time.time())
    if not goes_on:
        marks.begin(behaviors={name: edit.target(name) for name in ("", *found.sent_names)}, left_out=left_out)
    rest = islice(sent_records(events, edit), marks.mark.num_sent, None)
    if _send(settings, rest, what=f"events of {file.name}", rate=rate, told=marks.sent):
        marks.done(num_refused=found.num_refused)
        tell_refused(found, file)


@contextmanager
def _producer(settings: Settings) -> Iterator[RecordProducer]:
    from mmrec.wiring import open_producer

    with closing(open_producer(settings)) as producer:
        yield producer


def _send(
    settings: Settings,
    records: Iterable[Record],
    *,
    what: str,
    topic: str = "",
    rate: float = 0.0,
    max_records: int | None = None,
    told: Callable[[int], None] = lambda count: None,
) -> bool:
    """Send records to a topic (that of events by default), with a counter; Ctrl-C ends it in good order.

    Args:
        told: Called with the number of records of each portion, once the broker has it.

    Returns:
        Whether all were sent.
    """
    from mmrec.events.feed import feed

    started_s, sent, is_whole = time.monotonic(), 0, False
    with _producer(settings) as producer, until_interrupted(), counting(what) as advance:

        def portion_sent(count: int) -> None:
            nonlocal sent
            sent += count
            advance(count)
            told(count)

        feed(
            records,
            producer,
            topic or settings.kafka.behavior_events,
            rate=rate,
            max_records=max_records,
            told=portion_sent,
            now_s=time.monotonic,
            sleep=time.sleep,
        )
        is_whole = True
    out.print(f"{sent:,} {what} sent in {time.monotonic() - started_s:.1f} s", highlight=False, markup=False)
    return is_whole


def _send_catalog(settings: Settings, items: Iterable[CatalogItem]) -> None:
    records = ((item.item_id.encode(), to_json_value(item)) for item in items)
    _send(settings, records, what="catalogue items", topic=settings.kafka.catalog_items)
