"""The scoring matrix S as it was known at an instant, from the event log (METHODS M3, M4).

    for part in score_matrix(log, as_of_s=t, ...): ...        users by users, in memory that does not grow with the log

    S[u, i] at t = sum over events known before t:  weight * exp(-decay_per_day * (t - event_time))

Events of an anonymous user count for the user they had logged in as by t, those of forgotten users for nobody. An event
whose producer's clock was ahead of t counts in full. No cap, ring or bound of profiles enters: the log holds what was
accepted, once each. Users are parted by a hash, and the log is read once for each part.

Axes: R rows of a table, U users and P pairs (user, item) of a part, B behaviors.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.forgotten_rows import kept_rows
from mmrec.events.log import EventLog
from mmrec.events.to_batch import configured
from mmrec.scoring.affinity import affinity, net_counts
from mmrec.scoring.decay import decay
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.together import Login, LoginHistory
from mmrec.stream.control_rows import is_login

ROWS_PER_PART: Final = 2_000_000
"""Rows of the log whose pairs are summed at a time; some 200 bytes each."""
_COLUMNS: Final = ("user_key", "item_id", "behavior", "event_time_s", "known_time_s")
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ScorePart:
    """Rows of S, those of U users."""

    user_keys: list[str]
    """In ascending order within the part."""
    starts_U: npt.NDArray[np.int64]
    """Where each user's pairs begin; shape (U + 1,)."""
    item_ids: list[str]
    """Item of each pair, ascending within a user, shape (P,)."""
    scores_P: FloatArray


@dataclass(kw_only=True)
class Owners:
    """Whose events an anonymous user's are, by logins (scoring/together.py)."""

    _logins: dict[str, list[Login]] = field(default_factory=lambda: defaultdict(list))
    _histories: dict[str, LoginHistory] = field(default_factory=dict)

    def learn(self, logins: pa.Table) -> None:
        """Identify rows, in any order."""
        columns = (logins[name].to_pylist() for name in ("user_key", "item_id", "known_time_s"))
        for user, guest, known_s in zip(*columns, strict=True):
            self._logins[guest].append((known_s, user))
            self._histories.pop(guest, None)

    def __bool__(self) -> bool:
        return bool(self._logins)

    def of(self, table: pa.Table) -> pa.ChunkedArray:
        """Owner of each row, by its `user_key` and `known_time_s`."""
        keys = table["user_key"]
        mine = pc.is_in(keys, value_set=pa.array(list(self._logins), pa.string())).to_numpy()
        if not mine.any():
            return keys
        owners = np.array(keys.to_pylist(), dtype=object)
        known_R = table["known_time_s"].to_numpy()
        for row in np.flatnonzero(mine).tolist():
            owners[row] = self._history(owners[row]).owner_at(float(known_R[row]))
        return pa.chunked_array([pa.array(owners.tolist(), pa.string())])

    def _history(self, guest: str) -> LoginHistory:
        if guest not in self._histories:
            self._histories[guest] = LoginHistory.of(self._logins[guest])
        return self._histories[guest]


