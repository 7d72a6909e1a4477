"""Commands that send made or kept events: simulate, replay. Importing is mmrec.cli.import_commands'."""

import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mmrec.cli.event_files import (
    BehaviorOption,
    FileOptions,
    SkipUnknownOption,
    TimeUnitOption,
    TimeZoneOption,
    look_through,
    named_behaviors,
    sent_records,
    tell_refused,
)
from mmrec.cli.sending import send, send_catalog
from mmrec.cli.terminal import ConfigOption, RateOption, deployment_settings

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
        send_catalog(settings, world.catalog(as_of_s=now_s))
        past = (record for chunk in world.history(None, now_s) for record in chunk.records)
        send(settings, past, what="events of history")
    if rate:
        live = live_records(world, from_s=now_s, run=uuid.uuid4().hex[:8], now_s=time.time)
        send(settings, live, what="live events", rate=rate, max_records=num_events)


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

    options = FileOptions(named_behaviors(behavior, file), skip_unknown, time_unit, time_zone)
    open_event_file(file, options.reading())
    settings, shift_s = deployment_settings(config), 0.0
    events = open_event_file(file, options.reading(settings.events))
    if shift_to_now:
        newest_s = newest_event_time_s((row.key, row.value) for row in events.rows())
        shift_s = 0.0 if newest_s is None else time.time() - newest_s
    edit = replace(options.edit(settings), shift_s=shift_s, imported=imported)
    found = look_through(events, edit, settings, now_s=time.time())
    if send(settings, sent_records(events, edit), what=f"events of {file.name}", rate=rate):
        tell_refused(found, file)
