"""Records of item-embeddings into a replica's keeper, beside a collection that it has loaded, and lists made of it."""

from collections.abc import Sequence
from random import Random
from typing import Any

from mmrec.errors import InvalidRequestError
from mmrec.serving.item_record import ItemUpdate, read_item_update
from mmrec.serving.keeper import CatalogueKeeper
from mmrec.serving.recommend import ListRequest, recommend
from tests.fuzz.catalog_inputs import malformed_embedding, valid_embedding
from tests.fuzz.door import Fuzzed, Outcome, Parts, accepted, refused
from tests.serving_world import no_deadline, serving_world


class EmbeddingsDoor:
    """read_item_update, keeper.take, keeper.publish."""

    name = "embeddings"
    batch = 150
    seeds = 6

    def __init__(self) -> None:
        self._world = serving_world(num_users=20, num_items=60, days=5)

    def valid(self, rng: Random, number: int) -> Parts:
        return valid_embedding(rng, number)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        return malformed_embedding(rng, number)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        keeper = self._world.keeper()
        read = [_read(fuzzed.parts) for fuzzed in inputs]
        updates = [found for found in read if isinstance(found, ItemUpdate)]
        keeper.take(updates)
        keeper.publish()
        request = ListRequest(user_key=self._world.user_ids[0], as_of_s=self._world.end_s)
        found = recommend(
            request, state=self._world.state(keeper), read_profile=self._world.read_profile, deadline=no_deadline()
        )
        if not len(found.rows_K):
            raise LookupError("no list after these updates")
        newest = {update.item_id: update for update in updates}
        return [self._outcome(result, keeper, newest) for result in read]

    def _outcome(self, found: Any, keeper: CatalogueKeeper, newest: dict[str, ItemUpdate]) -> Outcome:
        if isinstance(found, Exception):
            reason = "invalid" if isinstance(found, InvalidRequestError) else type(found).__name__
            return refused(reason, str(found))
        if newest[found.item_id] is not found:
            return accepted()
        catalogue = keeper.catalogue
        row = catalogue.row_of.get(found.item_id)
        if row is None:
            return accepted(problem="taken, and not in the catalogue")
        entry = catalogue.entries[row]
        if found.entry is None:
            return accepted(intact=not catalogue.showable_I[row])
        return accepted(intact=entry == found.entry and bool(catalogue.embedded_I[row]))

    def close(self) -> None:
        """Nothing was opened."""


def _read(parts: Parts) -> Any:
    """As a replica does it: whatever is raised is counted, with its text."""
    try:
        return read_item_update(*parts)
    except InvalidRequestError as error:
        return error
