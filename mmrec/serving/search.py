"""search(): what was asked for becomes a list, by words, vectors and, where wanted, the user's interest.

    found = search(request, state=state, content=content, encoder=encoder, read_profile=..., deadline=deadline)

Texts and photos are encoded first, by another process; where it does not answer in time, texts are searched by their
words alone, and the answer says so. A personal list is the head of the relevant items in an order of relevance and
interest (mmrec.serving.rerank.with_interest). The ranker and the user's vector are those of recommend().

Axes: K items listed, N candidates.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from mmrec.catalog.item import CatalogItem
from mmrec.content.payloads import payloads
from mmrec.content.query_encoder import EncodedQuery, EncodesQueries
from mmrec.errors import DeadlineError, InvalidRequestError, PreconditionError, StoreError
from mmrec.recall.catalogue import Catalogue, FloatArray, RowArray
from mmrec.recall.context import allowed_items
from mmrec.search.index import FoundItems
from mmrec.search.query import LEXICAL, MeantVector, QueryPart
from mmrec.serving.recommend import Deadline, Degradation, ReadProfile, ReplicaState, interest, shown_row
from mmrec.serving.rerank import with_interest
from mmrec.serving.search_content import SearchContent
from mmrec.serving.search_request import AskedPart, SearchRequest
from mmrec.v1 import recommender_pb2

MIN_CANDIDATES: Final = 200
"""Of each kind of evidence."""
PERSONAL_HEAD: Final = 100
"""So many relevant items, or twice the length of the list, may trade places."""
ANSWER_MARGIN_S: Final = 0.010
"""Time reserved for the search itself: encoding is not waited for longer."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchedList:
    """What was found, and what led to it."""

    catalogue: Catalogue
    rows_K: RowArray
    """Rows of the catalogue, best first."""
    scores_K: FloatArray
    explanations: tuple["FoundBecause", ...]
    degraded: tuple[Degradation, ...]
    num_candidates: int


@dataclass(frozen=True, kw_only=True)
class FoundBecause:
    """Why an item was found."""

    sources: dict[str, float]
    """Kind of evidence -> what it added to the relevance, > 0; the strongest first."""
    text: str
    """One sentence."""


def search(
    request: SearchRequest,
    *,
    state: ReplicaState,
    content: SearchContent,
    encoder: EncodesQueries,
    read_profile: ReadProfile,
    deadline: Deadline,
) -> SearchedList:
    """The items that fit a query best.

    Raises:
        InvalidRequestError: a photo cannot be read, or an item asked about has none of the content that is weighed.
        NotFoundError: an item that the query names is not in the catalogue, was removed, or is not shown now.
        PreconditionError: no item was encoded as the photo is, so that none can be compared with it.
        StoreError: no encoder answered, and without it nothing is left to search by; or, for a photo, vectors of items
            are still being read and none was there yet that it can be compared with.
        DeadlineError: the deadline passed before a photo was encoded.
    """
    deadline.refuse_late()
    for part in request.parts:
        if part.item_id:
            shown_row(part.item_id, state.catalogue, as_of_s=request.as_of_s)
    encoding = _Encoding(content=content, deadline=deadline)
    parts = encoding.parts(request, encoder)
    allowed_I = allowed_items(
        state.catalogue,
        as_of_s=request.as_of_s,
        item_filter=request.item_filter,
        excluded=request.excluded_item_ids,
    )
    depth = max(MIN_CANDIDATES, 2 * request.num_items)
    found, rows_N = content.find(parts, state.catalogue, allowed_I=allowed_I, num_candidates=depth)
    _refuse_contentless(request, found)
    order, scores_N = (~found.duplicates_N).nonzero()[0], found.relevance_N
    if request.is_personal:
        head = order[: max(PERSONAL_HEAD, 2 * request.num_items)]
        judged = interest(
            request.user_key, rows_N[head], state=state, read_profile=read_profile, as_of_s=request.as_of_s
        )
        encoding.degraded.update(dict.fromkeys(judged.degraded))
        if judged.scores_N is not None:
            scores_N = with_interest(found.relevance_N, head, judged.scores_N)
            order = np.concatenate([head[np.argsort(-scores_N[head], kind="stable")], order[len(head) :]])
        order = order[~judged.unwanted_I[rows_N[order]]]
    shown = order[: request.num_items]
    return SearchedList(
        catalogue=state.catalogue,
        rows_K=rows_N[shown],
        scores_K=scores_N[shown],
        explanations=tuple(_because(found, place, content) for place in shown.tolist()),
        degraded=tuple(encoding.degraded),
        num_candidates=len(order),
    )


