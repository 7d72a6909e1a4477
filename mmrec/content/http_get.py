"""One HTTP GET of something that strangers named: checked addresses, bounded bytes, one deadline for everything.

The name is resolved here and the connection goes to an address that was checked: a name that answers otherwise when it
is asked again (DNS rebinding) gains nothing. Every redirect is checked anew. Proxies of the environment are not used:
behind one nobody knows where a request ends. Resolving a name is bounded by the system's resolver alone.
"""

import http.client
import io
import socket
import ssl
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from mmrec.content.addresses import is_public
from mmrec.content.fetch_errors import FetchError, FetchReason, shown

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LATER: Final = frozenset({408, 425, 429})
_PORTS: Final = {"http": 80, "https": 443}
_CHUNK: Final = 65_536
_IN_A_PATH: Final = "/%:@!$&'()*+,;=~"
_AGENT: Final = "mmrec"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came."""

    body: bytes | None
    """None where what the caller has is still right."""
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, kw_only=True)
class GetLimits:
    """What one GET may cost and where it may go."""

    timeout_s: float
    """For everything: connecting, redirects and reading."""
    max_bytes: int
    """Of the body, unpacked."""
    max_redirects: int
    may_be_private: Callable[[str], bool]
    """Whether this host may be at an address that is not public."""
    check: Callable[[SplitResult], None]
    """Raises FetchError for a URL that may not be asked; called for every redirect, too."""


def http_get(uri: str, limits: GetLimits, *, etag: str = "", last_modified: str = "") -> Fetched:
    """Get an http or https URL.

    Args:
        uri: The URL; spaces and letters beyond ASCII in its path are escaped.
        limits: See there.
        etag: Of what the caller has; where that is still right no body comes.
        last_modified: The same.

    Raises:
        FetchError: see FetchReason.
    """
    until_s = time.monotonic() + limits.timeout_s
    given = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    conditions = {name: value for name, value in given.items() if value}
    for _ in range(limits.max_redirects + 1):
        url = urlsplit(uri)
        limits.check(url)
        if url.scheme not in _PORTS:
            raise FetchError(FetchReason.FORBIDDEN_SCHEME, f"{shown(uri)}: redirected from http to another scheme")
        try:
            with closing(_connect(url, limits, until_s)) as connected:
                answer = _ask(url, connected, until_s, conditions)
                if answer.status not in _REDIRECTS:
                    return _read(answer, limits)
                target = answer.headers.get("Location", "")
        except TimeoutError:
            raise FetchError(
                FetchReason.UNREACHABLE, f"{shown(uri)}: nothing whole within {limits.timeout_s:g} s", transient=True
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise FetchError(FetchReason.UNTRUSTED, f"{shown(uri)}: {error.verify_message}") from None
        except (OSError, http.client.HTTPException) as error:
            raise FetchError(
                FetchReason.UNREACHABLE, f"{shown(uri)}: {type(error).__name__}: {error}", transient=True
            ) from None
        if not target:
            raise FetchError(FetchReason.REFUSED, f"{shown(uri)}: status {answer.status} without a Location")
        uri = urljoin(uri, target)
    raise FetchError(FetchReason.TOO_MANY_REDIRECTS, f"more than {limits.max_redirects}, the last to {shown(uri)}")


def _connect(url: SplitResult, limits: GetLimits, until_s: float) -> socket.socket:
    host, port = _host(url), url.port or _PORTS[url.scheme]
    addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in addresses:
        if not is_public(address) and not limits.may_be_private(host):
            raise FetchError(
                FetchReason.FORBIDDEN_ADDRESS,
                f"{host} is at {address}, which is no public address; content.image_private_hosts may name it",
            )
    failure: OSError = OSError(f"{host} has no address")
    for address in addresses:
        try:
            # An address, no name: nobody is asked again.
            plain = socket.create_connection((address, port), timeout=_left_s(until_s))
        except OSError as error:
            failure = error
            continue
        if url.scheme == "http":
            return plain
        try:
            plain.settimeout(_left_s(until_s))
            return _tls().wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
    raise failure


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _ask(
    url: SplitResult, connected: socket.socket, until_s: float, conditions: dict[str, str]
) -> http.client.HTTPResponse:
    host = _host(url)
    named = f"[{host}]" if ":" in host else host
    connection = http.client.HTTPConnection(named)
    connection.sock = _TimedSocket(connected, until_s)
    target = quote(url.path or "/", safe=_IN_A_PATH)
    if url.query:
        target += "?" + quote(url.query, safe=_IN_A_PATH + "?")
    port = f":{url.port}" if url.port and url.port != _PORTS[url.scheme] else ""
    headers = {"Host": named + port, "User-Agent": _AGENT, "Accept": "image/*", "Accept-Encoding": "identity"}
    connection.request("GET", target, headers={**headers, "Connection": "close", **conditions})
    return connection.getresponse()


def _read(answer: http.client.HTTPResponse, limits: GetLimits) -> Fetched:
    marks = {"etag": answer.headers.get("ETag", ""), "last_modified": answer.headers.get("Last-Modified", "")}
    if answer.status == http.HTTPStatus.NOT_MODIFIED:
        return Fetched(body=None, **marks)
    if answer.status != http.HTTPStatus.OK:
        later = answer.status >= 500 or answer.status in _LATER
        reason = FetchReason.UNREACHABLE if later else FetchReason.REFUSED
        raise FetchError(reason, f"status {answer.status}", transient=later)
    too_large = FetchError(FetchReason.TOO_LARGE, f"more than {limits.max_bytes} bytes")
    if (answer.length or 0) > limits.max_bytes:
        raise too_large
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
        raise FetchError(FetchReason.BROKEN, f"Content-Encoding {encoding!r} though none was asked for")
    # 32 more than the window: gzip or zlib, as the first bytes say.
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding not in {"identity", ""} else None
    body, num_packed = bytearray(), 0
    while packed := answer.read(_CHUNK):
        num_packed += len(packed)
        try:
            body += unpack.decompress(packed, limits.max_bytes + 1 - len(body)) if unpack is not None else packed
        except zlib.error as error:
            raise FetchError(FetchReason.BROKEN, f"Content-Encoding {encoding}: {error}") from None
        if max(len(body), num_packed) > limits.max_bytes:
            raise too_large
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    return Fetched(body=bytes(body), **marks)


def _host(url: SplitResult) -> str:
    try:
        return (url.hostname or "").encode("idna").decode("ascii")
    except UnicodeError:
        raise FetchError(FetchReason.BAD_URI, f"{shown(url.geturl())}: no host name") from None


def _left_s(until_s: float) -> float:
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


class _TimedSocket:
    """As much of a socket as http.client uses; no wait of it goes beyond the deadline. Closing is the owner's."""

    def __init__(self, connected: socket.socket, until_s: float) -> None:
        self._connected, self._until_s = connected, until_s

    def sendall(self, data: Any) -> None:
        self._connected.settimeout(_left_s(self._until_s))
        self._connected.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._connected, self._until_s))

    def close(self) -> None:
        return


class _TimedReader(io.RawIOBase):
    def __init__(self, connected: socket.socket, until_s: float) -> None:
        self._connected, self._until_s = connected, until_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connected.settimeout(_left_s(self._until_s))
        return self._connected.recv_into(buffer)
