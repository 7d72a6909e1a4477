"""Training examples: history, state and label, where everything used was known strictly before the label.

Retrieval examples fit the towers. Ranking examples keep raw state, so that features come from assemble() once the
towers are fit: the same function, on the same inputs, as in serving.

    examples = RankingExamples.load(folder / "ranking")
    content = content_columns([entries.get(i) for i in examples.item_ids], vocabulary=Vocabulary())
    inputs = examples.inputs(number, content)
    rows_NF = assemble(inputs.profile, inputs.items, inputs.signals(similarity_N), as_of_s=inputs.as_of_s, ...)

Axes: N labels or lists, M candidates of all lists, I items, J items of a profile, L history, E entries of all
histories, K neighbors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.features.assemble import CandidateSignals, ItemFacts, own_positions
from mmrec.features.item_columns import ContentColumns
from mmrec.recall.catalogue import NO_ROW, NeighborTable, rows_of
from mmrec.scoring.packing import unpack
from mmrec.scoring.profile import UserProfile
from mmrec.training.example_config import Part
from mmrec.training.example_folder import read_folder, write_folder
from mmrec.training.item_history import ItemHistory

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
RowArray = npt.NDArray[np.int32]
NOT_A_LABEL = -1


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
    """Labels per item within Part.TOWERS: how popular it was then."""

    def __len__(self) -> int:
        return len(self.label_rows_N)

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


def published_before(content: ContentColumns, time_s: float) -> npt.NDArray[np.bool_]:
    """Mask of the items that could be shown just before `time_s`; without a publish time they always could."""
    mask: npt.NDArray[np.bool_] = ~(content.publish_times_X >= time_s)
    mask &= content.expire_times_X >= time_s
    return mask


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
    own_offsets: IntArray
    """Own items of list n are own_*[offsets[n]:offsets[n + 1]], aligned with its profile's item_ids, shape (N + 1,)."""
    own_affinity: FloatArray
    """Affinity of the user for own items as of the label, as recall reads it."""
    own_hidden: npt.NDArray[np.bool_]
    """Whether serving would hide the item from the user."""
    neighbors: Mapping[Part, NeighborTable]
    """For RANKER and VALIDATION, from events known before that part began; rows as in `item_ids`."""
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

    def rows(self, item_ids: Iterable[str]) -> IntArray:
        """Rows of items, NO_ROW where the vocabulary lacks one."""
        return rows_of(self.row_of, item_ids)

    def allowed(self, number: int, content: ContentColumns) -> npt.NDArray[np.bool_]:
        """What a list could have shown: published before the label, and not hidden from the user; shape (I,)."""
        allowed_I = published_before(content, float(self.label_times_N[number]))
        begin, end = self.own_offsets[number : number + 2]
        own_rows_J = self.rows(self.profile(number).item_ids)
        allowed_I[own_rows_J[self.own_hidden[begin:end] & (own_rows_J != NO_ROW)]] = False
        return allowed_I

    def inputs(
        self, number: int, content: ContentColumns, *, more_rows: npt.NDArray[np.integer] | None = None
    ) -> RankingInputs:
        """What assemble() reads for list `number`, but for the towers' similarity.

        Args:
            number: Of the list.
            content: Serving fields of `item_ids`, one row each: content_columns([entries.get(i) for i in item_ids]).
            more_rows: Items that other sources propose, such as the nearest vectors once towers are fit; those that
                allowed() rules out, or that are candidates already, are left out. They are no labels.
        """
        profile = self.profile(number)
        begin, end = self.candidate_offsets[number : number + 2]
        rows_N, labels_N = self.candidate_rows_M[begin:end], self.candidate_labels_M[begin:end]
        if more_rows is not None and len(more_rows):
            more = np.setdiff1d(more_rows[self.allowed(number, content)[more_rows]], rows_N)
            together = np.append(rows_N, more.astype(np.int32))
            order = np.argsort(together, kind="stable")
            rows_N = together[order]
            labels_N = np.append(labels_N, np.full(len(more), NOT_A_LABEL, dtype=np.int16))[order]
        as_of_s = float(self.label_times_N[number])
        own_rows_J = self.rows(profile.item_ids)
        own_begin, own_end = self.own_offsets[number : number + 2]
        neighbors = self.neighbors[Part(int(self.parts_N[number]))]
        counts_NHB, reference_times_N = self.item_history.as_of(rows_N, as_of_s)
        return RankingInputs(
            profile=profile,
            items=ItemFacts(
                own_positions_N=own_positions(rows_N, own_rows_J, num_rows=len(self.item_ids)),
                content=content.take(rows_N),
                profile_content=content.take(own_rows_J),
                counts_NHB=counts_NHB,
                reference_times_N=reference_times_N,
                decay_per_day_H=self.item_history.decay_per_day_H,
            ),
            neighbor_score_N=neighbors.scores(own_rows_J, self.own_affinity[own_begin:own_end])[rows_N],
            as_of_s=as_of_s,
            rows_N=rows_N,
            labels_N=labels_N,
        )

    def save(self, folder: Path, *, report: Mapping[str, Any] | None = None) -> None:
        """Write the examples; `report` is kept in the manifest."""
        apart = {"item_ids", "user_keys", "item_history", "neighbors"}
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart}
        for part, table in self.neighbors.items():
            arrays[f"neighbors.{part.name}.rows"] = table.rows_IK
            arrays[f"neighbors.{part.name}.weights"] = table.weights_IK
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
        return cls(
            item_ids=tuple(manifest["item_ids"]),
            user_keys=tuple(manifest["user_keys"]),
            item_history=ItemHistory.from_arrays(arrays),
            neighbors={
                part: NeighborTable(
                    rows_IK=arrays[f"neighbors.{part.name}.rows"], weights_IK=arrays[f"neighbors.{part.name}.weights"]
                )
                for part in Part
                if f"neighbors.{part.name}.rows" in arrays
            },
            **{name: array for name, array in arrays.items() if "." not in name},
        )
