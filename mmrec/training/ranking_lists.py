"""Lists as recall would have proposed them just before a label: profile, candidates and neighbor scores as of then.

The profile is replayed with *apply* from the user's events in known order, up to the label. The sources are those of
serving that need no model, asked over a catalogue whose statistics are as of the label and whose neighbors were built
before the label's part of the log began. What they do not know yet, the vectors, is stood in for by random items.

Axes: E events, G lists, I items, J items of the profile, N candidates.
"""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.features.item_columns import ContentColumns
from mmrec.recall.catalogue import NO_ROW, Catalogue, NeighborTable, empty_catalogue
from mmrec.recall.context import RecallContext, allowed_items, recall_context
from mmrec.recall.fusion import fuse
from mmrec.recall.sources.registry import MODEL_FREE
from mmrec.scoring.affinity import net_counts
from mmrec.scoring.packing import pack
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.training.drawn_lists import DrawnList, Positives, draw_lists, positives_of
from mmrec.training.event_columns import EventColumns, IntArray
from mmrec.training.example_config import ExampleConfig, Part
from mmrec.training.examples import NOT_A_LABEL, RankingExamples, published_before
from mmrec.training.item_history import ItemHistory
from mmrec.training.labels import Labels
from mmrec.training.profiles_as_of import profiles_after
from mmrec.training.retrieval_labels import num_known_events


@dataclass(frozen=True, kw_only=True, eq=False)
class ListWorld:
    """What lists of one part of the log are made from."""

    catalogue: Catalogue
    """Items with their publish times and this part's neighbors; counts come from the history."""
    item_history: ItemHistory
    scoring: ScoringConfig

    def as_of(self, time_s: float) -> Catalogue:
        """The catalogue as it stood just before `time_s`: counts known by then, and only items published by then."""
        counts_IHB, reference_times_I = self.item_history.as_of(np.arange(len(self.catalogue.item_ids)), time_s)
        return self.catalogue.counted(
            net_counts(counts_IHB, self.scoring.behaviors.cancels),
            reference_times_I,
            showable_I=published_before(self.catalogue.content, time_s),
        )

    def context(self, profile: UserProfile, time_s: float) -> RecallContext:
        """One request of a user at `time_s`, as recommend() would see it without a model."""
        catalogue = self.as_of(time_s)
        allowed_I = allowed_items(catalogue, as_of_s=time_s)
        return recall_context(profile, catalogue, self.scoring, as_of_s=time_s, allowed_I=allowed_I)


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
) -> tuple[RankingExamples, dict[str, int]]:
    """(lists in the order of label time, counts: what was dropped, by reason).

    Args:
        catalogue: From list_catalogue().
        neighbors: For RANKER and VALIDATION, from events known before that part began.
    """
    lists, dropped = draw_lists(events, labels, config=config)
    worlds = {
        part: ListWorld(
            catalogue=replace(catalogue, neighbors=neighbors[part]),
            item_history=item_history,
            scoring=scoring,
        )
        for part in (Part.RANKER, Part.VALIDATION)
    }
    profiles = profiles_before(events, np.array([drawn.events[0] for drawn in lists], dtype=np.int64), scoring=scoring)
    kept: list[_KeptList] = []
    for number, drawn in enumerate(lists):
        context = worlds[drawn.part].context(profiles[number], drawn.label_time_s)
        showable = drawn.events[context.allowed_I[events.items_E[drawn.events]]]
        dropped["not_showable"] += len(drawn.events) - len(showable)
        positives = positives_of(events, showable)
        if len(positives.rows):
            rng = np.random.default_rng([config.seed, 2, number])
            kept.append(_kept_list(number, context, positives, config=config, rng=rng))
    return RankingExamples(
        item_ids=events.item_ids,
        **_whose(events, [lists[one.number] for one in kept]),
        **_profile_columns([profiles[one.number] for one in kept]),
        **_candidate_columns(kept),
        neighbors=dict(neighbors),
        item_history=item_history,
    ), dict(dropped)