def score_matrix(
    log: EventLog,
    *,
    as_of_s: float,
    forgotten: ForgottenUsers,
    config: ScoringConfig,
    rows_per_part: int = ROWS_PER_PART,
    told: Callable[[int], None] = lambda num_rows: None,
) -> Iterator[ScorePart]:
    """S as of an instant; decays by the first half-life.

    Args:
        as_of_s: Epoch seconds.
        told: Handed the number of rows of each table that was read.
    """
    last, num_rows, owners = log.sequence(), 0, Owners()
    for table in _known(log, last, as_of_s, forgotten, ("user_key", "item_id", "behavior", "known_time_s")):
        owners.learn(table.filter(pa.array(is_login(table))))
        num_rows += table.num_rows
    num_parts = max(1, -(-num_rows // rows_per_part))
    for part in range(num_parts):
        sums: list[pa.Table] = []
        for table in _known(log, last, as_of_s, forgotten, _COLUMNS):
            sums.append(_summed(table, owners, config, part=part, num_parts=num_parts, as_of_s=as_of_s))
            if len(sums) > 1 and sum(s.num_rows for s in sums) > rows_per_part:
                sums = [_merged(sums)]
            told(table.num_rows)
        yield _part(_merged(sums), config)


def _known(
    log: EventLog, last: int, as_of_s: float, forgotten: ForgottenUsers, columns: tuple[str, ...]
) -> Iterator[pa.Table]:
    """Rows known before the instant and not forgotten since."""
    needed = dict.fromkeys((*columns, "known_time_s", "ingest_time_s"))
    for table in log.scan(up_to_sequence=last, columns=list(needed)):
        known = table.filter(pc.less(table["known_time_s"], as_of_s))
        yield known.filter(pa.array(kept_rows(known, forgotten)))


_SUMS = pa.schema([("user", pa.string()), ("item", pa.string()), ("behavior", pa.string()), ("count", pa.float64())])


def _summed(
    table: pa.Table, owners: Owners, config: ScoringConfig, *, part: int, num_parts: int, as_of_s: float
) -> pa.Table:
    """Decayed counts by (user, item, behavior) of this part's users."""
    table = table.filter(pa.array(configured(table, config.behaviors)))
    users = (owners.of(table) if owners else table["user_key"]).combine_chunks().dictionary_encode()
    parts = np.array([crc32(key.encode()) % num_parts for key in users.dictionary.to_pylist()], dtype=np.int64)
    mine_R = parts[users.indices.to_numpy()] == part if table.num_rows else np.zeros(0, dtype=np.bool_)
    ages_R = np.maximum(as_of_s - table["event_time_s"].to_numpy(), 0.0)
    counts_R = decay(ages_R, decay_per_day=config.decay_per_day[0])
    rows = pa.table(
        [users.dictionary_decode(), table["item_id"], table["behavior"], pa.array(counts_R, pa.float64())],
        schema=_SUMS,
    )
    return _merged([rows.filter(pa.array(mine_R))])


def _merged(sums: list[pa.Table]) -> pa.Table:
    rows = pa.concat_tables([_SUMS.empty_table(), *sums])
    summed = rows.group_by(["user", "item", "behavior"], use_threads=False).aggregate([("count", "sum")])
    return summed.rename_columns({"count_sum": "count"}).select(_SUMS.names).cast(_SUMS)


def _part(sums: pa.Table, config: ScoringConfig) -> ScorePart:
    """Affinities from counts per behavior, sorted by user and item."""
    pairs = sums.group_by(["user", "item"], use_threads=False).aggregate([])
    pairs = pairs.sort_by([("user", "ascending"), ("item", "ascending")])
    pairs = pairs.append_column("pair", pa.array(np.arange(pairs.num_rows)))
    placed = sums.join(pairs, keys=["user", "item"], join_type="inner", use_threads=False)
    counts_PB = np.zeros((pairs.num_rows, len(config.behaviors)))
    place = {name: index for index, name in enumerate(config.behaviors.names)}
    columns = np.array([place[name] for name in placed["behavior"].to_pylist()], dtype=np.int64)
    counts_PB[placed["pair"].to_numpy(), columns] = placed["count"].to_numpy()
    return ScorePart(
        user_keys=(users := pc.unique(pairs["user"]).to_pylist()),
        starts_U=_starts(pairs["user"], len(users)),
        item_ids=pairs["item"].to_pylist(),
        scores_P=affinity(
            net_counts(counts_PB, config.behaviors.cancels),
            np.zeros(pairs.num_rows),
            config.behaviors.weights_B,
            decay_per_day=config.decay_per_day[0],
        ),
    )


def _starts(users: pa.ChunkedArray, num_users: int) -> npt.NDArray[np.int64]:
    codes = users.combine_chunks().dictionary_encode().indices.to_numpy()
    starts_U: npt.NDArray[np.int64] = np.searchsorted(codes, np.arange(num_users + 1)).astype(np.int64)
    return starts_U
