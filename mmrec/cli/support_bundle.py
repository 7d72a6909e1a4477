"""`mmrec support-bundle`: what somebody who helps from afar asks for, as one file.

configuration, versions, standing, engines, releases, acts, metrics, the last lines of logs, and the doctor's report.
What cannot be had is in the file too, as the reason why. Passwords, tokens and keys are replaced; logs may name users
and items, so whoever sends the file looks at it first.
"""

import importlib.metadata
import io
import json
import platform
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmrec.cli.terminal import AddressOption, ConfigOption, deployment_settings
from mmrec.errors import MmrecError
from mmrec.home import StackHome

if TYPE_CHECKING:
    from mmrec.operating.remote import AskedDesk

Part = tuple[str, Callable[[], str]]
"""File name within the bundle, and what makes its text."""


def support_bundle(
    *,
    file: Annotated[str, typer.Option("--out", "-o", help="default: mmrec-support-INSTANT.tar.gz")] = "",
    config: ConfigOption = "",
    address: AddressOption = "",
    lines: Annotated[int, typer.Option(min=0, help="last lines of each log")] = 2_000,
) -> None:
    """Collect configuration (without secrets), versions, metrics, recent logs and the doctor's report into one file.

    Example: `mmrec support-bundle`
    """
    from mmrec.cli.admin_commands import asked_desk

    target = Path(file or time.strftime("mmrec-support-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime()))
    with asked_desk(config, address) as desk:
        parts = [*_asked(desk), ("versions.json", _versions), *_of_this_machine(config, address, num_lines=lines)]
        missing = write_bundle(target, parts, made_s=time.time())
    typer.echo(f"{len(parts):,} files in {target}; logs may name users and items, so look at it before you send it")
    for name in missing:
        typer.echo(f"  without {name}; the file says why")


def write_bundle(target: Path, parts: list[Part], *, made_s: float) -> list[str]:
    """Write one .tar.gz; every text goes through without_secrets().

    Args:
        made_s: Time of its files, in epoch seconds.

    Returns:
        Names of the parts that could not be made; NAME.error.txt in the bundle says why.
    """
    from mmrec.operating.configuration import without_secrets

    missing = []
    with tarfile.open(target, "w:gz") as bundle:
        for part, make in parts:
            name = part
            try:
                text = make()
            except (MmrecError, OSError, ValueError) as error:
                missing.append(part)
                name, text = f"{part}.error.txt", f"{type(error).__name__}: {error}\n"
            data = without_secrets(text).encode("utf-8", errors="replace")
            entry = tarfile.TarInfo(f"{target.name.removesuffix('.tar.gz')}/{name}")
            entry.size, entry.mtime, entry.mode = len(data), int(made_s), 0o600
            bundle.addfile(entry, io.BytesIO(data))
    target.chmod(0o600)
    return missing


def _asked(desk: "AskedDesk") -> Iterator[Part]:
    """What the administrative API says."""
    from mmrec.v1 import admin_pb2

    for name, method, request in (
        ("configuration.json", "GetConfiguration", admin_pb2.GetConfigurationRequest()),
        ("standing.json", "GetStanding", admin_pb2.GetStandingRequest(interval_s=1.0)),
        ("engines.json", "CheckEngines", admin_pb2.CheckEnginesRequest()),
        ("releases.json", "ListReleases", admin_pb2.ListReleasesRequest()),
        ("acts.json", "ListActs", admin_pb2.ListActsRequest(num_acts=200)),
    ):
        yield name, lambda method=method, request=request: _json(desk.ask(method, request))  # type: ignore[misc]


def _of_this_machine(config: str, address: str, *, num_lines: int) -> Iterator[Part]:
    """Metrics, logs and the doctor's report, as far as they are here."""
    from mmrec.cli.log_lines import log_names
    from mmrec.telemetry.metric_names import PROCESSES

    home = StackHome.from_environment()
    if not address or config:
        for process in PROCESSES:
            yield f"metrics/{process}.txt", lambda process=process: _metrics(config, process)  # type: ignore[misc]
        yield "doctor.json", lambda: _doctor(config)
    if not address:
        for name in log_names(home.logs):
            yield f"logs/{name}.log", lambda name=name: _log(home.logs, name, num_lines)  # type: ignore[misc]


def _json(message: Any) -> str:
    from google.protobuf.json_format import MessageToJson

    text: str = MessageToJson(message, preserving_proto_field_name=True, ensure_ascii=False)
    return text


def _versions() -> str:
    packages = {d.name: d.version for d in importlib.metadata.distributions() if d.name}
    facts = {"python": sys.version, "platform": platform.platform(), "packages": dict(sorted(packages.items()))}
    return json.dumps(facts, indent=1)


def _metrics(config: str, process: str) -> str:
    from mmrec.operating.observed import exposition

    return exposition(deployment_settings(config).metrics, process)


def _log(folder: Path, name: str, num_lines: int) -> str:
    from mmrec.cli.log_lines import log_file, tail

    last, _ = tail(log_file(folder, name), num_lines)
    return "\n".join([*last, ""])


def _doctor(config: str) -> str:
    from mmrec.cli.configuration_checks import check_configuration
    from mmrec.operating.running import configuration_file

    file = configuration_file(config, StackHome.from_environment())
    checks = check_configuration(file, now_s=time.time(), reach=True)
    return json.dumps([{**vars(check), "health": check.health.value} for check in checks], indent=1)
