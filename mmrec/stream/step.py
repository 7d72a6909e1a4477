"""One step of the scoring stream, without any engine: takes a decoded micro-batch and updates the log and the store.

    stream = ScoringStream(store=..., log=..., producer=..., forgotten=..., settings=...)
    stream.recover(starts=..., write_time_s=...)     once at the start: applies what is in the log and not in the store
    stream.process(batch, write_time_s=...)          per micro-batch

Order of writes: registry of forgotten users, log, rejected topic, profiles with progress. The next start repairs a
crash anywhere in between: it applies what the log holds beyond the stored progress (where that was applied before, the
profiles' marks make it harmless) and continues reading after the stored progress. So the log decides: an event in the
log counts, however the next start cuts its batches. The rejected topic gets a refused record at least once.

Control records (mmrec/stream/control_rows.py): a forget request removes everything known before it, including events
of the same batch. Logins decide by known times which user an anonymous event belongs to, wherever batches end.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.config import Settings
from mmrec.events.control import FORGET
from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.log import EventLog
from mmrec.events.producer import RecordProducer
from mmrec.events.refused_events import refused_events
from mmrec.events.rejected import rejected_records
from mmrec.events.rejection import Rejection
from mmrec.events.to_batch import event_batch, sources_of
from mmrec.features.ports import ProfileGenerations
from mmrec.features.record_counts import RecordCounts
from mmrec.features.values import PackedProfile, StreamProgress
from mmrec.scoring.identity import history_of
from mmrec.scoring.packing import pack
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.source import Source
from mmrec.scoring.verdicts import Verdict
from mmrec.stream.control_rows import (
    BoolArray,
    asked_to_forget,
    sharing,
    write_users_first,
)
from mmrec.stream.judged_batch import Judged, judge_batch, judge_concerned, left_by_a_crash
from mmrec.stream.offsets import Offsets, batch_key, beyond, is_beyond
from mmrec.stream.partition_step import JudgedEvents, Written
from mmrec.stream.profile_groups import packed_with_targets
from mmrec.stream.rebuild import RebuildParts, Replay
from mmrec.stream.recovery import Recovery, answer_flip, from_log, recover
from mmrec.stream.replay import guests_in_log, people_from_log
from mmrec.stream.rows import StreamBatch
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
_REFUSALS: Final = {Verdict.CAPPED: Rejection.RATE_CAPPED, Verdict.BOT: Rejection.BOT}


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What became of one micro-batch."""

    num_records: int
    """Records of every kind, malformed ones included, that were not processed before."""
    num_accepted: int
    num_profiles: int
    """Profiles written."""
    phases_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds by phase, by the stream's timer: read, apply, log, rejected, write."""


