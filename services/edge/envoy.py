"""The list of the edge as a configuration of Envoy itself, for machines without Kubernetes.

    envoy_configuration(load_edge(path), place)          a document; Envoy reads it as JSON

Filters in their order: token, scope, quota, size, way. A client above its quota is told RESOURCE_EXHAUSTED, and when to
come again in the header that gRPC's own retries obey. Tokens are neither logged nor handed on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.edge.clients import EdgeClient, EdgeList, Scope

_TYPE: Final = "type.googleapis.com/envoy."
_TOKEN: Final = "token"  # noqa: S105
"""Where the claims of a checked token lie in what filters know of a call."""
_JWT: Final = "envoy.filters.http.jwt_authn"
_BUFFER: Final = "envoy.filters.http.buffer"
RETRY_AFTER_MS: Final = 1_000
"""Quotas are filled once a second."""
_FLOOD: Final = 100_000
"""Requests per second of all clients together; theirs are far below."""


@dataclass(frozen=True, kw_only=True)
class BackendPlace:
    """Where a service behind the edge is."""

    addresses: Sequence[tuple[str, int]]
    """Host and port of each of its processes."""
    ca_file: str = ""
    """What its certificates are checked by (PEM); empty: it is spoken to without TLS."""
    name: str = ""
    """The name (DNS) that its certificates have."""


@dataclass(frozen=True, kw_only=True)
class EdgePlace:
    """Where the edge listens, what it shows, and what is behind it."""

    host: str
    port: int
    admin_port: int
    """On loopback: Envoy's own state."""
    certificate_file: str
    key_file: str
    client_ca_file: str
    """What clients' certificates are checked by (PEM)."""
    jwks_file: str
    """Keys of the issuer; a process beside Envoy renews it from the issuer's jwks_uri."""
    backends: Mapping[str, BackendPlace]
    """By name; scopes of others have no route."""
    shown_certificate_file: str = ""
    """What the edge shows the services behind it (PEM)."""
    shown_key_file: str = ""
    access_log: str = "/dev/stdout"


def envoy_configuration(edge: EdgeList, place: EdgePlace) -> dict[str, Any]:
    """The document."""
    listener = {
        "name": "edge",
        "address": _address(place.host, place.port),
        "per_connection_buffer_limit_bytes": 1 << 20,
        "filter_chains": [{"transport_socket": _downstream_tls(place), "filters": [_http(edge, place)]}],
    }
    clusters = [_cluster(name, backend, place) for name, backend in place.backends.items()]
    return {
        "admin": {"address": _address("127.0.0.1", place.admin_port)},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    }


