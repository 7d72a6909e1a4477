"""Ports of the embedded stack: free ones, and waiting until somebody listens."""

import socket
import time
from collections.abc import Callable, Collection

from mmrec.errors import MachineError

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return not is_open(port)  # somebody may listen on all addresses


def is_open(port: int) -> bool:
    """Whether somebody listens on `port` of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def next_free(port: int, *, taken: Collection[int] = ()) -> int:
    """The first free port from `port` on that is not in `taken`.

    Raises:
        MachineError: none of the next 200 ports is free.
    """
    for candidate in range(port, min(port + 200, 65_536)):
        if candidate not in taken and is_free(candidate):
            return candidate
    raise MachineError(f"no free port from {port} to {port + 199}; stop what listens there or configure other ports")


def any_free(count: int) -> list[int]:
    """`count` different free ports chosen by the system, for tests."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def wait_open(port: int, *, timeout_s: float, alive: Callable[[], bool] = lambda: True) -> bool:
    """Wait until somebody listens on `port`; False after `timeout_s` or once `alive()` is False."""
    give_up_s = time.monotonic() + timeout_s
    while time.monotonic() < give_up_s:
        if is_open(port):
            return True
        if not alive():
            return False
        time.sleep(0.05)
    return False
