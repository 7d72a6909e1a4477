"""The world as a request at a past instant would have met it: what training asks the sources and assemble() about.

    world = ListWorld(catalogue=..., item_history=examples.item_history, scoring=settings.scoring)
    context = world.context(profile, time_s, neighbors=examples.neighbors_at(time_s))

The view itself is built by mmrec.recall.context, as for a request. Axis: I items.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mmrec.features.item_columns import ContentColumns
from mmrec.index.vectors import ExactIndex
from mmrec.recall.catalogue import Catalogue, NeighborTable, empty_catalogue
from mmrec.recall.context import EmbedsUsers, RecallContext, allowed_items, recall_context
from mmrec.scoring.affinity import net_counts
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.training.examples import published_before
from mmrec.training.item_history import ItemHistory


@dataclass(frozen=True, kw_only=True, eq=False)
class ListWorld:
    """What lists of the past are made from."""

    catalogue: Catalogue
    """Items with their publish times and, where towers are fit, vectors; counts come from the history."""
    item_history: ItemHistory
    scoring: ScoringConfig
    tower: EmbedsUsers | None = None
    """Embeds users; None before towers are fit."""

    def as_of(self, time_s: float, neighbors: NeighborTable | None = None) -> Catalogue:
        """The catalogue as it stood just before `time_s`: counts known by then, and only items published by then."""
        counts_IHB, reference_times_I = self.item_history.as_of(np.arange(len(self.catalogue.item_ids)), time_s)
        counted = self.catalogue.counted(
            net_counts(counts_IHB, self.scoring.behaviors.cancels),
            reference_times_I,
            showable_I=published_before(self.catalogue.content, time_s),
        )
        found = replace(counted, neighbors=neighbors)
        found.__dict__["row_of"] = self.catalogue.row_of  # replace() leaves what was computed behind
        return found

    def context(self, profile: UserProfile, time_s: float, neighbors: NeighborTable | None = None) -> RecallContext:
        """One request of a user at `time_s`, as recommend() would see it."""
        catalogue = self.as_of(time_s, neighbors)
        allowed_I = allowed_items(catalogue, as_of_s=time_s)
        return recall_context(profile, catalogue, self.scoring, as_of_s=time_s, allowed_I=allowed_I, tower=self.tower)

    def allowed(self, profile: UserProfile, time_s: float) -> npt.NDArray[np.bool_]:
        """What a list of the user could have shown at `time_s`: published, and not hidden by what the user did."""
        showable_I = published_before(self.catalogue.content, time_s) & allowed_items(self.catalogue, as_of_s=time_s)
        context = recall_context(profile, self.catalogue, self.scoring, as_of_s=time_s, allowed_I=showable_I)
        return context.allowed_I


def list_catalogue(
    item_ids: Sequence[str],
    *,
    content: ContentColumns,
    behaviors: BehaviorSet,
    decay_per_day_H: npt.NDArray[np.float64],
    vectors_ID: npt.NDArray[np.float32] | None = None,
) -> Catalogue:
    """A catalogue of the vocabulary, without counts and neighbors.

    Args:
        content: Serving fields of `item_ids`, one row each.
        vectors_ID: Item embeddings, zeros where an item has none; None before towers are fit.
    """
    num_items = len(item_ids)
    embedded_I = np.zeros(num_items, dtype=np.bool_)
    if vectors_ID is not None:
        embedded_I |= vectors_ID.any(axis=1)
    return replace(
        empty_catalogue(behaviors=behaviors, decay_per_day_H=decay_per_day_H),
        item_ids=tuple(item_ids),
        content=content,
        showable_I=np.ones(num_items, dtype=np.bool_),
        counts_IHB=np.zeros((num_items, len(decay_per_day_H), len(behaviors))),
        reference_times_I=np.full(num_items, -np.inf),
        index=ExactIndex(tuple(item_ids), vectors_ID) if vectors_ID is not None else None,
        embedded_I=embedded_I,
    )
