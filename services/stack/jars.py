"""The broker's and the connector's Java archives: pinned in jars.lock, fetched by Ivy, checked by sha256.

    jars = ensure_jars(java_home)       jars.kafka: list of paths; jars.spark: list of paths

PySpark ships Ivy, so nothing but a Java is needed. The lock names every archive, so Ivy resolves nothing: each entry is
fetched as it stands. What is present and sound is not fetched again, and a complete cache needs no network.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from mmrec.errors import MachineError
from mmrec.home import cache_folder
from mmrec.telemetry.logs import get_logger
from services.stack.truststore import java_trust_options

LOCK = Path(__file__).with_name("jars.lock")
log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Jar:
    """One pinned archive."""

    folder: str
    """"kafka" or "spark"."""
    group: str
    artifact: str
    version: str
    sha256: str

    def path(self, root: Path) -> Path:
        """Where the archive lies below the jar cache."""
        return root / self.folder / f"{self.artifact}-{self.version}.jar"

    def is_sound(self, root: Path) -> bool:
        """Whether the archive is there with the pinned content."""
        path = self.path(root)
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


@dataclass(frozen=True, kw_only=True)
class JarSet:
    """All archives, present and checked."""

    kafka: list[Path]
    spark: list[Path]


def read_lock(path: Path = LOCK) -> list[Jar]:
    """The pinned archives."""
    jars = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            folder, coordinates, sha256 = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(folder=folder, group=group, artifact=artifact, version=version, sha256=sha256))
    return jars


def missing_jars(jars: Sequence[Jar], root: Path) -> list[Jar]:
    """Pinned archives that are absent or not what the lock says."""
    return [jar for jar in jars if not jar.is_sound(root)]


def ensure_jars(java_home: Path, *, cache: Path | None = None) -> JarSet:
    """All pinned archives, fetching those that are missing.

    Raises:
        MachineError: an archive could not be had; run again when there is a network, what was fetched is kept.
    """
    root = (cache or cache_folder()) / "jars"
    root.mkdir(parents=True, exist_ok=True)
    pinned = read_lock()
    with (root / ".lock").open("w") as guard:  # two stacks may start at once
        fcntl.flock(guard, fcntl.LOCK_EX)
        if missing := missing_jars(pinned, root):
            log.info("jars_fetching", num_missing=len(missing), num_pinned=len(pinned))
            _fetch(missing, root, java_home)
            if left := missing_jars(missing, root):
                names = ", ".join(f"{jar.group}:{jar.artifact}:{jar.version}" for jar in left[:3])
                raise MachineError(
                    f"{len(left)} of {len(pinned)} Java archives could not be fetched ({names}, ...); check the network"
                    f" and run again, what is there is kept (log: {root / 'ivy.log'})"
                )
            shutil.rmtree(root / "ivy", ignore_errors=True)
    paths = {jar: jar.path(root) for jar in pinned}
    return JarSet(
        kafka=[path for jar, path in paths.items() if jar.folder == "kafka"],
        spark=[path for jar, path in paths.items() if jar.folder == "spark"],
    )


def _fetch(jars: Sequence[Jar], root: Path, java_home: Path) -> None:
    import pyspark

    ivy = next((Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar"), None)
    if ivy is None:
        raise MachineError("the installed pyspark carries no ivy-*.jar; run `make setup` to install the pinned one")
    for jar in jars:
        jar.path(root).unlink(missing_ok=True)  # Ivy would keep a broken file
    if any((root / "ivy").rglob("*.part")):
        shutil.rmtree(root / "ivy")
    (root / "ivy").mkdir(exist_ok=True)
    (root / "ivy" / "settings.xml").write_text(
        _settings(os.environ.get("MMREC_MAVEN_REPOSITORY", "")), encoding="utf-8"
    )
    (root / "ivy" / "ivy.xml").write_text(ivy_module(jars), encoding="utf-8")
    options = ["-settings", str(root / "ivy" / "settings.xml"), "-ivy", str(root / "ivy" / "ivy.xml")]
    options += ["-cache", str(root / "ivy" / "cache"), "-retrieve", f"{root}/[conf]/[artifact]-[revision].[ext]"]
    command = [str(java_home / "bin" / "java"), *java_trust_options(root), "-jar", str(ivy), *options]
    with (root / "ivy.log").open("wb") as output:
        subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)


def ivy_module(jars: Sequence[Jar]) -> str:
    """An Ivy file that asks for exactly `jars`, each into its own folder."""
    dependencies = "".join(
        f"<dependency org={quoteattr(jar.group)} name={quoteattr(jar.artifact)} rev={quoteattr(jar.version)}"
        f' conf="{jar.folder}->default" transitive="false"/>'
        for jar in jars
    )
    folders = "".join(f'<conf name="{folder}"/>' for folder in sorted({jar.folder for jar in jars}))
    return (
        '<ivy-module version="2.0"><info organisation="mmrec" module="jars"/>'
        f"<configurations>{folders}</configurations><dependencies>{dependencies}</dependencies></ivy-module>"
    )


def _settings(repository: str) -> str:
    """Ivy settings: Maven Central, or the mirror MMREC_MAVEN_REPOSITORY names; sha256 is checked by us."""
    root = f" root={quoteattr(repository)}" if repository else ""
    resolver = f'<ibiblio name="maven" m2compatible="true" usepoms="false" checksums=""{root}/>'
    return f'<ivysettings><settings defaultResolver="maven"/><resolvers>{resolver}</resolvers></ivysettings>'
