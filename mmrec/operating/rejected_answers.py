"""Refused records for operators: counted by reason, one by one, and sent again."""

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from mmrec.errors import InvalidRequestError
from mmrec.events.resubmit import Fate, RefusedRecord, RefusedRecords, resubmit
from mmrec.operating.acts import ActKind, Caller
from mmrec.operating.instants import seconds_of, stamp
from mmrec.operating.long_work import Told
from mmrec.operating.reason_groups import ReasonGroup, by_reason
from mmrec.operating.rejected import Refusals, event_refusals, item_refusals, refused_records
from mmrec.operating.workplace import Workplace
from mmrec.v1 import admin_pb2

MAX_SHOWN_BYTES: Final = 64 * 1024
"""Of an original value."""
MAX_RECORDS: Final = 200
_USUAL_RECORDS: Final = 20


def count_rejected(
    at: Workplace, request: admin_pb2.CountRejectedRequest, caller: Caller
) -> admin_pb2.CountRejectedResponse:
    """See admin.proto."""
    refusals = _refusals(at, request.filter)
    refused = _refused(at, refusals, request.filter)
    groups = [_group(group) for group in by_reason(refused)]
    return admin_pb2.CountRejectedResponse(
        groups=groups,
        num_unreadable=refused.num_unreadable,
        num_malformed_served_lists=refusals.num_malformed_lists,
    )


def list_rejected(
    at: Workplace, request: admin_pb2.ListRejectedRequest, caller: Caller
) -> admin_pb2.ListRejectedResponse:
    """See admin.proto."""
    if not 0 <= request.num_records <= MAX_RECORDS:
        raise InvalidRequestError(f"num_records is {request.num_records}; give 1 to {MAX_RECORDS}")
    refused = _refused(at, _refusals(at, request.filter), request.filter)
    newest: deque[RefusedRecord] = deque(maxlen=request.num_records or _USUAL_RECORDS)
    num_records = 0
    for record in refused:
        if record.fate is not Fate.COPY:
            num_records += 1
            newest.append(record)
    records = [_record(record) for record in sorted(newest, key=_ingest_s, reverse=True)]
    return admin_pb2.ListRejectedResponse(records=records, num_records=num_records)


def send_again(
    at: Workplace, request: admin_pb2.ResubmitRejectedRequest, caller: Caller, told: Told
) -> Iterable[admin_pb2.ResubmitRejectedResponse]:
    """See admin.proto."""
    if request.max_records < 0:
        raise InvalidRequestError(f"max_records is {request.max_records}; give 1 or more, or 0 for all")
    refusals = _refusals(at, request.filter, as_they_were=request.as_they_were)
    details = {"reason": request.filter.reason, "as_they_were": str(request.as_they_were).lower()}
    with at.acts.recorded(ActKind.RESUBMIT_REJECTED, caller, subject=refusals.topics.rejected, details=details) as act:
        num_sent = resubmit(
            _refused(at, refusals, request.filter),
            at.producer(),
            refusals.topics,
            max_records=request.max_records or None,
            told=lambda number: told("records", number),
        )
        act.details["num_sent"] = str(num_sent)
    return [admin_pb2.ResubmitRejectedResponse(result=admin_pb2.ResubmitRejectedResult(num_sent=num_sent))]


def _refusals(at: Workplace, wanted: admin_pb2.RejectedFilter, *, as_they_were: bool = False) -> Refusals:
    if wanted.kind == admin_pb2.RejectedKind.REJECTED_KIND_ITEMS:
        return item_refusals(at.settings)
    return event_refusals(at.settings, now_s=at.clock.now_s(), as_they_were=as_they_were)


def _refused(at: Workplace, refusals: Refusals, wanted: admin_pb2.RejectedFilter) -> RefusedRecords:
    return refused_records(at.settings, refusals, reason=wanted.reason, since_s=seconds_of(wanted.since_time))


def _ingest_s(record: RefusedRecord) -> float:
    return float(record.row["ingest_time_s"])


def _group(group: ReasonGroup) -> admin_pb2.RejectedGroup:
    return admin_pb2.RejectedGroup(
        reason=group.reason,
        num_records=group.num_records,
        num_sendable=group.fates[Fate.SENDABLE],
        num_refused_still=group.fates[Fate.REFUSED],
        num_cut=group.fates[Fate.CUT],
        num_sent=group.fates[Fate.SENT],
        num_superseded=group.fates[Fate.SUPERSEDED],
        first_time=stamp(group.first_s),
        last_time=stamp(_ingest_s(group.newest)),
        newest=_record(group.newest),
    )


def _record(record: RefusedRecord) -> admin_pb2.RejectedRecord:
    row: dict[str, Any] = record.row
    return admin_pb2.RejectedRecord(
        place=record.place,
        reason=row["reason"],
        detail=row["detail"],
        ingest_time=stamp(_ingest_s(record)),
        fate=record.fate.value,
        now=record.now,
        original_key=row["original_key"],
        original_value=row["original_value"][:MAX_SHOWN_BYTES],
    )
