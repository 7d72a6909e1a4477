"""All recall sources: one line each, in the order in which they are asked.

The first one is asked whatever happens: it must cost next to nothing and always have something to propose.
"""

from typing import Final

from mmrec.recall.source import RecallSource
from mmrec.recall.sources.neighbor_items import NeighborItems
from mmrec.recall.sources.own_items import OwnItems
from mmrec.recall.sources.popular_items import PopularItems
from mmrec.recall.sources.similar_items import SimilarItems
from mmrec.recall.sources.vector_items import VectorItems

SOURCES: Final[tuple[RecallSource, ...]] = (
    PopularItems(),
    OwnItems(),
    NeighborItems(),
    VectorItems(),
    SimilarItems(),
)
FINDING_SIMILAR: Final = tuple(source for source in SOURCES if source.finds_similar)
"""Sources that are asked for items like one item."""
