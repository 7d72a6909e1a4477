"""Who calls the administrative service, and whether they may.

Behind the edge, which checks tokens and scopes, the certificate that a caller shows is the edge's, and the edge says in
a header who its own caller is. That header is believed from those that admin.edges names, and from nobody else.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from mmrec.config import AdminSettings
from mmrec.operating.acts import LOCAL, Caller
from mmrec.v1.admin_pb2 import IdentifiedBy

CLIENT_HEADER: Final = "x-client"
"""Metadata key in which the edge names its caller."""
MAX_WHO: Final = 256
_NAMES: Final = ("x509_subject_alternative_name", "x509_common_name")
"""Properties of gRPC's authentication context."""


def certificate_names(properties: Mapping[str, Sequence[bytes]]) -> list[str]:
    """Names in the certificate that a caller showed; empty where it showed none."""
    return [name.decode("utf-8", errors="replace") for key in _NAMES for name in properties.get(key, ())]


def caller_of(
    properties: Mapping[str, Sequence[bytes]], metadata: Mapping[str, str], settings: AdminSettings
) -> Caller | None:
    """Who calls; None where they may not.

    Args:
        properties: gRPC's authentication context.
        metadata: The call's.
    """
    names = certificate_names(properties)
    if settings.callers and not set(names) & set(settings.callers):
        return None
    if not names:
        return Caller(who=LOCAL, identified_by=IdentifiedBy.IDENTIFIED_BY_LOOPBACK)
    if set(names) & set(settings.edges):
        client = metadata.get(CLIENT_HEADER, "")
        if not client:
            return None
        return Caller(who=client[:MAX_WHO], identified_by=IdentifiedBy.IDENTIFIED_BY_EDGE)
    known = next((name for name in names if name in settings.callers), names[0])
    return Caller(who=known[:MAX_WHO], identified_by=IdentifiedBy.IDENTIFIED_BY_CERTIFICATE)
