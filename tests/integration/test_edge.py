"""The edge as Envoy runs it: who may ask, what, how often and how much, before anything behind it hears of a call."""

import json
import subprocess
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mmrec.config import ServingSettings
from mmrec.connections.grpc_credentials import server_credentials
from mmrec.v1 import catalog_pb2, collector_pb2, collector_pb2_grpc, recommender_pb2, recommender_pb2_grpc
from services.edge.clients import parse_edge
from services.edge.envoy import BackendPlace, EdgePlace, envoy_configuration
from services.stack.guard import child_environment
from services.stack.ports import HOST, any_free, wait_open
from tests.edge_server import envoy_command, needs_envoy
from tests.pki import Authority, needs_openssl
from tests.tokens import TokenIssuer, bearer

pytestmark = [pytest.mark.integration, needs_openssl, needs_envoy]
LIST = """
[issuer]
name = "company"
issuer = "https://issuer.example"
audience = "mmrec"
jwks_uri = "https://issuer.example/jwks.json"

[[scopes]]
name = "recommend"
methods = ["mmrec.v1.RecommenderService/*"]
backend = "recommender"
requests_per_s = 10_000
max_request_bytes = 20_000
timeout_s = 5
num_retries = 1

[[scopes]]
name = "forget"
methods = ["mmrec.v1.CollectorService/ForgetUser"]
backend = "collector"
requests_per_s = 10_000
max_request_bytes = 20_000

[[scopes]]
name = "record"
methods = ["mmrec.v1.CollectorService/RecordBehaviors"]
backend = "collector"
requests_per_s = 10_000

[[clients]]
name = "storefront"
scopes = ["recommend", "record"]

[[clients]]
name = "desk"
scopes = ["forget"]
requests_per_s = { forget = 2 }
"""


@dataclass
class Heard:
    """What the services behind the edge were told."""

    calls: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def note(self, name: str, context: Any) -> None:
        self.calls.append(name)
        self.headers.append({key: str(value) for key, value in context.invocation_metadata()})


class Recommender(recommender_pb2_grpc.RecommenderServiceServicer):
    """Answers every list with one item."""

    def __init__(self, heard: Heard) -> None:
        self.heard = heard

    def RecommendItems(self, request: Any, context: Any) -> recommender_pb2.RecommendItemsResponse:
        self.heard.note("RecommendItems", context)
        return recommender_pb2.RecommendItemsResponse(request_id="r1")


class Collector(collector_pb2_grpc.CollectorServiceServicer):
    """Acknowledges everything."""

    def __init__(self, heard: Heard) -> None:
        self.heard = heard

    def ForgetUser(self, request: Any, context: Any) -> collector_pb2.ForgetUserResponse:
        self.heard.note("ForgetUser", context)
        return collector_pb2.ForgetUserResponse(offset=7)

    def UpsertItems(self, request: Any, context: Any) -> collector_pb2.UpsertItemsResponse:
        self.heard.note("UpsertItems", context)
        return collector_pb2.UpsertItemsResponse()

    def RecordBehaviors(self, requests: Any, context: Any) -> Iterator[collector_pb2.RecordBehaviorsResponse]:
        self.heard.note("RecordBehaviors", context)
        for request in requests:
            statuses = [collector_pb2.EventStatus(event_id=event.event_id) for event in request.events]
            yield collector_pb2.RecordBehaviorsResponse(statuses=statuses)


