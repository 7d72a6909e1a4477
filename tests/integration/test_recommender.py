"""The recommender as a caller sees it who has nothing but the protos: Ray Serve, HAProxy, Kafka, Feast, Milvus."""

import io
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pyarrow.parquet as pq
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from PIL import Image

from mmrec.catalog.item import CatalogItem
from mmrec.client import RecommenderClient
from mmrec.features.values import Neighbors
from mmrec.recall.complements import complement_key
from mmrec.stores.kafka.readers import read_topic
from mmrec.wiring import open_feature_store
from tests.own_address import own_address
from tests.recommender_server import (
    ROOT,
    ProtoClient,
    RunningRecommender,
    announce_content,
    announce_item,
    promote_release,
)

pytestmark = pytest.mark.integration
pytest_plugins = ["tests.recommender_server"]
SERVICE = "mmrec.v1.RecommenderService"
AS_OF = {"seconds": 1_800_000_000}


def reflected(channel: grpc.Channel, version: str, **request: str) -> reflection_pb2.ServerReflectionResponse:
    """The answer to one request in one version of the protocol; the messages of both are the same."""
    method = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return next(iter(method(iter([reflection_pb2.ServerReflectionRequest(**request)]), timeout=10)))


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize("where", ["in front", "the replica"])
def test_reflection_names_the_services_and_describes_their_methods_and_fields(
    client: ProtoClient, recommender: RunningRecommender, version: str, where: str
) -> None:
    target = recommender.target if where == "in front" else f"127.0.0.1:{recommender.replica_port}"
    with grpc.insecure_channel(target) as channel:
        listed = {one.name for one in reflected(channel, version, list_services="").list_services_response.service}
        reflection = {f"grpc.reflection.{one}.ServerReflection" for one in ("v1", "v1alpha")}
        assert listed == {SERVICE, "grpc.health.v1.Health", *reflection}
        for symbol in (SERVICE, f"{SERVICE}.RecommendItems", "mmrec.v1.RecommendItemsRequest.user_id"):
            answer = reflected(channel, version, file_containing_symbol=symbol)
            assert answer.file_descriptor_response.file_descriptor_proto, symbol
        assert reflected(channel, version, file_containing_symbol=f"{SERVICE}.Fly").error_response.error_code == 5


def test_many_callers_at_once_are_all_answered(recommender: RunningRecommender) -> None:
    with RecommenderClient(recommender.target, timeout_s=60.0) as patient, ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda _: patient.recommend("u00001", num_items=5), range(96)))
    assert [answer for answer in answers if not answer.items] == []


