"""Histories that go on in one another, read once: what a step of the causal user tower learns from (METHODS M21).

The history of a user's last label holds those of the labels before it, unless an event became known late. So the last
one is read, and every label whose history it goes on from is asked at its own place in it. A label is asked where it
sees at least half as many events as serving would read, and the same inputs as there in every other way; a label that
finds no such place is read by itself.

Axes: C sequences, L events of the longest one, N labels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmrec.models.towers import behavior_rows
from mmrec.training.examples import RetrievalExamples
from mmrec.training.tower_data import IntArray, history_lengths, label_weights

BoolArray = npt.NDArray[np.bool_]
NO_PLACE = -1
_PAIRS_AT_ONCE = 65_536
_SAME_S = 1.0
"""Seconds by which two readings of one time may differ; ages are kept in single precision."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequences:
    """C histories, and the labels that are asked within each."""

    heads_C: IntArray
    """Label whose history is read."""
    offsets: IntArray
    """Labels of sequence c are labels_N[offsets[c]:offsets[c + 1]], at least one, shape (C + 1,)."""
    labels_N: IntArray
    places_N: IntArray
    """Event after which each is asked, counted from the oldest one that is read."""

    def __len__(self) -> int:
        return len(self.heads_C)

    @property
    def sizes_C(self) -> IntArray:
        """Labels of each."""
        return np.diff(self.offsets)


@dataclass(frozen=True, kw_only=True, eq=False)
class SequenceBatch:
    """C histories, oldest event first, padded at the end; N labels that are asked within them."""

    rows_CL: Tensor
    """Item rows; the row after the last item where a history is shorter."""
    behaviors_CL: Tensor
    ages_s_CL: Tensor
    """Seconds before the newest label of the sequence is asked."""
    read_ages_s_CL: Tensor
    """Seconds from each event to the label that is asked after it; 0 where none is."""
    sequences_N: Tensor
    """The sequence of each label."""
    places_N: Tensor
    labels_N: Tensor
    weights_N: Tensor


