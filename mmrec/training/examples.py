"""Training examples: history, state and label, where everything used was *known strictly before* the label.

    known_time_s < label_time_s          the one law of this file; equal is too late

The label time is the event time of the label: at that instant serving would have answered. Retrieval examples fit the
towers; ranking examples keep raw state, so that features come from assemble() once the towers are fit.

Axes: N labels or lists, M candidates of all lists, I items, L history, E entries of all histories.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.features.assemble import CandidateSignals, ItemFacts
from mmrec.features.item_columns import ContentColumns
from mmrec.scoring.packing import unpack
from mmrec.scoring.profile import UserProfile
from mmrec.training.example_config import Part
from mmrec.training.example_folder import read_folder, write_folder
from mmrec.training.item_history import ItemHistory

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
RowArray = npt.NDArray[np.int32]
NO_ROW = -1
NOT_A_LABEL = -1


def known_before(known_times: FloatArray, label_time_s: Any) -> npt.NDArray[np.bool_]:
    """Mask of what may stand in an example of that label: known strictly before it."""
    mask: npt.NDArray[np.bool_] = known_times < label_time_s
    return mask


@dataclass(frozen=True, kw_only=True, eq=False)
class PaddedHistories:
    """Newest events of N users, oldest first, NO_ROW beyond the last one."""

    rows_NL: RowArray
    behavior_ids_NL: npt.NDArray[np.uint8]
    """0 beyond the last one."""
    ages_s_NL: npt.NDArray[np.float32]
    """Seconds before the state was read, >= 0; 0 beyond the last one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RetrievalExamples:
    """N labels, each with the user's newest events known strictly before it."""

    item_ids: tuple[str, ...]
    """The vocabulary: row i of everything below is item_ids[i]. Items without events are in it where known."""
    history_offsets: IntArray
    """History of label n is history_*[offsets[n]:offsets[n + 1]], oldest first by event time, shape (N + 1,)."""
    history_rows_E: RowArray
    history_behavior_ids_E: npt.NDArray[np.uint8]
    """Stable behavior ids."""
    history_ages_s_E: npt.NDArray[np.float32]
    """Seconds before the state was read: max(label time, newest event time), as serving reads it."""
    label_rows_N: RowArray
    label_behavior_ids_N: npt.NDArray[np.uint8]
    label_times_N: FloatArray
    label_weights_N: FloatArray
    """Weight of the label's behavior."""
    user_index_N: RowArray
    """Number of the user, the same for all labels of one."""
    parts_N: npt.NDArray[np.uint8]
    """Values of Part."""
    hidden_N: npt.NDArray[np.bool_]
    """Whether serving would not have shown the item to this user then."""
    label_counts_I: IntArray
    """Labels per item within Part.TOWERS: what a uniform draw of labels meets, for logQ."""

    def __len__(self) -> int:
        return len(self.label_rows_N)

    @cached_property
    def log_sampling_probability_I(self) -> FloatArray:
        """Log of the chance that a label drawn uniformly from Part.TOWERS is the item, shape (I,).

        Items without labels get half a label's chance, so that the correction stays finite.
        """
        counts_I = np.maximum(self.label_counts_I.astype(np.float64), 0.5)
        log_I: FloatArray = np.log(counts_I / max(float(self.label_counts_I.sum()), 1.0))
        return log_I

    def of_part(self, part: Part) -> IntArray:
        """Numbers of the labels of one part, ascending in label time."""
        return np.flatnonzero(self.parts_N == part)

    def histories(self, labels: npt.NDArray[np.integer], *, max_length: int) -> PaddedHistories:
        """The newest `max_length` events before each of `labels`, padded at the end; L is max_length."""
        ends = self.history_offsets[labels + 1]
        lengths = np.minimum(ends - self.history_offsets[labels], max_length)
        steps_L = np.arange(max_length)
        present = steps_L[None, :] < lengths[:, None]
        places = ((ends - lengths)[:, None] + steps_L[None, :])[present]
        rows_NL = np.full(present.shape, NO_ROW, dtype=np.int32)
        behavior_ids_NL = np.zeros(present.shape, dtype=np.uint8)
        ages_s_NL = np.zeros(present.shape, dtype=np.float32)
        rows_NL[present] = self.history_rows_E[places]
        behavior_ids_NL[present] = self.history_behavior_ids_E[places]
        ages_s_NL[present] = self.history_ages_s_E[places]
        return PaddedHistories(rows_NL=rows_NL, behavior_ids_NL=behavior_ids_NL, ages_s_NL=ages_s_NL)

    def save(self, folder: Path, *, report: Mapping[str, Any] | None = None) -> None:
        """Write the examples; `report` is kept in the manifest."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "item_ids"}
        write_folder(
            folder,
            kind="retrieval_examples",
            arrays=arrays,
            manifest={"num_labels": len(self), "report": dict(report or {}), "item_ids": list(self.item_ids)},
        )

    @classmethod
    def load(cls, folder: Path) -> "RetrievalExamples":
        """What save() wrote; NotFoundError and IncompatibleStateError as read_folder()."""
        arrays, manifest = read_folder(folder, kind="retrieval_examples")
        return cls(item_ids=tuple(manifest["item_ids"]), **arrays)


@dataclass(frozen=True, kw_only=True, eq=False)
class UserHistory:
    """What the user tower reads: newest events whose items are known, oldest first."""

    rows_L: IntArray
    behavior_ids_L: npt.NDArray[np.uint8]
    ages_s_L: FloatArray


def user_history(
    profile: UserProfile,
    row_of: Mapping[str, int],
    *,
    as_of_s: float,
    embedded_I: npt.NDArray[np.bool_] | None = None,
) -> UserHistory:
    """The newest events of a profile, as serving hands them to the user tower.

    Args:
        row_of: Item id -> row; events on other items are left out.
        as_of_s: Instant of the request; state is read at the newest of it and the profile's times.
        embedded_I: Where given, events on items without an embedding are left out too.
    """
    read_s = max([as_of_s, profile.newest_event_time_s, *profile.reference_times_I.tolist()])
    rows_L = np.array([row_of.get(item_id, NO_ROW) for item_id in profile.recent_item_ids], dtype=np.int64)
    kept_L = rows_L != NO_ROW
    if embedded_I is not None and len(embedded_I):
        kept_L &= embedded_I[rows_L]
    return UserHistory(
        rows_L=rows_L[kept_L],
        behavior_ids_L=profile.recent_behavior_ids_L[kept_L],
        ages_s_L=read_s - profile.recent_event_times_L[kept_L],
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class RankingInputs:
    """One list as assemble() reads it; only tower similarity is missing."""

    profile: UserProfile
    """As of just before the label."""
    items: ItemFacts
    neighbor_score_N: FloatArray
    as_of_s: float
    """The label time."""
    rows_N: RowArray
    """Candidates as rows of RankingExamples.item_ids, ascending."""
    labels_N: npt.NDArray[np.int16]
    """Position on axis B of the behavior that followed, NOT_A_LABEL where none did."""

    def signals(self, tower_similarity_N: FloatArray | None = None) -> CandidateSignals:
        """Signals with the towers' similarity; NaN where there is none."""
        if tower_similarity_N is None:
            tower_similarity_N = np.full(len(self.rows_N), np.nan)
        return CandidateSignals(tower_similarity_N=tower_similarity_N, neighbor_score_N=self.neighbor_score_N)