class ScoringStream:
    """The one writer of profiles."""

    def __init__(
        self,
        *,
        store: ProfileGenerations,
        log: EventLog,
        producer: RecordProducer,
        forgotten: ForgottenUsers,
        settings: Settings,
        timer: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Continue from the progress in the store.

        Args:
            timer: Seconds of a monotonic clock, for StepReport.phases_s.
        """
        self._store = store
        self._log = log
        self._producer = producer
        self._forgotten = forgotten
        self._settings = settings
        self._parts = RebuildParts(store=store, log=log, forgotten=forgotten, config=settings.scoring)
        self._timer = timer
        self._progress = store.read_progress() or StreamProgress()
        self._recovered = Offsets()
        self._turn = threading.RLock()

    @property
    def progress(self) -> StreamProgress:
        """How far the store has come."""
        return self._progress

    @contextmanager
    def turn(self) -> Iterator[str]:
        """Held from reading profiles until they are written: no flip comes between. Gives the live generation name."""
        with self._turn:
            yield self._store.live_generation()

    def recover(self, *, starts: Mapping[Source, int], write_time_s: float) -> Recovery:
        """Apply what the log holds beyond the stored progress; this also refills a store that was lost or restored.

        Records that will be read again are counted then, as already applied. Records of a topic that no longer exists,
        or that its broker has deleted, are counted here, and progress moves past them. A store that has not seen all
        requests to forget is swept first.

        Args:
            starts: Where reading will start, for every source that will be read.
        """
        found = recover(self._parts, self._progress, starts=starts, write_time_s=write_time_s)
        self._recovered, self._progress = found.ahead, found.progress
        return found.recovery

    def process(self, batch: StreamBatch, *, write_time_s: float) -> StepReport:
        """Apply one micro-batch to log and store; records that were processed before change nothing.

        Raises:
            StoreError: an engine failed. Nothing is lost: start again with recover().
        """
        with self._turn:
            return self._process(batch, write_time_s=write_time_s)

    def answer_flip(self, *, write_time_s: float) -> Replay | None:
        """Switch to the generation that a rebuild has filled, if one has asked for it; None if none has.

        It waits for the batch in progress, and the next batch waits for it, so it may be called from another thread.

        Raises:
            StoreError: the generation cannot be used; the request is withdrawn, and everything stays as it was.
        """
        name = self._store.requested_flip()
        if name is None:
            return None
        with self._turn:
            return answer_flip(self._parts, name, progress=self._progress, write_time_s=write_time_s)

    def _process(self, batch: StreamBatch, *, write_time_s: float) -> StepReport:
        batch = beyond(batch, self._progress.marks)
        began_s = self._timer()
        gone = self._forget(batch.control)
        anew = {*gone, *sharing(gone, self._store.read_profiles)}
        kept = self._kept_of(gone, anew)
        judged = self._judge(batch, anew, kept)
        phases_s = dict(judged.phases_s)
        phases_s["apply"] = self._timer() - began_s - sum(phases_s.values())
        judged = replace(judged, profiles={**kept, **judged.profiles})
        return self._written(batch, judged, phases_s, anew=anew, write_time_s=write_time_s)

    def process_judged(
        self,
        batch: StreamBatch,
        judged_events: JudgedEvents,
        *,
        write: Callable[[frozenset[str]], Written],
        write_time_s: float,
    ) -> StepReport:
        """Like process(), for a micro-batch with events that partitions have judged against the stored profiles.

        The partitions did not know the batch's logins, so the users whom these concern are judged again here.

        Args:
            batch: Without requests to forget. Those must be known before events are judged, so process() takes them.
            judged_events: Of batch.events.
            write: Writes the profiles that the partitions changed, except those of the keys it is given; called once
                the log has the events.

        Call it within turn(), which must be entered before the partitions read profiles.

        Raises:
            StoreError: an engine failed. Nothing is lost: start again with recover().
        """
        phases_s: dict[str, float] = {}
        began_s = self._timer()
        beyond_N = is_beyond(batch.events, self._progress.marks)
        verdicts_N, owners = judged_events.verdicts_N[beyond_N], judged_events.owners.filter(pa.array(beyond_N))
        batch = beyond(batch, self._progress.marks)
        recovered_N = self._held(batch.events)
        concerned = judge_concerned(
            batch, owners, self._store.read_profiles, judge=lambda mine: self._judge(mine, set(), {})
        )
        again = batch.events.filter(pa.array(concerned.others_N & (verdicts_N == Verdict.ALREADY_APPLIED)))
        if again.num_rows:
            verdicts_N = left_by_a_crash(
                event_batch(batch.events, self._settings.behaviors),
                np.where(concerned.others_N, verdicts_N, Verdict.ACCEPTED),
                recovered_N,
                packed_with_targets(self._store.read_packed, pc.unique(again["user_key"]).to_pylist()),
                self._settings.scoring,
            )
        verdicts_N = verdicts_N.copy()
        verdicts_N[~concerned.others_N] = concerned.judged.verdicts_N
        judged = replace(concerned.judged, events=batch.events, verdicts_N=verdicts_N, recovered_N=recovered_N)
        phases_s["apply"] = self._timer() - began_s
        return self._written(
            batch, judged, phases_s, write_others=lambda: write(concerned.keys), write_time_s=write_time_s
        )

    def _written(
        self,
        batch: StreamBatch,
        judged: Judged,
        phases_s: dict[str, float],
        *,
        anew: Collection[str] = (),
        write_others: Callable[[], Written] = lambda: Written(num_profiles=0, num_pruned=0),
        write_time_s: float,
    ) -> StepReport:
        """The order of writes of every micro-batch: the log, then profiles, and last the progress that covers both.

        Args:
            phases_s: Seconds so far; those of logging and writing are added.
            anew: Keys of stored profiles to remove, unless judged.profiles has them.
            write_others: Writes the profiles that are not in judged.profiles.
        """
        sequence = self._log_and_reject(batch, judged, phases_s)
        began_s = self._timer()
        others = write_others()
        progress = self._moved_progress(
            batch, replace(judged, num_pruned=judged.num_pruned + others.num_pruned), sequence
        )
        if anew:
            self._write_and_remove(judged.profiles, anew, write_time_s=write_time_s, progress=progress)
        else:
            write_users_first(self._store, judged.profiles, write_time_s=write_time_s, progress=progress)
        self._take_up(progress)
        phases_s["write"] = phases_s.get("write", 0.0) + self._timer() - began_s
        return StepReport(
            num_records=_num_records(batch),
            num_accepted=int(np.sum(judged.verdicts_N == Verdict.ACCEPTED)),
            num_profiles=others.num_profiles + len(judged.profiles),
            phases_s=phases_s,
        )

    def pass_over(self, ends: Mapping[Source, int], *, num_skipped: int = 0, write_time_s: float) -> None:
        """Move progress over offsets that hold no record to read; writes nothing where it has passed them already.

        Args:
            ends: Highest such offset per source; all records below are in the store.
            num_skipped: Batches among them that cannot be decoded.

        Raises:
            StoreError: an engine failed.
        """
        with self._turn:
            before = self._progress
            left = {source: end for source, end in ends.items() if end > before.marks.get(source, -1)}
            if not left:
                return
            counts = before.counts + RecordCounts(skipped_batches=num_skipped)
            moved = replace(before, marks={**before.marks, **left}, counts=counts)
            if self._recovered.passed_by(moved.marks):
                moved = replace(moved, log_sequence=self._log.sequence())
            self._store.write_profiles({}, write_time_s=write_time_s, progress=moved)
            self._take_up(moved)

    def _log_and_reject(self, batch: StreamBatch, judged: Judged, phases_s: dict[str, float]) -> int:
        """What is written before profiles: the log, then the rejected topic. Returns the log's sequence number."""
        began_s = self._timer()
        sequence = self._log.append(judged.accepted, batch_key=batch_key(batch.ends))
        self._log.append_served(batch.served, batch_key=batch_key(batch.ends))
        phases_s["log"] = self._timer() - began_s
        began_s = self._timer()
        self._reject(batch.rejected, judged)
        phases_s["rejected"] = self._timer() - began_s
        return sequence

    def _forget(self, control: pa.Table) -> dict[str, float]:
        """Write requests to forget to the registry; returns the profile keys to forget, and up to which instant."""
        if not control.num_rows:
            return {}
        read, forgotten = self._store.read_profiles, self._forgotten
        gone = asked_to_forget(control, read, forgotten=forgotten, guests_in_log=partial(guests_in_log, self._log))
        if gone:
            self._forgotten.forget_all(gone)
        return gone

    def _kept_of(self, gone: Mapping[str, float], anew: Collection[str]) -> dict[str, UserProfile]:
        """What stays of forgotten profiles: events in the log that were known later than the instant.

        Args:
            anew: Those profiles, and the users who share a device with them, since they lose the device's events.
        """
        stored = self._store.read_profiles(gone) if gone else {}
        # Anonymous events may have to go up to an earlier instant only: that of the request their login ties them to.
        up_to_s = {k: min(gone[n] for n in (k, *p.merged_from) if n in gone) for k, p in stored.items()}
        came_back = any(_newest_known_s(profile) > up_to_s[key] for key, profile in stored.items())
        if not came_back and len(anew) == len(gone):
            return {}
        return from_log(self._parts, anew, up_to_sequence=self._log.sequence())

    def _write_and_remove(
        self,
        written: Mapping[str, UserProfile | PackedProfile],
        anew: Collection[str],
        *,
        write_time_s: float,
        progress: StreamProgress,
    ) -> None:
        """Removals, then the progress that has seen the requests: until it does, every start sweeps the store."""
        unseen = replace(progress, num_forgotten=progress.num_forgotten - 1)
        write_users_first(self._store, written, write_time_s=write_time_s, progress=unseen)
        self._store.delete_profiles([key for key in anew if key not in written])
        self._store.write_profiles({}, write_time_s=write_time_s, progress=progress)

    def _judge(self, batch: StreamBatch, anew: Collection[str], kept: Mapping[str, UserProfile]) -> Judged:
        """Apply the batch's events, with forgotten profiles replaced by `kept`, which is what stays of them."""

        def read(keys: Iterable[str]) -> dict[str, bytes]:
            wanted = list(keys)
            stored = self._store.read_packed([key for key in wanted if key not in anew])
            return {**stored, **{key: pack(kept[key]) for key in wanted if key in kept}} if anew else stored

        return judge_batch(
            batch,
            self._store,
            read,
            recovered=self._recovered,
            from_log=self._people_from_log,
            forgotten=self._forgotten,
            config=self._settings.scoring,
            timer=self._timer,
        )

    def _reject(self, rejected: pa.Table, judged: Judged) -> None:
        """Send the records that the codec refused, and those that rate cap and bot rule refused."""
        refused_N = np.isin(judged.verdicts_N, list(_REFUSALS))
        if refused_N.any():
            reasons = [_REFUSALS[Verdict(verdict)] for verdict in judged.verdicts_N[refused_N].tolist()]
            rejected = pa.concat_tables([rejected, refused_events(judged.events.filter(pa.array(refused_N)), reasons)])
        if rejected.num_rows:
            self._producer.send_many(self._settings.kafka.rejected, rejected_records(rejected))

    def _moved_progress(self, batch: StreamBatch, judged: Judged, sequence: int) -> StreamProgress:
        """The progress of the store once it has the batch."""
        marks = self._progress.marks
        moved = replace(
            self._progress,
            marks={**marks, **{s: max(end, marks.get(s, -1)) for s, end in batch.ends.items()}},
            counts=self._progress.counts + self._counts_of(batch, judged),
            newest_ingest_time_s=max(self._progress.newest_ingest_time_s, batch.newest_ingest_time_s),
            num_forgotten=self._forgotten.num_forgotten(),
        )
        if self._recovered.passed_by(moved.marks):
            moved = replace(moved, log_sequence=max(sequence, self._log.sequence()))
        return moved

    def _counts_of(self, batch: StreamBatch, judged: Judged) -> RecordCounts:
        """What became of a batch's records; those that were logged before a crash were accepted then."""
        verdicts_N, accepted_N = judged.verdicts_N, (judged.verdicts_N == Verdict.ACCEPTED) | judged.recovered_N
        others = (Verdict.DUPLICATE, Verdict.CAPPED, Verdict.BOT, Verdict.FORGOTTEN)
        logins_N = judged.logins_known_N | self._held(judged.logins)
        reasons = batch.rejected["reason"].value_counts().to_pylist()
        return RecordCounts(
            verdicts={
                Verdict.ACCEPTED: int(np.sum(accepted_N)),
                **{verdict: int(np.sum((verdicts_N == verdict) & ~accepted_N)) for verdict in others},
            },
            rejected={found["values"]: found["counts"] for found in reasons},
            identified=int(np.sum(logins_N)),
            forgotten_users=pc.sum(pc.equal(batch.control["behavior"], FORGET)).as_py() or 0,
            served_lists=batch.served.num_rows,
            malformed_served_lists=batch.malformed_served.num_rows,
            unknown_fields=pc.sum(batch.unknown_fields["num_unknown_fields"]).as_py() or 0,
            pruned=judged.num_pruned,
        )

    def _take_up(self, progress: StreamProgress) -> None:
        """Remember a progress that is in the store."""
        self._progress = progress
        if self._recovered.passed_by(progress.marks):
            self._recovered = Offsets()

    def _held(self, rows: pa.Table) -> BoolArray:
        """Mask of the rows that were logged before a crash."""
        sources, source_index_N = sources_of(rows)
        return self._recovered.hold(sources, source_index_N, rows["offset"].to_numpy())

    def _people_from_log(self, guests: Iterable[str], logins: pa.Table) -> dict[str, UserProfile]:
        found = people_from_log(
            self._log,
            guests,
            up_to_sequence=self._log.sequence(),
            forgotten=self._forgotten,
            config=self._settings.scoring,
            more_logins=logins,
        )
        log.info("counted_anew_from_the_log", num_profiles=len(found))
        return found


def _newest_known_s(profile: UserProfile) -> float:
    """The newest instant of anything in a profile: of its events, or of a stub's logins."""
    history = history_of(profile)
    return profile.newest_ingest_time_s if history is None else history.newest[0]


def _num_records(batch: StreamBatch) -> int:
    tables = (batch.events, batch.control, batch.rejected, batch.served, batch.malformed_served)
    return sum(table.num_rows for table in tables)
