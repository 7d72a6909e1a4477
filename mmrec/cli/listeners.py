"""Which program listens where: ports that the stack needs, and those it opens to the network."""

from typing import Any

import psutil

from mmrec.cli.checks import Check, Health
from mmrec.config import KafkaSettings, ServingSettings, Settings, StoreSettings
from mmrec.connections.console_settings import ConsoleSettings
from mmrec.operating.running import StackRecord

_LOOPBACK = ("127.", "::1", "::ffff:127.")


def check_ports(settings: Settings | None, stack: StackRecord | None) -> list[Check]:
    """Every port the stack needs: free, used by the stack itself, or used by another program, which is named.

    Args:
        settings: The running stack's; None for the defaults.
        stack: The running stack.
    """
    kafka = settings.kafka if settings else KafkaSettings()
    serving = settings.serving if settings else ServingSettings()
    stores = settings.stores if settings else StoreSettings()
    wanted = {
        "Kafka": kafka.bootstrap,
        "Milvus": stores.milvus_uri,
        "recommender": serving.recommender,
        "collector": serving.collector,
        "administration": serving.admin,
        "console": settings.console.address if settings else ConsoleSettings().address,
    }
    holders = _listeners()
    checks = []
    for name, address in wanted.items():
        host, _, port = address.removeprefix("http://").rpartition(":")
        if not port.isdigit() or not host.startswith(("127.", "localhost")):
            continue
        pids = holders.get(int(port))
        what = f"port of {name}"
        if pids is None:
            free = Health.OK if stack is None else Health.WARN
            note = "" if stack is None else "the stack runs but nobody listens; see `mmrec status` and `mmrec logs`"
            checks.append(Check(name=what, health=free, found=f"{port} is free", advice=note))
        elif stack is not None and any(_belongs(pid, stack.stack_id) for pid in pids):
            checks.append(Check(name=what, health=Health.OK, found=f"{port} is the stack's own"))
        else:
            who = ", ".join(sorted({_who(pid) for pid in pids}))
            advice = "`mmrec up` takes the next free one by itself; a port named in a configuration must be free"
            checks.append(Check(name=what, health=Health.WARN, found=f"{port} is taken by {who}", advice=advice))
    return checks


def check_addresses(stack: StackRecord | None) -> Check:
    """Which of the stack's ports can be reached from other machines.

    Ray binds gcs, raylet, worker and Serve ports to all interfaces and has no setting against it. The HAProxy that it
    runs does the same with its statistics and metrics. Only a firewall or a network namespace protects them.
    """
    fence = "close them to other machines with a firewall, or run the stack in a network namespace of its own"
    if stack is None:
        return Check(
            name="network",
            health=Health.OK,
            found="no stack runs; while one does, Ray opens ports of its own on all interfaces",
            advice=f"on a network you do not trust, {fence}",
        )
    open_ports: dict[str, list[int]] = {}
    num_local = 0
    for connection in _listening():
        environment = _environment(connection.pid)
        if environment.get("MMREC_STACK_ID") != stack.stack_id:
            continue
        if str(connection.laddr.ip).startswith(_LOOPBACK):
            num_local += 1
        else:
            program = environment.get("MMREC_STACK_PROGRAM") or "?"
            open_ports.setdefault(f"{program} ({_name(connection.pid)})", []).append(int(connection.laddr.port))
    if not open_ports:
        return Check(name="network", health=Health.OK, found=f"all {num_local} ports of the stack are on loopback only")
    parts = [f"{who}: {', '.join(map(str, sorted(set(ports))))}" for who, ports in sorted(open_ports.items())]
    found = f"on all interfaces: {'; '.join(parts)}. {num_local} more are on loopback only"
    return Check(
        name="network",
        health=Health.WARN,
        found=found,
        advice="Ray and its HAProxy open these and cannot be told otherwise. A token guards Ray's own ports, the"
        f" recommender refuses calls from elsewhere, HAProxy's statistics are open to all. To be safe, {fence}",
    )


def _listening() -> list[Any]:
    try:
        return [c for c in psutil.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN]
    except psutil.AccessDenied:
        return []


def _listeners() -> dict[int, set[int | None]]:
    found: dict[int, set[int | None]] = {}
    for connection in _listening():
        found.setdefault(int(connection.laddr.port), set()).add(connection.pid)
    return found


def _environment(pid: int | None) -> dict[str, str]:
    try:
        return dict(psutil.Process(pid).environ()) if pid else {}
    except psutil.Error:
        return {}


def _belongs(pid: int | None, stack_id: str) -> bool:
    return _environment(pid).get("MMREC_STACK_ID") == stack_id


def _name(pid: int | None) -> str:
    try:
        return str(psutil.Process(pid).name()) if pid else "another user's process"
    except psutil.Error:
        return "a process that has ended"


def _who(pid: int | None) -> str:
    return f"{_name(pid)} (pid {pid})" if pid else _name(pid)