@dataclass(frozen=True, kw_only=True, eq=False)
class RankingExamples:
    """N lists, each what recall would have proposed to one user just before a label."""

    item_ids: tuple[str, ...]
    """The vocabulary: row i of everything below is item_ids[i]; the same as in the retrieval examples."""
    user_keys: tuple[str, ...]
    """User of each list, axis N."""
    label_times_N: FloatArray
    parts_N: npt.NDArray[np.uint8]
    """Values of Part: RANKER or VALIDATION."""
    recalled_N: npt.NDArray[np.bool_]
    """Whether the sources had proposed every label of the list themselves."""
    profile_offsets: IntArray
    """Packed profile of list n is profile_bytes[offsets[n]:offsets[n + 1]], shape (N + 1,)."""
    profile_bytes: npt.NDArray[np.uint8]
    """Profiles as of just before the label, as scoring.packing packs them."""
    candidate_offsets: IntArray
    """Candidates of list n are candidate_*[offsets[n]:offsets[n + 1]], shape (N + 1,)."""
    candidate_rows_M: RowArray
    """Ascending within a list, so that places say nothing about labels."""
    candidate_labels_M: npt.NDArray[np.int16]
    """Position on axis B of the behavior, NOT_A_LABEL where none."""
    candidate_neighbor_scores_M: FloatArray
    """With neighbors built from events known before the list's part began."""
    item_history: ItemHistory
    """Item statistics as of any instant."""

    def __len__(self) -> int:
        return len(self.user_keys)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Rows by item id."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    def of_part(self, part: Part) -> IntArray:
        """Numbers of the lists of one part, ascending in label time."""
        return np.flatnonzero(self.parts_N == part)

    def profile(self, number: int) -> UserProfile:
        """The user of a list, as of just before the label."""
        begin, end = self.profile_offsets[number : number + 2]
        return unpack(self.profile_bytes[begin:end].tobytes())

    def inputs(self, number: int, content: ContentColumns) -> RankingInputs:
        """What assemble() reads for list `number`, but for the towers' similarity.

        Args:
            number: Of the list.
            content: Serving fields of `item_ids`, one row each: content_columns([entries.get(i) for i in item_ids]).
        """
        profile = self.profile(number)
        begin, end = self.candidate_offsets[number : number + 2]
        rows_N = self.candidate_rows_M[begin:end]
        as_of_s = float(self.label_times_N[number])
        own_rows = np.array([self.row_of.get(item_id, NO_ROW) for item_id in profile.item_ids], dtype=np.int64)
        counts_NHB, reference_times_N = self.item_history.as_of(rows_N, as_of_s)
        return RankingInputs(
            profile=profile,
            items=ItemFacts(
                item_ids=[self.item_ids[row] for row in rows_N.tolist()],
                content=content.take(rows_N),
                profile_content=content.take(own_rows),
                counts_NHB=counts_NHB,
                reference_times_N=reference_times_N,
                decay_per_day_H=self.item_history.decay_per_day_H,
            ),
            neighbor_score_N=self.candidate_neighbor_scores_M[begin:end],
            as_of_s=as_of_s,
            rows_N=rows_N,
            labels_N=self.candidate_labels_M[begin:end],
        )

    def save(self, folder: Path, *, report: Mapping[str, Any] | None = None) -> None:
        """Write the examples; `report` is kept in the manifest."""
        apart = {"item_ids", "user_keys", "item_history"}
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart}
        write_folder(
            folder,
            kind="ranking_examples",
            arrays={**arrays, **self.item_history.arrays()},
            manifest={
                "num_lists": len(self),
                "report": dict(report or {}),
                "item_ids": list(self.item_ids),
                "user_keys": list(self.user_keys),
            },
        )

    @classmethod
    def load(cls, folder: Path) -> "RankingExamples":
        """What save() wrote; NotFoundError and IncompatibleStateError as read_folder()."""
        arrays, manifest = read_folder(folder, kind="ranking_examples")
        history = ItemHistory.from_arrays(arrays)
        plain = {name: array for name, array in arrays.items() if not name.startswith("item_history.")}
        return cls(
            item_ids=tuple(manifest["item_ids"]), user_keys=tuple(manifest["user_keys"]), item_history=history, **plain
        )