@dataclass(frozen=True)
class Edge:
    """A running edge."""

    port: int
    collector_port: int
    pki: Authority
    clients: Authority
    issuer: TokenIssuer
    heard: Heard
    log: Path

    def channel(self, name: str = "storefront", *, shows: bool = True) -> grpc.Channel:
        """As a client that shows the certificate of that name, or none."""
        issued = self.clients.issue(name, names=f"DNS:{name}", usage="clientAuth")
        key, chain = (Path(issued.key).read_bytes(), Path(issued.certificate).read_bytes()) if shows else (None, None)
        credentials = grpc.ssl_channel_credentials(Path(self.pki.certificate).read_bytes(), key, chain)
        return grpc.secure_channel(f"{HOST}:{self.port}", credentials)

    def lists(self, token: str = "", *, name: str = "storefront", shows: bool = True, size: int = 0) -> Any:
        """Ask for a list; raises grpc.RpcError."""
        with self.channel(name, shows=shows) as channel:
            request = recommender_pb2.RecommendItemsRequest(user_id="ann", excluded_item_ids=["x" * size])
            stub = recommender_pb2_grpc.RecommenderServiceStub(channel)
            return stub.RecommendItems(request, metadata=bearer(token) if token else (), timeout=10)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, stack_id: str) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("edge")
    pki, clients, edge_pki = Authority(folder, "ca"), Authority(folder, "clients-ca"), Authority(folder, "edge-ca")
    issuer = TokenIssuer(folder, issuer="https://issuer.example", audience="mmrec")
    heard, ports = Heard(), any_free(2)
    served, shown = pki.issue("collector"), edge_pki.issue("edge", usage="clientAuth")
    serving = ServingSettings(
        certificate_file=served.certificate, key_file=served.key, client_ca_file=edge_pki.certificate
    )
    server = grpc.server(futures.ThreadPoolExecutor(8))
    recommender_pb2_grpc.add_RecommenderServiceServicer_to_server(Recommender(heard), server)
    collector_pb2_grpc.add_CollectorServiceServicer_to_server(Collector(heard), server)
    healthy = health.HealthServicer()
    healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    recommender_port = server.add_insecure_port(f"{HOST}:0")
    collector_port = server.add_secure_port(f"{HOST}:0", server_credentials(serving))
    server.start()
    shown_by_edge, log = pki.issue("gateway"), folder / "access.log"
    place = EdgePlace(
        host=HOST,
        port=ports[0],
        admin_port=ports[1],
        certificate_file=shown_by_edge.certificate,
        key_file=shown_by_edge.key,
        client_ca_file=clients.certificate,
        jwks_file=issuer.jwks_file,
        backends={
            "recommender": BackendPlace(addresses=[(HOST, recommender_port)]),
            "collector": BackendPlace(addresses=[(HOST, collector_port)], ca_file=pki.certificate, name="localhost"),
        },
        shown_certificate_file=shown.certificate,
        shown_key_file=shown.key,
        access_log=str(log),
    )
    command = envoy_command(envoy_configuration(parse_edge(LIST, where="the test"), place), folder / "envoy.json")
    output = folder / "envoy.log"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, env=child_environment(stack_id), start_new_session=True
        )
    assert wait_open(ports[0], timeout_s=60, alive=lambda: process.poll() is None), output.read_text()
    yield Edge(ports[0], collector_port, pki, clients, issuer, heard, log)
    process.terminate()
    process.wait(20)
    server.stop(0)


def test_a_client_with_its_certificate_and_a_token_with_the_scope_is_answered(edge: Edge) -> None:
    assert edge.lists(edge.issuer.token("storefront", "recommend record")).request_id == "r1"
    heard = edge.heard.headers[-1]
    assert "authorization" not in heard  # the token goes no further than the edge


def test_a_stream_of_events_passes_as_one_call(edge: Edge) -> None:
    token = edge.issuer.token("storefront", "recommend record")
    requests = [
        collector_pb2.RecordBehaviorsRequest(events=[{"event_id": f"e{n}", "item_id": "x" * 10_000}]) for n in range(9)
    ]
    with edge.channel() as channel:
        record = collector_pb2_grpc.CollectorServiceStub(channel).RecordBehaviors
        answers = [s.event_id for a in record(iter(requests), metadata=bearer(token), timeout=20) for s in a.statuses]
    assert answers == [f"e{n}" for n in range(9)]
    assert edge.heard.calls.count("RecordBehaviors") == 1


Code = grpc.StatusCode
REFUSED = {
    "no token": ({"token": None}, Code.UNAUTHENTICATED),
    "expired": ({"expires_in_s": -600.0}, Code.UNAUTHENTICATED),
    "for another audience": ({"audience": "elsewhere"}, Code.PERMISSION_DENIED),
    "of another issuer": ({"iss": "https://other.example"}, Code.UNAUTHENTICATED),
    "under another's certificate": ({"name": "desk"}, Code.PERMISSION_DENIED),
    "without the scope": ({"scope": "record"}, Code.PERMISSION_DENIED),
    "a scope that the list does not give": ({"client": "desk", "name": "desk"}, Code.PERMISSION_DENIED),
    "a client that is not on the list": ({"client": "stranger", "name": "stranger"}, Code.PERMISSION_DENIED),
}


@pytest.mark.parametrize("case", REFUSED)
def test_everybody_else_is_refused_and_nothing_behind_the_edge_hears_of_it(case: str, edge: Edge) -> None:
    changes, code = REFUSED[case]
    told = {"client": "storefront", "scope": "recommend", "name": "storefront", **changes}
    name, token = told.pop("name"), ""
    if "token" not in told:
        token = edge.issuer.token(told.pop("client"), told.pop("scope"), **told)
    before = len(edge.heard.calls)
    with pytest.raises(grpc.RpcError) as caught:
        edge.lists(token, name=name)
    assert caught.value.code() is code, caught.value
    assert len(edge.heard.calls) == before


