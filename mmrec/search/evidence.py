"""What each kind of evidence says about the candidates of a query; how it becomes one order: mmrec.search.index.

Axes: I items by row, N candidates, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.index.half_vectors import HalfVectors
from mmrec.search.lexical import QueryWord
from mmrec.search.query import LEXICAL, QueryPart, vectors_of

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
RowArray = npt.NDArray[np.int64]
HALF_STEP: Final = 1e-3
"""Cosines of half-precision vectors are off by less."""
SAME_COSINE: Final = 1.0 - 1e-5
"""Vectors of a larger cosine were made from the same bytes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What one kind of evidence says about the candidates, for one part of the query."""

    part: int
    name: str
    """LEXICAL, or vectors_of() a modality."""
    values_N: FloatArray
    gains_N: FloatArray
    """What it adds to the relevance, negative for what is not wanted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """A vector of the query, and the items' vectors it is compared with."""

    modality: str
    vectors: HalfVectors
    query_D: Float32Array
    """Of length 1."""
    share: float


@dataclass(frozen=True, kw_only=True, eq=False)
class AskedPart:
    """One part of a query, looked up."""

    part: QueryPart
    words: tuple[QueryWord, ...]
    lexical_I: Float32Array | None
    """BM25 over its maximum; None where no item has any of the words."""
    lexical_share: float
    directions: tuple[Direction, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """One direction of a part, with the candidates' cosines."""

    direction: Direction
    cosines_N: Float32Array
    """NaN where an item has no vector."""
    nearest: float
    """The largest cosine of any item."""


def judged(to: Direction, part: QueryPart, rows_N: RowArray, *, is_whole: bool) -> Judged:
    cosines_N = to.vectors.cosines(to.query_D[None], rows_N)[0]
    if part.item_id:
        nearest = 1.0  # its own
    elif is_whole and part.weight > 0 and not np.isnan(cosines_N).all():
        nearest = float(np.nanmax(cosines_N))  # the candidates hold it
    else:
        nearest = to.vectors.nearest_cosine(to.query_D)
    return Judged(direction=to, cosines_N=cosines_N, nearest=nearest)


def evidence(place: int, asked: AskedPart, judged: Sequence[Judged], rows_N: RowArray) -> list[Evidence]:
    """All evidence of one part: an item that lacks a vector is judged by the rest, whose shares grow."""
    names = [vectors_of(each.direction.modality) for each in judged]
    values = [_calibrated(each) for each in judged]
    shares = [each.direction.share * ~np.isnan(each.cosines_N) for each in judged]
    if asked.lexical_I is not None:
        names.append(LEXICAL)
        values.append(asked.lexical_I[rows_N].astype(np.float64))
        shares.append(np.full(len(rows_N), asked.lexical_share))
    whole_N = np.sum([np.zeros(len(rows_N)), *shares], axis=0)
    weight_N = asked.part.weight / np.where(whole_N > 0, whole_N, 1.0)
    return [
        Evidence(part=place, name=name, values_N=values_N, gains_N=weight_N * share_N * values_N)
        for name, values_N, share_N in zip(names, values, shares, strict=True)
    ]


def _calibrated(judged: Judged) -> FloatArray:
    """Cosines on a scale where the mean item has 0 and the nearest of all has 1; 0 for items without a vector."""
    vectors = judged.direction.vectors
    # The mean of the items and of one vector that is like nothing: a single item is not its own measure.
    mean = float(vectors.mean_D @ judged.direction.query_D) * len(vectors) / (len(vectors) + 1)
    spread = judged.nearest - mean
    if not spread > 0:
        return np.zeros(len(judged.cosines_N))
    return np.where(np.isnan(judged.cosines_N), 0.0, (judged.cosines_N.astype(np.float64) - mean) / spread)


def is_same(judged: Judged, rows_N: RowArray) -> BoolArray:
    """Whether an item's vector is the query's own, to the last bits of half precision."""
    to, same_N = judged.direction, judged.cosines_N >= SAME_COSINE - HALF_STEP
    for place in same_N.nonzero()[0].tolist():
        other_D = to.vectors.vector(int(rows_N[place]))
        same_N[place] = other_D is not None and unit(other_D) @ to.query_D >= SAME_COSINE
    return same_N


def unit(values_D: Float32Array) -> Float32Array:
    length = float(np.linalg.norm(values_D))
    return (values_D / length if length > 0 else values_D).astype(np.float32)
