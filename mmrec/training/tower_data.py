"""Retrieval examples and content as tensors: what a step of the towers reads.

Axes: I items, M modalities, N batch, L history.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmrec.content.matrix import ContentMatrix
from mmrec.models.fusion import shown_only
from mmrec.models.towers import ItemTower, age_bins, behavior_rows
from mmrec.training.examples import RetrievalExamples

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """N labels with their histories, newest event last."""

    rows_NL: Tensor
    """Item rows; the row after the last item where the history is shorter."""
    behaviors_NL: Tensor
    age_bins_NL: Tensor
    valid_NL: Tensor
    labels_N: Tensor
    weights_N: Tensor


def fit_projections(tower: ItemTower, content: ContentMatrix) -> None:
    """Fit each modality's projection on the items that have it."""
    for name in tower.modalities:
        tower.projections[name].fit(content.values[name][content.present[name]])  # type: ignore[operator]


def projected_content(tower: ItemTower, content: ContentMatrix) -> tuple[Tensor, Tensor]:
    """(projected_IMP, present_IM): the frozen part of the item tower, computed once; zeros where absent."""
    with torch.no_grad():
        values = {name: torch.from_numpy(np.ascontiguousarray(content.values[name])) for name in tower.modalities}
        present = torch.stack([torch.from_numpy(content.present[name].copy()) for name in tower.modalities], dim=1)
        return shown_only(tower.project(values), present), present


def usable_labels(examples: RetrievalExamples, labels: IntArray, *, max_history: int) -> IntArray:
    """Labels that say what is *new* to a user with a history.

    Left out: labels without history (nothing to read), hidden ones (serving would not show them), and items within
    the history: returning to an item is what own-item recall and the ranker's own-item features are for.
    """
    if not len(labels):
        return labels
    histories = examples.histories(labels, max_length=max_history)
    repeated = (histories.rows_NL == examples.label_rows_N[labels][:, None]).any(axis=1)
    filled = (histories.rows_NL >= 0).any(axis=1)
    kept: IntArray = labels[filled & ~repeated & ~examples.hidden_N[labels]]
    return kept


def make_batch(
    examples: RetrievalExamples, labels: IntArray, *, max_history: int, behavior_ids: tuple[int, ...]
) -> Batch:
    """Tensors of some labels; histories are moved to the right, so that the newest event is last."""
    found = examples.histories(labels, max_length=max_history)
    lengths = (found.rows_NL >= 0).sum(axis=1)
    shift = (np.arange(max_history)[None, :] - (max_history - lengths)[:, None]) % max_history
    rows = np.take_along_axis(found.rows_NL, shift, axis=1).astype(np.int64)
    behaviors = behavior_rows(np.take_along_axis(found.behavior_ids_NL, shift, axis=1), behavior_ids)
    ages = np.take_along_axis(found.ages_s_NL, shift, axis=1)
    valid = rows >= 0
    return Batch(
        rows_NL=torch.from_numpy(np.where(valid, rows, len(examples.item_ids))),
        behaviors_NL=torch.from_numpy(behaviors),
        age_bins_NL=torch.from_numpy(age_bins(ages.astype(np.float64))),
        valid_NL=torch.from_numpy(valid),
        labels_N=torch.from_numpy(examples.label_rows_N[labels].astype(np.int64)),
        # Stronger behaviors say more, less than in proportion: browse .69, purchase 2.4.
        weights_N=torch.from_numpy(np.log1p(np.maximum(examples.label_weights_N[labels], 0.0)).astype(np.float32)),
    )