def test_a_caller_without_a_certificate_or_without_tls_gets_no_connection(edge: Edge) -> None:
    token = edge.issuer.token("storefront", "recommend")
    with pytest.raises(grpc.RpcError) as caught:
        edge.lists(token, shows=False)
    assert caught.value.code() is Code.UNAVAILABLE
    with grpc.insecure_channel(f"{HOST}:{edge.port}") as channel, pytest.raises(grpc.RpcError) as caught:
        stub = recommender_pb2_grpc.RecommenderServiceStub(channel)
        stub.RecommendItems(recommender_pb2.RecommendItemsRequest(), metadata=bearer(token), timeout=10)
    assert caught.value.code() is Code.UNAVAILABLE


def test_one_above_its_quota_is_told_so_and_when_to_come_again_and_others_are_not_held_up(edge: Edge) -> None:
    token = bearer(edge.issuer.token("desk", "forget"))
    with edge.channel("desk") as channel:
        forget = collector_pb2_grpc.CollectorServiceStub(channel).ForgetUser
        refused = None
        for _ in range(200):
            try:
                forget(collector_pb2.ForgetUserRequest(user_id="ann"), metadata=token, timeout=10)
            except grpc.RpcError as error:
                refused = error
                break
    assert refused is not None
    assert refused.code() is Code.RESOURCE_EXHAUSTED, refused
    hints = {**dict(refused.initial_metadata()), **dict(refused.trailing_metadata())}
    assert int(hints["grpc-retry-pushback-ms"]) > 0
    assert edge.lists(edge.issuer.token("storefront", "recommend")).request_id == "r1"


def test_methods_of_no_scope_lead_nowhere(edge: Edge) -> None:
    token = bearer(edge.issuer.token("storefront", "recommend record catalog"))
    before = len(edge.heard.calls)
    with edge.channel() as channel:
        for call, request in (
            (health_pb2_grpc.HealthStub(channel).Check, health_pb2.HealthCheckRequest()),
            (
                collector_pb2_grpc.CollectorServiceStub(channel).UpsertItems,
                collector_pb2.UpsertItemsRequest(items=[catalog_pb2.CatalogItem(item_id="i1")]),
            ),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(request, metadata=token, timeout=10)
            assert caught.value.code() in (Code.PERMISSION_DENIED, Code.UNIMPLEMENTED)
    assert len(edge.heard.calls) == before


def test_a_request_that_is_too_large_is_refused_before_a_service_reads_it(edge: Edge) -> None:
    token = edge.issuer.token("storefront", "recommend")
    assert edge.lists(token, size=10_000).request_id == "r1"
    before = len(edge.heard.calls)
    with pytest.raises(grpc.RpcError):
        edge.lists(token, size=100_000)
    assert len(edge.heard.calls) == before


def test_a_service_behind_the_edge_takes_calls_of_the_edges_certificate_alone(edge: Edge) -> None:
    own = edge.pki.issue("programs", usage="clientAuth")
    keys = (Path(own.key).read_bytes(), Path(own.certificate).read_bytes())
    for shown in (keys, (None, None)):
        credentials = grpc.ssl_channel_credentials(Path(edge.pki.certificate).read_bytes(), *shown)
        with grpc.secure_channel(f"{HOST}:{edge.collector_port}", credentials) as channel:
            stub = collector_pb2_grpc.CollectorServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.ForgetUser(collector_pb2.ForgetUserRequest(user_id="ann"), timeout=10)
        assert caught.value.code() is Code.UNAVAILABLE


def test_the_access_log_has_a_line_of_json_for_each_call_and_no_token(edge: Edge) -> None:
    token = edge.issuer.token("storefront", "recommend")
    edge.lists(token)
    with pytest.raises(grpc.RpcError):
        edge.lists()
    text = ""
    for _ in range(200):  # it is written a moment later
        text = edge.log.read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        said = {(line["client"], line["status"]) for line in lines if line["method"].endswith("/RecommendItems")}
        if {("storefront", "OK"), (None, "Unauthenticated")} <= said:
            break
        edge.lists(token)
    else:
        raise AssertionError(text)
    assert token.rpartition(".")[2] not in text
    assert "Bearer" not in text
    assert any("storefront" in (line["certificate"] or "") for line in lines)
