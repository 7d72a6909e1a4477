"""The side of a replica that searches: what is searched, how it is kept up to date, and how requests are answered."""

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from mmrec.content.query_encoder import EncodesQueries
from mmrec.events.producer import TopicRecord
from mmrec.recall.catalogue import Catalogue
from mmrec.serving.messages import state_message
from mmrec.serving.recommend import Deadline, ReadProfile, ReplicaState
from mmrec.serving.search import add_found, search
from mmrec.serving.search_backfill import Backfill
from mmrec.serving.search_content import NamedAlignment, SearchContent
from mmrec.serving.search_request import SearchRequest
from mmrec.v1 import recommender_pb2

INTRODUCED: Final = 200


class SearchSide:
    """Any number of threads may ask; one, the replica's, keeps it up to date."""

    def __init__(
        self,
        *,
        encoder: EncodesQueries,
        alignment: NamedAlignment | None,
        cleaning: str,
        read_past: Callable[[], Iterable[TopicRecord]],
        stopping: threading.Event,
    ) -> None:
        """Start empty.

        Args:
            encoder: Makes vectors of queries.
            cleaning: Name of the text cleaning that the catalogue is encoded with.
            read_past: All records of item-embeddings up to now.
            stopping: Ends what runs in the background.
        """
        self.content = SearchContent(alignment=alignment, cleaning=cleaning)
        self._encoder = encoder
        self._backfill = Backfill(self.content, read_past, stopping=stopping)
        self._introduced: tuple[str, ...] = ()

    def answer(
        self,
        request: SearchRequest,
        response: recommender_pb2.SearchItemsResponse | recommender_pb2.SimilarItemsResponse,
        *,
        state: ReplicaState,
        read_profile: ReadProfile,
        deadline: Deadline,
    ) -> None:
        """Fill an answer; errors as mmrec.serving.search.search()."""
        found = search(
            request,
            state=state,
            content=self.content,
            encoder=self._encoder,
            read_profile=read_profile,
            deadline=deadline,
        )
        response.request_id, response.release_id = uuid.uuid4().hex, state.release_id
        response.state.CopyFrom(
            state_message(
                found.degraded,
                num_candidates=found.num_candidates,
                as_of_s=request.as_of_s,
                stream_ingest_time_s=state.stream_ingest_time_s,
            )
        )
        add_found(response, found)

    def follows_from(self, start: Mapping[int, int] | None) -> None:
        """Say where the topic is followed from: what is before must be read in the background."""
        if start:
            self._backfill.start()
        else:
            self._backfill.not_needed()

    def introduce(self, catalogue: Catalogue) -> None:
        """Make items of a catalogue findable by what it says of them, until their records come.

        INTRODUCED at a time, some ten milliseconds' worth: called again and again, it comes to all of them.
        """
        before, ids = self._introduced, catalogue.item_ids
        if before is ids:
            return
        if len(before) > len(ids) or ids[: len(before)] != before:
            before = ()
        elif len(before) == len(ids):
            return
        num_known = min(len(ids), len(before) + INTRODUCED)
        self.content.introduce(catalogue.entries[len(before) : num_known])
        self._introduced = ids[:num_known]

    def figures(self) -> dict[str, Any]:
        """For the status file."""
        counted = self.content.index.num_vectors()
        return {
            "num_items_searched": self.content.index.num_rows,
            "num_vectors_searched": {modality: sum(meanings.values()) for modality, meanings in counted.items()},
            "search_is_backfilled": self._backfill.is_done,
        }
