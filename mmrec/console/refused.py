"""Refused records for people: grouped by reason, the record beside the rule, and what sending again would do."""

from dataclasses import dataclass
from typing import Any, Final

from mmrec.console.services import Services
from mmrec.console.shown_text import shown_text
from mmrec.errors import InvalidRequestError
from mmrec.operating.instants import seconds_of
from mmrec.operating.remote import result_of
from mmrec.v1 import admin_pb2

KINDS: Final = {"events": admin_pb2.REJECTED_KIND_EVENTS, "items": admin_pb2.REJECTED_KIND_ITEMS}
NUM_RECORDS: Final = 20
MAX_SHOWN: Final = 2_000
"""Characters of a record."""


@dataclass(frozen=True, kw_only=True)
class RefusedRecord:
    """One record, and what may become of it."""

    place: str
    reason: str
    detail: str
    ingest_s: float
    fate: str
    now: str
    text: str
    """The record itself, as text."""


@dataclass(frozen=True, kw_only=True)
class RefusedGroup:
    """Records that were refused for one reason."""

    reason: str
    num_records: int
    num_sendable: int
    num_sent: int
    num_refused_still: int
    first_s: float
    last_s: float
    newest: RefusedRecord


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The largest group first."""

    groups: tuple[RefusedGroup, ...]
    num_unreadable: int

    @property
    def num_records(self) -> int:
        """Of all groups."""
        return sum(group.num_records for group in self.groups)


def refused(services: Services, kind: str, *, reason: str = "") -> Refused:
    """Groups of refused events or items; of one reason alone where it is given."""
    request = admin_pb2.CountRejectedRequest(filter=_filter(kind, reason))
    answer = services.desk.ask("CountRejected", request)
    groups = [
        RefusedGroup(
            reason=group.reason,
            num_records=group.num_records,
            num_sendable=group.num_sendable,
            num_sent=group.num_sent,
            num_refused_still=group.num_refused_still,
            first_s=seconds_of(group.first_time),
            last_s=seconds_of(group.last_time),
            newest=record_view(group.newest),
        )
        for group in answer.groups
    ]
    return Refused(groups=tuple(groups), num_unreadable=answer.num_unreadable)


def records(services: Services, kind: str, *, reason: str) -> tuple[RefusedRecord, ...]:
    """The newest records of a reason, NUM_RECORDS at most."""
    request = admin_pb2.ListRejectedRequest(filter=_filter(kind, reason), num_records=NUM_RECORDS)
    return tuple(map(record_view, services.desk.ask("ListRejected", request).records))


def send_again(services: Services, kind: str, *, reason: str) -> int:
    """Send what would be taken now, each record once; how many were sent."""
    if not reason:
        raise InvalidRequestError("no reason is given; records are sent again one reason at a time")
    request = admin_pb2.ResubmitRejectedRequest(filter=_filter(kind, reason))
    return int(result_of(services.desk.run("ResubmitRejected", request), lambda _: None).num_sent)


def record_view(record: Any) -> RefusedRecord:
    """A record as it is shown: bytes as text, what is none replaced."""
    value = record.original_value[:MAX_SHOWN].decode("utf-8", errors="replace")
    return RefusedRecord(
        place=record.place,
        reason=shown_text(record.reason, max_characters=80),
        detail=shown_text(record.detail, max_characters=300),
        ingest_s=seconds_of(record.ingest_time),
        fate=record.fate,
        now=shown_text(record.now, max_characters=300),
        text=shown_text(value, max_characters=MAX_SHOWN),
    )


def _filter(kind: str, reason: str) -> admin_pb2.RejectedFilter:
    if kind not in KINDS:
        raise InvalidRequestError(f"refused {kind[:40]!r} is unknown; give one of {', '.join(KINDS)}")
    return admin_pb2.RejectedFilter(kind=KINDS[kind], reason=reason)
