"""What every pod of deploy/ keeps to, whichever overlay it is in."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.manifests import CLUSTER, OVERLAYS, Pod, of_kind, pods, rendered

TOKEN_OWNERS = {"RayService/recommender"}
"""Ray's autoscaler asks the API server for workers; nobody else has a token."""
NO_PROBES = ("Job/", "CronJob/", "RayJob/", "Deployment/toolbox")
"""What ends by itself, or only waits for people."""

everywhere = pytest.mark.parametrize("name", OVERLAYS)


def _containers(name: str) -> Iterator[tuple[Pod, dict[str, Any]]]:
    for pod in pods(name):
        for container in pod.containers:
            yield pod, container


@everywhere
def test_no_pod_runs_as_root_or_may_gain_privileges(name: str) -> None:
    for pod in pods(name):
        identity = pod.spec["securityContext"]
        assert identity["runAsNonRoot"] is True, pod.owner
        assert identity["runAsUser"] >= 1_000, pod.owner
        assert identity["seccompProfile"] == {"type": "RuntimeDefault"}, pod.owner
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & set(pod.spec), pod.owner
        assert not [v for v in pod.spec.get("volumes", ()) if "hostPath" in v], pod.owner
    for pod, container in _containers(name):
        rights = container["securityContext"]
        assert rights["allowPrivilegeEscalation"] is False, pod.owner
        assert rights["readOnlyRootFilesystem"] is True, pod.owner
        assert rights["capabilities"] == {"drop": ["ALL"]}, pod.owner
        assert not rights.get("privileged"), pod.owner
        assert not [port for port in container.get("ports", ()) if "hostPort" in port], pod.owner


@everywhere
def test_the_namespace_itself_refuses_pods_that_do_not_keep_to_that(name: str) -> None:
    (namespace,) = of_kind(name, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@everywhere
def test_every_container_says_what_it_needs_and_what_it_may_take_at_most(name: str) -> None:
    for pod, container in _containers(name):
        resources = container["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"]), pod.owner
        assert _bytes(resources["limits"]["memory"]) >= _bytes(resources["requests"]["memory"]), pod.owner


def _bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * {"Mi": 1 << 20, "Gi": 1 << 30}[unit]


@everywhere
def test_every_volume_in_memory_or_on_the_nodes_disk_is_bounded(name: str) -> None:
    volumes = [(pod.owner, v) for pod in pods(name) for v in pod.spec.get("volumes", ()) if "emptyDir" in v]
    assert volumes
    assert [(owner, v["name"]) for owner, v in volumes if "sizeLimit" not in v["emptyDir"]] == []


def _images(value: Any) -> Iterator[str]:
    """Every image that an object names, wherever it stands."""
    if isinstance(value, Mapping):
        if isinstance(value.get("image"), str):
            yield value["image"]
        for part in value.values():
            yield from _images(part)
    elif isinstance(value, list):
        for part in value:
            yield from _images(part)


@everywhere
def test_every_image_is_of_a_version_and_none_of_whatever_is_newest(name: str) -> None:
    found = {image for manifest in rendered(name) for image in _images(manifest)}
    assert found
    assert {i for i in found if not re.search(r"(:[\w.-]*\d[\w.-]*|@sha256:[0-9a-f]{64})\Z", i)} == set()


@everywhere
def test_what_runs_on_has_probes(name: str) -> None:
    running = [pod for pod in pods(name) if not pod.owner.startswith(NO_PROBES)]
    assert running
    for pod in running:
        if pod.labels.get("mmrec/answers-lists"):
            assert "readinessProbe" in pod.spec["containers"][0], pod.owner
        elif not pod.owner.startswith("RayService/"):  # KubeRay adds those of its nodes
            assert "livenessProbe" in pod.spec["containers"][0], pod.owner


@everywhere
def test_no_pod_has_a_token_of_the_api_server_but_rays_head(name: str) -> None:
    with_token = {pod.owner for pod in pods(name) if pod.spec["automountServiceAccountToken"]}
    assert with_token == TOKEN_OWNERS
    accounts = of_kind(name, "ServiceAccount").values()
    assert [a["metadata"]["name"] for a in accounts if a["automountServiceAccountToken"]] == []


@everywhere
def test_the_one_token_allows_workers_to_be_counted_and_asked_for(name: str) -> None:
    (role,) = of_kind(name, "Role").values()
    allowed = {(r, v) for rule in role["rules"] for r in rule["resources"] for v in rule["verbs"]}
    reads = {("pods", "get"), ("pods", "list"), ("pods", "watch"), ("rayclusters", "get")}
    assert allowed == reads | {("rayclusters", "patch")}


@everywhere
def test_priorities_exist_and_those_who_answer_come_first(name: str) -> None:
    values = {n: m["value"] for n, m in of_kind(CLUSTER, "PriorityClass").items()}
    assert values["mmrec-serving"] > values["mmrec-stream"] > values["mmrec-batch"]
    used = {pod.spec["priorityClassName"] for pod in pods(name) if not pod.owner.startswith("StatefulSet/")}
    assert used == set(values)


@everywhere
def test_nobody_speaks_to_anybody_unless_a_policy_says_so(name: str) -> None:
    policies = of_kind(name, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy, manifest in policies.items():
        for rule in manifest["spec"].get("ingress", ()):
            assert rule.get("from"), f"{policy} lets everybody in"


@everywhere
def test_no_secret_of_production_stands_in_a_manifest(name: str) -> None:
    secrets = {n: m["stringData"] for n, m in of_kind(name, "Secret").items()}
    if name == "dev":
        secrets.pop("object-store")
    assert set(secrets) == {"feast-online-store"}
    text = secrets["feast-online-store"]["redis"]
    assert "password=" not in text.replace("password=${REDIS_PASSWORD}", "")
