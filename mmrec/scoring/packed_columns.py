"""Many packed profiles as columns: every section of all of them in one array, and no object per profile.

    columns = columns_of([packed, packed, ...], axes)      the layout is that of mmrec/scoring/packing.py
    packed_of(columns)                                     the same bytes again

Unpacking a profile makes a dozen arrays of a few numbers each. Here it is a dozen slices of bytes, which are joined
section by section and read as one array. Only profiles with the same axes (decay rates, behaviors) can be joined.

Axes: U profiles, X items of all, K newest events of all, R ring entries of all (those of one profile stand together),
H half-lives, B behaviors.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.scoring.packing import FORMAT, HEADER, HEADER_FIELDS, MAGIC
from mmrec.scoring.profile import FloatArray

IntArray = npt.NDArray[np.int64]

HEADER_DTYPE = np.dtype(
    [(name, f"<{code}" if code in "BHIQd" else f"V{struct.calcsize(code)}") for name, code in HEADER_FIELDS]
)
"""packing.HEADER as columns; its gaps have names as well, since NumPy copies fields alone."""
assert HEADER_DTYPE.itemsize == HEADER.size


@dataclass(frozen=True, kw_only=True)
class Axes:
    """What profiles that are joined have in common."""

    num_rates: int
    behavior_ids_B: npt.NDArray[np.uint8]

    @property
    def width(self) -> int:
        """Counts of one item."""
        return self.num_rates * len(self.behavior_ids_B)

    @property
    def prefix(self) -> bytes:
        """How packed profiles of these axes begin."""
        return HEADER.pack(MAGIC, FORMAT, self.num_rates, len(self.behavior_ids_B), *[0] * 16)[:8]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileColumns:
    """U profiles of the same axes."""

    axes: Axes
    header_U: npt.NDArray[Any]
    """HEADER_DTYPE."""
    reference_times_X: FloatArray
    counts_XHB: FloatArray
    totals_UHB: FloatArray
    recent_event_times_K: FloatArray
    recent_known_times_K: FloatArray
    recent_behavior_ids_K: npt.NDArray[np.uint8]
    ring_times_R: FloatArray
    ring_ids_R: npt.NDArray[np.uint64]
    marks: list[bytes]
    """Offsets and partitions of each profile's marks (packing.pack_marks)."""
    names: list[bytes]
    """Texts of item ids (mmrec.scoring.names)."""
    recent_names: list[bytes]
    owners: list[bytes]
    """Texts of merged keys and of the marks' sources (packing.pack_marks)."""

    def __len__(self) -> int:
        return len(self.names)

    def sizes(self, name: str) -> IntArray:
        """One count from each header, shape (U,), such as num_items."""
        sizes_U: IntArray = self.header_U[name].astype(np.int64)
        return sizes_U


@dataclass(frozen=True, kw_only=True, slots=True)
class Sections:
    """Where the sections of U packed profiles begin."""

    header_U: npt.NDArray[Any]
    starts: list[list[int]]
    """By section; the last entry is the end of the recent item ids."""

    def part(self, number: int, packed: Sequence[bytes]) -> list[bytes]:
        """One section of each profile."""
        starts, ends = self.starts[number], self.starts[number + 1]
        return [data[start:end] for data, start, end in zip(packed, starts, ends, strict=True)]

    def owners(self, packed: Sequence[bytes]) -> list[bytes]:
        """The last text of each profile."""
        return [data[start:] for data, start in zip(packed, self.starts[-1], strict=True)]


(
    _REFERENCE_TIMES,
    _COUNTS,
    _TOTALS,
    _RECENT_EVENT_TIMES,
    _RECENT_KNOWN_TIMES,
    _RING_TIMES,
    _RING_IDS,
    _MARKS,
    _RECENT_BEHAVIORS,
    _BEHAVIORS,
    _NAMES,
    _RECENT_NAMES,
) = range(12)
"""Sections in their order; owners follow them."""


