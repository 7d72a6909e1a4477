"""One step of the scoring stream, without any engine: a decoded micro-batch in, the log and the store moved on.

    stream = ScoringStream(store=..., log=..., producer=..., settings=...)
    stream.recover(write_time_s=...)                 once at the start: what a crash left between log and store
    stream.process(batch, write_time_s=...)          per micro-batch

Order of writes: log, rejected topic, profiles with progress. A crash anywhere in between is mended by the next start:
what the log holds beyond the stored progress is applied (marks make it harmless where it was), reading goes on behind
the stored marks. So the log decides: an event that stands in it counts, however the next start cuts its batches.
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
from mmrec.events.to_batch import event_batch
from mmrec.events.verdicts import Verdict
from mmrec.features.stores import FeatureStore
from mmrec.features.values import StreamProgress
from mmrec.scoring.apply import Applied, apply
from mmrec.scoring.batch import EventBatch
from mmrec.scoring.profile import Source

REJECTED_PREFIX = "rejected."
"""Counts of refused records stand under this prefix and the reason."""
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What became of one micro-batch."""

    num_records: int
    """Records of every kind that were not processed before."""
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

    def recover(self, *, write_time_s: float) -> int:
        """Apply what the log holds beyond the stored progress; a store that was lost or restored is filled up again.

        Progress stays where it is: the records are read once more, found applied, and counted then.

        Returns:
            Events that the profiles did not have.
        """
        num_applied = 0
        for table in self._log.scan(after_sequence=self._progress.log_sequence):
            events = event_batch(table, self._settings.behaviors)
            for index, source in enumerate(events.sources):
                offsets = events.offsets_N[events.source_index_N == index]
                self._recovered[source] = np.union1d(self._recovered.get(source, offsets), offsets)
            applied = self._applied(table, events)
            self._store.write_profiles(applied.profiles, write_time_s=write_time_s)
            num_applied += int(np.sum(applied.verdicts_N == Verdict.ACCEPTED))
        return num_applied

    def process(self, batch: StreamBatch, *, write_time_s: float) -> StepReport:
        """Move log and store on by one micro-batch; records that were processed before change nothing.

        Raises:
            StoreError: an engine failed. Nothing is lost: start again with recover().
        """
        marks = self._progress.marks
        events, rejected, served = (_beyond(t, marks) for t in (batch.events, batch.rejected, batch.served))
        batch_key = _batch_key(batch.ends)
        counts = Counter(self._progress.counts)
        counts["served_lists"] += served.num_rows
        counts["malformed_served_lists"] += batch.num_malformed_served
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
        counts["accepted"] += int(np.sum(counted_N))
        counts["duplicate"] += int(np.sum(~counted_N))
        self._progress = replace(
            self._progress,
            marks={**marks, **{s: max(end, marks.get(s, -1)) for s, end in batch.ends.items()}},
            counts={name: number for name, number in sorted(counts.items()) if number},
            newest_ingest_time_s=max(self._progress.newest_ingest_time_s, batch.newest_ingest_time_s),
        )
        if all(self._progress.marks.get(s, -1) >= offsets[-1] for s, offsets in self._recovered.items()):
            self._recovered = {}
            self._progress = replace(self._progress, log_sequence=max(sequence, self._log.sequence()))
        self._store.write_profiles(applied.profiles, write_time_s=write_time_s, progress=self._progress)
        return StepReport(
            num_records=events.num_rows + rejected.num_rows + served.num_rows,
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
