"""*apply* on packed profiles: what mmrec/scoring/apply.py does, section by section for thousands of profiles at once.

    applied = apply_packed(packed, events, config=...)
    applied.columns, applied.profiles                      everything that changed; applied.packed() all of it packed
    applied.verdicts_N

Most users of a micro-batch are plain: their events come from one partition, in order, after everything their profile
has seen. Plain users are processed together here, as columns. All others go through *apply* itself, which is the
definition; both give the same bytes (tests/unit/test_apply_packed.py).

Axes: N events, U users of the batch, then the plain ones; A their accepted events (those of one user stand together),
S touched (user, item) slots (likewise), X items of all users, R ring entries, H half-lives, B behaviors.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.scoring.apply import ACCEPTED, DUPLICATE, NOBODY, apply
from mmrec.scoring.batch import NO_SOURCE, EventBatch
from mmrec.scoring.identity import history_of
from mmrec.scoring.marks import moved as marks_moved
from mmrec.scoring.packed_columns import Axes, ProfileColumns, columns_of, packed_of, same_behaviors, sections_of
from mmrec.scoring.packed_fold import PlainUsers, fold_columns
from mmrec.scoring.packing import pack, pack_marks, stub_of, unpack, unpack_marks
from mmrec.scoring.profile import UserProfile, empty_profile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source
from mmrec.scoring.together import LoginHistory

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
CHUNK: Final = 4_096
"""Plain users whose columns are joined at a time: bounds the memory of a batch."""
_SIEVE_BITS: Final = 22
"""Ids are first looked for by their lowest bits, in a table of this size."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AppliedPacked:
    """What became of a batch."""

    columns: list[tuple[list[str], ProfileColumns]]
    """Keys and columns of changed profiles of plain users."""
    profiles: dict[str, UserProfile]
    """The other changed profiles."""
    verdicts_N: npt.NDArray[np.uint8]
    """Verdict of each event, in the order they were given."""
    num_pruned: int
    """Items dropped to stay within the bounds."""

    def packed(self) -> dict[str, bytes]:
        """All changed profiles, packed."""
        found = {key: pack(profile) for key, profile in self.profiles.items()}
        for keys, columns in self.columns:
            found.update(zip(keys, packed_of(columns), strict=True))
        return found


def apply_packed(
    packed: Mapping[str, bytes],
    events: EventBatch,
    *,
    config: ScoringConfig,
    forgotten: Mapping[str, float] = NOBODY,
    with_caps: bool = True,
) -> AppliedPacked:
    """Apply events to packed profiles; arguments, verdicts and errors are those of *apply*.

    Args:
        packed: What is stored, by profile key, with the profiles that an anonymous one is merged into.
    """
    targets = {key: history for key, data in packed.items() if (history := history_of(stub_of(data))) is not None}
    owners = owners_of(events, targets)
    code_of: dict[str, int] = {}
    code_N = np.fromiter((code_of.setdefault(key, len(code_of)) for key in owners), dtype=np.int64, count=len(owners))
    batch = _Batch.of(events, code_N, len(code_of))
    axes = Axes(num_rates=len(config.decay_per_day), behavior_ids_B=config.behaviors.ids_B)
    blank = pack(empty_profile(behaviors=config.behaviors, num_half_lives=axes.num_rates))
    stored = [packed.get(key, blank) for key in code_of]
    plain_U = batch.in_order_U & _fits(stored, axes, blank)
    if config.cap_events or not config.ring_size:
        plain_U[:] = False
    for key in forgotten:
        for owner in targets[key].users if key in targets else (key,):
            if (code := code_of.get(owner)) is not None:
                plain_U[code] = False
    verdicts_N = np.full(len(events), ACCEPTED, dtype=np.uint8)
    columns: list[tuple[list[str], ProfileColumns]] = []
    num_pruned, names = 0, [*code_of]
    for users in _chunks(np.flatnonzero(plain_U)):
        chosen = [stored[user] for user in users.tolist()]
        before = columns_of(chosen, axes)
        judged = _judge(before, batch, users, config, with_caps=with_caps)
        plain_U[users[~judged.plain_U]] = False
        verdicts_N[judged.duplicates] = DUPLICATE
        if not judged.plain_U.any():
            continue
        if not judged.plain_U.all():
            before = columns_of(
                [data for data, keep in zip(chosen, judged.plain_U.tolist(), strict=True) if keep], axes
            )
        after = fold_columns(before, judged.users, events, config=config)
        num_pruned += int(after.sizes("num_pruned_items").sum() - before.sizes("num_pruned_items").sum())
        columns.append(([names[user] for user in users[judged.plain_U].tolist()], after))
    others_N = np.flatnonzero(~plain_U[code_N]) if names else np.zeros(0, dtype=np.int64)
    profiles: dict[str, UserProfile] = {}
    if others_N.size:
        theirs = set(events.user_keys[others_N].tolist())
        theirs |= {user for key in theirs if key in targets for user in targets[key].users}
        given = {key: unpack(packed[key]) for key in theirs if key in packed}
        applied = apply(given, events.take(others_N), config=config, forgotten=forgotten, with_caps=with_caps)
        verdicts_N[others_N] = applied.verdicts_N
        profiles = applied.profiles
        num_pruned += sum(p.num_pruned_items for p in profiles.values())
        num_pruned -= sum(given[key].num_pruned_items for key in profiles if key in given)
    return AppliedPacked(columns=columns, profiles=profiles, verdicts_N=verdicts_N, num_pruned=num_pruned)


