"""Long work on the state as a whole: rebuild, the audit of scores, backup."""

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mmrec.errors import InvalidRequestError
from mmrec.operating.acts import ActKind, Caller
from mmrec.operating.long_work import Told, wait_of
from mmrec.operating.workplace import Workplace
from mmrec.state.audit import Audit, audit_profiles, audit_statistics
from mmrec.state.backup import backup
from mmrec.state.rebuild_run import back, rebuild
from mmrec.stream.rebuild import RebuildParts
from mmrec.v1 import admin_pb2
from mmrec.wiring import (
    open_engine,
    open_event_log,
    open_forgotten_users,
    open_generations,
    open_objects,
    take_rebuild_lock,
    take_writer_right,
)

MAX_DIFFERENCES: Final = 100
MAX_SAMPLE: Final = 100_000
_USUAL_SAMPLE: Final = 200
_USUAL_WAIT_S: Final = 120.0
_FOLDER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ROWS: Final = "rows of the log"


class Wall:
    """The machine's clock, and its sleep."""

    def now_s(self) -> float:
        """Epoch seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def rebuild_profiles(
    at: Workplace, request: admin_pb2.RebuildRequest, caller: Caller, told: Told
) -> Iterable[admin_pb2.RebuildResponse]:
    """See admin.proto."""
    if request.back and request.without_flip:
        raise InvalidRequestError("back and without_flip are given; going back is nothing but a flip")
    settings, wait_s = at.settings, wait_of(request.wait_s, usual_s=_USUAL_WAIT_S)
    parts = RebuildParts(
        store=open_generations(settings),
        log=open_event_log(settings),
        forgotten=open_forgotten_users(settings),
        config=settings.scoring,
        told=lambda number: told(ROWS, number),
    )
    details = {"back": str(request.back).lower(), "flip": str(not request.without_flip).lower()}
    with at.acts.recorded(ActKind.REBUILD, caller, details=details) as act, take_rebuild_lock(settings):
        if request.back:
            done = back(parts, take_lock=lambda: take_writer_right(settings), waiting=Wall(), wait_s=wait_s)
        else:
            done = rebuild(
                parts,
                take_lock=lambda: take_writer_right(settings),
                waiting=Wall(),
                with_flip=not request.without_flip,
                wait_s=wait_s,
            )
        act.subject = done.generation
        act.details["num_rows"] = str(done.num_rows)
    result = admin_pb2.RebuildResult(
        generation=done.generation, num_rows=done.num_rows, work_s=done.seconds, flipped_by=done.flipped_by
    )
    return [admin_pb2.RebuildResponse(result=result)]


def audit_scores(
    at: Workplace, request: admin_pb2.AuditScoresRequest, caller: Caller, told: Told
) -> Iterable[admin_pb2.AuditScoresResponse]:
    """See admin.proto."""
    if not 0 <= request.num_sample <= MAX_SAMPLE:
        raise InvalidRequestError(f"num_sample is {request.num_sample}; give 1 to {MAX_SAMPLE}")
    settings, log = at.settings, open_event_log(at.settings)
    num_sample = request.num_sample or _USUAL_SAMPLE
    profiles = audit_profiles(
        at.features(),
        log,
        forgotten=open_forgotten_users(settings),
        config=settings.scoring,
        num_sample=num_sample,
        seed=request.seed,
        told=lambda number: told(ROWS, number),
    )
    items = audit_statistics(
        at.features(),
        log,
        half_lives_days=settings.statistics.half_lives_days,
        config=settings.scoring,
        num_sample=num_sample,
        seed=request.seed,
        told=lambda number: told(ROWS, number),
    )
    result = admin_pb2.AuditScoresResult(profiles=_audited(profiles), item_statistics=_audited(items))
    return [admin_pb2.AuditScoresResponse(result=result)]


def back_up(
    at: Workplace, request: admin_pb2.BackUpRequest, caller: Caller, told: Told
) -> Iterable[admin_pb2.BackUpResponse]:
    """See admin.proto."""
    if not _FOLDER_NAME.fullmatch(request.name):
        raise InvalidRequestError(
            f"name is {request.name[:100]!r}; give 1 to 100 of letters, digits, . _ -, the first a letter or digit"
        )
    settings, engine = at.settings, open_engine(at.settings)
    folder = Path(settings.admin.backups) / request.name
    with at.acts.recorded(ActKind.BACK_UP, caller, subject=str(folder)) as act:
        done = backup(
            settings,
            folder,
            store=at.features(),
            log=open_objects(settings.stores, "event_log"),
            releases=open_objects(settings.stores, "releases"),
            database=engine.database,
            config=Path(settings.config_file),
            made_time_s=at.clock.now_s(),
            with_content=request.with_content,
            overwrite=request.overwrite,
            told=lambda number: told("bytes", number),
        )
        act.details["num_bytes"] = str(done.num_bytes)
    result = admin_pb2.BackUpResult(
        folder=str(folder), num_files=done.num_files, num_bytes=done.num_bytes, note=engine.backup_note
    )
    return [admin_pb2.BackUpResponse(result=result)]


def _audited(audit: Audit) -> admin_pb2.AuditedPart:
    return admin_pb2.AuditedPart(
        num_compared=audit.num_compared,
        num_left_out=audit.num_left_out,
        num_values=audit.num_values,
        largest_error=audit.largest_error,
        num_differences=len(audit.differences),
        differences=[
            admin_pb2.ScoreDifference(key=each.key, name=each.name, error=each.error)
            for each in audit.differences[:MAX_DIFFERENCES]
        ],
    )
