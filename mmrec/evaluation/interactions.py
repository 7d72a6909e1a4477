"""What models learn from and are asked with: events as rows of numbers, content of items, histories of targets.

Axes: E events, U users, I items, N targets, H events of all histories one after the other, D numbers of a vector,
A labels of all items one after the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Clock = Literal["seconds", "positions"]
"""What times count: epoch seconds, or places within each user's own order, which different users do not share."""
LABELS = "labels"
"""Stands for the attributes of items where modalities are named."""
UNKNOWN = -1
"""Row of a user nothing is known of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Interactions:
    """Events in the order of time; a selection of them keeps users, items and their rows."""

    user_ids: Sequence[str]
    """(U,) of the whole data set: a row means the same user in every selection."""
    item_ids: Sequence[str]
    """(I,) of the whole catalogue, items without events included."""
    behavior_names: Sequence[str]
    users_E: IntArray
    """Rows of user_ids."""
    items_E: IntArray
    """Rows of item_ids."""
    times_E: FloatArray
    """Seconds, or positions as numbers; see `clock`. Not falling."""
    behaviors_E: IntArray
    """Rows of behavior_names."""
    clock: Clock = "seconds"

    def __post_init__(self) -> None:
        lengths = {len(each) for each in (self.users_E, self.items_E, self.times_E, self.behaviors_E)}
        if len(lengths) != 1:
            raise ValueError(f"columns of {sorted(lengths)} events; give one user, item, time and behavior per event")
        if not np.isfinite(self.times_E).all():
            raise ValueError(f"{int((~np.isfinite(self.times_E)).sum())} times are no finite numbers")
        if (np.diff(self.times_E) < 0).any():
            raise ValueError("events are not in the order of time; make them with Interactions.in_order()")
        for name, rows_E, size in (
            ("user", self.users_E, len(self.user_ids)),
            ("item", self.items_E, len(self.item_ids)),
            ("behavior", self.behaviors_E, len(self.behavior_names)),
        ):
            if len(rows_E) and (rows_E.min() < 0 or rows_E.max() >= size):
                raise ValueError(f"{name} rows from {rows_E.min()} to {rows_E.max()}; there are {size}")

    @classmethod
    def in_order(
        cls,
        *,
        user_ids: Sequence[str],
        item_ids: Sequence[str],
        behavior_names: Sequence[str],
        users_E: npt.ArrayLike,
        items_E: npt.ArrayLike,
        times_E: npt.ArrayLike,
        behaviors_E: npt.ArrayLike,
        clock: Clock = "seconds",
    ) -> "Interactions":
        """Of events in any order: sorted by time, those of one instant as they came.

        Raises:
            ValueError: columns of different lengths, a time that is no number, or a row that is not there.
        """
        times = np.asarray(times_E, dtype=np.float64)
        order = np.argsort(times, kind="stable")
        users, items, behaviors = (np.asarray(each, dtype=np.int64) for each in (users_E, items_E, behaviors_E))
        if not len(users) == len(items) == len(behaviors) == len(times):
            raise ValueError(
                f"{len(users)} users, {len(items)} items, {len(times)} times and {len(behaviors)} behaviors; give one"
                " of each per event"
            )
        return cls(
            user_ids=user_ids,
            item_ids=item_ids,
            behavior_names=behavior_names,
            users_E=users[order],
            items_E=items[order],
            times_E=times[order],
            behaviors_E=behaviors[order],
            clock=clock,
        )

    def __len__(self) -> int:
        """Number of events."""
        return len(self.users_E)

    @property
    def num_users(self) -> int:
        """U, users without events included."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """I, items without events included."""
        return len(self.item_ids)

    @property
    def end(self) -> float:
        """Time of the last event, where a decay clock stands after fitting; 0 without events."""
        return float(self.times_E[-1]) if len(self) else 0.0

    def take(self, chosen_E: IntArray | BoolArray) -> "Interactions":
        """Some of the events, by ascending row or by mask."""
        return replace(
            self,
            users_E=self.users_E[chosen_E],
            items_E=self.items_E[chosen_E],
            times_E=self.times_E[chosen_E],
            behaviors_E=self.behaviors_E[chosen_E],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemLabels:
    """Attributes of items as codes, any number per item."""

    names: Sequence[str]
    offsets: IntArray
    """(I + 1,): those of item i are codes_A[offsets[i]:offsets[i + 1]]."""
    codes_A: IntArray
    """Rows of names."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemFeatures:
    """What is known of items beside their events."""

    num_items: int
    vectors: Mapping[str, Float32Array] = field(default_factory=dict)
    """Modality -> (I, D). Rows of items without the modality are 0."""
    present: Mapping[str, BoolArray] = field(default_factory=dict)
    """Modality -> (I,): which items have it; the same modalities as `vectors`."""
    labels: ItemLabels | None = None
    """None where the catalogue has no attributes."""

    def __post_init__(self) -> None:
        if set(self.vectors) != set(self.present):
            raise ValueError(f"vectors of {sorted(self.vectors)} but presence of {sorted(self.present)}; give both")
        for name, vectors_ID in self.vectors.items():
            if len(vectors_ID) != self.num_items or len(self.present[name]) != self.num_items:
                raise ValueError(f"{name}: {len(vectors_ID)} vectors of {self.num_items} items; give one per item")
            if not np.isfinite(vectors_ID).all():
                raise ValueError(f"{name}: a vector holds what is no finite number")
        if self.labels is not None and len(self.labels.offsets) != self.num_items + 1:
            raise ValueError(f"{len(self.labels.offsets)} offsets of labels; give {self.num_items + 1}")

    def without(self, *names: str) -> "ItemFeatures":
        """The same items without some modalities; "labels" are the attributes. Names that are not there are ignored."""
        return replace(
            self,
            vectors={name: vectors_ID for name, vectors_ID in self.vectors.items() if name not in names},
            present={name: has_I for name, has_I in self.present.items() if name not in names},
            labels=None if LABELS in names else self.labels,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Histories:
    """What is visible of each of N targets' users: events strictly before the target's instant, oldest first."""

    offsets: IntArray
    """(N + 1,): events of target n are at offsets[n]:offsets[n + 1]; equal where there is no history."""
    items_H: IntArray
    times_H: FloatArray
    behaviors_H: IntArray
    as_of_N: FloatArray
    """The instant that is asked about, later than every event of the history: where the decay clock stands."""

    def __len__(self) -> int:
        """Number of targets."""
        return len(self.as_of_N)

    @property
    def lengths_N(self) -> IntArray:
        """Events per target."""
        return np.diff(self.offsets)

    @property
    def targets_H(self) -> IntArray:
        """The target of each event."""
        return np.repeat(np.arange(len(self)), self.lengths_N)

    def part(self, start: int, stop: int) -> "Histories":
        """Those of targets start to stop, such as one batch."""
        low, high = int(self.offsets[start]), int(self.offsets[min(stop, len(self))])
        return Histories(
            offsets=self.offsets[start : stop + 1] - low,
            items_H=self.items_H[low:high],
            times_H=self.times_H[low:high],
            behaviors_H=self.behaviors_H[low:high],
            as_of_N=self.as_of_N[start:stop],
        )

    def newest(self, length: int) -> "Histories":
        """The same targets with their newest `length` events at most."""
        age_H = self.offsets[1:][self.targets_H] - np.arange(len(self.items_H))  # 1 is the newest
        kept = age_H <= length
        return Histories(
            offsets=np.concatenate([[0], np.cumsum(np.minimum(self.lengths_N, length))]),
            items_H=self.items_H[kept],
            times_H=self.times_H[kept],
            behaviors_H=self.behaviors_H[kept],
            as_of_N=self.as_of_N,
        )


def histories_of(data: Interactions, *, users_N: IntArray, as_of_N: FloatArray) -> Histories:
    """Each user's events of `data` strictly before an instant.

    Args:
        users_N: Rows; UNKNOWN has no history. A user may come several times.
        as_of_N: Instants, aligned with users_N.
    """
    by_user = np.argsort(data.users_E, kind="stable")  # within a user by time, since events are
    starts_U = np.searchsorted(data.users_E[by_user], np.arange(data.num_users + 1))
    times = data.times_E[by_user]
    chosen: list[IntArray] = []
    offsets = np.zeros(len(users_N) + 1, dtype=np.int64)
    for target, (user, as_of) in enumerate(zip(users_N.tolist(), as_of_N.tolist(), strict=True)):
        low, high = (int(starts_U[user]), int(starts_U[user + 1])) if user != UNKNOWN else (0, 0)
        high = low + int(np.searchsorted(times[low:high], as_of, side="left"))
        chosen.append(by_user[low:high])
        offsets[target + 1] = offsets[target] + high - low
    rows_H = np.concatenate(chosen) if chosen else np.zeros(0, dtype=np.int64)
    return Histories(
        offsets=offsets,
        items_H=data.items_E[rows_H],
        times_H=data.times_E[rows_H],
        behaviors_H=data.behaviors_E[rows_H],
        as_of_N=np.asarray(as_of_N, dtype=np.float64),
    )
