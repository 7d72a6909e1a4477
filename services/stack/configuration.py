"""The configuration a stack runs with: the user's, with free ports filled in, as one TOML file.

A port the user named must be free; a default one that is taken gives way to the next free one, which is said.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mmrec.config import KafkaSettings, ServingSettings, StoreSettings, parse_settings
from mmrec.errors import ConfigurationError, MachineError
from mmrec.telemetry.metric_names import PROCESSES
from services.stack.ports import HOST, is_free, next_free

_RAY_PORT = 18510
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
    ray: int
    """The first of four."""
    metrics: Mapping[str, int] = field(default_factory=dict)
    """By process."""


def read_document(path: Path | None) -> dict[str, Any]:
    """The user's TOML document; empty where none is named."""
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from None


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
    serving = {"recommender": f"{HOST}:{ports.recommender}", "collector": f"{HOST}:{ports.collector}"}
    tables["serving"] = {**tables.get("serving", {}), **serving}
    metrics = {process: f"{HOST}:{port}" for process, port in ports.metrics.items()}
    tables["metrics"] = {**tables.get("metrics", {}), **metrics}
    settings = parse_settings(tables, where="the stack's configuration", folder=folder)
    for setting in fields(StoreSettings):
        if (value := getattr(settings.stores, setting.name)) not in ("", setting.default):
            tables["stores"][setting.name] = value
    header = "# Written by the stack at each start; change the file named with --config instead.\n"
    path.write_text(header + toml(tables), encoding="utf-8")


def toml(tables: Mapping[str, Any]) -> str:
    """A document of plain tables and arrays of tables, as TOML; JSON's scalars and arrays are TOML's too."""
    blocks = []
    for name, value in tables.items():
        for title, table in [(f"[[{name}]]", t) for t in value] if isinstance(value, list) else [(f"[{name}]", value)]:
            lines = [f"{key} = {_toml_value(entry)}" for key, entry in table.items()]
            blocks.append("\n".join([title, *lines]))
    return "\n\n".join(blocks) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml_value(each)}" for name, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


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
