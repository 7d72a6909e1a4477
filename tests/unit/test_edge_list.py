"""The list of clients at the edge: what it refuses, that it covers every method, and that what it renders is there."""

import importlib
import json
import pkgutil
from pathlib import Path

import pytest

import mmrec.v1
from mmrec.errors import ConfigurationError
from services.edge.clients import EdgeList, load_edge, parse_edge
from services.edge.envoy import BackendPlace, EdgePlace, envoy_configuration
from services.edge.gateway import gateway_policies
from tests.manifests import DEPLOY, OVERLAYS, of_kind

LIST = DEPLOY / "edge.toml"
TEXT = LIST.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def edge() -> EdgeList:
    return load_edge(LIST)


def test_every_method_of_our_services_belongs_to_one_scope(edge: EdgeList) -> None:
    names = [module.name for module in pkgutil.iter_modules(mmrec.v1.__path__) if module.name.endswith("_pb2")]
    files = [importlib.import_module(f"mmrec.v1.{name}").DESCRIPTOR for name in names]
    services = [service for file in files for service in file.services_by_name.values()]
    methods = [f"{service.full_name}/{method.name}" for service in services for method in service.methods]
    assert len(methods) > 5
    named = [pattern for scope in edge.scopes for pattern in scope.methods]
    for method in methods:
        assert [p for p in named if p in (method, f"{method.partition('/')[0]}/*")] != [], method
    ours = {service.full_name for service in services}
    assert [p for p in named if p.partition("/")[0] in ours and not p.endswith("/*") and p not in methods] == []


def test_what_is_in_deploy_is_what_the_list_renders(edge: EdgeList) -> None:
    for name, text in gateway_policies(edge).items():
        there = (DEPLOY / "components" / name).read_text(encoding="utf-8")
        assert there == text, (
            f"{name}: run python -m services.edge kubernetes deploy/edge.toml --folder deploy/components"
        )


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_route_has_the_methods_of_its_scope_and_no_other(name: str, edge: EdgeList) -> None:
    routes = of_kind(name, "GRPCRoute")
    scopes = {scope.route: scope for scope in edge.scopes if scope.route}
    assert name == "dev" or set(routes) == set(scopes)
    for route, manifest in routes.items():
        matches = [match["method"] for rule in manifest["spec"]["rules"] for match in rule["matches"]]
        found = {f"{match['service']}/{match.get('method', '*')}" for match in matches}
        assert found == set(scopes[route].methods), route


def test_the_collector_takes_certificates_of_the_edges_authority_and_no_program_has_one() -> None:
    name = "production"
    issuers = {m["metadata"]["name"]: m["spec"]["issuerRef"]["name"] for m in of_kind(name, "Certificate").values()}
    shown = of_kind(name, "EnvoyProxy")["edge"]["spec"]["backendTLS"]["clientCertificateRef"]["name"]
    secrets = {m["spec"]["secretName"]: m["metadata"]["name"] for m in of_kind(name, "Certificate").values()}
    edge = secrets[shown]
    assert [certificate for certificate, issuer in issuers.items() if issuer == issuers[edge]] == [edge]
    spec = of_kind(name, "Deployment")["collector"]["spec"]["template"]["spec"]
    (container,) = (c for c in spec["containers"] if c["name"] == "mmrec")
    checked_by = {v["name"]: v.get("value") for v in container["env"]}["MMREC__SERVING__CLIENT_CA_FILE"]
    (mount,) = (m["name"] for m in container["volumeMounts"] if checked_by == f"{m['mountPath']}/ca.crt")
    (volume,) = (v["secret"] for v in spec["volumes"] if v["name"] == mount)
    assert volume["secretName"] == shown
    assert [item["key"] for item in volume["items"]] == ["ca.crt"]


def test_scopes_without_a_service_have_no_way_and_quotas_are_the_clients_own(edge: EdgeList) -> None:
    place = EdgePlace(
        host="127.0.0.1",
        port=1_443,
        admin_port=9_901,
        certificate_file="tls.crt",
        key_file="tls.key",
        client_ca_file="ca.crt",
        jwks_file="jwks.json",
        backends={"recommender": BackendPlace(addresses=[("127.0.0.1", 9_000)])},
    )
    document = json.dumps(envoy_configuration(edge, place))
    assert "RecommenderService" in document
    assert "CollectorService" not in document
    assert "AdminService" not in document
    (scope,) = (s for s in edge.scopes if s.name == "recommend")
    quotas = {client.name: edge.quota(client, scope) for client in edge.clients_of(scope)}
    assert quotas == {"storefront": 200, "mobile-app": 100}
    for number in quotas.values():
        assert f'"max_tokens": {number}' in document


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('scopes = ["catalog"]', 'scopes = ["catalogue"]', r"line \d+: clients\[3\].scopes"),
        ('scopes = ["catalog"]', "scopes = []", r"clients\[3\].scopes"),
        ('name = "mobile-app"', 'name = "storefront"', "clients has 'storefront' twice"),
        ('name = "mobile-app"', 'name = "Mobile App"', r"clients\[1\]\.name"),
        ("{ recommend = 100 }", "{ forget = 100 }", r"clients\[1\]\.requests_per_s\.forget is not a known name"),
        ("{ recommend = 100 }", "{ recommend = 0 }", r"clients\[1\]\.requests_per_s"),
        ("requests_per_s = 200", "requests_per_s = 0", r"scopes\[0\]\.requests_per_s is 0"),
        ("requests_per_s = 200", "requests = 200", r"did you mean 'requests_per_s'"),
        ('backend = "recommender"', 'backend = "redis"', r"scopes\[0\]\.backend"),
        ("AdminService/*", "AdminService", r"scopes\[5\]\.methods"),
        ('issuer = "https://issuer.example"', 'issuer = "http://issuer.example"', r"issuer\.issuer"),
        ("CollectorService/UpsertItems", "CollectorService/ForgetUser", "scopes has .* twice"),
        ("[issuer]", "[isuer]", "isuer is not a known name"),
        ("[[clients]]", "[clients]", "."),
    ],
)
def test_a_list_that_could_mean_something_else_is_refused(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigurationError, match=said):
        parse_edge(TEXT.replace(old, new, 1 if old != "[[clients]]" else -1), where="edge.toml")


def test_a_list_that_is_not_there_says_where_one_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"deploy/edge\.toml is one"):
        load_edge(tmp_path / "none.toml")