def _http(edge: EdgeList, place: EdgePlace) -> dict[str, Any]:
    scopes = [scope for scope in edge.scopes if scope.backend in place.backends]
    routes = [_route(scope, method) for scope in scopes for method in scope.methods]
    manager = {
        "@type": f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "codec_type": "HTTP2",
        "http2_protocol_options": {"max_concurrent_streams": 200},
        "forward_client_cert_details": "SANITIZE",
        "request_headers_timeout": "10s",
        "common_http_protocol_options": {"idle_timeout": "900s"},
        "stream_idle_timeout": "900s",
        "access_log": [_access_log(place.access_log)],
        "route_config": {"virtual_hosts": [{"name": "edge", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            _filter(_JWT, "jwt_authn.v3.JwtAuthentication", _tokens(edge, place)),
            _filter("envoy.filters.http.rbac", "rbac.v3.RBAC", {"rules": _rules(edge, scopes)}),
            _filter("envoy.filters.http.local_ratelimit", "local_ratelimit.v3.LocalRateLimit", _quotas(edge, scopes)),
            _filter(_BUFFER, "buffer.v3.Buffer", {"max_request_bytes": 1 << 20}),
            _filter("envoy.filters.http.router", "router.v3.Router", {}),
        ],
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _tokens(edge: EdgeList, place: EdgePlace) -> dict[str, Any]:
    provider = {
        "issuer": edge.issuer.issuer,
        "audiences": [edge.issuer.audience],
        "forward": False,
        "payload_in_metadata": _TOKEN,
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]},
        "local_jwks": {"filename": place.jwks_file},
    }
    everything = {"match": {"prefix": "/"}, "requires": {"provider_name": edge.issuer.name}}
    return {"providers": {edge.issuer.name: provider}, "rules": [everything]}


def _rules(edge: EdgeList, scopes: Sequence[Scope]) -> dict[str, Any]:
    """A client and a scope of it: what it must bring for which methods."""
    policies = {
        f"{client.name} {scope.name}": {
            "permissions": [{"url_path": {"path": _matched(method, whole="exact")}} for method in scope.methods],
            "principals": [{"and_ids": {"ids": _proofs(client, scope)}}],
        }
        for scope in scopes
        for client in edge.clients_of(scope)
    }
    return {"action": "ALLOW", "policies": policies}


def _proofs(client: EdgeClient, scope: Scope) -> list[dict[str, Any]]:
    return [
        {"authenticated": {"principal_name": {"exact": client.name}}},
        _claim("sub", {"string_match": {"exact": client.name}}),
        _claim("scope", {"list_match": {"one_of": {"string_match": {"exact": scope.name}}}}),
    ]


def _claim(name: str, value: dict[str, Any]) -> dict[str, Any]:
    matcher = {"filter": _JWT, "path": [{"key": _TOKEN}, {"key": name}], "value": value}
    return {"sourced_metadata": {"metadata_matcher": matcher, "metadata_source": "DYNAMIC"}}


def _quotas(edge: EdgeList, scopes: Sequence[Scope]) -> dict[str, Any]:
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    hints = {"grpc-retry-pushback-ms": str(RETRY_AFTER_MS), "retry-after": str(RETRY_AFTER_MS // 1_000)}
    return {
        "stat_prefix": "quotas",
        "token_bucket": _bucket(_FLOOD),
        "filter_enabled": always,
        "filter_enforced": always,
        "rate_limited_as_resource_exhausted": True,
        "response_headers_to_add": [{"header": {"key": key, "value": value}} for key, value in hints.items()],
        "descriptors": [
            {
                "entries": [{"key": "scope", "value": scope.name}, {"key": "client", "value": client.name}],
                "token_bucket": _bucket(edge.quota(client, scope)),
            }
            for scope in scopes
            for client in edge.clients_of(scope)
        ],
    }


def _bucket(requests_per_s: int) -> dict[str, Any]:
    return {"max_tokens": requests_per_s, "tokens_per_fill": requests_per_s, "fill_interval": "1s"}


def _route(scope: Scope, method: str) -> dict[str, Any]:
    client = {"key": _JWT, "path": [{"key": _TOKEN}, {"key": "sub"}]}
    actions = [
        {"generic_key": {"descriptor_key": "scope", "descriptor_value": scope.name}},
        {"metadata": {"descriptor_key": "client", "metadata_key": client, "source": "DYNAMIC"}},
    ]
    bound: dict[str, Any] = {"disabled": True}
    if scope.max_request_bytes:
        bound = {"buffer": {"max_request_bytes": scope.max_request_bytes}}
    away = "connect-failure,refused-stream" + (",unavailable" if scope.num_retries else "")
    route: dict[str, Any] = {
        "cluster": scope.backend,
        "timeout": "0s",
        "retry_policy": {
            "retry_on": away,
            "num_retries": max(scope.num_retries, 1),
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {"@type": f"{_TYPE}extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
                }
            ],
            "host_selection_retry_max_attempts": 3,
        },
        "rate_limits": [{"actions": actions}],
    }
    if scope.timeout_s:
        route["max_stream_duration"] = {
            "max_stream_duration": f"{scope.timeout_s}s",
            "grpc_timeout_header_max": f"{scope.timeout_s}s",
        }
    sized = {_BUFFER: {"@type": f"{_TYPE}extensions.filters.http.buffer.v3.BufferPerRoute", **bound}}
    return {"match": {**_matched(method, whole="path"), "grpc": {}}, "route": route, "typed_per_filter_config": sized}


def _matched(method: str, *, whole: str) -> dict[str, str]:
    """How Envoy matches the path of a method, or of all of a service; `whole` is its word for one that is named."""
    name = f"/{method}"
    return {"prefix": name[:-1]} if name.endswith("/*") else {whole: name}


def _cluster(name: str, backend: BackendPlace, place: EdgePlace) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": _address(host, port)}} for host, port in backend.addresses]
    options = "extensions.upstreams.http.v3.HttpProtocolOptions"
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "typed_extension_protocol_options": {
            f"envoy.{options}": {
                "@type": f"{_TYPE}{options}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "2s",
                "no_traffic_interval": "2s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }
    if backend.ca_file:
        cluster["transport_socket"] = _upstream_tls(backend, place)
    return cluster


def _downstream_tls(place: EdgePlace) -> dict[str, Any]:
    return _tls(
        "DownstreamTlsContext",
        {"alpn_protocols": ["h2"], "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"}},
        shown=(place.certificate_file, place.key_file),
        checked={"trusted_ca": {"filename": place.client_ca_file}},
        more={"require_client_certificate": True},
    )


def _upstream_tls(backend: BackendPlace, place: EdgePlace) -> dict[str, Any]:
    named = [{"san_type": "DNS", "matcher": {"exact": backend.name}}]
    return _tls(
        "UpstreamTlsContext",
        {"alpn_protocols": ["h2"]},
        shown=(place.shown_certificate_file, place.shown_key_file),
        checked={"trusted_ca": {"filename": backend.ca_file}, "match_typed_subject_alt_names": named},
        more={"sni": backend.name},
    )


def _tls(
    kind: str, common: dict[str, Any], *, shown: tuple[str, str], checked: dict[str, Any], more: dict[str, Any]
) -> dict[str, Any]:
    certificate, key = shown
    if certificate:
        chain = {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}
        common = {**common, "tls_certificates": [chain]}
    context = {"@type": f"{_TYPE}extensions.transport_sockets.tls.v3.{kind}", **more}
    context["common_tls_context"] = {**common, "validation_context": checked}
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _access_log(path: str) -> dict[str, Any]:
    """One line of JSON for each call: who, what, how it ended."""
    line = {
        "time": "%START_TIME%",
        "client": f"%DYNAMIC_METADATA({_JWT}:{_TOKEN}:sub)%",
        "method": "%REQ(:PATH)%",
        "status": "%GRPC_STATUS%",
        "flags": "%RESPONSE_FLAGS%",
        "milliseconds": "%DURATION%",
        "bytes": "%BYTES_RECEIVED%",
        "certificate": "%DOWNSTREAM_PEER_SUBJECT%",
    }
    kind = f"{_TYPE}extensions.access_loggers.file.v3.FileAccessLog"
    config = {"@type": kind, "path": path, "log_format": {"json_format": line}}
    return {"name": "envoy.access_loggers.file", "typed_config": config}


def _filter(name: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"{_TYPE}extensions.filters.http.{kind}", **config}}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