@dataclass(frozen=True, kw_only=True, eq=False)
class _KeptList:
    """One list with its labels."""

    number: int
    """Among those that were drawn."""
    recalled: bool
    """Whether recall found all positives."""
    rows_N: IntArray
    """Candidates, positives and random items, in the order of the catalogue."""
    labels_N: npt.NDArray[np.int16]
    pulls_J: npt.NDArray[np.float64]
    hidden_J: npt.NDArray[np.bool_]
    """Own items that the user may not be shown although they are published."""


def _kept_list(
    number: int, context: RecallContext, positives: Positives, *, config: ExampleConfig, rng: np.random.Generator
) -> _KeptList:
    """What recall proposes, the positives that it missed, and some random items in place of what it cannot know."""
    found = [(s, s.propose(context, num_candidates=config.num_candidates)) for s in MODEL_FREE]
    candidates = fuse(found, num_candidates=config.num_candidates).rows_N
    rows_N = np.union1d(candidates, positives.rows)
    others = context.allowed_I.copy()
    others[rows_N] = False
    rows_N = np.sort(np.append(rows_N, _some(np.flatnonzero(others), config.num_random, rng)))
    labels_N = np.full(len(rows_N), NOT_A_LABEL, dtype=np.int16)
    labels_N[np.searchsorted(rows_N, positives.rows)] = positives.behaviors
    own_rows_J = context.own_rows_J
    return _KeptList(
        number=number,
        recalled=bool(np.isin(positives.rows, candidates).all()),
        rows_N=rows_N,
        labels_N=labels_N,
        pulls_J=context.pulls_J,
        hidden_J=(context.catalogue.showable_I & ~context.allowed_I)[own_rows_J] & (own_rows_J != NO_ROW),
    )


def _whose(events: EventColumns, lists: Sequence[DrawnList]) -> dict[str, Any]:
    """Columns that say whose lists these are, and when; each list's first event speaks for it."""
    first = [drawn.events[0] for drawn in lists]
    return {
        "user_keys": tuple([events.user_keys[events.users_E[event]] for event in first]),
        "label_times_N": events.event_times_E[np.array(first, dtype=np.int64)],
        "parts_N": np.array([drawn.part for drawn in lists], dtype=np.uint8),
    }


def _profile_columns(profiles: Sequence[UserProfile]) -> dict[str, Any]:
    packed = [pack(profile) for profile in profiles]
    return {
        "profile_offsets": _offsets(packed),
        "profile_bytes": np.frombuffer(b"".join(packed), dtype=np.uint8),
    }


def _candidate_columns(kept: Sequence[_KeptList]) -> dict[str, Any]:
    return {
        "recalled_N": np.array([one.recalled for one in kept], dtype=np.bool_),
        "candidate_offsets": _offsets([one.rows_N for one in kept]),
        "candidate_rows_M": np.concatenate([np.zeros(0, dtype=np.int64), *(one.rows_N for one in kept)]).astype(
            np.int32
        ),
        "candidate_labels_M": np.concatenate([np.zeros(0, dtype=np.int16), *(one.labels_N for one in kept)]),
        "own_offsets": _offsets([one.pulls_J for one in kept]),
        "own_pulls": np.concatenate([np.zeros(0), *(one.pulls_J for one in kept)]),
        "own_hidden": np.concatenate([np.zeros(0, dtype=np.bool_), *(one.hidden_J for one in kept)]),
    }


def _offsets(pieces: Sequence[Sized]) -> IntArray:
    """Where each piece begins among all of them, and where the last one ends."""
    return np.append(0, np.cumsum([len(piece) for piece in pieces])).astype(np.int64)


def profiles_before(events: EventColumns, label_events: IntArray, *, scoring: ScoringConfig) -> list[UserProfile]:
    """The profile of each label's user from events known strictly before the label, aligned with `label_events`."""
    return profiles_after(events, events.users_E[label_events], num_known_events(events, label_events), scoring=scoring)


def _some(rows: IntArray, number: int, rng: np.random.Generator) -> IntArray:
    return rows if len(rows) <= number else rng.choice(rows, size=number, replace=False)
