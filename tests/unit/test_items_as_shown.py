"""From a record of catalog-items to a list: shown and filtered as sent, not before its time, bad records skipped."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mmrec.catalog.item import catalog_entry
from mmrec.config import EventSettings
from mmrec.content.feed import embedding_records, read_changes
from mmrec.content.matrix import content_matrix
from mmrec.content.modalities.attributes import AttributeHashEncoder
from mmrec.content.payloads import payloads
from mmrec.errors import InvalidRequestError, NotFoundError
from mmrec.events.columns import RAW_SCHEMA
from mmrec.events.served import decode_served
from mmrec.recall.catalogue import Catalogue
from mmrec.recall.item_filter import Condition, ItemFilter
from mmrec.recall.sources.registry import SOURCES
from mmrec.serving.explain import shown_when
from mmrec.serving.item_record import read_item_update
from mmrec.serving.messages import check_ids, list_request
from mmrec.serving.recommend import ListRequest, SessionEvent, recommend
from mmrec.serving.similar import similar
from mmrec.v1 import recommender_pb2
from tests.serving_world import EMBEDDING_DIM, ServingWorld, no_deadline, serving_world


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world(num_users=40, num_items=60, days=10)


def record(item_id: str, **fields: Any) -> tuple[bytes, bytes]:
    return item_id.encode(), json.dumps({"item_id": item_id, "title": "Red dress", **fields}).encode()


def catalogue_of(world: ServingWorld, *records: tuple[bytes, bytes]) -> Catalogue:
    """The records on their whole way: cleaned, written to item-embeddings, read by a replica."""
    items = read_changes(records).items
    matrix = content_matrix(sorted(items), {}, embedding_dims={}, encoders={})
    sent = embedding_records(matrix, {item_id: catalog_entry(item) for item_id, item in items.items()})
    keeper = world.keeper()
    keeper.take([read_item_update(key, value) for key, value in sent])
    keeper.publish()
    return keeper.catalogue


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ("10½", ["10½"]),
        ("10¹²", ["10¹²"]),
        ("501™", ["501™", "501TM"]),
        ("می\u200cخواهم", ["می\u200cخواهم", "میخواهم"]),
        ("👨\u200d👩\u200d👧", ["👨\u200d👩\u200d👧"]),
        ("NA", ["NA", "na"]),
        ("Cafe\u0301", ["Cafe\u0301", "Café", "CAFÉ"]),
        ("Action | Comedy", ["Comedy", "comedy", " Action "]),
        ("Null", ["Null"]),
    ],
)
def test_values_are_shown_as_sent_and_found_by_what_is_shown(world: ServingWorld, sent: str, asked: list[str]) -> None:
    catalogue = catalogue_of(world, record("new", title=sent, domain=sent, attributes={"kind": sent}))
    row = catalogue.row_of["new"]
    entry = catalogue.entries[row]
    assert (entry.title, entry.domain, dict(entry.attributes)) == (sent, sent, {"kind": sent})
    for value in asked:
        passing_I = catalogue.passing(ItemFilter(conditions=(Condition(attribute="kind", values=(value,)),)))
        assert np.flatnonzero(passing_I).tolist() == [row]
    assert catalogue.passing(ItemFilter(domain=sent))[row]
    assert not catalogue.passing(ItemFilter(conditions=(Condition(attribute="kind", values=("else",)),)))[row]


def test_entities_are_shown_and_filtered_decoded(world: ServingWorld) -> None:
    sent = "Ben &amp; Jerry&#39;s"
    catalogue = catalogue_of(world, record("ice", title=sent, attributes={"brand": sent}))
    row = catalogue.row_of["ice"]
    assert catalogue.entries[row].title == catalogue.entries[row].attributes["brand"] == "Ben & Jerry's"
    assert catalogue.passing(ItemFilter(conditions=(Condition(attribute="brand", values=("Ben & Jerry's",)),)))[row]


def test_encoders_and_filters_split_and_fold_values_alike() -> None:
    def encoded(genres: str) -> list[float]:
        (item,) = read_changes([record("a", attributes={"genres": genres})]).items.values()
        return AttributeHashEncoder().encode([payloads(item)["attributes"]]).values_ND[0].tolist()

    for other in ("Action|Comedy", " action |comedy| ", "ＡＣＴＩＯＮ|Comedy|comedy"):
        assert encoded(other) == encoded("Action | Comedy")
    assert encoded("Action") != encoded("Action|Comedy")


FUTURE_S = 4_070_908_800.0


def with_newcomer(world: ServingWorld, publish_time: str, **fields: Any) -> Any:
    keeper = world.keeper()
    value = {
        "title": "Fresh",
        "publish_time": publish_time,
        **fields,
        "modalities": [
            {"modality": "attributes", "encoder": "plain", "values": world.vectors.vectors_ID[0].astype(float).tolist()}
        ],
    }
    keeper.take([read_item_update(b"fresh", json.dumps(value).encode())])
    keeper.publish()
    return keeper


def listed(world: ServingWorld, keeper: Any, as_of_s: float, *, now_s: float | None = None) -> set[str]:
    click = SessionEvent(item_id=world.entries[0].item_id, behavior="browse", event_time_s=world.end_s)
    found = recommend(
        ListRequest(user_key="", as_of_s=as_of_s, now_s=now_s, num_items=200, session_events=(click,)),
        state=world.state(keeper),
        read_profile=world.read_profile,
        deadline=no_deadline(),
        sources=SOURCES,
    )
    return {found.context.catalogue.item_ids[row] for row in found.candidates.rows_N}


def test_an_item_is_listed_from_its_publish_time_on_without_another_record(world: ServingWorld) -> None:
    keeper = with_newcomer(world, "2099-01-01T00:00:00Z")
    assert "fresh" not in listed(world, keeper, world.end_s)
    assert "fresh" not in listed(world, keeper, FUTURE_S - 0.001)
    assert "fresh" in listed(world, keeper, FUTURE_S)
    assert keeper.catalogue.to_come(world.end_s) == (1, FUTURE_S)
    assert keeper.catalogue.to_come(FUTURE_S) == (0, np.inf)


def test_items_like_an_item_do_not_hold_what_is_to_come_and_it_says_when_it_will_be(world: ServingWorld) -> None:
    keeper = with_newcomer(world, "2099-01-01T00:00:00Z")
    state = world.state(keeper)
    asked = {"num_items": 50, "excluded_item_ids": (), "item_filter": ItemFilter(), "state": state}
    near = similar(world.entries[0].item_id, as_of_s=world.end_s, **asked)
    assert "fresh" not in [state.catalogue.item_ids[row] for row in near.rows_K]
    later = similar(world.entries[0].item_id, as_of_s=FUTURE_S, **asked)
    assert "fresh" in [state.catalogue.item_ids[row] for row in later.rows_K]
    with pytest.raises(NotFoundError, match="2099-01-01T00:00:00Z"):
        similar("fresh", as_of_s=world.end_s, **asked)
    entry = state.catalogue.entries[state.catalogue.row_of["fresh"]]
    assert shown_when(entry, now_s=world.end_s) == "not before 2099-01-01T00:00:00Z"
    assert shown_when(entry, now_s=FUTURE_S) == "now"


EXPIRES_S = FUTURE_S + 3_600.0


def test_a_list_holds_an_item_from_its_publish_time_to_its_expiry(world: ServingWorld) -> None:
    keeper = with_newcomer(world, "2099-01-01T00:00:00Z", expire_time="2099-01-01T01:00:00Z")
    assert "fresh" not in listed(world, keeper, FUTURE_S - 0.001)
    assert "fresh" in listed(world, keeper, FUTURE_S)
    assert "fresh" in listed(world, keeper, EXPIRES_S - 0.001)
    assert "fresh" not in listed(world, keeper, EXPIRES_S)
    entry = keeper.catalogue.entries[keeper.catalogue.row_of["fresh"]]
    said = [shown_when(entry, now_s=at_s) for at_s in (FUTURE_S - 1, FUTURE_S, EXPIRES_S - 0.001, EXPIRES_S)]
    assert said == ["not before 2099-01-01T00:00:00Z", "now", "now", "not since 2099-01-01T01:00:00Z"]


def test_no_instant_asked_for_shows_what_is_not_published_yet_or_has_expired(world: ServingWorld) -> None:
    keeper = with_newcomer(world, "2099-01-01T00:00:00Z", expire_time="2099-01-01T01:00:00Z")
    within_s = FUTURE_S + 1.0
    assert "fresh" in listed(world, keeper, within_s, now_s=within_s)
    assert "fresh" not in listed(world, keeper, within_s, now_s=world.end_s)  # asked for in advance
    assert "fresh" not in listed(world, keeper, within_s, now_s=EXPIRES_S)  # asked for afterwards
    assert "fresh" in listed(world, keeper, within_s)  # the past made again, as training does
    assert "fresh" not in listed(world, keeper, EXPIRES_S, now_s=within_s)  # a list of a time when it will be gone
    assert "fresh" not in listed(world, keeper, world.end_s, now_s=within_s)  # a list of a time before it


def test_items_like_one_that_has_expired_are_not_told(world: ServingWorld) -> None:
    keeper = with_newcomer(world, "2099-01-01T00:00:00Z", expire_time="2099-01-01T01:00:00Z")
    asked = {"num_items": 50, "excluded_item_ids": (), "item_filter": ItemFilter(), "state": world.state(keeper)}
    assert len(similar("fresh", as_of_s=FUTURE_S, **asked).rows_K)
    with pytest.raises(NotFoundError, match=r"since its expire_time, 2099-01-01T01:00:00Z"):
        similar("fresh", as_of_s=EXPIRES_S, **asked)


@pytest.mark.parametrize("name", ["expire_time", "expireTime"])
def test_an_item_that_would_never_be_shown_is_refused_on_both_topics(name: str) -> None:
    times = {"publish_time": "2026-01-02T00:00:00Z", name: "2026-01-02T00:00:00Z"}
    (refused,) = read_changes([record("a", **times)]).refused
    assert refused.refusal.reason.value == "bad_time"
    assert "give a later expire_time" in refused.refusal.detail
    with pytest.raises(InvalidRequestError, match=r"^bad_time: .*never be shown"):
        read_item_update(*record("a", **times))
    assert read_changes([record("a", **{name: "2026-01-02T00:00:00Z"})]).items["a"].expire_time_s == 1_767_312_000.0


def test_an_update_time_in_the_future_hides_nothing(world: ServingWorld) -> None:
    catalogue = catalogue_of(world, record("new", update_time="2099-01-01T00:00:00Z"))
    assert catalogue.showable(world.end_s)[catalogue.row_of["new"]]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"availability": "discontinued"}, "unknown_availability"),
        ({"availability": 77}, "unknown_availability"),
        ({"price": "1,299.00"}, "bad_price"),
        ({"publish_time": "soon"}, "bad_time"),
        ({"item_id": "other"}, "key_mismatch"),
        ({"attributes": {"size": 42}}, "wrong_type"),
        ({"modalities": [{"modality": "text", "values": [1, None]}]}, "bad_vector"),
        ({"modalities": [{"modality": "text", "values": [True]}]}, "bad_vector"),
        ({"modalities": [{"modality": "", "values": [1.0]}]}, "wrong_type"),
        ({"modalities": [[]]}, "wrong_type"),
    ],
)
def test_item_embeddings_are_read_by_the_rules_of_the_catalogue(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{reason}: .*'a'"):
        read_item_update(*record("a") if not fields else (b"a", json.dumps(fields).encode()))


def test_both_spellings_of_an_availability_hide_an_item(world: ServingWorld) -> None:
    keeper = world.keeper()
    vector = {"modality": "attributes", "encoder": "plain", "values": np.ones(EMBEDDING_DIM).tolist()}
    for number, hidden in enumerate(["HIDDEN", "AVAILABILITY_HIDDEN", "hidden", 3]):
        value = json.dumps({"availability": hidden, "modalities": [vector]}).encode()
        keeper.take([read_item_update(f"h{number}".encode(), value)])
    keeper.publish()
    rows = keeper.catalogue.rows([f"h{number}" for number in range(4)])
    assert not keeper.catalogue.showable(world.end_s)[rows].any()


BAD_IDS = ["x" * 3_002, "a\nb", "a\x00", "é" * 200]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_requests_know_the_same_ids(bad: str) -> None:
    for fields in (
        {"user_id": bad},
        {"anonymous_id": bad},
        {"user_id": "u", "excluded_item_ids": ["fine", bad]},
        {"session_events": [{"item_id": bad, "behavior": "browse"}]},
        {"session_events": [{"item_id": "i", "behavior": "browse", "event_id": bad}]},
    ):
        message = recommender_pb2.RecommendItemsRequest(**fields)
        with pytest.raises(InvalidRequestError, match="id"):
            list_request(message, now_s=0.0, bounds=EventSettings())


def test_the_position_of_a_bad_id_among_many_is_said() -> None:
    check_ids("excluded_item_ids", ["i"] * 10_000)
    check_ids("excluded_item_ids", ["é", 'tv 5"', "cat\\new"])
    with pytest.raises(InvalidRequestError, match=r"excluded_item_ids\[2\]"):
        check_ids("excluded_item_ids", ["é", "b", "c\n"])


@pytest.mark.parametrize("bad", BAD_IDS)
def test_served_lists_with_ids_that_no_door_takes_are_malformed(bad: str) -> None:
    lists = [
        {"request_id": "r", "items": [{"item_id": "i"}]},
        {"request_id": bad},
        {"request_id": "r", "user_id": bad},
        {"request_id": "r", "items": [{"item_id": "i"}, {"item_id": bad}]},
    ]
    rows = [
        {"key": b"", "value": json.dumps(each).encode(), "partition": 0, "offset": offset, "ingest_time_s": 0.0}
        for offset, each in enumerate(lists)
    ]
    table, read_N = decode_served(pa.Table.from_pylist(rows, schema=RAW_SCHEMA), cluster_id="c", topic_id="t")
    assert read_N.tolist() == [True, False, False, False]
    assert table.num_rows == 1