def owners_of(events: EventBatch, targets: Mapping[str, LoginHistory]) -> list[str]:
    """The key of the profile that each event counts for, in the order of the events.

    Args:
        targets: Logins by anonymous key.
    """
    keys: list[str] = events.user_keys.tolist()
    if not targets:
        return keys
    known = events.known_times_N.tolist()
    return [targets[key].owner_at(known_s) if key in targets else key for key, known_s in zip(keys, known, strict=True)]


def _chunks(users: IntArray) -> Iterator[IntArray]:
    for start in range(0, len(users), CHUNK):
        yield users[start : start + CHUNK]


def _fits(stored: Sequence[bytes], axes: Axes, blank: bytes) -> BoolArray:
    """Which profiles have the configured axes."""
    prefix = axes.prefix
    fits_U = np.array([data[: len(prefix)] == prefix for data in stored], dtype=np.bool_)
    readable = [data if fits else blank for data, fits in zip(stored, fits_U.tolist(), strict=True)]
    if readable:
        fits_U &= same_behaviors(readable, sections_of(readable, axes), axes)
    return fits_U


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    """Events by user, in the order of (source, offset)."""

    events: EventBatch
    rows_A: IntArray
    user_A: IntArray
    first_U: IntArray
    """Position in `rows_A` of each user's first event; one more entry marks the end."""
    in_order_U: BoolArray
    """Users whose events come from one source, each at a later offset."""

    @classmethod
    def of(cls, events: EventBatch, code_N: IntArray, num_users: int) -> "_Batch":
        ranks = {source: rank for rank, source in enumerate(sorted(events.sources))}
        rank_of_index = np.array([ranks[source] for source in events.sources] + [len(ranks)], dtype=np.int64)
        rows_A = np.lexsort((events.offsets_N, rank_of_index[events.source_index_N], code_N))
        user_A = code_N[rows_A]
        source_A, offsets_A = events.source_index_N[rows_A], events.offsets_N[rows_A]
        odd_A = source_A == NO_SOURCE
        follows = (source_A[1:] == source_A[:-1]) & (offsets_A[1:] > offsets_A[:-1])
        odd_A[1:] |= (user_A[1:] == user_A[:-1]) & ~follows
        in_order_U = np.ones(num_users, dtype=np.bool_)
        in_order_U[user_A[odd_A]] = False
        first_U = np.concatenate(([0], np.cumsum(np.bincount(user_A, minlength=num_users))))
        return cls(events=events, rows_A=rows_A, user_A=user_A, first_U=first_U, in_order_U=in_order_U)

    def places(self, users: IntArray) -> tuple[IntArray, IntArray]:
        """(positions in rows_A of the events of some users, user of each as a position in `users`)."""
        sizes = self.first_U[users + 1] - self.first_U[users]
        user_A = np.repeat(np.arange(len(users)), sizes)
        within = np.arange(len(user_A)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return self.first_U[users][user_A] + within, user_A


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judged:
    plain_U: BoolArray
    """Users of the chunk that proved to be plain."""
    users: PlainUsers
    """What is to be added to their profiles."""
    duplicates: IntArray
    """Their rows that are repeats."""


def _judge(
    before: ProfileColumns, batch: _Batch, users: IntArray, config: ScoringConfig, *, with_caps: bool
) -> _Judged:
    """Verdicts of users in order: all accepted except ids seen before, where the ring is sure to remember those."""
    events = batch.events
    places, user_A = batch.places(users)
    rows_A = batch.rows_A[places]
    sizes_U = np.bincount(user_A, minlength=len(users))
    first_U = np.cumsum(sizes_U) - sizes_U
    ingest_A = events.ingest_times_N[rows_A]
    oldest_U, newest_U = np.minimum.reduceat(ingest_A, first_U), np.maximum.reduceat(ingest_A, first_U)
    plain_U = oldest_U > before.header_U["newest_ingest_time_s"]
    repeat_A = _repeats(before, events.event_hashes_N[rows_A], user_A)
    repeats_U = np.bincount(user_A[repeat_A], minlength=len(users))
    # With repeats, the ring must be sure to remember every id: none may fall out of its size or window meanwhile.
    ring_U = before.sizes("num_ring")
    oldest_ring_U = oldest_U.copy()
    held_U = ring_U > 0
    oldest_ring_U[held_U] = before.ring_times_R[(np.cumsum(ring_U) - ring_U)[held_U]]
    remembered_U = (ring_U + sizes_U <= config.ring_size) & (oldest_ring_U >= newest_U - config.ring_window_s)
    # Where the ring does not judge, a repeat counts again: that is for *apply*.
    plain_U &= (repeats_U == 0) | (with_caps & remembered_U & (repeats_U < sizes_U))
    marks = _moved_marks(before, events, rows_A[first_U].tolist(), rows_A[first_U + sizes_U - 1].tolist(), plain_U)
    stays_A = plain_U[user_A]
    accepted_A = stays_A & ~repeat_A
    position_U = np.cumsum(plain_U) - 1
    return _Judged(
        plain_U=plain_U,
        users=PlainUsers(
            rows_A=rows_A[accepted_A],
            user_A=position_U[user_A[accepted_A]],
            newest_ingest_times_U=newest_U[plain_U],
            marks=[marks[user] for user in np.flatnonzero(plain_U).tolist()],
        ),
        duplicates=rows_A[stays_A & repeat_A],
    )


def _repeats(before: ProfileColumns, hashes_A: npt.NDArray[np.uint64], user_A: IntArray) -> BoolArray:
    """Events with an id that is in their user's ring or came before in this batch."""
    mask = np.uint64((1 << _SIEVE_BITS) - 1)
    sieve = np.zeros(1 << _SIEVE_BITS, dtype=np.bool_)
    sieve[hashes_A & mask] = True
    near_R = np.flatnonzero(sieve[before.ring_ids_R & mask])
    near_R = near_R[np.isin(before.ring_ids_R[near_R], hashes_A)]
    user_R = np.repeat(np.arange(len(before)), before.sizes("num_ring"))[near_R]
    seen = set(zip(user_R.tolist(), before.ring_ids_R[near_R].tolist(), strict=True))
    sorted_A = np.sort(hashes_A)
    known = np.concatenate((sorted_A[1:][sorted_A[1:] == sorted_A[:-1]], before.ring_ids_R[near_R]))
    repeat_A = np.zeros(len(hashes_A), dtype=np.bool_)
    if known.size:
        for at in np.flatnonzero(np.isin(hashes_A, known)).tolist():
            entry = (int(user_A[at]), int(hashes_A[at]))
            repeat_A[at] = entry in seen
            seen.add(entry)
    return repeat_A


def _moved_marks(
    before: ProfileColumns, events: EventBatch, first: list[int], last: list[int], plain_U: BoolArray
) -> list[tuple[int, bytes, bytes]]:
    """(number of marks, their block and text) with each user's source moved to its last offset.

    Users with a mark at or beyond their first offset are removed from `plain_U`.
    """
    source_index, offsets = events.source_index_N.tolist(), events.offsets_N
    alone = [pack_marks({source: 0})[1] for source in events.sources]
    partition = [source.partition for source in events.sources]
    num_marks, num_merged = before.sizes("num_marks").tolist(), before.sizes("num_merged").tolist()
    found: list[tuple[int, bytes, bytes]] = []
    for user, (first_row, last_row) in enumerate(zip(first, last, strict=True)):
        place, block, text = source_index[first_row], before.marks[user], before.owners[user]
        offset = int(offsets[last_row])
        moved = offset.to_bytes(8, "little") + partition[place].to_bytes(4, "little")
        if text == alone[place] and block[8:] == moved[8:]:  # nearly always: one source, no login
            mark = int.from_bytes(block[:8], "little")
            found.append((1, moved, text))
        else:
            marks, names = unpack_marks(block, text, num_marks=num_marks[user], num_merged=num_merged[user])
            source: Source = events.sources[place]
            mark = marks.get(source, -1)
            new = marks_moved(marks, source, offset)
            found.append((len(new), *pack_marks(new, merged_into=names[0], merged_from=names[1:])))
        if int(offsets[first_row]) <= mark:
            plain_U[user] = False
    return found