def test_a_load_tools_way_from_a_method_name_to_calls_works(
    client: ProtoClient, recommender: RunningRecommender
) -> None:
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(client.channel))
    method = pool.FindMethodByName(f"{SERVICE}.RecommendItems")
    answer = message_factory.GetMessageClass(method.output_type)
    request = message_factory.GetMessageClass(method.input_type)(user_id=recommender.world.user_ids[0], num_items=3)
    invoke = client.channel.unary_unary(
        f"/{SERVICE}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer.FromString,
    )
    calls = [invoke.future(request, timeout=30) for _ in range(50)]
    assert [len(call.result().items) for call in calls] == [3] * 50


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_says_serving(client: ProtoClient, service: str) -> None:
    health, request = health_pb2_grpc.HealthStub(client.channel), health_pb2.HealthCheckRequest(service=service)
    assert health.Check(request, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
    assert next(iter(health.Watch(request, timeout=10))).status == health_pb2.HealthCheckResponse.SERVING
    statuses = health.List(health_pb2.HealthListRequest(), timeout=10).statuses
    assert statuses[service].status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_an_unknown_service_is_not_found(client: ProtoClient) -> None:
    health, request = health_pb2_grpc.HealthStub(client.channel), health_pb2.HealthCheckRequest(service="nobody")
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(request, timeout=10)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert next(iter(health.Watch(request, timeout=10))).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def test_a_known_user_gets_a_list_of_their_own(client: ProtoClient, recommender: RunningRecommender) -> None:
    answers = [client.call("RecommendItems", user_id=user, num_items=15) for user in recommender.world.user_ids[:4]]
    for answer in answers:
        assert [item.rank for item in answer.items] == list(range(1, 16))
        assert len({item.item_id for item in answer.items}) == 15
        assert all(item.title and item.sources for item in answer.items)
        assert answer.state.HasField("stream_lag")
    assert len({answer.request_id for answer in answers}) == 4
    assert len({tuple(item.item_id for item in answer.items) for answer in answers}) > 1


def test_without_a_release_lists_are_served_and_say_so(client: ProtoClient) -> None:
    answer = client.call("RecommendItems", user_id="somebody new")
    assert answer.release_id == ""
    assert answer.state.degraded
    assert list(answer.state.degraded_reasons) == ["no_release"]


def test_an_unknown_user_gets_what_is_popular(client: ProtoClient, recommender: RunningRecommender) -> None:
    popular = recommender.world.store.read_popular("")
    assert popular is not None
    items = client.call("RecommendItems", user_id="somebody new").items
    assert len(items) == 20
    assert items[0].item_id == popular.item_ids[0]
    assert client.call("RecommendItems", anonymous_id="a visitor").items


def test_a_session_without_a_user_changes_the_list(client: ProtoClient, recommender: RunningRecommender) -> None:
    newest = recommender.world.entries[7].item_id
    events = [{"item_id": newest, "behavior": "cart"}]
    by_session = client.call("RecommendItems", session_events=events, as_of=AS_OF, include_explanations=True)
    by_nothing = client.call("RecommendItems", user_id="somebody new", as_of=AS_OF)
    assert [i.item_id for i in by_session.items] != [i.item_id for i in by_nothing.items]
    assert any(reason.item_id == newest for item in by_session.items for reason in item.explanation.behaviors)


def test_the_same_request_gets_the_same_list(client: ProtoClient, recommender: RunningRecommender) -> None:
    request = {"user_id": recommender.world.user_ids[0], "num_items": 50, "as_of": AS_OF}
    first, second = (client.call("RecommendItems", **request) for _ in range(2))
    assert list(first.items) == list(second.items)


def test_pages_go_on_where_the_one_before_ended(client: ProtoClient, recommender: RunningRecommender) -> None:
    request = {"user_id": recommender.world.user_ids[1], "num_items": 60, "as_of": AS_OF}
    seen: list[str] = []
    token = ""
    for _ in range(10):
        page = client.call("RecommendItems", **request, page_token=token)
        assert [item.rank for item in page.items] == list(range(len(seen) + 1, len(seen) + len(page.items) + 1))
        seen += [item.item_id for item in page.items]
        token = page.next_page_token
        if not token:
            break
    assert not token
    assert len(seen) == len(set(seen)) > 60


def test_similar_items_leave_out_the_item_itself(client: ProtoClient, recommender: RunningRecommender) -> None:
    item_id = recommender.world.entries[3].item_id
    answer = client.call("SimilarItems", item_id=item_id, num_items=5)
    assert 1 <= len(answer.items) <= 5
    assert item_id not in [item.item_id for item in answer.items]


def test_items_of_the_caller_come_back_in_order_and_each_is_explained(client: ProtoClient) -> None:
    listed = [item.item_id for item in client.call("RecommendItems", user_id="u", num_items=5).items]
    ranked = client.call("RankItems", user_id="u", item_ids=[*reversed(listed), "no such item"])
    assert sorted(item.item_id for item in ranked.items) == sorted(listed)
    assert list(ranked.unknown_item_ids) == ["no such item"]
    explained = client.call("ExplainItem", user_id="u", item_id=listed[0], num_items=5)
    assert (explained.outcome, explained.item.rank, explained.text != "") == (1, 1, True)


@pytest.mark.parametrize(
    ("method", "request_values", "code", "says"),
    [
        ("RecommendItems", {}, "INVALID_ARGUMENT", "user_id"),
        ("RecommendItems", {"user_id": "u", "num_items": -1}, "INVALID_ARGUMENT", "-1"),
        ("RecommendItems", {"user_id": "u", "num_items": 201}, "INVALID_ARGUMENT", "200"),
        ("RecommendItems", {"user_id": "~u"}, "INVALID_ARGUMENT", "anonymous_id"),
        ("RecommendItems", {"user_id": "u", "page_token": "made up"}, "INVALID_ARGUMENT", "page_token"),
        ("RecommendItems", {"user_id": "u", "as_of": {"seconds": 2**63 - 1}}, "INVALID_ARGUMENT", "as_of"),
        ("RecommendItems", {"user_id": "u", "filter": {"price_min": -1.0}}, "INVALID_ARGUMENT", "price"),
        ("RecommendItems", {"user_id": "u", "filter": {"numbers": [{"attribute": "i"}]}}, "INVALID_ARGUMENT", "bound"),
        ("SimilarItems", {"item_id": "i", "filter": {"conditions": [{}]}}, "INVALID_ARGUMENT", "a condition needs"),
        ("RecommendItems", {"session_events": [{"behavior": "cart"}]}, "INVALID_ARGUMENT", "item_id"),
        ("RecommendItems", {"session_events": [{"item_id": "i", "behavior": "eat"}]}, "INVALID_ARGUMENT", "eat"),
        ("SimilarItems", {}, "INVALID_ARGUMENT", "item_id"),
        ("SimilarItems", {"item_id": "i", "num_items": -5}, "INVALID_ARGUMENT", "-5"),
        ("SimilarItems", {"item_id": "no such item"}, "NOT_FOUND", "no such item"),
        ("SimilarItems", {"item_id": "i", "modality_weights": {"smell": 1.0}}, "INVALID_ARGUMENT", "smell"),
        ("SearchItems", {}, "INVALID_ARGUMENT", "query has 0 parts"),
        ("SearchItems", {"query": [{"text": " "}]}, "INVALID_ARGUMENT", "query[0].text is empty"),
        ("SearchItems", {"query": [{"text": "a", "weight": -1.0}]}, "INVALID_ARGUMENT", "positive weight"),
        ("SearchItems", {"query": [{"item_id": "no such item"}]}, "NOT_FOUND", "no such item"),
        ("RankItems", {"user_id": "u"}, "INVALID_ARGUMENT", "0 item_ids"),
        ("RankItems", {"item_ids": ["i"]}, "INVALID_ARGUMENT", "user_id"),
        ("ExplainItem", {"user_id": "u"}, "INVALID_ARGUMENT", "item_id is empty"),
        ("ExplainItem", {"user_id": "u", "item_id": "no such item"}, "NOT_FOUND", "no such item"),
    ],
)
def test_a_refusal_has_the_right_code_and_says_what_is_wrong(
    client: ProtoClient, method: str, request_values: dict[str, object], code: str, says: str
) -> None:
    error = client.refusal(method, **request_values)
    assert error.code().name == code
    assert says in error.details()
    assert "Traceback" not in error.details()
    assert ".py" not in error.details()


def test_a_batch_streams_the_single_lists_of_its_users_in_their_order(
    client: ProtoClient, recommender: RunningRecommender
) -> None:
    users = [*recommender.world.user_ids[:40], "somebody new"]
    asked = {"num_items": 5, "placement": "letter"}
    answers = list(client.stream("RecommendBatch", users=[{"user_id": user} for user in users], **asked))
    assert len(answers) > 1
    lists = [each for answer in answers for each in answer.lists]
    assert [each.user.user_id for each in lists] == users
    for user, each in zip(users[::10], lists[::10], strict=True):
        alone = client.call("RecommendItems", user_id=user, num_items=5)
        assert [item.item_id for item in each.list.items] == [item.item_id for item in alone.items]
    wanted = lists[-1].list.request_id
    give_up_s, served = time.monotonic() + 30, {}
    while wanted not in served and time.monotonic() < give_up_s:
        for record in read_topic(recommender.settings.kafka.bootstrap, recommender.settings.kafka.served_lists):
            value = json.loads(record.value or b"")
            served[value["request_id"]] = value
    assert (served[wanted]["user_id"], served[wanted]["placement"]) == ("somebody new", "letter")


def test_a_batch_that_is_none_is_refused_and_a_deadline_is_for_all_of_it(client: ProtoClient) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        list(client.stream("RecommendBatch"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "0 users; give 1 to 10,000" in refused.value.details()
    with pytest.raises(grpc.RpcError) as late:
        list(client.stream("RecommendBatch", users=[{"user_id": "u"}] * 10_000, timeout=0.3))
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_caller_that_leaves_ends_its_batch(client: ProtoClient, recommender: RunningRecommender) -> None:
    call = client.stream("RecommendBatch", users=[{"user_id": "u"}] * 10_000, timeout=None)
    next(iter(call))
    before = recommender.status()["num_requests"]
    call.cancel()
    counts = [before]
    while len(counts) < 3 or counts[-1] != counts[-2]:
        time.sleep(2.0)
        counts.append(recommender.status()["num_requests"])
    assert counts[-1] - before < 9_000, "the batch went on without its caller"


def test_a_deadline_that_passed_is_said_as_such(client: ProtoClient) -> None:
    assert client.refusal("RecommendItems", user_id="u", timeout=-1.0).code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_short_deadline_gets_a_poorer_list_rather_than_none(client: ProtoClient) -> None:
    """Sources beyond the first need 10 ms; a caller with less gets what is popular."""
    client.call("RecommendItems", user_id="u")
    for _ in range(200):
        try:
            answer = client.call("RecommendItems", user_id="u", timeout=0.009)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        else:
            assert "sources_skipped" in answer.state.degraded_reasons
            return
    pytest.fail("no answer arrived within 9 ms in 200 attempts")


def test_callers_from_elsewhere_are_refused_where_ray_listens_for_everybody(
    recommender: RunningRecommender, client: ProtoClient
) -> None:
    elsewhere = ProtoClient(client.descriptors, f"{own_address()}:{recommender.replica_port}")
    assert elsewhere.refusal("RecommendItems", user_id="u").code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.RpcError) as caught:
        next(iter(health_pb2_grpc.HealthStub(elsewhere.channel).Watch(health_pb2.HealthCheckRequest(), timeout=10)))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    here = ProtoClient(client.descriptors, f"127.0.0.1:{recommender.replica_port}")
    assert here.call("RecommendItems", user_id="u").items
    for each in (elsewhere, here):
        each.channel.close()


def test_every_served_list_reaches_its_topic(client: ProtoClient, recommender: RunningRecommender) -> None:
    answer = client.call("RecommendItems", user_id=recommender.world.user_ids[2], num_items=3, placement="home")
    give_up_s = time.monotonic() + 30
    served: dict[str, dict[str, object]] = {}
    while answer.request_id not in served and time.monotonic() < give_up_s:
        for record in read_topic(recommender.settings.kafka.bootstrap, recommender.settings.kafka.served_lists):
            value = json.loads(record.value or b"")
            served[value["request_id"]] = value
    found = served[answer.request_id]
    assert found["placement"] == "home"
    assert [item["item_id"] for item in found["items"]] == [item.item_id for item in answer.items]


def test_counters_are_kept_for_people(client: ProtoClient, recommender: RunningRecommender) -> None:
    now_s = time.time()
    before = recommender.wait_status(lambda figures: figures["updated_s"] > now_s + 2.0)  # earlier lists are sent
    for _ in range(3):
        client.call("RecommendItems", user_id="u")
    popular = recommender.world.store.read_popular("")
    assert popular is not None
    client.call("SimilarItems", item_id=popular.item_ids[0])
    expected = {"num_requests": 4, "num_served_lists": 3, "num_served_lists_dropped": 0, "num_failed": 0}
    wanted = {name: before[name] + number for name, number in expected.items()}
    figures = recommender.wait_status(lambda figures: wanted.items() <= figures.items())
    assert figures["num_items"] == len(popular.item_ids), "without a release items are known from popular lists alone"


# From here on a release serves.


@pytest.fixture(scope="module")
def release_id(recommender: RunningRecommender) -> str:
    promoted = promote_release(recommender)
    recommender.wait_status(lambda figures: figures["release_id"] == promoted)
    return promoted


def test_a_promoted_release_serves_without_a_restart(
    client: ProtoClient, recommender: RunningRecommender, release_id: str
) -> None:
    pid = recommender.status()["pid"]
    answer = client.call("RecommendItems", user_id=recommender.world.user_ids[0])
    assert answer.release_id == release_id
    assert not answer.state.degraded
    assert "vectors" in {source for item in answer.items for source in item.sources}
    assert recommender.status()["pid"] == pid


def test_a_new_item_is_known_once_its_content_is_there(
    client: ProtoClient, recommender: RunningRecommender, release_id: str
) -> None:
    twin = recommender.world.entries[5]
    assert client.refusal("SimilarItems", item_id="brand-new").code() is grpc.StatusCode.NOT_FOUND
    announce_item(recommender, "brand-new", like=twin)
    recommender.wait_status(lambda figures: figures["num_item_updates"] > 0)
    similar = client.call("SimilarItems", item_id="brand-new", num_items=5)
    assert similar.release_id == release_id
    assert twin.item_id in [item.item_id for item in similar.items]


def test_what_goes_with_an_item_is_what_was_taken_with_it_and_could_not_take_its_place(
    client: ProtoClient, recommender: RunningRecommender, release_id: str
) -> None:
    shown = [entry for entry in recommender.world.entries if entry.availability.can_be_shown]
    one, *others = shown
    kind = one.attributes["category"]
    match = next(entry for entry in others if entry.attributes["category"] != kind)
    rival = next(entry for entry in others if entry.attributes["category"] == kind)
    weights = np.array([2.0, 1.0], dtype=np.float32)
    taken = Neighbors(item_ids=(rival.item_id, match.item_id), weights_K=weights, built_time_s=time.time())
    store = open_feature_store(recommender.settings)
    store.write_neighbors({complement_key(one.item_id): taken}, write_time_s=time.time())
    answer = client.call("SimilarItems", item_id=one.item_id, kind=2, num_items=5)
    assert match.item_id == answer.items[0].item_id
    assert kind not in {item.attributes["category"] for item in answer.items}
    assert list(answer.items[0].sources) == ["together"]


@pytest.mark.long
def test_lists_of_all_users_are_written_in_parts_and_gone_on_with(
    client: ProtoClient, recommender: RunningRecommender, release_id: str, tmp_path: Path
) -> None:
    def run() -> dict[str, object]:
        arguments = ["--config", str(recommender.config), "--out", str(tmp_path / "lists"), "--num-items", "5"]
        done = subprocess.run(
            [sys.executable, "-m", "jobs.recommend_users", *arguments, "--num-workers", "1"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4_000:]
        figures: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return figures

    first = run()
    rows = pq.read_table(tmp_path / "lists" / "part-00000.parquet").to_pylist()
    assert first["num_lists"] == len(rows) == len(recommender.world.user_ids)
    for row in rows[:5]:
        alone = client.call("RecommendItems", user_id=row["user_key"], num_items=5)
        assert row["item_ids"] == [item.item_id for item in alone.items]
        assert row["release_id"] == release_id
    again = run()
    assert (again["num_new"], again["num_lists"]) == (0, len(rows))


@pytest.fixture(scope="module")
def searched(recommender: RunningRecommender, release_id: str) -> str:
    """The id of a new item with a text and a picture; the process that encodes queries is ready."""
    sink = io.BytesIO()
    Image.new("RGB", (40, 40), (200, 30, 40)).save(sink, format="PNG")
    item = CatalogItem(item_id="scarf", title="Crimson scarf", description="of alpaca", image=sink.getvalue())
    announce_content(recommender, [item])
    recommender.wait_status(
        lambda figures: (
            figures["num_vectors_searched"].get("image") == 1
            and figures["query_encoders_ready"] == ["image", "text"]
            and figures["search_is_backfilled"]
        ),
        timeout_s=120.0,
    )
    return item.item_id


def test_a_search_by_words_finds_a_new_item_by_its_description(client: ProtoClient, searched: str) -> None:
    answer = client.call("SearchItems", query=[{"text": "alpacca scraf"}], num_items=3)
    first = answer.items[0]
    assert (first.item_id, first.rank, first.title) == (searched, 1, "Crimson scarf")
    assert "lexical" in first.sources
    assert "alpaca" in first.explanation.text
    assert answer.request_id
    assert not answer.state.degraded


def test_a_search_by_words_finds_items_that_only_the_release_names(
    client: ProtoClient, recommender: RunningRecommender, searched: str
) -> None:
    entry = recommender.world.entries[0]
    found = client.call("SearchItems", query=[{"text": entry.title}], num_items=20)
    assert entry.item_id in [item.item_id for item in found.items]


def test_a_search_by_photo_finds_what_looks_like_it(client: ProtoClient, searched: str) -> None:
    sink = io.BytesIO()
    Image.new("RGB", (64, 48), (210, 25, 35)).save(sink, format="JPEG")
    answer = client.call("SearchItems", query=[{"image": {"content": sink.getvalue()}}], num_items=1)
    assert answer.items[0].item_id == searched
    assert list(answer.items[0].sources) == ["image vectors"]


def test_a_personal_search_is_ranked_by_the_release(
    client: ProtoClient, recommender: RunningRecommender, searched: str
) -> None:
    request = {"query": [{"item_id": searched}, {"text": "red"}], "personal": True}
    answer = client.call("SearchItems", **request, user_id=recommender.world.user_ids[0])
    assert answer.items
    assert not answer.state.degraded
    assert searched not in [item.item_id for item in answer.items]


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"no picture", "query[0].image: 10 bytes that are no"), (bytes(3 * 1024 * 1024 + 1), "search.max_image_bytes")],
)
def test_a_photo_that_cannot_be_read_is_refused_with_the_reason(
    client: ProtoClient, searched: str, content: bytes, says: str
) -> None:
    error = client.refusal("SearchItems", query=[{"image": {"content": content}}])
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in error.details()
