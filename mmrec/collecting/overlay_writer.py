"""Writing to the overlay: by the collector before it answers, and by the program that follows the topic.

    writer.add(acknowledged)      messages the collector has sent to Kafka; one commit for all; never raises
    writer.follow(read)           records of other senders, as they were read back; likewise
    writer.tend()                 every second: prune what the stored progress has passed
    writer.check_topic()          every few seconds: the topic may have been created again

An overlay that fails costs freshness: its entries are counted as missed, answers are still given, and the next tend()
tries it again. Only requests to forget are kept until they are done.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from mmrec.collecting.overlay import Overlay, OverlayEntry
from mmrec.errors import MmrecError
from mmrec.events.columns import ANONYMOUS_PREFIX, RESUBMITTED, user_key, was_resubmitted
from mmrec.events.control import FORGET, IDENTIFY
from mmrec.events.producer import RecordPlace
from mmrec.events.rules import EventFields
from mmrec.events.topics import TopicWatch
from mmrec.scoring.source import Source
from mmrec.scoring.together import user_by
from mmrec.telemetry.logs import get_logger
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.wire.instants import instant_s

log = get_logger(__name__)
MAX_FOLLOWED = 500
"""Records followed in one commit; the collector's own commits never wait for more than one of these."""
MAX_FORGETS = 10_000
"""Requests to forget that wait for a broken overlay; beyond that the oldest is left to the stream alone."""


class _Said(NamedTuple):
    """What the overlay keeps of an event, taken from a message or a record."""

    user_key: str
    anonymous_id: str
    item_id: str
    behavior: str
    event_id: str
    event_time_s: float | None
    """None where absent: the append time is used."""
    imported: bool
    exempt: bool


