"""Who may ask the console for something, and change something: rules that a browser cannot be talked out of.

A page of another site can make a browser send requests here. It cannot read what we answer, set the header Origin, or
know the token that our own pages carry; and where it points a name of its own to this machine (DNS rebinding), that
name stands in the header Host.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mmrec.config import Settings
from mmrec.errors import ConfigurationError
from mmrec.operating.remote import ANYWHERE
from mmrec.programs.plaintext import is_loopback

COOKIE: Final = "mmrec-console"
TOKEN_FIELD: Final = "token"  # noqa: S105
"""Field of a form that holds the token."""
MAX_FORM_BYTES: Final = 65_536
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""Of every answer; no-referrer would make browsers send "Origin: null" with our own forms."""


def check_entrance(settings: Settings) -> None:
    """ConfigurationError where others than this machine could reach the console without showing a certificate."""
    console = settings.console
    if (
        is_loopback(_name(console.address).strip("[]"))
        or console.client_ca_file
        or "console" in settings.security.plaintext_allowed
    ):
        return
    raise ConfigurationError(
        f"console.address is {console.address!r}, which other machines can reach, and console.client_ca_file is empty: "
        "give certificates that browsers' certificates are checked by, or listen on 127.0.0.1"
    )


@dataclass(frozen=True)
class Entrance:
    """The rules of one running console."""

    names: frozenset[str]
    """Names that browsers may call it by, in small letters."""
    scheme: str
    """http or https."""
    can_change: bool = True
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Makes tokens; of the process, so a restart makes pages that are open outdated."""

    def token(self, cookie: str) -> str:
        """What forms of the browser with this cookie carry."""
        return hmac.new(self.secret, cookie.encode("utf-8", errors="replace"), hashlib.sha256).hexdigest()

    def why_not_asked(self, headers: Mapping[str, str]) -> str:
        """Why a request is not answered; empty where it is."""
        if (name := _name(headers.get("host", ""))) in self.names:
            return ""
        return f"the console does not answer to the name {name[:80]!r}; add it to console.hosts if it is its own"

    def why_not_changed(self, headers: Mapping[str, str], *, cookie: str, token: str) -> str:
        """Why a request may not change anything; empty where it may."""
        if not self.can_change:
            return "this console only shows: console.can_change is false"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "the request came from a page of another site"
        own = f"{self.scheme}://{headers.get('host', '')}"
        if headers.get("origin", own) != own:
            return f"the request came from another origin than {own}"
        if not cookie or not hmac.compare_digest(token.encode("utf-8", errors="replace"), self.token(cookie).encode()):
            return "the page is older than the running console; load it again"
        return ""


def entrance_of(settings: Settings) -> Entrance:
    """The rules that a configuration asks for."""
    console = settings.console
    names = {"localhost", "127.0.0.1", "[::1]", _name(console.address), *(name.lower() for name in console.hosts)}
    scheme = "https" if console.certificate_file else "http"
    return Entrance(names=frozenset(names.difference(ANYWHERE)), scheme=scheme, can_change=console.can_change)


def _name(host: str) -> str:
    """A host without its port, in small letters."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower()
