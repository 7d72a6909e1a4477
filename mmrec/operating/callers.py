"""Who calls the administrative service, and whether they may.

Behind the edge, which checks tokens and scopes, the certificate that a caller shows is the edge's, and the edge says in
a header who its own caller is. That header is believed from those that admin.edges names, and from nobody else.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote

from mmrec.config import AdminSettings
from mmrec.operating.acts import LOCAL, Caller
from mmrec.programs.plaintext import is_loopback
from mmrec.v1.admin_pb2 import IdentifiedBy

CLIENT_HEADER: Final = "x-client"
"""Metadata key in which the edge names its caller."""
MAX_WHO: Final = 256
UNKNOWN: Final = "unknown"
"""Somebody elsewhere whom no certificate names, where none is asked for."""
_NAMES: Final = ("x509_subject_alternative_name", "x509_common_name")
"""Properties of gRPC's authentication context."""


def certificate_names(properties: Mapping[str, Sequence[bytes]]) -> list[str]:
    """Names in the certificate that a caller showed; empty where it showed none."""
    return [name.decode("utf-8", errors="replace") for key in _NAMES for name in properties.get(key, ())]


def caller_of(
    properties: Mapping[str, Sequence[bytes]], metadata: Mapping[str, str], settings: AdminSettings, *, peer: str
) -> Caller | None:
    """Who calls; None where they may not.

    Args:
        properties: gRPC's authentication context.
        metadata: The call's.
        peer: gRPC's name of the other end, such as "ipv4:127.0.0.1:4711".
    """
    names = certificate_names(properties)
    if settings.callers and not set(names) & set(settings.callers):
        return None
    if not names and is_loopback(_host(peer)):
        return Caller(who=LOCAL, identified_by=IdentifiedBy.IDENTIFIED_BY_LOOPBACK)
    if not names:
        return Caller(who=UNKNOWN, identified_by=IdentifiedBy.IDENTIFIED_BY_UNSPECIFIED)
    if set(names) & set(settings.edges):
        client = metadata.get(CLIENT_HEADER, "")
        if not client:
            return None
        return Caller(who=client[:MAX_WHO], identified_by=IdentifiedBy.IDENTIFIED_BY_EDGE)
    known = next((name for name in names if name in settings.callers), names[0])
    return Caller(who=known[:MAX_WHO], identified_by=IdentifiedBy.IDENTIFIED_BY_CERTIFICATE)


def _host(peer: str) -> str:
    kind, _, address = unquote(peer).partition(":")
    return "localhost" if kind == "unix" else address.rpartition(":")[0].strip("[]")