def sequences_of(examples: RetrievalExamples, labels: IntArray, *, max_history: int) -> Sequences:
    """Some labels with a history each, in as few sequences as they fit into.

    Args:
        labels: Ascending; each has a history.
        max_history: Events that are read at most.
    """
    labels = labels[np.argsort(examples.user_index_N[labels], kind="stable")]
    lengths_N = history_lengths(examples, labels, max_history=max_history)
    heads, places = _places(lengths_N, _steps(examples, labels, max_history), least=max_history // 2)
    heads_C, first_C = np.unique(heads, return_index=True)
    return Sequences(
        heads_C=labels[heads_C],
        offsets=np.append(first_C, len(labels)).astype(np.int64),
        labels_N=labels,
        places_N=places,
    )


def one_by_one(examples: RetrievalExamples, labels: IntArray, *, max_history: int) -> Sequences:
    """Each label in a sequence of its own, in their order: what serving would read."""
    return Sequences(
        heads_C=labels,
        offsets=np.arange(len(labels) + 1),
        labels_N=labels,
        places_N=history_lengths(examples, labels, max_history=max_history) - 1,
    )


def sequence_batch(
    examples: RetrievalExamples,
    sequences: Sequences,
    chosen: IntArray,
    *,
    max_history: int,
    behavior_ids: tuple[int, ...],
) -> SequenceBatch:
    """Tensors of some sequences; L is the longest history of these, `max_history` at most."""
    heads, sizes = sequences.heads_C[chosen], sequences.sizes_C[chosen]
    lengths = history_lengths(examples, heads, max_history=max_history)
    found = examples.histories(heads, max_length=max(1, int(lengths.max(initial=1))))
    before = np.append(0, np.cumsum(sizes))[:-1]
    taken = np.arange(int(sizes.sum())) + np.repeat(sequences.offsets[chosen] - before, sizes)
    labels, places, rows = (
        sequences.labels_N[taken],
        sequences.places_N[taken],
        np.repeat(np.arange(len(chosen)), sizes),
    )
    read_ages_s = np.zeros(found.ages_s_NL.shape, dtype=np.float32)
    read_ages_s[rows, places] = examples.history_ages_s_E[examples.history_offsets[labels + 1] - 1]
    present = np.arange(found.rows_NL.shape[1]) < lengths[:, None]
    return SequenceBatch(
        rows_CL=torch.from_numpy(np.where(present, found.rows_NL, len(examples.item_ids)).astype(np.int64)),
        behaviors_CL=torch.from_numpy(behavior_rows(found.behavior_ids_NL, behavior_ids)),
        ages_s_CL=torch.from_numpy(found.ages_s_NL),
        read_ages_s_CL=torch.from_numpy(read_ages_s),
        sequences_N=torch.from_numpy(rows),
        places_N=torch.from_numpy(places),
        labels_N=torch.from_numpy(examples.label_rows_N[labels].astype(np.int64)),
        weights_N=torch.from_numpy(label_weights(examples, labels)),
    )


def _places(lengths_N: IntArray, steps_N: IntArray, *, least: int) -> tuple[IntArray, IntArray]:
    """(position of the label whose history each is asked in, its place there): from the last label to the first."""
    heads, places = [0] * len(lengths_N), [0] * len(lengths_N)
    head, seen = -1, 0
    for n, (length, step) in reversed(list(enumerate(zip(lengths_N.tolist(), steps_N.tolist(), strict=True)))):
        seen -= step
        if step == NO_PLACE or seen < max(1, min(length, least)):
            head, seen = n, length
        heads[n], places[n] = head, seen - 1
    return np.array(heads, dtype=np.int64), np.array(places, dtype=np.int64)


def _steps(examples: RetrievalExamples, labels: IntArray, max_history: int) -> IntArray:
    """By how many events the history of the next label goes on from each one's; NO_PLACE where it does not."""
    steps_N = np.full(len(labels), NO_PLACE, dtype=np.int64)
    users_N = examples.user_index_N[labels]
    pairs = np.flatnonzero(users_N[:-1] == users_N[1:])
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        each = pairs[start : start + _PAIRS_AT_ONCE]
        steps_N[each] = _steps_of_pairs(examples, labels[each], labels[each + 1], max_history)
    return steps_N


def _steps_of_pairs(examples: RetrievalExamples, labels: IntArray, next_labels: IntArray, max_history: int) -> IntArray:
    (items, behaviors, ages_s), (next_items, next_behaviors, next_ages_s) = (
        _newest_last(examples, each, max_history) for each in (labels, next_labels)
    )
    steps = np.full(len(labels), NO_PLACE, dtype=np.int64)
    for step in range(max_history):
        shared = slice(0, max_history - step)
        open_N = np.flatnonzero((steps == NO_PLACE) & (next_items[:, max_history - 1 - step] == items[:, -1]))
        same = (next_items[open_N, shared] == items[open_N, step:]).all(axis=1)
        same &= (next_behaviors[open_N, shared] == behaviors[open_N, step:]).all(axis=1)
        # Between the two labels all events have aged alike; at one place both are asked at one instant.
        aged_s = next_ages_s[open_N, shared] - ages_s[open_N, step:]
        off_s = np.abs(aged_s - (aged_s[:, -1:] if step else 0.0)) * (items[open_N, step:] >= 0)
        same &= (off_s <= _SAME_S + 1e-6 * next_ages_s[open_N, shared]).all(axis=1)
        steps[open_N[same]] = step
    return steps


def _newest_last(
    examples: RetrievalExamples, labels: IntArray, max_history: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Items, behaviors and ages of histories, moved to the right; items are below 0 where a history is shorter."""
    found = examples.histories(labels, max_length=max_history)
    lengths = (found.rows_NL >= 0).sum(axis=1)
    shift = (np.arange(max_history)[None, :] - (max_history - lengths)[:, None]) % max_history
    return (
        np.take_along_axis(found.rows_NL, shift, axis=1),
        np.take_along_axis(found.behavior_ids_NL, shift, axis=1),
        np.take_along_axis(found.ages_s_NL, shift, axis=1),
    )
