"""Why a picture given by URI is not here."""

from enum import StrEnum
from urllib.parse import urlsplit

from mmrec.errors import MmrecError

MAX_SHOWN = 200


class FetchReason(StrEnum):
    """One word for status and log."""

    BAD_URI = "bad_uri"
    """No URL, or one with a user name, or several in one."""
    FORBIDDEN_SCHEME = "forbidden_scheme"
    """Not among content.image_schemes."""
    FORBIDDEN_HOST = "forbidden_host"
    """Not among content.image_hosts."""
    FORBIDDEN_ADDRESS = "forbidden_address"
    """The host is at a loopback, link-local, private or other address that is not public."""
    UNREACHABLE = "unreachable"
    """No answer, a cut one, or one that says "later" (5xx, 408, 425, 429)."""
    UNTRUSTED = "untrusted"
    """The host's certificate does not prove its name."""
    REFUSED = "refused"
    """The host says that there is nothing, or nothing for us (other statuses, no such file, no right)."""
    TOO_MANY_REDIRECTS = "too_many_redirects"
    TOO_LARGE = "too_large"
    """More bytes than content.max_image_bytes."""
    BROKEN = "broken"
    """What came is no picture we can read."""


class FetchError(MmrecError):
    """A picture that could not be fetched; `transient` where the same request may succeed later."""

    def __init__(self, reason: FetchReason, detail: str, *, transient: bool = False) -> None:
        super().__init__(detail)
        self.reason, self.transient = reason, transient


def shown(uri: str) -> str:
    """A URI as it may stand in a log: without user, password and query, which can be secrets, and not too long."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "(no URL)"
    if parts.scheme == "data":
        return "data:"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:MAX_SHOWN]
