"""Profiles made anew from the event log, beside the live ones, and the flip that lets readers see them.

    filled = fill(store, log, ...)           the generation that is not live, from nothing
    catch_up(store.generation(name), ...)    what the log has received since
    flip(store, name, log, ...)              the rest, then the pointer; called by the one writer of profiles only

Counts decay by the configured rates, so this is how other half-lives come into force. The live generation is never
touched: a crash costs the work done so far, and the next rebuild starts again. Readers see only old profiles or only
new ones, and every event in the log counts once in both: profiles are absolute values, and their marks say what they
hold.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.errors import InvalidRequestError
from mmrec.events.columns import EVENT_SCHEMA
from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.log import EventLog
from mmrec.features.ports import ProfileGenerations, ProfileStore
from mmrec.features.schema import other_generation
from mmrec.features.values import StreamProgress
from mmrec.scoring.identity import MAX_MERGED_FROM, Reading, links_of
from mmrec.scoring.packing import guests_of, pack, stub_of, unpack
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.together import Link, all_linked
from mmrec.stream.control_rows import is_login
from mmrec.stream.replay import LINK_COLUMNS, LogStretch, naming, profiles_from_log
from mmrec.wire.portions import portions

MAX_BYTES: Final = 384 << 20
"""Packed profiles kept in memory between two writes."""
_ENTRY_BYTES: Final = 250
"""What a profile takes beside its bytes: its key, and its place in the tables."""
PORTION: Final = 1_000
"""Profiles read or unpacked at a time."""
NO_LINKS: Final = pa.schema([EVENT_SCHEMA.field(name) for name in LINK_COLUMNS]).empty_table()


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What was applied from the log to a generation."""

    generation: str
    num_rows: int
    """Rows of the log that were read."""
    num_applied: int
    """Events that count in the profiles now and did not before."""
    log_sequence: int
    """Appends of the log that the generation holds."""


@dataclass(frozen=True, kw_only=True)
class RebuildParts:
    """What every step of a rebuild needs."""

    store: ProfileGenerations
    """Not fixed to a generation."""
    log: EventLog
    forgotten: ForgottenUsers
    config: ScoringConfig
    max_bytes: int = MAX_BYTES
    """Packed profiles kept in memory between two writes."""
    portion: int = PORTION
    """Profiles per read or write."""
    told: Callable[[int], None] = lambda num_rows: None
    """Called with the number of rows of each portion of the log that was read."""


def fill(parts: RebuildParts, *, write_time_s: float) -> Replay:
    """Fill the generation that is not live from the whole log.

    It gets a progress only when it is complete; before, catch_up and flip refuse it.
    """
    name = other_generation(parts.store.live_generation())
    parts.store.begin_generation(name)
    num_forgotten = parts.forgotten.num_forgotten()
    nothing = StreamProgress(num_forgotten=num_forgotten)
    return _replay(parts, name, nothing, reading=Reading.WHOLE, write_time_s=write_time_s)


def catch_up(parts: RebuildParts, name: str, *, write_time_s: float) -> Replay:
    """Bring a filled generation up to the newest append of the log, requests to forget included.

    Raises:
        InvalidRequestError: it was never filled, or not to the end.
        IncompatibleStateError: it decays by other rates than those configured.
    """
    target = parts.store.generation(name)
    progress = target.read_progress()
    if progress is None:
        raise InvalidRequestError(f"generation {name!r} of profiles was never filled to the end; run `mmrec rebuild`")
    num_forgotten = parts.forgotten.num_forgotten()
    if num_forgotten > progress.num_forgotten:
        _mend(parts, target, up_to_sequence=progress.log_sequence, write_time_s=write_time_s)
    progress = replace(progress, num_forgotten=num_forgotten)
    return _replay(parts, name, progress, reading=Reading.BROKEN_OFF, write_time_s=write_time_s)


def flip(parts: RebuildParts, name: str, *, progress: StreamProgress, write_time_s: float) -> Replay:
    """Make a filled generation the live one; called by the one writer of profiles, between two micro-batches.

    Args:
        progress: How far the writer has come. The generation takes it over, so that the stream continues from there.

    Raises:
        InvalidRequestError: it was never filled, or not to the end.
        IncompatibleStateError: it decays by other rates than those configured.
    """
    caught_up = catch_up(parts, name, write_time_s=write_time_s)
    target = parts.store.generation(name)
    num_forgotten = (target.read_progress() or progress).num_forgotten
    target.write_profiles({}, write_time_s=write_time_s, progress=replace(progress, num_forgotten=num_forgotten))
    parts.store.set_live_generation(name)
    return caught_up


