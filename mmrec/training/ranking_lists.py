"""Lists as recall would have proposed them just before a label: profile, candidates and neighbor scores as of then.

The profile is replayed with *apply* from the user's events in known order, up to the label. The sources are those of
serving, asked over a catalogue whose statistics are as of the label and whose neighbors were built before the label's
part of the log began. What the sources do not know yet, the vectors, is stood in for by random items.

Axes: E events, G lists, I items, J items of the profile, N candidates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mmrec.features.item_columns import ContentColumns
from mmrec.recall.catalogue import NO_ROW, Catalogue, NeighborTable, empty_catalogue
from mmrec.recall.sources import NeighborItems, OwnItems, PopularItems, RecallContext, RecallSource, fuse
from mmrec.scoring.affinity import affinity, net_counts
from mmrec.scoring.packing import pack
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.training.drawn_lists import draw_lists, positives_of
from mmrec.training.event_columns import EventColumns, IntArray
from mmrec.training.example_config import ExampleConfig, Part
from mmrec.training.examples import NOT_A_LABEL, RankingExamples, published_before
from mmrec.training.item_history import ItemHistory
from mmrec.training.labels import Labels
from mmrec.training.profiles_as_of import profiles_after
from mmrec.training.retrieval_labels import num_known_events

SOURCES: tuple[RecallSource, ...] = (PopularItems(), OwnItems(), NeighborItems())
"""The sources of serving that need no model, in the order of serving."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ListWorld:
    """What lists of one part of the log are made from."""

    catalogue: Catalogue
    """Items with their publish times and this part's neighbors; counts come from the history."""
    item_history: ItemHistory
    row_of: Mapping[str, int]
    scoring: ScoringConfig
    hide_behaviors: tuple[str, ...]

    def as_of(self, time_s: float) -> Catalogue:
        """The catalogue as it stood just before `time_s`: counts known by then, and only items published by then."""
        counts_IHB, reference_times_I = self.item_history.as_of(np.arange(len(self.catalogue.item_ids)), time_s)
        return replace(
            self.catalogue,
            counts_IHB=net_counts(counts_IHB, self.scoring.behaviors.cancels),
            reference_times_I=reference_times_I,
            showable_I=published_before(self.catalogue.content, time_s),
        )

    def context(self, profile: UserProfile, time_s: float) -> RecallContext:
        """One request of a user at `time_s`, as recommend() would see it without a model."""
        catalogue, behaviors = self.as_of(time_s), self.scoring.behaviors
        read_s = max([time_s, profile.newest_event_time_s, *profile.reference_times_I.tolist()])
        own_rows_J = self._rows(profile.item_ids)
        counts_JB = profile.counts(behaviors)[:, 0, :]
        affinity_J = affinity(
            counts_JB,
            read_s - profile.reference_times_I,
            behaviors.weights_B,
            decay_per_day=self.scoring.decay_per_day[0],
        )
        hiding = [behaviors.index(name) for name in self.hide_behaviors if name in behaviors]
        hidden = own_rows_J[(counts_JB[:, hiding] > 0).any(axis=1) & (own_rows_J != NO_ROW)]
        allowed_I = catalogue.showable_I.copy()
        allowed_I[hidden] = False
        recent_rows = self._rows(tuple(dict.fromkeys(reversed(profile.recent_item_ids))))
        return RecallContext(
            catalogue=catalogue,
            allowed_I=allowed_I,
            own_rows_J=own_rows_J,
            affinity_J=np.maximum(affinity_J, 0.0),
            recent_rows=recent_rows[recent_rows != NO_ROW],
            read_s=read_s,
            user_vector_D=None,
        )

    def _rows(self, item_ids: tuple[str, ...]) -> IntArray:
        return np.array([self.row_of.get(item_id, NO_ROW) for item_id in item_ids], dtype=np.int64)


def list_catalogue(
    events: EventColumns, *, content: ContentColumns, decay_per_day_H: npt.NDArray[np.float64]
) -> Catalogue:
    """A catalogue of the vocabulary, without counts and neighbors."""
    num_items = len(events.item_ids)
    blank = empty_catalogue(behaviors=events.behaviors, decay_per_day_H=decay_per_day_H)
    return replace(
        blank,
        item_ids=events.item_ids,
        content=content,
        showable_I=np.ones(num_items, dtype=np.bool_),
        counts_IHB=np.zeros((num_items, len(decay_per_day_H), len(events.behaviors))),
        reference_times_I=np.full(num_items, -np.inf),
        embedded_I=np.zeros(num_items, dtype=np.bool_),
    )


