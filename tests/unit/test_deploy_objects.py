"""deploy/ renders, and a cluster would take what comes out."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.manifests import CLUSTER, DEPLOY, OVERLAYS, Pod, environment_of, of_kind, pods, rendered, rendered_text
from tests.manifests import validator as find_validator

ALL = (*OVERLAYS, CLUSTER)


@pytest.mark.parametrize("name", ALL)
def test_every_object_has_a_name_and_none_is_there_twice(name: str) -> None:
    identities = [(m["apiVersion"], m["kind"], m["metadata"]["name"]) for m in rendered(name)]
    assert len(identities) == len(set(identities)) > 3


def test_every_object_fits_its_schema_and_has_no_unknown_field() -> None:
    program, schemas = find_validator()
    text = "---\n".join(rendered_text(name) for name in ALL)
    command = [sys.executable, str(program), "--schemas", str(schemas)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("objects valid\n")


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_of_a_namespace_is_in_the_overlays_own(name: str) -> None:
    (namespace,) = of_kind(name, "Namespace")
    assert namespace != "default"
    others = {m["metadata"].get("namespace") for m in rendered(name) if m["kind"] != "Namespace"}
    assert others == {namespace}


def test_what_belongs_to_no_namespace_has_none() -> None:
    assert {m["metadata"].get("namespace") for m in rendered(CLUSTER)} == {None}


def _references(pod: Pod) -> list[tuple[str, str]]:
    """(kind, name) of all that a pod needs before it can start."""
    found = [("ServiceAccount", pod.spec.get("serviceAccountName", ""))]
    for volume in pod.spec.get("volumes", ()):
        found += [("ConfigMap", volume["configMap"]["name"])] if "configMap" in volume else []
        found += [("Secret", volume["secret"]["secretName"])] if "secret" in volume else []
        claim = volume.get("persistentVolumeClaim")
        found += [("PersistentVolumeClaim", claim["claimName"])] if claim else []
    for container in pod.containers:
        found += [("ConfigMap", source["configMapRef"]["name"]) for source in container.get("envFrom", ())]
        sources = [
            v["valueFrom"]["secretKeyRef"] for v in container.get("env", ()) if "secretKeyRef" in v.get("valueFrom", {})
        ]
        found += [("Secret", source["name"]) for source in sources]
    return found


@pytest.mark.parametrize("name", OVERLAYS)
def test_whatever_a_pod_needs_is_there_or_made_by_an_operator(name: str) -> None:
    there = {(m["kind"], m["metadata"]["name"]) for m in rendered(name)}
    there |= {("Secret", c["spec"]["secretName"]) for c in of_kind(name, "Certificate").values()}
    there |= {("Secret", s["spec"]["target"]["name"]) for s in of_kind(name, "ExternalSecret").values()}
    if users := of_kind(name, "KafkaUser"):  # Strimzi makes their passwords, and its own authority
        there |= {("Secret", secret) for secret in (*users, "mmrec-cluster-ca-cert")}
    needed = {(pod.owner, *each) for pod in pods(name) for each in _references(pod) if each[1]}
    assert {each for each in needed if each[1:] not in there} == set()


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_mount_names_a_volume_and_every_file_of_a_setting_is_mounted(name: str) -> None:
    lost = []
    for pod in pods(name):
        volumes = {volume["name"] for volume in pod.spec.get("volumes", ())}
        volumes |= {"data"} if pod.owner.startswith("StatefulSet/") else set()
        for container in pod.containers:
            mounts = container.get("volumeMounts", ())
            lost += [(pod.owner, m["name"]) for m in mounts if m["name"] not in volumes]
            folders = [Path(mount["mountPath"]) for mount in mounts]
            for key, value in environment_of(name, container).items():
                if key.endswith(("_FILE", "MMREC_CONFIG")) and Path(value).parent not in folders:
                    lost.append((pod.owner, f"{key}={value}"))
    assert lost == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_selectors_of_services_budgets_and_spread_find_pods(name: str) -> None:
    labels = [pod.labels for pod in pods(name)]
    selectors = [m["spec"]["selector"] for m in of_kind(name, "Service").values()]
    selectors += [m["spec"]["selector"]["matchLabels"] for m in of_kind(name, "PodDisruptionBudget").values()]
    for pod in pods(name):
        spread = pod.spec.get("topologySpreadConstraints", ())
        selectors += [each["labelSelector"]["matchLabels"] for each in spread]
    assert selectors
    assert [s for s in selectors if not any(s.items() <= dict(each).items() for each in labels)] == []


def test_each_file_of_base_holds_one_object() -> None:
    files = [
        p for p in (DEPLOY / "base").rglob("*.yaml") if p.name not in ("kustomization.yaml", "name-references.yaml")
    ]
    assert len(files) > 40
    assert [str(p) for p in files if p.read_text(encoding="utf-8").count("\nkind: ") != 1] == []
