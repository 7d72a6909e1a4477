"""One step of the scoring stream, without any engine: a decoded micro-batch in, the log and the store moved on.

    stream = ScoringStream(store=..., log=..., producer=..., settings=...)
    stream.recover(starts=..., write_time_s=...)     once at the start: what a crash left between log and store
    stream.process(batch, write_time_s=...)          per micro-batch

Order of writes: log, rejected topic, profiles with progress. A crash anywhere in between is mended by the next start:
what the log holds beyond the stored progress is applied (the profiles' marks make it harmless where it was), reading
goes on behind the marks of the stored progress. So the log decides: an event that stands in it counts, however the next
start cuts its batches. The rejected topic gets a refused record at least once.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.config import Settings
from mmrec.events.log import EventLog
from mmrec.events.producer import RecordProducer
from mmrec.events.rejected import rejected_records
from mmrec.events.stream_rows import StreamBatch
from mmrec.events.to_batch import configured, event_batch, sources_of
from mmrec.events.verdicts import Verdict
from mmrec.features.stores import FeatureStore
from mmrec.features.values import StreamProgress
from mmrec.scoring.apply import Applied, apply
from mmrec.scoring.batch import EventBatch
from mmrec.scoring.profile import Source

REJECTED_PREFIX = "rejected."
"""Counts of refused records stand under this prefix and the reason."""
NOT_CONFIGURED = "not_configured"
"""Count of logged events that no profile has, since their behavior is configured no more."""
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What was found in the log beyond the stored progress."""

    num_applied: int
    """Events that the profiles did not have."""
    num_left_out: int
    """Events of behaviors that are configured no more; they stay in the log."""


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What became of one micro-batch."""

    num_records: int
    """Records of every kind, malformed ones included, that were not processed before."""
    num_accepted: int
    num_profiles: int
    """Profiles written."""


class ScoringStream:
    """The one writer of profiles."""

    def __init__(self, *, store: FeatureStore, log: EventLog, producer: RecordProducer, settings: Settings) -> None:
        self._store = store
        self._log = log
        self._producer = producer
        self._settings = settings
        self._progress = store.read_progress() or StreamProgress()
        self._recovered: dict[Source, npt.NDArray[np.int64]] = {}

    @property
    def progress(self) -> StreamProgress:
        """How far the store has come."""
        return self._progress

    def recover(self, *, starts: Mapping[Source, int], write_time_s: float) -> Recovery:
        """Apply what the log holds beyond the stored progress; a store that was lost or restored is filled up again.

        Records that will be read once more are then found applied, and counted; those of a topic that is gone, or that
        its broker has deleted, are counted here, and progress moves past them.

        Args:
            starts: Where reading will start, for every source that will be read.
        """
        before, last = self._progress, self._log.sequence()
        marks, counts = dict(before.marks), Counter(before.counts)
        ahead: dict[Source, list[npt.NDArray[np.int64]]] = {}
        num_applied = num_left_out = 0
        for logged in self._log.scan(after_sequence=before.log_sequence, up_to_sequence=last):
            configured_N = configured(logged, self._settings.behaviors)
            offsets_N = logged["offset"].to_numpy()
            sources, source_index_N = sources_of(logged)
            for index, source in enumerate(sources):
                mine_N = source_index_N == index
                ahead_N = mine_N & (offsets_N >= starts[source]) if source in starts else np.zeros_like(mine_N)
                gone_N = mine_N & ~ahead_N & (offsets_N > before.marks.get(source, -1))
                if ahead_N.any():
                    ahead.setdefault(source, []).append(offsets_N[ahead_N])
                if gone_N.any():
                    marks[source] = max(marks.get(source, -1), int(offsets_N[gone_N].max()))
                    counts["accepted"] += int(np.sum(gone_N & configured_N))
                    counts[NOT_CONFIGURED] += int(np.sum(gone_N & ~configured_N))
            table = logged.filter(pa.array(configured_N))
            applied = self._applied(table, event_batch(table, self._settings.behaviors))
            self._store.write_profiles(applied.profiles, write_time_s=write_time_s)
            num_applied += int(np.sum(applied.verdicts_N == Verdict.ACCEPTED))
            num_left_out += int(np.sum(~configured_N))
        self._recovered = {source: np.unique(np.concatenate(parts)) for source, parts in ahead.items()}
        self._progress = replace(
            before, marks=marks, counts=_present(counts), log_sequence=before.log_sequence if ahead else last
        )
        if self._progress != before:
            self._store.write_profiles({}, write_time_s=write_time_s, progress=self._progress)
        return Recovery(num_applied=num_applied, num_left_out=num_left_out)

    def process(self, batch: StreamBatch, *, write_time_s: float) -> StepReport:
        """Move log and store on by one micro-batch; records that were processed before change nothing.

        Raises:
            StoreError: an engine failed. Nothing is lost: start again with recover().
        """
        marks = self._progress.marks
        events, rejected, served = (_beyond(t, marks) for t in (batch.events, batch.rejected, batch.served))
        malformed, unknown = (_beyond(t, marks) for t in (batch.malformed_served, batch.unknown_fields))
        batch_key = _batch_key(batch.ends)
        counts = Counter(self._progress.counts)
        counts["served_lists"] += served.num_rows
        counts["malformed_served_lists"] += malformed.num_rows
        counts["unknown_fields"] += pc.sum(unknown["num_unknown_fields"]).as_py() or 0
        for found in rejected["reason"].value_counts().to_pylist():
            counts[REJECTED_PREFIX + found["values"]] += found["counts"]
        columns = event_batch(events, self._settings.behaviors)
        applied = self._applied(events, columns)
        accepted_N = applied.verdicts_N == Verdict.ACCEPTED
        sequence = self._log.append(events.filter(pa.array(accepted_N)), batch_key=batch_key)
        self._log.append_served(served, batch_key=batch_key)
        if rejected.num_rows:
            self._producer.send_many(self._settings.kafka.rejected, rejected_records(rejected))
        # A record beyond the progress that a profile has seen is one that a crash left behind: in the log it was
        # accepted, not in the log it was a duplicate.
        counted_N = accepted_N | self._in_recovered(columns)
        capped_N = applied.verdicts_N == Verdict.CAPPED
        counts["accepted"] += int(np.sum(counted_N))
        counts["capped"] += int(np.sum(capped_N))
        counts["duplicate"] += int(np.sum(~counted_N & ~capped_N))
        self._progress = replace(
            self._progress,
            marks={**marks, **{s: max(end, marks.get(s, -1)) for s, end in batch.ends.items()}},
            counts=_present(counts),
            newest_ingest_time_s=max(self._progress.newest_ingest_time_s, batch.newest_ingest_time_s),
        )
        if all(self._progress.marks.get(s, -1) >= offsets[-1] for s, offsets in self._recovered.items()):
            self._recovered = {}
            self._progress = replace(self._progress, log_sequence=max(sequence, self._log.sequence()))
        self._store.write_profiles(applied.profiles, write_time_s=write_time_s, progress=self._progress)
        return StepReport(
            num_records=events.num_rows + rejected.num_rows + served.num_rows + malformed.num_rows,
            num_accepted=int(np.sum(accepted_N)),
            num_profiles=len(applied.profiles),
        )

    def _applied(self, table: pa.Table, events: EventBatch) -> Applied:
        profiles = self._store.read_profiles(pc.unique(table["user_key"]).to_pylist())
        return apply(profiles, events, config=self._settings.scoring)

    def _in_recovered(self, events: EventBatch) -> BoolArray:
        found_N = np.zeros(len(events), dtype=np.bool_)
        for index, source in enumerate(events.sources):
            if source in self._recovered:
                mine_N = events.source_index_N == index
                found_N[mine_N] = np.isin(events.offsets_N[mine_N], self._recovered[source])
        return found_N


def _present(counts: Counter[str]) -> dict[str, int]:
    return {name: number for name, number in sorted(counts.items()) if number}


def _beyond(table: pa.Table, marks: Mapping[Source, int]) -> pa.Table:
    """Rows whose offset is above the mark of their source."""
    keep = pa.array(np.ones(table.num_rows, dtype=np.bool_))
    for source, mark in marks.items():
        theirs = pc.and_(
            pc.and_(pc.equal(table["topic_id"], source.topic_id), pc.equal(table["cluster_id"], source.cluster_id)),
            pc.equal(table["partition"], source.partition),
        )
        keep = pc.and_not(keep, pc.and_(theirs, pc.less_equal(table["offset"], mark)))
    return table.filter(keep)


def _batch_key(ends: Mapping[Source, int]) -> str:
    return ";".join(f"{s.cluster_id}/{s.topic_id}/{s.partition}:{end}" for s, end in sorted(ends.items()))
