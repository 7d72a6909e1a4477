"""The list of the edge as policies of Envoy Gateway, for Kubernetes.

    for name, text in gateway_policies(load_edge(path)).items(): (folder / name).write_text(text)

One SecurityPolicy and one BackendTrafficPolicy for each route (deploy/components/gateway), and the names that clients'
certificates may have (deploy/components/mtls). Routes, the gateway and certificates are written by hand.
"""

from typing import Final

from services.edge.clients import EdgeList, Scope

_API: Final = "apiVersion: gateway.envoyproxy.io/v1alpha1"
_MADE: Final = "# Rendered from deploy/edge.toml by services.edge."


def gateway_policies(edge: EdgeList) -> dict[str, str]:
    """Path under deploy/components -> text, for every scope that has a route."""
    routed = [scope for scope in edge.scopes if scope.route]
    found = {f"gateway/policy-{scope.route}.yaml": _who(edge, scope) for scope in routed}
    found |= {f"gateway/quota-{scope.route}.yaml": _how_much(edge, scope) for scope in routed}
    return {**found, "mtls/clients.yaml": _certificates(edge)}


def _who(edge: EdgeList, scope: Scope) -> str:
    issuer, names = edge.issuer, _listed([client.name for client in edge.clients_of(scope)])
    return f"""{_MADE} Who may ask: clients of the list whose token has the scope.
{_API}
kind: SecurityPolicy
metadata:
  name: {scope.route}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: GRPCRoute, name: {scope.route}}}]
  jwt:
    providers:
      - name: {issuer.name}
        issuer: {issuer.issuer}
        audiences: {_listed([issuer.audience])}
        remoteJWKS: {{uri: {issuer.jwks_uri}}}
        claimToHeaders: [{{header: x-client, claim: sub}}]
  authorization:
    defaultAction: Deny
    rules:
      - name: {scope.name}
        action: Allow
        principal:
          jwt:
            provider: {issuer.name}
            scopes: [{scope.name}]
            claims: [{{name: sub, valueType: String, values: {names}}}]
"""


def _how_much(edge: EdgeList, scope: Scope) -> str:
    rules = "\n".join(
        f"        - clientSelectors: [{{headers: [{{name: x-client, type: Exact, value: {client.name}}}]}}]\n"
        f"          limit: {{requests: {edge.quota(client, scope)}, unit: Second}}"
        for client in edge.clients_of(scope)
    )
    more = ""
    if scope.num_retries:
        retry = "{triggers: [unavailable, connect-failure]}, perRetry: {timeout: 300ms}"
        more += f"\n  retry: {{numRetries: {scope.num_retries}, retryOn: {retry}}}"
    more += f"\n  timeout: {{http: {{requestTimeout: {scope.timeout_s:g}s}}}}"  # 0s: none, where Envoy would take 15
    if scope.max_request_bytes:
        more += f"\n  requestBuffer: {{limit: {scope.max_request_bytes}}}"
    return f"""{_MADE} Above its quota a client is told RESOURCE_EXHAUSTED.
{_API}
kind: BackendTrafficPolicy
metadata:
  name: {scope.route}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: GRPCRoute, name: {scope.route}}}]
  rateLimit:
    type: Global
    global:
      rules:
{rules}
  loadBalancer: {{type: LeastRequest}}{more}
"""


def _certificates(edge: EdgeList) -> str:
    names = "\n".join(f"          - {{type: Exact, value: {client.name}}}" for client in edge.clients)
    return f"""{_MADE} Clients show a certificate of an authority of their own, beside their token;
# it has a name of the list. ConfigMap storefront-ca: ca.crt.
{_API}
kind: ClientTrafficPolicy
metadata:
  name: edge
spec:
  tls:
    clientValidation:
      caCertificateRefs: [{{kind: ConfigMap, group: "", name: storefront-ca}}]
      subjectAltNames:
        dnsNames:
{names}
"""


def _listed(names: list[str]) -> str:
    return f"[{', '.join(names)}]"
