"""Java and jars: fetched once, mended where broken, and one clear error where they cannot be had."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mmrec.errors import MachineError
from services.stack.jars import JarSet, ensure_jars, read_lock
from services.stack.java import ensure_java_home, java_version

pytestmark = pytest.mark.integration
_NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture
def jar_cache(jars: JarSet, tmp_path: Path) -> Path:
    """A cache of its own that holds what the session's cache holds."""
    source = jars.kafka[0].parents[1]
    for folder in ("kafka", "spark"):
        shutil.copytree(source / folder, tmp_path / "cache" / "jars" / folder)
    return tmp_path / "cache"


def test_a_complete_cache_needs_no_network(java_home: Path, jar_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MMREC_MAVEN_REPOSITORY", _NOWHERE)
    found = ensure_jars(java_home, cache=jar_cache)
    assert len(found.kafka) + len(found.spark) == len(read_lock())


def test_without_a_network_an_incomplete_cache_is_one_clear_error(
    java_home: Path, jar_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MMREC_MAVEN_REPOSITORY", _NOWHERE)
    jar = read_lock()[0]
    jar.path(jar_cache / "jars").unlink()
    with pytest.raises(MachineError, match=rf"1 of \d+ Java archives .*{jar.artifact}.*check the network"):
        ensure_jars(java_home, cache=jar_cache)


def test_a_broken_archive_is_fetched_again_and_the_others_are_kept(
    java_home: Path, jar_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root, broken = jar_cache / "jars", read_lock()[-1]
    place = tmp_path / "mirror" / broken.group.replace(".", "/") / broken.artifact / broken.version
    place.mkdir(parents=True)
    shutil.copy(broken.path(root), place)
    broken.path(root).write_bytes(b"half of it")
    kept = {jar: jar.path(root).stat().st_mtime_ns for jar in read_lock()[:-1]}

    monkeypatch.setenv("MMREC_MAVEN_REPOSITORY", (tmp_path / "mirror").as_uri() + "/")
    ensure_jars(java_home, cache=jar_cache)
    assert broken.is_sound(root)
    assert {jar: jar.path(root).stat().st_mtime_ns for jar in kept} == kept


def test_java_works_without_one_on_the_path_and_with_a_broken_java_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JAVA_HOME", "/no/such/java")
    monkeypatch.delenv("MMREC_JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin-without-java:" + os.defpath)
    assert java_version(ensure_java_home(cache=tmp_path)).startswith("17.")


def test_java_starts_though_asked_for_a_module_it_lacks(tmp_path: Path):
    java = ensure_java_home(cache=tmp_path) / "bin" / "java"
    done = subprocess.run(
        [java, "--add-modules=jdk.incubator.vector", "-version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_named_java_that_does_not_start_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MMREC_JAVA_HOME", str(tmp_path))
    with pytest.raises(MachineError, match=r"MMREC_JAVA_HOME .* does not start"):
        ensure_java_home(cache=tmp_path / "cache")
