"""What a recall source is: it proposes items for one request, and says why it proposed one.

A source is one file in mmrec/recall/sources/ and one line in its registry.py. Serving, training examples, explanations
and served lists learn about it from the registry and from its own properties.

Axes: J items of the profile, K proposals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from mmrec.index.vectors import SearchResult, VectorQuery, best_positions
from mmrec.recall.catalogue import FloatArray, RowArray
from mmrec.recall.context import RecallContext


@dataclass(frozen=True, kw_only=True, eq=False)
class Proposals:
    """What one source proposes, best first."""

    rows_K: RowArray
    scores_K: FloatArray


NOTHING = Proposals(rows_K=np.zeros(0, dtype=np.int64), scores_K=np.zeros(0))


@dataclass(frozen=True, kw_only=True)
class OwnReason:
    """An item of the user's own that led to the proposal: "You <behavior> <own item> <when> <words>."."""

    own: int
    """Position of that item on axis J."""
    relation: str
    """Name of the relation in responses; two reasons with the same relation and own item count as one reason."""
    words: str
    """End of the sentence, such as "and people who did also chose this"."""
    strength: float
    """Strength of the relation, > 0; comparable only within the same relation."""
    precedence: int
    """Reasons with a lower precedence are named first."""


@dataclass(frozen=True, kw_only=True)
class PlainReason:
    """A reason without an item of the user's; used where there is no OwnReason."""

    sentence: str
    """Shown to people; ends with a full stop."""
    precedence: int
    """As above."""


Reason = OwnReason | PlainReason


class RecallSource(Protocol):
    """Proposes items. Stateless: one object serves all requests and threads at once."""

    @property
    def name(self) -> str:
        """Name in responses, served lists and explanations; unique among sources, and never changed."""
        ...

    @property
    def weight(self) -> float:
        """Weight in the recall order, > 0, where no release brings a learned one; see fusion.fuse()."""
        ...

    @property
    def needs_model(self) -> bool:
        """Whether it needs a release. Training lists are made without such sources, before there is a release."""
        ...

    @property
    def finds_similar(self) -> bool:
        """Whether it is asked for items like one item as well, in an item_context()."""
        ...

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """At most `num_candidates` allowed items, best first.

        It must not block. If it raises, the list is made without this source.
        """
        ...

    def reasons(self, row: int, context: RecallContext) -> Sequence[Reason]:
        """Why it proposed the item at `row`, from the numbers that led to the proposal; empty where it has no reason.

        Called only for items that it proposed in this context, and only for users with items of their own. What
        it raises costs the explanation this source's reasons alone.
        """
        ...


@runtime_checkable
class VectorSource(RecallSource, Protocol):
    """A source that asks the index: for many lists at once, all of them are asked together.

    propose() is query(), the search, and from_found().
    """

    def query(self, context: RecallContext, *, num_candidates: int) -> VectorQuery | None:
        """What to search for; None where it proposes nothing."""
        ...

    def from_found(self, found: SearchResult, context: RecallContext, *, num_candidates: int) -> Proposals:
        """The proposals that come of what was found."""
        ...


def propose_by_search(source: VectorSource, context: RecallContext, *, num_candidates: int) -> Proposals:
    """propose() of a source that asks the index."""
    query, index = source.query(context, num_candidates=num_candidates), context.catalogue.index
    if query is None or index is None:
        return NOTHING
    found = index.search(query.queries_QD, num_results=query.num_results, allowed_I=query.allowed_I)
    return source.from_found(found, context, num_candidates=num_candidates)


def best(rows: RowArray, scores: FloatArray, num_candidates: int) -> Proposals:
    """The best of `rows`, which are ascending; equal scores are ordered by row."""
    order = best_positions(scores, num_candidates)
    return Proposals(rows_K=rows[order], scores_K=scores[order])
