"""The configuration a stack runs with: the user's, with free ports filled in, as one TOML file.

A port the user named must be free; a default one that is taken gives way to the next free one, which is said.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mmrec.config import TABLES, KafkaSettings, ServingSettings, Settings, StoreSettings, parse_settings
from mmrec.connections.console_settings import ConsoleSettings
from mmrec.errors import ConfigurationError, MachineError
from mmrec.telemetry.metric_names import PROCESSES
from mmrec.wire.declared import AddressOrNone, check
from mmrec.wire.environment import overridden
from mmrec.wire.toml_text import parse_toml, read_toml_text, toml_text
from services.stack.ports import HOST, is_free, next_free

_RAY_PORT = 18550
_METRICS_PORT = 18502
"""Default port of the first process's metrics; the others take the next ones."""
_RAY_PORTS = 4
"""Ray's head service, client server, agent and node manager."""


@dataclass(frozen=True, kw_only=True)
class StackPorts:
    """Ports of one stack, all on the loopback address as far as the programs can be told so."""

    kafka: int
    """The controller takes the next one."""
    milvus: int
    recommender: int
    collector: int
    admin: int
    console: int
    ray: int
    """The first of four."""
    metrics: Mapping[str, int] = field(default_factory=dict)
    """By process."""


@dataclass(frozen=True, kw_only=True)
class StackTable:
    """[stack] of the user's file: what the stack alone needs to know."""

    ray: AddressOrNone = ""
    """First of four ports of Ray; empty for the first free ones."""

    def __post_init__(self) -> None:
        check(self, "stack")


def read_document(path: Path | None) -> dict[str, Any]:
    """The user's TOML document, empty where none is named, with the values that the environment has."""
    try:
        document = {} if path is None else parse_toml(read_toml_text(path), where=str(path))
    except FileNotFoundError:
        raise ConfigurationError(f"cannot read {path}: there is no such file; name another one") from None
    return overridden(document, os.environ, TABLES)


def asked_settings(document: dict[str, Any], *, file: Path | None, folder: Path) -> Settings:
    """The settings that a user asks a stack for, before ports are chosen.

    Args:
        document: Of `file`, with what a data set adds.
        file: For messages; None where no file was named.
        folder: What relative paths start from.

    Raises:
        ConfigurationError: unknown keys or impossible values, in [stack] as well.
    """
    where, text = (str(file), read_toml_text(file)) if file else ("the stack's configuration", "")
    return parse_settings(document, where=where, folder=folder, text=text, beside={"stack": StackTable})


def choose_ports(document: Mapping[str, Any], *, say: Callable[[str], None]) -> StackPorts:
    """Free ports for all parts.

    Raises:
        MachineError: a port the document names is taken.
        ConfigurationError: the document names an address that is not this machine's loopback address.
    """
    taken: set[int] = set()

    def choose(table: str, key: str, default: str, *, num_ports: int = 1) -> int:
        named = document.get(table, {}).get(key)
        port = _loopback_port(f"{table}.{key}", named or default)
        if named and not all(is_free(p) for p in range(port, port + num_ports)):
            raise MachineError(f"port {port} ({table}.{key}) is taken; stop what listens there or name another port")
        chosen = _free_run(port, num_ports, taken)
        if chosen != port:
            say(f"port {port} is taken; {table}.{key} uses {chosen}")
        taken.update(range(chosen, chosen + num_ports))
        return chosen

    return StackPorts(
        kafka=choose("kafka", "bootstrap", KafkaSettings().bootstrap, num_ports=2),
        milvus=choose("stores", "milvus_uri", StoreSettings().milvus_uri),
        recommender=choose("serving", "recommender", ServingSettings().recommender),
        collector=choose("serving", "collector", ServingSettings().collector),
        admin=choose("serving", "admin", ServingSettings().admin),
        console=choose("console", "address", ConsoleSettings().address),
        ray=choose("stack", "ray", f"{HOST}:{_RAY_PORT}", num_ports=_RAY_PORTS),
        metrics={
            process: choose("metrics", process, f"{HOST}:{_METRICS_PORT + place}")
            for place, process in enumerate(PROCESSES)
            if document.get("metrics", {}).get(process) != ""
        },
    )


def write_configuration(path: Path, document: Mapping[str, Any], ports: StackPorts, *, folder: Path) -> None:
    """Write the document with the chosen ports; relative stores are taken from `folder`.

    Raises:
        ConfigurationError: the document has unknown keys or impossible values.
    """
    tables: dict[str, Any] = {name: value for name, value in document.items() if name != "stack"}
    tables["kafka"] = {**tables.get("kafka", {}), "bootstrap": f"{HOST}:{ports.kafka}"}
    tables["stores"] = {**tables.get("stores", {}), "milvus_uri": f"http://{HOST}:{ports.milvus}"}
    serving = {name: f"{HOST}:{getattr(ports, name)}" for name in ("recommender", "collector", "admin")}
    tables["serving"] = {**tables.get("serving", {}), **serving}
    tables["console"] = {**tables.get("console", {}), "address": f"{HOST}:{ports.console}"}
    metrics = {process: f"{HOST}:{port}" for process, port in ports.metrics.items()}
    tables["metrics"] = {**tables.get("metrics", {}), **metrics}
    settings = parse_settings(tables, where="the stack's configuration", folder=folder)
    for setting in fields(StoreSettings):
        if (value := getattr(settings.stores, setting.name)) not in ("", setting.default):
            tables["stores"][setting.name] = value
    if "backups" in tables.get("admin", {}):
        tables["admin"] = {**tables["admin"], "backups": settings.admin.backups}
    header = "Written by the stack at each start; change the file named with --config instead."
    path.write_text(toml_text(tables, header=header), encoding="utf-8")


def _loopback_port(what: str, address: str) -> int:
    host, _, port = address.removeprefix("http://").rpartition(":")
    if host not in (HOST, "localhost") or not port.isdigit():
        raise ConfigurationError(f"{what} is {address!r}; the embedded stack listens on {HOST}:PORT only")
    return int(port)


def _free_run(first: int, count: int, taken: set[int]) -> int:
    candidate = first
    while True:
        candidate = next_free(candidate, taken=taken)
        if all(p not in taken and is_free(p) for p in range(candidate, candidate + count)):
            return candidate
        candidate += 1
