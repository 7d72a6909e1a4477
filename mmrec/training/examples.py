"""Training examples: history, state and label, where everything used was known strictly before the label.

Retrieval examples fit the towers. Ranking examples keep raw state and no candidates: these, and their features, come
from the recall sources and assemble() once the towers are fit, as in serving (mmrec/training/ranking_rows.py).

Axes: N labels or lists, M labels of all lists, T tables of neighbors, I items, L history, E entries of all histories.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.features.item_columns import ContentColumns
from mmrec.recall.catalogue import NO_ROW, NeighborTable
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

    def __len__(self) -> int:
        return len(self.label_rows_N)

    @property
    def learned_until_s(self) -> float:
        """Label time of the newest label; 0 where there is none."""
        return float(self.label_times_N.max(initial=0.0))

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
class RankingExamples:
    """N lists to be made: a user at an instant, and what the user did next. Recall proposes once towers are fit."""

    item_ids: tuple[str, ...]
    """The vocabulary: row i of everything below is item_ids[i]; the same as in the retrieval examples."""
    user_keys: tuple[str, ...]
    """User of each list, axis N."""
    label_times_N: FloatArray
    """Instant of each list: the event time of its first label."""
    parts_N: npt.NDArray[np.uint8]
    """Values of Part: RANKER or VALIDATION."""
    profile_offsets: IntArray
    """Packed profile of list n is profile_bytes[offsets[n]:offsets[n + 1]], shape (N + 1,)."""
    profile_bytes: npt.NDArray[np.uint8]
    """Profiles as of just before the instant, as scoring.packing packs them."""
    label_offsets: IntArray
    """Labels of list n are label_*[offsets[n]:offsets[n + 1]], at least one, shape (N + 1,)."""
    label_rows_M: RowArray
    """Items, ascending within a list, each once; each could have been shown to the user at the instant."""
    label_behaviors_M: npt.NDArray[np.int16]
    """Position on axis B of the weightiest behavior that followed within the window."""
    label_next_M: npt.NDArray[np.bool_]
    """Whether something followed at the very instant; figures count these alone."""
    neighbors: tuple[NeighborTable, ...]
    """Rows as in `item_ids`, in order of time."""
    neighbor_times_T: FloatArray
    """Ascending: table t was built from events known strictly before this instant."""
    item_history: ItemHistory
    """Item statistics as of any instant."""

    def __len__(self) -> int:
        return len(self.user_keys)

    def of_part(self, part: Part) -> IntArray:
        """Numbers of the lists of one part, ascending in label time."""
        return np.flatnonzero(self.parts_N == part)

    def profile(self, number: int) -> UserProfile:
        """The user of a list, as of just before the label."""
        begin, end = self.profile_offsets[number : number + 2]
        return unpack(self.profile_bytes[begin:end].tobytes())

    def labels(self, number: int) -> slice:
        """Where the labels of a list stand in label_*."""
        begin, end = self.label_offsets[number : number + 2]
        return slice(int(begin), int(end))

    def neighbors_at(self, time_s: float) -> NeighborTable | None:
        """The newest neighbors built by an instant; None where there are none."""
        place = int(np.searchsorted(self.neighbor_times_T, time_s, side="right")) - 1
        return self.neighbors[place] if place >= 0 else None

    def save(self, folder: Path, *, report: Mapping[str, Any] | None = None) -> None:
        """Write the examples; `report` is kept in the manifest."""
        apart = {"item_ids", "user_keys", "item_history", "neighbors"}
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart}
        for place, table in enumerate(self.neighbors):
            arrays[f"neighbors.{place}.rows"] = table.rows_IK
            arrays[f"neighbors.{place}.weights"] = table.weights_IK
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
            neighbors=tuple(
                NeighborTable(rows_IK=arrays[f"neighbors.{t}.rows"], weights_IK=arrays[f"neighbors.{t}.weights"])
                for t in range(len(arrays["neighbor_times_T"]))
            ),
            **{name: array for name, array in arrays.items() if "." not in name},
        )
