"""What the stream does between batches: repair after a crash, and the flip that a rebuild asks for.

    found = recover(parts, progress, starts=..., write_time_s=...)       once at the start
    answer_flip(parts, name, progress=..., write_time_s=...)             where a rebuild has requested it

The log decides: what it holds beyond the stored progress is applied to the store. Where a profile has an event already,
its marks make applying it again harmless.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from mmrec.errors import InvalidRequestError, StoreError
from mmrec.events.to_batch import sources_of
from mmrec.features.record_counts import RecordCounts
from mmrec.features.values import StreamProgress
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.source import Source
from mmrec.scoring.verdicts import Verdict
from mmrec.stream.control_rows import BoolArray, write_users_first
from mmrec.stream.offsets import Offsets
from mmrec.stream.rebuild import RebuildParts, Replay, flip
from mmrec.stream.replay import LogStretch, Replayed, profiles_from_log
from mmrec.stream.sweep import sweep


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What was found in the log beyond the stored progress."""

    num_applied: int
    """Events that the profiles did not have."""
    num_left_out: int
    """Events of behaviors that are configured no more; they stay in the log."""
    num_swept: int
    """Profiles of forgotten users that the store still had."""


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """Where the stream continues."""

    progress: StreamProgress
    """As it is stored now."""
    ahead: Offsets
    """Records that are in the log and will be read once more."""
    recovery: Recovery


def recover(
    parts: RebuildParts, before: StreamProgress, *, starts: Mapping[Source, int], write_time_s: float
) -> Recovered:
    """Apply what the log holds beyond the stored progress; a store that was lost or restored is filled up again.

    Args:
        before: The stored progress.
        starts: Where reading will start, for every source that will be read.
    """
    last, num_forgotten = parts.log.sequence(), parts.forgotten.num_forgotten()
    num_swept = 0
    if num_forgotten > before.num_forgotten:
        num_swept = _sweep(parts, before, write_time_s=write_time_s)
    progress, ahead = before, Offsets()
    num_applied = num_left_out = 0
    for logged, replayed in _applied(parts, before, up_to_sequence=last, write_time_s=write_time_s):
        for source, offset_N, mine_N in _by_source(logged):
            ahead_N = mine_N & (offset_N >= starts[source]) if source in starts else np.zeros_like(mine_N)
            gone_N = mine_N & ~ahead_N & (offset_N > before.marks.get(source, -1))
            ahead.add(source, offset_N[ahead_N])
            if gone_N.any():
                progress = _past(progress, source, int(offset_N[gone_N].max()), _counts_of(replayed, gone_N))
        num_applied += replayed.num_applied
        num_left_out += int(np.sum(~replayed.events_N & ~replayed.logins_N))
    progress = replace(progress, log_sequence=before.log_sequence if ahead else last, num_forgotten=num_forgotten)
    if progress != before:
        parts.store.write_profiles({}, write_time_s=write_time_s, progress=progress)
    return Recovered(
        progress=progress,
        ahead=ahead,
        recovery=Recovery(num_applied=num_applied, num_left_out=num_left_out, num_swept=num_swept),
    )


def from_log(parts: RebuildParts, keys: Collection[str], *, up_to_sequence: int) -> dict[str, UserProfile]:
    """The profiles of these keys, counted anew from the log."""
    return profiles_from_log(
        parts.log, keys, up_to_sequence=up_to_sequence, forgotten=parts.forgotten, config=parts.config
    )


def answer_flip(parts: RebuildParts, name: str, *, progress: StreamProgress, write_time_s: float) -> Replay:
    """Make a generation live that a rebuild has filled; called by the one writer of profiles, between two batches.

    Args:
        name: The generation whose flip is requested.
        progress: How far the writer has come.

    Raises:
        StoreError: the generation cannot be taken; the request is withdrawn, and all is as before.
    """
    try:
        return flip(parts, name, progress=progress, write_time_s=write_time_s)
    except InvalidRequestError as error:
        parts.store.request_flip(None)
        raise StoreError(f"no flip to generation {name!r}: {error}") from error
    except StoreError:
        parts.store.request_flip(None)
        raise


def _sweep(parts: RebuildParts, before: StreamProgress, *, write_time_s: float) -> int:
    """Remove what the store has of users whose requests to forget it has not seen; returns the number of profiles."""
    return sweep(
        parts.store,
        parts.forgotten,
        lambda keys: from_log(parts, keys, up_to_sequence=before.log_sequence),
        write_time_s=write_time_s,
    )


def _applied(
    parts: RebuildParts, before: StreamProgress, *, up_to_sequence: int, write_time_s: float
) -> Iterator[tuple[pa.Table, Replayed]]:
    """Tables of the log beyond a progress, each with what it changed; written already."""
    stretch = LogStretch(
        log=parts.log,
        read=parts.store.read_packed,
        forgotten=parts.forgotten,
        config=parts.config,
        after_sequence=before.log_sequence,
        up_to_sequence=up_to_sequence,
    )
    for profiles in stretch.bring():
        write_users_first(parts.store, profiles, write_time_s=write_time_s)
    for logged in stretch.tables():
        replayed = stretch.apply(logged)
        changed = parts.store.packed(replayed.applied.profiles, columns=replayed.applied.columns)
        write_users_first(parts.store, changed, write_time_s=write_time_s)
        yield logged, replayed


def _by_source(logged: pa.Table) -> Iterator[tuple[Source, np.ndarray, BoolArray]]:
    """Each source of a table, with the offsets of all N rows and the mask of its own."""
    offset_N = logged["offset"].to_numpy()
    sources, source_index_N = sources_of(logged)
    for index, source in enumerate(sources):
        yield source, offset_N, source_index_N == index


def _past(progress: StreamProgress, source: Source, offset: int, counts: RecordCounts) -> StreamProgress:
    """A progress that has come past records which will not be read again, so they are counted here."""
    mark = max(progress.marks.get(source, -1), offset)
    return replace(progress, marks={**progress.marks, source: mark}, counts=progress.counts + counts)


def _counts_of(replayed: Replayed, rows_N: BoolArray) -> RecordCounts:
    """What became of some rows of a table of the log."""
    return RecordCounts(
        verdicts={Verdict.ACCEPTED: int(np.sum(rows_N & replayed.events_N))},
        identified=int(np.sum(rows_N & replayed.logins_N)),
        not_configured=int(np.sum(rows_N & ~replayed.events_N & ~replayed.logins_N)),
    )