class Held:
    """Profiles of one generation in memory, written when they take too much of it and at the end.

    They are held packed: the log is applied to them in this form, and it takes the least memory.
    """

    def __init__(
        self, store: ProfileStore, *, write_time_s: float, max_bytes: int = MAX_BYTES, portion: int = PORTION
    ) -> None:
        self._store = store
        self._write_time_s = write_time_s
        self._max_bytes, self._portion = max_bytes, portion
        self._packed: dict[str, bytes] = {}
        self._changed: set[str] = set()
        self.num_bytes = 0

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Packed profiles, from memory where they are held, else from the store; absent keys are left out."""
        wanted = list(keys)
        self._hold(self._store.read_packed([key for key in wanted if key not in self._packed]))
        return {key: self._packed[key] for key in wanted if key in self._packed}

    def put(self, packed: Mapping[str, bytes]) -> None:
        """Take changed profiles. Once all together are too large, they are written and dropped from memory."""
        self._hold(packed)
        self._changed.update(packed)
        if self.num_bytes > self._max_bytes:
            self.write(None)
            self._packed.clear()
            self.num_bytes = 0

    def write(self, progress: StreamProgress | None) -> None:
        """Users before the stubs of their anonymous profiles (see write_users_first), progress last."""
        stubs: list[str] = []
        for profiles in self._portions(self._changed):
            stubs += [key for key, profile in profiles.items() if profile.merged_into]
            others = {key: profile for key, profile in profiles.items() if not profile.merged_into}
            self._store.write_profiles(others, write_time_s=self._write_time_s)
        for profiles in self._portions(stubs):
            self._store.write_profiles(profiles, write_time_s=self._write_time_s)
        if progress is not None:
            self._store.write_profiles({}, write_time_s=self._write_time_s, progress=progress)
        self._changed.clear()

    def _hold(self, packed: Mapping[str, bytes]) -> None:
        for key, data in packed.items():
            self.num_bytes += len(data) - len(self._packed[key]) if key in self._packed else len(data) + _ENTRY_BYTES
            self._packed[key] = data

    def _portions(self, keys: Iterable[str]) -> Iterator[dict[str, UserProfile]]:
        for portion in portions(keys, self._portion):
            yield {key: unpack(self._packed[key]) for key in portion}


def _replay(
    parts: RebuildParts, name: str, progress: StreamProgress, *, reading: Reading, write_time_s: float
) -> Replay:
    """Apply what the log holds beyond a progress, up to its newest append as of now."""
    last = parts.log.sequence()
    held = Held(
        parts.store.generation(name), write_time_s=write_time_s, max_bytes=parts.max_bytes, portion=parts.portion
    )
    num_rows = num_applied = 0
    stretch = LogStretch(
        log=parts.log,
        read=held.read,
        forgotten=parts.forgotten,
        config=parts.config,
        after_sequence=progress.log_sequence,
        up_to_sequence=last,
        reading=reading,
    )
    for profiles in stretch.bring():
        held.put({key: pack(profile) for key, profile in profiles.items()})
    for table in stretch.tables():
        replayed = stretch.apply(table)
        held.put(replayed.applied.packed())
        num_rows += table.num_rows
        num_applied += replayed.num_applied
        parts.told(table.num_rows)
    held.write(replace(progress, log_sequence=last))
    return Replay(generation=name, num_rows=num_rows, num_applied=num_applied, log_sequence=last)


def _mend(parts: RebuildParts, target: ProfileStore, *, up_to_sequence: int, write_time_s: float) -> None:
    """Count the profiles of forgotten users anew, where somebody was forgotten after this generation was filled."""
    found: set[str] = set()
    tables = [NO_LINKS]
    for keys in portions(target.user_keys(), parts.portion):
        packed = target.read_packed(keys)
        guests = {key: guests_of(data) for key, data in packed.items()}
        # Some may have used a forgotten device that their profile no longer names.
        found.update(key for key, names in guests.items() if len(names) >= MAX_MERGED_FROM)
        found.update(parts.forgotten.forgotten_s(keys))
        stubs = {key: stub for key, data in packed.items() if (stub := stub_of(data)) is not None}
        # Where the stub of a forgotten device is gone, only its users still name it.
        named = [*links_of(stubs), *((key, guest) for key, names in guests.items() for guest in names)]
        tables.append(_table(named))
    links = _each_once(tables)
    # A forgotten user may have no profile here any more: a request removes it from all generations.
    for column in links.columns:
        found.update(parts.forgotten.forgotten_s(pc.unique(column).to_pylist()))
    tables = [links]
    for table in parts.log.scan(up_to_sequence=up_to_sequence, columns=[*LINK_COLUMNS, "behavior"]):
        found.update(parts.forgotten.forgotten_s(pc.unique(table["user_key"]).to_pylist()))
        tables.append(table.filter(pa.array(is_login(table))).select(LINK_COLUMNS))
    links = _each_once(tables)
    found = all_linked(found, lambda names: _pairs(naming(links, names)))
    regrown = profiles_from_log(
        parts.log, found, up_to_sequence=up_to_sequence, forgotten=parts.forgotten, config=parts.config
    )
    # Written first, so that after a crash the rest is found again.
    target.write_profiles(regrown, write_time_s=write_time_s)
    target.delete_profiles(found.difference(regrown))


def _table(links: Sequence[Link]) -> pa.Table:
    columns = [pa.array([link[side] for link in links], pa.string()) for side in range(len(LINK_COLUMNS))]
    return pa.table(columns, schema=NO_LINKS.schema)


def _each_once(tables: Iterable[pa.Table]) -> pa.Table:
    """Their links, each once: stubs, users and the log name the same ones."""
    return pa.concat_tables(tables).group_by(list(LINK_COLUMNS)).aggregate([])


def _pairs(links: pa.Table) -> Iterable[Link]:
    return zip(*(links[name].to_pylist() for name in LINK_COLUMNS), strict=True)
