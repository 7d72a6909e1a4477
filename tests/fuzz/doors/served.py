"""Records of served-lists as the stream reads them."""

from collections.abc import Sequence
from random import Random
from typing import Any

from mmrec.events.served import decode_served
from mmrec.serving.messages import served_list_record
from mmrec.v1 import recommender_pb2
from tests.fuzz import awkward
from tests.fuzz.door import NO_DETAIL, Fuzzed, Outcome, Parts, accepted, refused
from tests.fuzz.doors.codec import raw_table
from tests.fuzz.event_inputs import NOW_S
from tests.fuzz.json_damage import damaged_document, damaged_key, written


def served_document(rng: Random, number: int) -> dict[str, Any]:
    """A list as it was served."""
    items = [
        {"item_id": f"i{n}", "rank": n + 1, "ranking_score": 1.5 - n, "sources": ["popular"], "propensity": 1.0}
        for n in range(rng.randint(1, 4))
    ]
    return {
        "request_id": f"r{number}",
        "user_id": f"u{number}",
        "placement": "home",
        "serve_time": "2026-01-01T00:00:00Z",
        "release_id": "planted",
        "items": items,
        "degraded": ["popularity"],
    }


class ServedListsDoor:
    """decode_served, over lists that a replica wrote and broken ones."""

    name = "served-lists"
    batch = 200
    seeds = 4

    def valid(self, rng: Random, number: int) -> Parts:
        if rng.random() < 0.5:
            document = served_document(rng, number)
            return document["user_id"].encode(), written(document).encode()
        message = recommender_pb2.RecommendItemsRequest(user_id=f"u{number}", placement="home")
        response = recommender_pb2.RecommendItemsResponse(request_id=f"r{number}", release_id="planted")
        response.items.add(item_id="i1", rank=1, ranking_score=0.5, sources=["popular"])
        return served_list_record(message, response, serve_s=NOW_S)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        document = served_document(rng, number)
        if rng.random() < 0.15:
            message = recommender_pb2.RecommendItemsRequest(user_id=awkward.text(rng), placement=awkward.text(rng))
            response = recommender_pb2.RecommendItemsResponse(request_id=f"r{number}")
            response.items.add(item_id=awkward.text(rng), rank=1, ranking_score=rng.choice((0.5, float("nan"))))
            return Fuzzed(served_list_record(message, response, serve_s=NOW_S), made_by="served to odd ids")
        value, made_by = damaged_document(document, rng)
        return Fuzzed((damaged_key(document["user_id"].encode(), rng), value), made_by=made_by)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        table, read_N = decode_served(raw_table([f.parts for f in inputs]), cluster_id="c", topic_id="s")
        rows = {row["offset"]: row for row in table.to_pylist()}
        return [self._outcome(f, bool(read_N[at]), rows.get(at)) for at, f in enumerate(inputs)]

    def _outcome(self, fuzzed: Fuzzed, is_read: bool, row: Any) -> Outcome:
        if not is_read or row is None:
            mixed = is_read != (row is not None)
            return refused("malformed_served", NO_DETAIL, problem="counted as read, and not there" if mixed else "")
        intact = not fuzzed.valid or (row["user_key"] == (fuzzed.parts[0] or b"").decode() and len(row["items"]) > 0)
        return accepted(intact=intact)

    def close(self) -> None:
        """Nothing was opened."""
