"""Sending records to a topic from the command line: a producer, a counter, Ctrl-C."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager

from mmrec.catalog.item import CatalogItem, to_json_value
from mmrec.cli.terminal import counting, out, until_interrupted
from mmrec.config import Settings
from mmrec.events.event_files import Record
from mmrec.events.producer import BULK_HEADER, RecordProducer


@contextmanager
def _producer(settings: Settings, header: str) -> Iterator[RecordProducer]:
    from mmrec.wiring import open_producer

    with closing(open_producer(settings, header=header)) as producer:
        yield producer


def send(
    settings: Settings,
    records: Iterable[Record],
    *,
    what: str,
    topic: str = "",
    header: str = "",
    rate: float = 0.0,
    max_records: int | None = None,
    told: Callable[[int], None] = lambda count: None,
) -> bool:
    """Send records to a topic (that of events by default), with a counter; Ctrl-C ends it in good order.

    Args:
        header: Name of a header that every record carries; empty for none.
        told: Called with the number of records of each portion, once the broker has it.

    Returns:
        Whether all were sent.
    """
    from mmrec.events.feed import feed

    started_s, sent, is_whole = time.monotonic(), 0, False
    with _producer(settings, header) as producer, until_interrupted(), counting(what) as advance:

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


def send_catalog(settings: Settings, items: Iterable[CatalogItem]) -> None:
    """Send a whole catalogue to its topic, in the lane of imports."""
    records = ((item.item_id.encode(), to_json_value(item)) for item in items)
    send(settings, records, what="catalogue items", topic=settings.kafka.catalog_items, header=BULK_HEADER)