@dataclass(kw_only=True)
class _Encoding:
    """The vectors of one query, while they are made."""

    content: SearchContent
    deadline: Deadline
    degraded: dict[Degradation, None] = field(default_factory=dict)

    def parts(self, request: SearchRequest, encoder: EncodesQueries) -> list[QueryPart]:
        """The parts with the vectors of their texts and photos; all are encoded at once."""
        waiting = [_ask(part, self.content, encoder) for part in request.parts]
        parts = []
        for number, (asked, answer) in enumerate(zip(request.parts, waiting, strict=True)):
            part = QueryPart(weight=asked.weight, words=asked.text, item_id=asked.item_id, shares=request.shares)
            encoded = self._answered(f"query[{number}].image", asked, answer) if answer is not None else None
            vector = self._comparable(f"query[{number}].image", asked, encoded) if encoded is not None else None
            parts.append(replace(part, vectors=() if vector is None else (vector,)))
        return parts

    def _answered(self, name: str, asked: AskedPart, answer: "Future[EncodedQuery]") -> EncodedQuery | None:
        """What the encoder answers; None where a text is searched by its words alone."""
        try:
            return answer.result(max(0.0, self.deadline.left_s() - ANSWER_MARGIN_S))
        except InvalidRequestError as error:
            if asked.text:  # an encoder of words may know none of these; the lexical index looks for them all the same
                return None
            raise InvalidRequestError(f"{name}: {error}") from None
        except TimeoutError:
            if not asked.text:
                raise DeadlineError(f"{name} was not encoded before the deadline; give it more time") from None
        except StoreError:
            if not asked.text:
                raise
        self.degraded[Degradation.QUERY_NOT_ENCODED] = None
        return None

    def _comparable(self, name: str, asked: AskedPart, encoded: EncodedQuery) -> MeantVector | None:
        """A query's vector where items have any of its meaning; None for a text where they have none."""
        vector = self.content.meant(encoded)
        if self.content.is_comparable(vector):
            return vector
        if not asked.text:
            if not self.content.is_backfilled:
                raise StoreError(f"no vector that {name} can be compared with was read yet; try again in a moment")
            raise PreconditionError(
                f"no item has a vector that {name} can be compared with: the encoder {encoded.encoder!r} of "
                f"fingerprint {encoded.fingerprint or 'unknown'} made none of theirs; encode the catalogue with it "
                "(python -m jobs.encode_items), or ask by text"
            )
        self.degraded[Degradation.VECTORS_INCOMPATIBLE] = None
        return None


def _ask(part: AskedPart, content: SearchContent, encoder: EncodesQueries) -> "Future[EncodedQuery] | None":
    """The vector of a text or photo, to come; None for an item, and for a text of which cleaning leaves nothing."""
    modality, text = "image" if part.image else "text", content.index.corrected(part.text)
    asked = payloads(CatalogItem(item_id="query", title=text, image=part.image or None), cleaning=content.cleaning)
    return encoder.ask(modality, asked[modality]) if modality in asked else None


def _refuse_contentless(request: SearchRequest, found: FoundItems) -> None:
    """Say so where an item's like is wanted by something that it does not have."""
    if found.evidence or not all(part.item_id for part in request.parts):
        return
    wanted = " or ".join(sorted(name for name, share in request.shares.items() if share > 0)) or "content"
    names = ", ".join(repr(part.item_id) for part in request.parts)
    raise InvalidRequestError(f"item {names} has no vector of {wanted} (yet); ask by something else")


def _because(found: FoundItems, place: int, content: SearchContent) -> FoundBecause:
    gains: dict[str, float] = {}
    for each in found.evidence:
        if each.gains_N[place] > 0:
            gains[each.name] = gains.get(each.name, 0.0) + float(each.gains_N[place])
    sources = dict(sorted(gains.items(), key=lambda named: -named[1]))
    row = int(found.rows_N[place])
    wanted = [words for part, words in enumerate(found.words) if _is_wanted(found, part, place)]
    has = list(dict.fromkeys(word for words in wanted for word in content.index.found_words(words, row)))
    said = [f"has {_listed(has)}"] if has else []
    said += [f"is alike by {name.removesuffix(' vectors')}" for name in sources if name != LEXICAL]
    return FoundBecause(sources=sources, text=f"It {' and '.join(said)}." if said else "")


def _is_wanted(found: FoundItems, part: int, place: int) -> bool:
    return any(e.part == part and e.name == LEXICAL and e.gains_N[place] > 0 for e in found.evidence)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def add_found(
    response: recommender_pb2.SearchItemsResponse | recommender_pb2.SimilarItemsResponse, found: SearchedList
) -> None:
    """Add what was found to an answer, with the reasons."""
    listed = zip(found.rows_K.tolist(), found.scores_K.tolist(), found.explanations, strict=True)
    for rank, (row, score, because) in enumerate(listed, 1):
        item = response.items.add()
        item.MergeFromString(found.catalogue.entries[row].listed)
        item.rank, item.ranking_score = rank, score
        item.sources.extend(because.sources)
        item.explanation.text = because.text
        item.explanation.source_scores.update(because.sources)
