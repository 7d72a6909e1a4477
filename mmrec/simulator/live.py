"""A storefront that goes on by the clock: a past that ends now, and events that happen as they are sent.

world = storefront_until(now_s, ...)        every call on the same day gives the same world
world.history(None, now_s), live_records(world, from_s=now_s, run="x", now_s=time.time)
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from mmrec.events.event_files import Record
from mmrec.simulator.settings import DAY_S, StorefrontConfig
from mmrec.simulator.storefront import Storefront
from mmrec.wire.instants import rfc3339

CHUNK_EVENTS = 512
HORIZON_S = 3_650 * DAY_S


def storefront_until(now_s: float, config: StorefrontConfig) -> Storefront:
    """A world whose window of `config.days` ends at the beginning (UTC) of the day of `now_s`.

    The same day gives the same world, so that sending its history twice sends the same events twice.
    """
    return Storefront(replace(config, start_s=max(now_s // DAY_S * DAY_S - config.days * DAY_S, 0.0)))


def live_records(world: Storefront, *, from_s: float, run: str, now_s: Callable[[], float]) -> Iterator[Record]:
    """What the world does from an instant on, each event as if it were sent at this moment; practically without end.

    Late events stay as late as they are, and duplicates are duplicates.

    Args:
        from_s: Where in the world's time to begin.
        run: Put behind event ids, so that two runs are two stories.
        now_s: The clock that says when an event is sent.
    """
    for chunk in world.events(from_s, from_s + HORIZON_S, chunk_events=CHUNK_EVENTS):
        delays_s = chunk.send_times_s - chunk.event_times_s
        for event_id, old_time, delay_s, (key, value) in zip(
            chunk.event_ids.tolist(),
            _texts(value for _, value in chunk.records),
            delays_s.tolist(),
            chunk.records,
            strict=True,
        ):
            head = f'{{"event_id":"{event_id}"'.encode()
            assert value.startswith(head), "records of a storefront begin with the event id"
            renamed = f'{{"event_id":"{event_id}-{run}"'.encode() + value.removeprefix(head)
            yield key, renamed.replace(old_time, rfc3339(now_s() - delay_s).encode(), 1)


def _texts(values: Iterator[bytes]) -> Iterator[bytes]:
    """The event time of each value as it stands there."""
    for value in values:
        yield value.partition(b'"event_time":"')[2].partition(b'"')[0]
