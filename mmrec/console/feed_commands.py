"""Commands that bring events and items in: simulate, replay, import."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from mmrec.catalog.item import CatalogItem, to_json_value
from mmrec.config import Settings
from mmrec.console.terminal import (
    ConfigOption,
    RateOption,
    counting,
    data_folder,
    deployment_settings,
    out,
    until_interrupted,
)
from mmrec.events.event_files import Record
from mmrec.events.producer import RecordProducer

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
    from mmrec.console.worlds import check_behaviors, claim_home
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
    config: ConfigOption = "",
    shift_to_now: Annotated[
        bool, typer.Option("--shift-to-now", help="move times so that the last event is now")
    ] = False,
    imported: Annotated[bool, typer.Option("--imported", help="flag all as imported history")] = False,
    rate: RateOption = 0.0,
) -> None:
    """Send a file of behavior events to Kafka; order and gaps stay as they are, and broken lines are refused there.

    Example: `mmrec replay clicks.jsonl --shift-to-now --rate 50`
    """
    from mmrec.events.event_files import newest_event_time_s, read_records, retimed

    records = read_records(file)
    settings, shift_s = deployment_settings(config), 0.0
    if shift_to_now:
        newest_s = newest_event_time_s(read_records(file))
        shift_s = 0.0 if newest_s is None else time.time() - newest_s
    if shift_s or imported:
        records = retimed(records, shift_s=shift_s, imported=imported)
    _send(settings, records, what=f"events of {file.name}", rate=rate)


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
    rate: RateOption = 0.0,
    mix: MixOption = False,
) -> None:
    """Bring past events into Kafka, flagged as imported history: a data set with its catalogue, or a file.

    A file goes on where an import of it was broken off, and one that was sent whole is not sent again.

    Example: `mmrec up --dataset movielens`, then `mmrec import movielens`; or `mmrec import history.parquet`
    """
    from mmrec.console.worlds import check_behaviors, claim_home, open_dataset, world_records

    settings = deployment_settings(config)
    if Path(dataset).suffix:
        _import_file(settings, Path(dataset), again=again, rate=rate)
        return
    world = open_dataset(dataset, data_folder=data_folder()[0], now_s=time.time())
    check_behaviors(settings, world.behaviors.names, dataset=dataset)
    records = world_records(world, part=part)
    claim_home(settings, world.identity, mix=mix)
    if part != "live":
        _send_catalog(settings, world.catalog())
    _send(settings, records, what=f"events ({part}) of {dataset}", rate=rate)


def _import_file(settings: Settings, file: Path, *, again: bool, rate: float) -> None:
    from mmrec.events.event_files import read_records, retimed
    from mmrec.events.import_marks import ImportMarks
    from mmrec.stores.parquet_log import local_folder

    records = read_records(file)
    marks = ImportMarks(local_folder(settings.stores.event_log) / "imports", file)
    if marks.mark.is_done and not again:
        out.print(
            f"{marks.mark.num_sent:,} events of {file.name} were imported before; --again sends them", markup=False
        )
        return
    if again:
        marks.begin()
    rest = islice(records, marks.mark.num_sent, None)
    if _send(settings, retimed(rest, imported=True), what=f"events of {file.name}", rate=rate, told=marks.sent):
        marks.done()


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
    """Records to a topic (that of events where none is named), with a counter; Ctrl-C ends it in good order.

    Args:
        told: Handed the number of records of each portion that the broker has.

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
