"""An address of this machine at which others would call it."""

import socket

import pytest


def own_address() -> str:
    """One that is not loopback; the test is skipped where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent; the system picks the address it would send from
        except OSError as error:
            pytest.skip(f"calls from elsewhere need an address that is not loopback, and there is no network: {error}")
        address = str(probe.getsockname()[0])
    if address.startswith("127."):
        pytest.skip(f"calls from elsewhere need an address that is not loopback, and there is only {address}")
    return address