class OverlayWriter:
    """Writes, prunes and forgets. Safe to use from several threads."""

    def __init__(
        self,
        overlay: Overlay,
        *,
        topic: TopicWatch,
        read_marks: Callable[[], Mapping[Source, int]],
        merged_from: Callable[[str], Iterable[str]],
    ) -> None:
        """Write to `overlay`.

        Args:
            topic: Which topic behavior-events is now.
            read_marks: Reads the marks of the stored progress of the live profiles.
            merged_from: Gives the anonymous profile keys that were merged into a user's profile.
        """
        self._overlay = overlay
        self._topic, self._read_marks, self._merged_from = topic, read_marks, merged_from
        self._identity: tuple[str, str] | None = None
        self._marks: Mapping[Source, int] = {}
        self._usable = True
        self._forgets: dict[str, OverlayEntry] = {}
        self._num_added = self._num_missed = self._num_pruned = self._num_failures = self._num_commits = 0
        self._lock = threading.Lock()

    def figures(self) -> dict[str, int]:
        """Entries now; added, pruned, dropped and missed since the start; failures of the engine."""
        held = self._overlay.figures()
        return {
            "overlay_entries": held.num_entries,
            "overlay_added": self._num_added,
            "overlay_commits": self._num_commits,
            "overlay_pruned": self._num_pruned,
            "overlay_dropped": held.num_dropped,
            "overlay_missed": self._num_missed,
            "overlay_failures": self._num_failures,
            "overlay_unavailable": int(not self._usable),
        }

    def add(self, acknowledged: Sequence[tuple[BehaviorEvent, RecordPlace]]) -> None:
        """Add acknowledged messages in one commit. After a failure, messages are missed until tend() succeeds again."""
        self._bring([(_message(event), place) for event, place in acknowledged])

    def follow(self, read: Sequence[tuple[EventFields, RecordPlace]], *, topic: tuple[str, str]) -> list[RecordPlace]:
        """Add records that were read back from the topic and that the stored profiles do not have.

        Records that the profiles have already are left out: the next tend() would remove them, and if their user was
        forgotten meanwhile, requests would see them until then.

        Args:
            topic: (cluster id, topic id) they were read from; those of a topic that no longer exists are left out.

        Returns:
            The places of the records that were added.
        """
        if topic != self._identity:
            return []
        marks = self._marks
        beyond = [
            (_record(event), place)
            for event, place in read
            if place.offset > marks.get(Source(*topic, place.partition), -1)
        ]
        brought: list[RecordPlace] = []
        for start in range(0, len(beyond), MAX_FOLLOWED):
            part = beyond[start : start + MAX_FOLLOWED]
            if self._bring(part):
                brought += [place for _, place in part]
        return brought

    def _bring(self, said: Sequence[tuple[_Said, RecordPlace]]) -> bool:
        """Add events in one commit; returns whether they are in the overlay now."""
        identity = self._identity
        entries: list[OverlayEntry] = []
        forgets: list[OverlayEntry] = []
        for event, place in said:
            made = _entries(event, place, identity) if identity is not None else []
            if event.behavior == FORGET and made:
                entries = [entry for entry in entries if entry.user_key != made[0].user_key]
                forgets += made
            entries += made
        for entry in forgets:
            self._forgets[entry.user_key] = entry
            while len(self._forgets) > MAX_FORGETS:
                self._forgets.pop(next(iter(self._forgets)))
        if not self._usable or identity is None:
            self._num_missed += len(said)
            return False
        try:
            with self._lock:
                self._forget_users()
                if entries:
                    self._overlay.add(entries)
        except MmrecError as error:
            self._failed(error)
            self._num_missed += len(said)
            return False
        self._num_added += len(said)
        self._num_commits += 1
        return True

    def tend(self) -> None:
        """Prune, and try a broken overlay again."""
        try:
            self._marks = self._read_marks()
            with self._lock:
                self._forget_users()
            self._num_pruned += self._overlay.prune(self._marks)
        except MmrecError as error:
            self._failed(error)
        else:
            self._usable = True

    def check_topic(self) -> None:
        """Read the topic's identity, and remove entries of another one, which the stream will never read."""
        try:
            identity = self._topic.identity()
        except MmrecError as error:
            log.warning("topic_not_described", error=str(error))
            return
        if identity == self._identity:
            return
        self._identity = identity
        try:
            removed = self._overlay.keep_topic(*identity)
        except MmrecError as error:
            self._failed(error)
            self._identity = None  # so that the next check removes the old entries
        else:
            log.info("overlay_topic", cluster_id=identity[0], topic_id=identity[1], num_removed=removed)

    def close(self) -> None:
        """Close overlay and topic."""
        self._overlay.close()
        self._topic.close()

    def _forget_users(self) -> None:
        """Carry out waiting requests to forget: remove entries, but keep the request until the stream has done it."""
        for key, entry in list(self._forgets.items()):
            found = self._overlay.read([key]).get(key, [])
            logins = [e for e in found if e.behavior == IDENTIFY]
            if key.startswith(ANONYMOUS_PREFIX):
                owner = user_by(None, [(e.known_time_s, e.item_id) for e in logins], until_s=entry.known_time_s)
                keys = {key} if owner is None else {key, owner}
            else:
                keys = {key, *(e.item_id for e in logins), *self._merged_from(key)}
            self._overlay.add([entry])  # first, so that readers no longer count what was before it
            for each in sorted(keys):
                self._overlay.forget(each, entry)
            del self._forgets[key]

    def _failed(self, error: MmrecError) -> None:
        self._num_failures += 1
        if self._usable:
            log.warning("overlay_unavailable", error=str(error))
        self._usable = False


def _entries(event: _Said, place: RecordPlace, topic: tuple[str, str]) -> list[OverlayEntry]:
    """One entry; for identify one under each of the two keys."""
    source, key, ingest_s = Source(*topic, place.partition), event.user_key, place.ingest_time_s
    event_s = ingest_s if event.event_time_s is None else event.event_time_s
    known_s = event_s if event.imported else ingest_s
    rest = (event.event_id, event_s, known_s, ingest_s, event.exempt)
    if event.behavior == IDENTIFY:
        anonymous_key = ANONYMOUS_PREFIX + event.anonymous_id
        return [
            OverlayEntry(key, source, place.offset, IDENTIFY, anonymous_key, *rest),
            OverlayEntry(anonymous_key, source, place.offset, IDENTIFY, key, *rest),
        ]
    return [OverlayEntry(key, source, place.offset, event.behavior, event.item_id, *rest)]


def _message(event: BehaviorEvent) -> _Said:
    event_time_s = None
    if event.HasField("event_time"):
        event_time_s = float(instant_s(event.event_time.seconds, event.event_time.nanos))
    return _said(event, event_time_s, resubmitted=RESUBMITTED in event.context)


def _record(event: EventFields) -> _Said:
    return _said(event, event.event_time_s, resubmitted=was_resubmitted(event.context))


def _said(event: BehaviorEvent | EventFields, event_time_s: float | None, *, resubmitted: bool) -> _Said:
    return _Said(
        user_key(event.user_id, event.anonymous_id),
        event.anonymous_id,
        event.item_id,
        event.behavior,
        event.event_id,
        event_time_s,
        event.imported,
        event.imported or resubmitted,
    )
