"""Rows of the offline store for the instants asked, made from the log: what was known strictly before each of them.

    rows = offline_rows(events, asked, settings=settings)     user_profile and item_stats as of each instant
    facts = ...                                               what Feast's point-in-time join gives back
    rows_NF = assemble_asked(asked, packed_profiles, packed_statistics, entries, settings=settings)

Feast joins the newest row at or before the asked timestamp; both row and question carry the instant just below, so
that "at or before" says "strictly before".

Axes: G asked (user, item, instant), F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmrec.catalog.item import CatalogEntry
from mmrec.config import Settings
from mmrec.features.assemble import CandidateSignals, ItemFacts, assemble
from mmrec.features.clear import clear_texts
from mmrec.features.item_columns import Vocabulary, content_columns
from mmrec.features.schema import ITEM_STATS, USER_PROFILE
from mmrec.recall.catalogue import NO_ROW
from mmrec.scoring.item_statistics import ItemStatistics, decay_rates, pack_statistics, unpack_statistics
from mmrec.scoring.packing import pack, unpack
from mmrec.scoring.profile import FloatArray, align_behaviors
from mmrec.training.event_columns import EventColumns, event_columns
from mmrec.training.identified import Identities, identities, with_owners
from mmrec.training.item_history import item_history
from mmrec.training.profiles_as_of import profiles_as_of

_JUST_BELOW_NS = 1_000
"""Float seconds of our time are 240 ns apart, so no other instant lies between an instant and this much below it."""
TIMESTAMP = pa.timestamp("ns", tz="UTC")


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """G questions."""

    user_keys: Sequence[str]
    item_ids: Sequence[str]
    times_s: FloatArray
    """Instants, epoch seconds: only what was known strictly before counts."""

    def __len__(self) -> int:
        return len(self.user_keys)

    @property
    def timestamps(self) -> pa.Array:
        """The instants just below, as Feast is asked, shape (G,)."""
        return just_below(self.times_s)


def just_below(times_s: FloatArray) -> pa.Array:
    """Timestamps just below instants."""
    nanoseconds = (np.asarray(times_s, dtype=np.float64) * 1e9).astype(np.int64) - _JUST_BELOW_NS
    return pa.array(nanoseconds).cast(TIMESTAMP)


def offline_rows(events: pa.Table, asked: Asked, *, settings: Settings, created_s: float) -> dict[str, pa.Table]:
    """Rows of the views user_profile and item_stats, one per distinct (key, instant).

    Where nothing was known the row says so (no events): Feast's join would leave a question out that meets no row.

    Args:
        events: Rows of the log with the columns of EVENT_COLUMNS, each event once, any order.
        created_s: Instant of the write.

    Returns:
        Tables by view name: the view's key and fields, `event_timestamp` and `created_timestamp`.
    """
    known = identities(events)
    columns = event_columns(with_owners(events, known), behaviors=settings.behaviors)
    return {
        USER_PROFILE.name: _profile_rows(columns, known, asked, settings, created_s),
        ITEM_STATS.name: _item_rows(event_columns(events, behaviors=settings.behaviors), asked, settings, created_s),
    }


def assemble_asked(
    asked: Asked,
    profiles: Sequence[bytes],
    statistics: Sequence[bytes],
    entries: Mapping[str, CatalogEntry],
    *,
    settings: Settings,
) -> npt.NDArray[np.float32]:
    """Feature rows of the questions, shape (G, F), from the packed values that a store gave.

    Each question is a list of one candidate; signals of recall are not known.
    """
    scoring, behaviors = settings.scoring, settings.behaviors
    rates_H = decay_rates(settings.statistics.half_lives_days)
    vocabulary = Vocabulary()
    rows: list[npt.NDArray[np.float32]] = []
    for number in range(len(asked)):
        profile = unpack(profiles[number])
        found = unpack_statistics(statistics[number])
        rows.append(
            assemble(
                profile,
                ItemFacts(
                    own_positions_N=np.array([profile.names.position(asked.item_ids[number])]),
                    content=content_columns([entries.get(asked.item_ids[number])], vocabulary=vocabulary),
                    profile_content=content_columns(
                        [entries.get(item_id) for item_id in profile.item_ids], vocabulary=vocabulary
                    ),
                    counts_NHB=align_behaviors(found.counts_HB, found.behavior_ids_B, behaviors)[None],
                    reference_times_N=np.array([found.reference_time_s]),
                    decay_per_day_H=rates_H,
                ),
                CandidateSignals(tower_similarity_N=np.array([np.nan]), neighbor_score_N=np.array([np.nan])),
                as_of_s=float(asked.times_s[number]),
                behaviors=behaviors,
                decay_per_day=scoring.decay_per_day[0],
            )
        )
    return np.concatenate(rows)


def _distinct(keys: Sequence[str], times_s: FloatArray) -> tuple[list[str], FloatArray]:
    pairs = sorted(set(zip(keys, times_s.tolist(), strict=True)))
    return [key for key, _ in pairs], np.array([time for _, time in pairs], dtype=np.float64)


def _profile_rows(
    columns: EventColumns, known: Identities, asked: Asked, settings: Settings, created_s: float
) -> pa.Table:
    scoring = settings.scoring
    keys, times_s = _distinct(asked.user_keys, asked.times_s)
    owners = [known.owner_at(key, time_s) for key, time_s in zip(keys, times_s.tolist(), strict=True)]
    profiles = profiles_as_of(columns, owners, times_s, scoring=scoring)
    fields = {
        "packed": pa.array([pack(profile) for profile in profiles], pa.binary()),
        "clear": pa.array(clear_texts(profiles, config=scoring), pa.string()),
    }
    return _rows(USER_PROFILE.join_key, keys, fields, times_s, created_s)


def _item_rows(columns: EventColumns, asked: Asked, settings: Settings, created_s: float) -> pa.Table:
    rates_H = decay_rates(settings.statistics.half_lives_days)
    history = item_history(
        item_rows_E=columns.items_E,
        behavior_index_E=columns.behaviors_E,
        event_times_E=columns.event_times_E,
        known_times_E=columns.known_times_E,
        num_behaviors=len(settings.behaviors),
        decay_per_day_H=rates_H,
    )
    row_of = {item_id: row for row, item_id in enumerate(columns.item_ids)}
    item_ids, times_s = _distinct(asked.item_ids, asked.times_s)
    rows = np.array([row_of.get(item_id, NO_ROW) for item_id in item_ids], dtype=np.int64)
    packed: list[bytes] = []
    references_s: list[float] = []
    for row, time_s in zip(rows, times_s.tolist(), strict=True):
        counts_NHB, reference_N = history.as_of(row[None], time_s)
        references_s.append(float(reference_N[0]))
        packed.append(
            pack_statistics(
                ItemStatistics(
                    reference_time_s=references_s[-1],
                    behavior_ids_B=settings.behaviors.ids_B,
                    counts_HB=counts_NHB[0],
                    num_events=int(history.num_known(row[None], time_s)[0]),
                )
            )
        )
    fields = {
        "packed": pa.array(packed, pa.binary()),
        "reference_time_s": pa.array(references_s, pa.float64()),
    }
    return _rows(ITEM_STATS.join_key, item_ids, fields, times_s, created_s)


def _rows(
    join_key: str, keys: list[str], fields: Mapping[str, pa.Array], times_s: FloatArray, created_s: float
) -> pa.Table:
    created = pa.array(np.full(len(keys), int(created_s * 1e9), dtype=np.int64)).cast(TIMESTAMP)
    return pa.table(
        {
            join_key: pa.array(keys, pa.string()),
            **fields,
            "event_timestamp": just_below(times_s),
            "created_timestamp": created,
        }
    )
