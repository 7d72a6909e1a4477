"""Feeding records to a topic at a pace."""

from collections.abc import Callable, Iterable
from itertools import islice

from mmrec.errors import InvalidRequestError
from mmrec.events.producer import RecordProducer
from mmrec.wire.portions import portions

BATCH = 1_000
"""Records handed over together where no pace is asked for."""
TURNS_PER_S = 20
"""How often a paced feed sends; each time what is due."""


def feed(
    records: Iterable[tuple[bytes, bytes | None]],
    producer: RecordProducer,
    topic: str,
    *,
    rate: float = 0.0,
    max_records: int | None = None,
    told: Callable[[int], None] = lambda count: None,
    now_s: Callable[[], float] = lambda: 0.0,
    sleep: Callable[[float], None] = lambda seconds: None,
) -> int:
    """Send all records and wait until the broker has them.

    Args:
        records: Drawn just before they are sent, so that an endless stream can use the current time.
        rate: Records per second; 0 sends as fast as the broker takes them.
        max_records: Stop after this many; None goes on to the end.
        told: Called with the number of records of each portion, once the broker has it.
        now_s: A clock that never goes back; needed for a rate.
        sleep: Waits for the given number of seconds; needed for a rate.

    Returns:
        How many records the broker has.

    Raises:
        InvalidRequestError: a negative rate.
        StoreError: the broker did not take a record.
    """
    if rate < 0:
        raise InvalidRequestError(f"rate is {rate}; give records per second, or 0 for as fast as possible")
    portion, num_sent = BATCH, 0
    if rate:
        portion = max(1, min(BATCH, round(rate / TURNS_PER_S)))
    started_s = now_s()
    for batch in portions(islice(records, max_records), portion):
        num_sent += producer.send_many(topic, batch)
        told(len(batch))
        if rate and (pause_s := started_s + num_sent / rate - now_s()) > 0:
            sleep(pause_s)
    return num_sent