def sections_of(packed: Sequence[bytes], axes: Axes) -> Sections:
    """Sections of profiles that begin with axes.prefix."""
    header_U = np.frombuffer(b"".join([data[: HEADER.size] for data in packed]), dtype=HEADER_DTYPE)
    items, recent, ring = (8 * header_U[name].astype(np.int64) for name in ("num_items", "num_recent", "num_ring"))
    sizes = [
        items,
        items * axes.width,
        np.full(len(packed), 8 * axes.width),
        recent,
        recent,
        ring,
        ring,
        12 * header_U["num_marks"].astype(np.int64),
        recent // 8,
        np.full(len(packed), len(axes.behavior_ids_B)),
        header_U["items_size"].astype(np.int64),
        header_U["recent_size"].astype(np.int64),
    ]
    starts = np.cumsum([np.full(len(packed), HEADER.size), *sizes], axis=0)
    return Sections(header_U=header_U, starts=starts.tolist())


def same_behaviors(packed: Sequence[bytes], sections: Sections, axes: Axes) -> npt.NDArray[np.bool_]:
    """Which profiles have the behaviors of `axes` on axis B, shape (U,)."""
    wanted = axes.behavior_ids_B.tobytes()
    return np.array([ids == wanted for ids in sections.part(_BEHAVIORS, packed)], dtype=np.bool_)


def columns_of(packed: Sequence[bytes], axes: Axes) -> ProfileColumns:
    """Profiles of these axes, section by section."""
    sections = sections_of(packed, axes)

    def joined(number: int, dtype: str) -> npt.NDArray[Any]:
        return np.frombuffer(b"".join(sections.part(number, packed)), dtype=dtype)

    return ProfileColumns(
        axes=axes,
        header_U=sections.header_U,
        reference_times_X=joined(_REFERENCE_TIMES, "<f8"),
        counts_XHB=joined(_COUNTS, "<f8").reshape(-1, axes.num_rates, len(axes.behavior_ids_B)),
        totals_UHB=joined(_TOTALS, "<f8").reshape(-1, axes.num_rates, len(axes.behavior_ids_B)),
        recent_event_times_K=joined(_RECENT_EVENT_TIMES, "<f8"),
        recent_known_times_K=joined(_RECENT_KNOWN_TIMES, "<f8"),
        ring_times_R=joined(_RING_TIMES, "<f8"),
        ring_ids_R=joined(_RING_IDS, "<u8"),
        marks=sections.part(_MARKS, packed),
        recent_behavior_ids_K=joined(_RECENT_BEHAVIORS, "u1"),
        names=sections.part(_NAMES, packed),
        recent_names=sections.part(_RECENT_NAMES, packed),
        owners=sections.owners(packed),
    )


def packed_of(columns: ProfileColumns) -> list[bytes]:
    """Each profile as packing.pack() would write it."""
    header, width = columns.header_U, columns.axes.width
    item_ends, recent_ends, ring_ends = (
        np.cumsum(header[name].astype(np.int64)) for name in ("num_items", "num_recent", "num_ring")
    )
    ids = columns.axes.behavior_ids_B.tobytes()
    return [
        b"".join(parts)
        for parts in zip(
            _slices(columns.header_U, np.arange(1, len(columns) + 1) * HEADER.size),
            _slices(columns.reference_times_X, 8 * item_ends),
            _slices(columns.counts_XHB, 8 * width * item_ends),
            _slices(columns.totals_UHB, np.arange(1, len(columns) + 1) * 8 * width),
            _slices(columns.recent_event_times_K, 8 * recent_ends),
            _slices(columns.recent_known_times_K, 8 * recent_ends),
            _slices(columns.ring_times_R, 8 * ring_ends),
            _slices(columns.ring_ids_R, 8 * ring_ends),
            columns.marks,
            _slices(columns.recent_behavior_ids_K, recent_ends),
            [ids] * len(columns),
            columns.names,
            columns.recent_names,
            columns.owners,
            strict=True,
        )
    ]


def _slices(array: npt.NDArray[Any], ends_U: IntArray) -> list[bytes]:
    """The bytes of each profile's part of an array."""
    data = array.tobytes()
    ends = ends_U.tolist()
    return [data[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
