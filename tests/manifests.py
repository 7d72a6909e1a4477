"""The Kubernetes objects of deploy/, rendered as a cluster would get them, for tests.

for manifest in rendered("production"): ...
for pod in pods("production"): pod.containers
"""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmrec.config import Settings, parse_settings
from mmrec.wire.toml_text import parse_toml

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("dev", "staging", "production")
CLUSTER = "cluster"
"""What a cluster's owner applies once, beside the overlays."""
VALIDATOR_VARIABLE = "MMREC_MANIFEST_SCHEMAS"
Manifest = dict[str, Any]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML without dates: Kubernetes has none."""


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if not pair[0].endswith(":timestamp")]
    for first, pairs in _Loader.yaml_implicit_resolvers.items()
}


def folder_of(name: str) -> Path:
    """Where the kustomization of an overlay, or of the cluster's own objects, lies."""
    return DEPLOY / CLUSTER if name == CLUSTER else DEPLOY / "overlays" / name


@functools.cache
def rendered_text(name: str) -> str:
    """What kustomize makes of an overlay; skips where neither kustomize nor kubectl is installed."""
    command = next((c for c in (["kustomize", "build"], ["kubectl", "kustomize"]) if shutil.which(c[0])), None)
    if command is None:
        pytest.skip("neither kustomize nor kubectl is on the PATH")
    done = subprocess.run([*command, str(folder_of(name))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def rendered(name: str) -> tuple[Manifest, ...]:
    """The objects of an overlay."""
    return tuple(yaml.load_all(rendered_text(name), Loader=_Loader))


@functools.cache
def of_kind(name: str, kind: str) -> dict[str, Manifest]:
    """The objects of one kind of an overlay, by name."""
    return {m["metadata"]["name"]: m for m in rendered(name) if m["kind"] == kind}


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod that an object makes."""

    owner: str
    """Kind and name, such as Deployment/collector."""
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def containers(self) -> list[Manifest]:
        """Those that run first included."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]


_TEMPLATES = {
    "Deployment": ("spec.template",),
    "StatefulSet": ("spec.template",),
    "Job": ("spec.template",),
    "CronJob": ("spec.jobTemplate.spec.template",),
    "RayService": ("spec.rayClusterConfig.headGroupSpec.template", "spec.rayClusterConfig.workerGroupSpecs.*.template"),
    "RayJob": ("spec.rayClusterSpec.headGroupSpec.template", "spec.rayClusterSpec.workerGroupSpecs.*.template"),
}
"""Where the kinds that we write pods for have them; operators make those of their own kinds."""


def pods(name: str) -> list[Pod]:
    """All pods of an overlay that deploy/ itself describes."""
    return [
        Pod(
            owner=f"{m['kind']}/{m['metadata']['name']}",
            labels=template.get("metadata", {}).get("labels", {}),
            spec=template["spec"],
        )
        for m in rendered(name)
        for path in _TEMPLATES.get(m["kind"], ())
        for template in _at(m, path.split("."))
    ]


def _at(value: Any, path: list[str]) -> Iterator[Any]:
    if not path:
        yield value
    elif path[0] == "*":
        for part in value:
            yield from _at(part, path[1:])
    else:
        yield from _at(value[path[0]], path[1:])


def environment_of(name: str, container: Manifest) -> dict[str, str]:
    """Variables of a container with a written value, those of ConfigMaps included."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= of_kind(name, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    return found | {v["name"]: v["value"] for v in container.get("env", ()) if "value" in v}


def settings_of(name: str) -> Settings:
    """mmrec.toml as pods of an overlay find it, before the environment overrides it."""
    (data,) = [m["data"] for n, m in of_kind(name, "ConfigMap").items() if n.startswith("mmrec-config")]
    text = data["mmrec.toml"]
    return parse_settings(parse_toml(text, where=name), where=name, folder=Path("/etc/mmrec"), text=text)


def validator() -> tuple[Path, Path]:
    """(program, folder of schemas) that check manifests without a cluster; skips where they are not there.

    MMREC_MANIFEST_SCHEMAS names a folder with tools/validate_manifests.py and crds/; else it is ../shared.
    """
    folder = Path(os.environ.get(VALIDATOR_VARIABLE, "") or ROOT.parent / "shared").expanduser()
    program, schemas = folder / "tools" / "validate_manifests.py", folder / "crds"
    if not program.is_file() or not schemas.is_dir():
        pytest.skip(f"no schemas of Kubernetes' objects at {folder}; name their folder with {VALIDATOR_VARIABLE}")
    return program, schemas
