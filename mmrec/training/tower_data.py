"""Retrieval examples and content as tensors: what a step of the towers reads.

Axes: I items, M modalities, N labels, C histories (as many where each label is read for itself), L events.
"""

from collections.abc import Iterator
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
_STEPS_PER_PORTION = 16


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

    @property
    def rows_CL(self) -> Tensor:
        """Histories, one per label."""
        return self.rows_NL

    @property
    def sequences_N(self) -> Tensor:
        """The history of each label."""
        return torch.arange(len(self.rows_NL), device=self.rows_NL.device)


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


def history_lengths(examples: RetrievalExamples, labels: IntArray, *, max_history: int) -> IntArray:
    """Events that the user tower reads before each label, shape (N,)."""
    lengths_N: IntArray = np.minimum(
        examples.history_offsets[labels + 1] - examples.history_offsets[labels], max_history
    )
    return lengths_N


def joint_batches(
    lengths_C: IntArray,
    *,
    batch_size: int,
    max_labels: int,
    generator: np.random.Generator,
    sizes_C: IntArray | None = None,
) -> Iterator[IntArray]:
    """Histories of each step of an epoch, by position: a random draw; those of one step are alike in length.

    Histories are shuffled, cut into portions of several steps, ordered by length within each portion, and its steps are
    shuffled again: every label is drawn with the same chance, and little is read that only pads.

    Args:
        lengths_C: Events of each history.
        batch_size: Labels of a step; the last history of a step may bring more.
        max_labels: Drawn for an epoch, the last history may bring more; 0 draws all.
        sizes_C: Labels that each history is read for; None where it is one.
    """
    sizes_C = np.ones(len(lengths_C), dtype=np.int64) if sizes_C is None else sizes_C
    order = generator.permutation(len(lengths_C))
    if max_labels:
        order = order[np.cumsum(sizes_C[order]) - sizes_C[order] < max_labels]
    for portion in _cut(order, sizes_C, batch_size * _STEPS_PER_PORTION):
        steps = _cut(portion[np.argsort(lengths_C[portion], kind="stable")], sizes_C, batch_size)
        for step in generator.permutation(len(steps)).tolist():
            yield steps[step]


def _cut(chosen: IntArray, sizes_C: IntArray, num_labels: int) -> list[IntArray]:
    """Pieces in order; each begins with the first history after another `num_labels` labels."""
    if not len(chosen):
        return []
    pieces = (np.cumsum(sizes_C[chosen]) - sizes_C[chosen]) // num_labels
    return np.split(chosen, np.flatnonzero(np.diff(pieces)) + 1)


def make_batch(
    examples: RetrievalExamples, labels: IntArray, *, max_history: int, behavior_ids: tuple[int, ...]
) -> Batch:
    """Tensors of some labels; histories are moved to the right, so that the newest event is last.

    L is the longest history of these labels, `max_history` at most: nobody reads what is empty for all.
    """
    longest = max(1, int(history_lengths(examples, labels, max_history=max_history).max(initial=1)))
    found = examples.histories(labels, max_length=longest)
    lengths = (found.rows_NL >= 0).sum(axis=1)
    shift = (np.arange(longest)[None, :] - (longest - lengths)[:, None]) % longest
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
        weights_N=torch.from_numpy(label_weights(examples, labels)),
    )


def label_weights(examples: RetrievalExamples, labels: IntArray) -> npt.NDArray[np.float32]:
    """What each label counts: stronger behaviors say more, less than in proportion; browse .69, purchase 2.4."""
    return np.log1p(np.maximum(examples.label_weights_N[labels], 0.0)).astype(np.float32)