def ranking_examples(
    events: EventColumns,
    labels: Labels,
    *,
    catalogue: Catalogue,
    neighbors: Mapping[Part, NeighborTable],
    item_history: ItemHistory,
    config: ExampleConfig,
    scoring: ScoringConfig,
    hide_behaviors: tuple[str, ...],
) -> tuple[RankingExamples, dict[str, int]]:
    """(lists in the order of label time, counts: what was dropped, by reason).

    Args:
        catalogue: From list_catalogue().
        neighbors: For RANKER and VALIDATION, from events known before that part began.
    """
    lists, dropped = draw_lists(events, labels, config=config)
    row_of = {item_id: row for row, item_id in enumerate(events.item_ids)}
    worlds = {
        part: ListWorld(
            catalogue=replace(catalogue, neighbors=neighbors[part]),
            item_history=item_history,
            row_of=row_of,
            scoring=scoring,
            hide_behaviors=hide_behaviors,
        )
        for part in (Part.RANKER, Part.VALIDATION)
    }
    profiles = profiles_before(events, np.array([drawn.events[0] for drawn in lists], dtype=np.int64), scoring=scoring)
    kept: list[int] = []
    recalled: list[bool] = []
    rows: list[IntArray] = []
    row_labels: list[npt.NDArray[np.int16]] = []
    affinities: list[npt.NDArray[np.float64]] = []
    hidden: list[npt.NDArray[np.bool_]] = []
    for number, drawn in enumerate(lists):
        context = worlds[drawn.part].context(profiles[number], drawn.label_time_s)
        showable = drawn.events[context.allowed_I[events.items_E[drawn.events]]]
        dropped["not_showable"] += len(drawn.events) - len(showable)
        positives = positives_of(events, showable)
        if not len(positives.rows):
            continue
        found = [(s, s.propose(context, num_candidates=config.num_candidates)) for s in SOURCES]
        candidates = fuse(found, num_candidates=config.num_candidates).rows_N
        rows_N = np.union1d(candidates, positives.rows)
        others = context.allowed_I.copy()
        others[rows_N] = False
        rng = np.random.default_rng([config.seed, 2, number])
        rows_N = np.sort(np.append(rows_N, _some(np.flatnonzero(others), config.num_random, rng)))
        labels_N = np.full(len(rows_N), NOT_A_LABEL, dtype=np.int16)
        labels_N[np.searchsorted(rows_N, positives.rows)] = positives.behaviors
        kept.append(number)
        recalled.append(bool(np.isin(positives.rows, candidates).all()))
        rows.append(rows_N)
        row_labels.append(labels_N)
        affinities.append(context.affinity_J)
        # What the user may not be shown although it is published, by own item.
        own_rows_J = context.own_rows_J
        hidden.append((context.catalogue.showable_I & ~context.allowed_I)[own_rows_J] & (own_rows_J != NO_ROW))
    packed = [pack(profiles[number]) for number in kept]
    first = [lists[number].events[0] for number in kept]
    return RankingExamples(
        item_ids=events.item_ids,
        user_keys=tuple([events.user_keys[events.users_E[event]] for event in first]),
        label_times_N=events.event_times_E[np.array(first, dtype=np.int64)],
        parts_N=np.array([lists[number].part for number in kept], dtype=np.uint8),
        recalled_N=np.array(recalled, dtype=np.bool_),
        profile_offsets=np.append(0, np.cumsum([len(data) for data in packed])).astype(np.int64),
        profile_bytes=np.frombuffer(b"".join(packed), dtype=np.uint8),
        candidate_offsets=np.append(0, np.cumsum([len(r) for r in rows])).astype(np.int64),
        candidate_rows_M=np.concatenate([np.zeros(0, dtype=np.int64), *rows]).astype(np.int32),
        candidate_labels_M=np.concatenate([np.zeros(0, dtype=np.int16), *row_labels]),
        own_offsets=np.append(0, np.cumsum([len(a) for a in affinities])).astype(np.int64),
        own_affinity=np.concatenate([np.zeros(0), *affinities]),
        own_hidden=np.concatenate([np.zeros(0, dtype=np.bool_), *hidden]),
        neighbors=dict(neighbors),
        item_history=item_history,
    ), dict(dropped)


def profiles_before(events: EventColumns, label_events: IntArray, *, scoring: ScoringConfig) -> list[UserProfile]:
    """The profile of each label's user from events known strictly before the label, aligned with `label_events`."""
    return profiles_after(events, events.users_E[label_events], num_known_events(events, label_events), scoring=scoring)


def _some(rows: IntArray, number: int, rng: np.random.Generator) -> IntArray:
    return rows if len(rows) <= number else rng.choice(rows, size=number, replace=False)
