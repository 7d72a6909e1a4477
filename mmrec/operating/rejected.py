"""The refused records of a deployment, of events and of items, opened to be looked at or sent again."""

from dataclasses import dataclass

from mmrec.catalog.resubmit import ItemDoor
from mmrec.config import Settings
from mmrec.events.resubmit import Door, EventDoor, RefusedRecords, ResubmitTopics
from mmrec.features.record_counts import counts_in
from mmrec.telemetry.logs import read_status
from mmrec.wiring import open_topics


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """The refused records of one topic."""

    topics: ResubmitTopics
    door: Door
    num_malformed_lists: int = 0
    """Malformed served lists, which are counted with events but not kept."""


def event_refusals(settings: Settings, *, now_s: float, as_they_were: bool = False) -> Refusals:
    """Refused events; the arguments are EventDoor's."""
    stream = read_status(settings.stores.status).get("score_stream", {})
    return Refusals(
        topics=ResubmitTopics(records=settings.kafka.behavior_events, rejected=settings.kafka.rejected),
        door=EventDoor(behaviors=settings.behaviors, settings=settings.events, now_s=now_s, as_they_were=as_they_were),
        num_malformed_lists=counts_in(stream.get("counts", {})).malformed_served_lists,
    )


def item_refusals(settings: Settings) -> Refusals:
    """Refused catalogue records."""
    kafka = settings.kafka
    return Refusals(
        topics=ResubmitTopics(records=kafka.catalog_items, rejected=kafka.catalog_rejected),
        door=ItemDoor(lambda: open_topics(settings).read(kafka.catalog_items)),
    )


def refused_records(
    settings: Settings, refusals: Refusals, *, reason: str = "", since_s: float = 0.0
) -> RefusedRecords:
    """The records of a topic of refusals; see RefusedRecords."""
    topics, topic = open_topics(settings), refusals.topics.rejected
    identity = topics.describe(topic)
    return RefusedRecords(
        lambda: topics.read(topic),
        cluster_id=identity.cluster_id,
        topic_id=identity.topic_id,
        door=refusals.door,
        reason=reason,
        since_s=since_s,
    )
