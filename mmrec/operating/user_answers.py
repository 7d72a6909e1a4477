"""One user for operators: the profile as the row of the scoring matrix that it is, its export, and forgetting."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

import numpy as np

from mmrec.collecting.overlay import OverlayEntry
from mmrec.errors import InvalidRequestError, NotFoundError
from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.operating.acts import ActKind, Caller
from mmrec.operating.forgetting import forget_user
from mmrec.operating.instants import seconds_of, stamp
from mmrec.operating.long_work import Told, wait_of
from mmrec.operating.profile_document import behavior_name, profile_state
from mmrec.operating.user_export import export_document
from mmrec.operating.workplace import Workplace
from mmrec.scoring.profile import UserProfile
from mmrec.v1 import admin_pb2
from mmrec.wiring import open_event_log

MAX_ROWS: Final = 1_000
_USUAL_ROWS: Final = 50
_PIECE: Final = 1 << 20
"""Bytes of an export in one message."""
_FORGET_WAIT_S: Final = 60.0


def get_profile(at: Workplace, request: admin_pb2.GetProfileRequest, caller: Caller) -> admin_pb2.GetProfileResponse:
    """See admin.proto; NotFoundError where nothing is known of the user."""
    key = _user_key(request.user_key)
    if not 0 <= request.num_rows <= MAX_ROWS:
        raise InvalidRequestError(f"num_rows is {request.num_rows}; give 1 to {MAX_ROWS}")
    num_rows = request.num_rows or _USUAL_ROWS
    as_of_s = seconds_of(request.as_of_time) or at.clock.now_s()
    with at.acts.recorded(ActKind.GET_PROFILE, caller, subject=at.hash_of(key)):
        pending = at.overlay().read([key]).get(key, [])  # before the profile: nothing is lost between the two
        profile = at.features().read_profiles([key]).get(key)
    if profile is None and not pending:
        raise NotFoundError(f"nothing is known of user {key!r}; events make a profile")
    answer = admin_pb2.GetProfileResponse(
        user_key=key,
        as_of_time=stamp(as_of_s),
        overlay=[_overlay_event(entry) for entry in reversed(pending[-num_rows:])],
        decay_per_day=at.settings.scoring.decay_per_day[0],
        weights={behavior.name: behavior.weight for behavior in at.settings.behaviors},
    )
    if profile is not None:
        _add_profile(answer, profile, at, as_of_s=as_of_s, num_rows=num_rows)
    return answer


def export_user(
    at: Workplace, request: admin_pb2.ExportUserRequest, caller: Caller, told: Told
) -> Iterable[admin_pb2.ExportUserResponse]:
    """See admin.proto."""
    key = _user_key(request.user_key)
    with at.acts.recorded(ActKind.EXPORT_USER, caller, subject=at.hash_of(key)):
        document = export_document(
            at.settings,
            key,
            store=at.features(),
            log=open_event_log(at.settings),
            overlay=at.overlay(),
            as_of_s=at.clock.now_s(),
        )
    text = json.dumps(document, ensure_ascii=False, default=str).encode()
    return [
        admin_pb2.ExportUserResponse(document=text[start : start + _PIECE]) for start in range(0, len(text), _PIECE)
    ]


def forget(
    at: Workplace, request: admin_pb2.AdminServiceForgetUserRequest, caller: Caller, told: Told
) -> Iterable[admin_pb2.AdminServiceForgetUserResponse]:
    """See admin.proto. The receipt is kept with the act before what was kept for another run goes."""
    key = _user_key(request.user_key)
    wait_s = wait_of(request.wait_s, usual_s=_FORGET_WAIT_S)
    is_guest = key.startswith(ANONYMOUS_PREFIX)
    with at.acts.recorded(ActKind.FORGET_USER, caller, subject=at.hash_of(key)) as act:
        forgotten = forget_user(
            at.settings,
            key.removeprefix(ANONYMOUS_PREFIX) if is_guest else key,
            anonymous=is_guest,
            wait_s=wait_s,
            looked_at=request.looked_at,
        )
        receipt = json.dumps(forgotten.document)
        act.details["is_complete"] = str(forgotten.is_complete).lower()
        act.details["receipt"] = receipt
    forgotten.settle()
    result = admin_pb2.ForgetUserResult(receipt=receipt.encode(), is_complete=forgotten.is_complete)
    return [admin_pb2.AdminServiceForgetUserResponse(result=result)]


def _user_key(key: str) -> str:
    if not key or key == ANONYMOUS_PREFIX:
        raise InvalidRequestError('user_key is empty; give a user id, or "~" and an anonymous id')
    return key


def _add_profile(
    answer: admin_pb2.GetProfileResponse, profile: UserProfile, at: Workplace, *, as_of_s: float, num_rows: int
) -> None:
    config = at.settings.scoring
    state = profile_state(profile, config, as_of_s)
    names = config.behaviors.names
    answer.num_events, answer.num_items = profile.num_events, profile.num_items
    answer.num_pruned_items = profile.num_pruned_items
    answer.merged_from.extend(profile.merged_from)
    answer.merged_into = profile.merged_into
    if (newest := stamp(profile.newest_ingest_time_s)) is not None:
        answer.newest_ingest_time.CopyFrom(newest)
    for row in np.argsort(-state.affinity_I, kind="stable")[:num_rows].tolist():
        counts = dict(zip(names, state.counts_IB[row].tolist(), strict=True))
        answer.items.add(
            item_id=profile.item_ids[row],
            affinity=float(state.affinity_I[row]),
            counts={name: count for name, count in counts.items() if count},
            reference_time=stamp(float(profile.reference_times_I[row])),
        )
    columns = (profile.recent_item_ids, profile.recent_behavior_ids_L.tolist(), profile.recent_event_times_L.tolist())
    recent: list[tuple[str, int, float]] = list(zip(*columns, strict=True))
    for item_id, behavior_id, time_s in recent[: -num_rows - 1 : -1]:
        answer.newest_events.add(item_id=item_id, behavior=behavior_name(behavior_id, config), event_time=stamp(time_s))
    for source, offset in sorted(profile.marks.items()):
        answer.marks.add(**asdict(source), offset=offset)


def _overlay_event(entry: OverlayEntry) -> admin_pb2.ProfileEvent:
    return admin_pb2.ProfileEvent(item_id=entry.item_id, behavior=entry.behavior, event_time=stamp(entry.event_time_s))
