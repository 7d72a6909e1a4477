"""The cleaning report of a running catalogue: what topic `catalog-items` says now, cleaned as its reader cleans it.

    topic_report(lambda: topics.read(settings.kafka.catalog_items), cleaning_policy(settings.catalog), rare_below=10)

Of each item the newest record counts, as everywhere. The topic is read twice, first for keys alone, so that no more
than one record is held at a time.
"""

from collections.abc import Callable, Iterable

from mmrec.catalog.cleaning import CleaningPolicy, clean_item
from mmrec.catalog.cleaning_report import CleaningReport
from mmrec.catalog.refusals import ItemRefusal
from mmrec.catalog.rules import parse_change
from mmrec.events.producer import TopicRecord


def topic_report(
    read: Callable[[], Iterable[TopicRecord]], policy: CleaningPolicy, *, rare_below: int
) -> CleaningReport:
    """Read the topic and count.

    Args:
        read: All records, in the order of their offsets within a partition; called twice. Records that come in
            between are left out where they replace one that was seen, and counted where they are of new items.
        rare_below: Values of attributes with classes that fewer items have are named as rare.

    Returns:
        Findings of the items as they are served; newest records that are refused are counted as "refused" with the
        reason as attribute: the state before them is served on, and not looked at.
    """
    newest: dict[bytes, tuple[int, int]] = {}
    for record in read():
        newest[record.key or b""] = (record.partition, record.offset)
    report = CleaningReport(rare_below=rare_below)
    for record in read():
        if newest.get(record.key or b"", (record.partition, record.offset)) != (record.partition, record.offset):
            continue
        change = parse_change(record.key, record.value)
        if isinstance(change, ItemRefusal):
            place = (record.key or b"").decode("utf-8", errors="replace")
            report.note("refused", attribute=str(change.reason), place=place, detail=change.detail)
        elif change.item is not None:
            report.add(clean_item(change.item, policy))
    return report
