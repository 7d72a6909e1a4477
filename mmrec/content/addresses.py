"""Which addresses a catalogue may make us connect to: those of the public internet, in whatever form they come.

An item's image URI is written by whoever may write items. Without this check it would reach what only this machine
reaches: its own services, the hosts beside it, a cloud's metadata at 169.254.169.254 (server-side request forgery).
"""

import ipaddress
from typing import Final

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_NOT_GLOBAL: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.88.99.0/24",  # the former 6to4 relays, RFC 7526
        "64:ff9b:1::/48",  # local NAT64, RFC 8215
        "3fff::/20",  # documentation, RFC 9637
        "5f00::/16",  # segment routing, RFC 9602
        "fec0::/10",  # the former site-local, RFC 3879
    )
)


def is_public(address: str) -> bool:
    """Whether this IPv4 or IPv6 address is one of the public internet, and the one embedded in it as well.

    Raises:
        ValueError: `address` is no address.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = _embedded(found)
        if inner is not None and not is_public(str(inner)):
            return False
        if inner is not None and (found in _NAT64 or found.ipv4_mapped is not None):
            return True
    if any(found in network for network in _NOT_GLOBAL if network.version == found.version):
        return False
    return (
        found.is_global
        and not found.is_private
        and not found.is_loopback
        and not found.is_link_local
        and not found.is_multicast
        and not found.is_reserved
        and not found.is_unspecified
    )


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a mapped, 6to4, Teredo, NAT64 or compatible address leads to."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
