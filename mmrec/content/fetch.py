"""Pictures that items name by URI, fetched within limits: http and https by our own GET, other schemes by fsspec.

    fetcher = ImageFetcher(settings.content)
    body = fetcher.fetch("https://shop.example/red.jpg").body

Items are written by whoever may write to the catalogue; the credentials and the network here are the operator's. So
what may be fetched is what the operator lists: schemes, hosts if wanted, and public addresses unless told otherwise.
"""

import re
import time
from typing import Final
from urllib.parse import SplitResult, urlsplit

import fsspec

from mmrec.config import ContentSettings
from mmrec.content.fetch_errors import FetchError, FetchReason, shown
from mmrec.content.http_get import Fetched, GetLimits, http_get
from mmrec.errors import ConfigurationError

FIRST_PAUSE_S: Final = 0.25
"""Before the first retry; it doubles with each."""
_CHUNK: Final = 65_536
_HTTP: Final = frozenset({"http", "https"})
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)


class ImageFetcher:
    """Fetches one picture at a time, for any number of threads.

    Raises:
        ConfigurationError: a scheme of content.image_schemes that no installed package reads.
    """

    def __init__(self, settings: ContentSettings) -> None:
        self._settings = settings
        self._limits = GetLimits(
            timeout_s=settings.image_fetch_timeout_s,
            max_bytes=settings.max_image_bytes,
            max_redirects=settings.max_image_redirects,
            may_be_private=lambda host: _is_among(host, settings.image_private_hosts),
            check=self._check,
        )
        for scheme in sorted({*settings.image_schemes} - _HTTP):
            try:
                fsspec.get_filesystem_class(scheme)
            except (ImportError, ValueError) as error:
                raise ConfigurationError(f"content.image_schemes has {scheme!r}: {error}") from None

    @property
    def longest_s(self) -> float:
        """What one fetch with all retries may take."""
        retries = self._settings.image_fetch_retries
        return float((retries + 1) * self._settings.image_fetch_timeout_s + FIRST_PAUSE_S * 2**retries)

    def fetch(self, uri: str, *, etag: str = "", last_modified: str = "") -> Fetched:
        """The picture's bytes, whatever they are.

        Args:
            uri: As the item has it.
            etag: Of what the caller has; see http_get().
            last_modified: The same.

        Raises:
            FetchError: it may not be fetched, or could not be, retries included.
        """
        for retry in range(self._settings.image_fetch_retries + 1):
            try:
                return self._once(uri, etag, last_modified)
            except FetchError as error:
                if not error.transient or retry == self._settings.image_fetch_retries:
                    raise
                time.sleep(FIRST_PAUSE_S * 2**retry)
        raise AssertionError("the last retry returns or raises")

    def _once(self, uri: str, etag: str, last_modified: str) -> Fetched:
        try:
            url = urlsplit(uri)
            self._check(url)
            if url.scheme in _HTTP:
                return http_get(uri, self._limits, etag=etag, last_modified=last_modified)
            return self._by_fsspec(url.geturl())  # what was checked: urlsplit drops white space and case of the scheme
        except FetchError:
            raise
        except ValueError as error:
            raise FetchError(FetchReason.BAD_URI, f"{shown(uri)}: {error}") from None

    def _check(self, url: SplitResult) -> None:
        settings = self._settings
        uri = shown(url.geturl())
        if not _SCHEME.fullmatch(url.scheme):
            raise FetchError(FetchReason.BAD_URI, f"{uri}: give a URL such as https://shop.example/red.jpg")
        if url.scheme not in settings.image_schemes:
            known = ", ".join(settings.image_schemes) or "none"
            raise FetchError(FetchReason.FORBIDDEN_SCHEME, f"{uri}: content.image_schemes has {known}")
        if url.scheme not in _HTTP:
            # fsspec takes what stands before :: for another scheme, whatever we have checked.
            if url.scheme != "data" and "::" in url.geturl():
                raise FetchError(FetchReason.BAD_URI, f"{uri}: several URLs in one")
            return
        if not url.hostname or "@" in url.netloc:
            raise FetchError(FetchReason.BAD_URI, f"{uri}: give a host, and no user name or password")
        if settings.image_hosts and not _is_among(url.hostname, settings.image_hosts):
            raise FetchError(
                FetchReason.FORBIDDEN_HOST, f"{uri}: content.image_hosts has {', '.join(settings.image_hosts)}"
            )

    def _by_fsspec(self, uri: str) -> Fetched:
        limits = self._limits
        until_s = time.monotonic() + limits.timeout_s
        body = bytearray()
        try:
            with fsspec.open(uri, "rb") as file:
                while chunk := file.read(_CHUNK):
                    body += chunk
                    if len(body) > limits.max_bytes:
                        raise FetchError(FetchReason.TOO_LARGE, f"{shown(uri)}: more than {limits.max_bytes} bytes")
                    if time.monotonic() > until_s:
                        raise TimeoutError(f"nothing whole within {limits.timeout_s:g} s")
        except FetchError:
            raise
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise FetchError(FetchReason.REFUSED, f"{shown(uri)}: {type(error).__name__}") from None
        except ValueError as error:
            raise FetchError(FetchReason.BAD_URI, f"{shown(uri)}: {error}") from None
        except Exception as error:  # drivers raise what their services' libraries raise
            detail = f"{shown(uri)}: {type(error).__name__}: {error}"
            raise FetchError(FetchReason.UNREACHABLE, detail, transient=True) from None
        return Fetched(body=bytes(body))


def _is_among(host: str, names: tuple[str, ...]) -> bool:
    """Whether a name is `host`, or begins with "*." and `host` is below it, or is "*"."""
    host = host.rstrip(".").lower()
    return any(name in {"*", host} or (name.startswith("*.") and host.endswith(name[1:])) for name in names)
