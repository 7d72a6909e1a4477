"""Certificates and keys in PEM files: whether they do, when they end, and when they were renewed.

    files = CertificateFiles("tls.crt", "tls.key", ca_file="ca.crt", setting="serving.certificate_file")
    files.check(Role.SERVER)            the instant they end; ConfigurationError where nobody would accept them
    if files.were_renewed(): ...        since the last time this was asked

check() makes the handshake that a caller would make, in memory: so key, chain, purpose and dates are judged by the same
code as in earnest.
"""

import ssl
from enum import Enum
from pathlib import Path
from typing import Final

from mmrec.connections.secrets import private_problem
from mmrec.errors import ConfigurationError

_ROUNDS: Final = 20
"""More messages than a handshake has."""


class Role(Enum):
    """Which side shows the certificate."""

    SERVER = "server"
    CLIENT = "client"


class CertificateFiles:
    """A certificate with its key, and what others' certificates are checked by."""

    def __init__(self, certificate_file: str, key_file: str, *, ca_file: str = "", setting: str) -> None:
        """Nothing is read yet.

        Args:
            ca_file: Empty where nobody's certificate is checked.
            setting: The setting that names `certificate_file`, for errors.
        """
        self.certificate_file, self.key_file, self.ca_file = certificate_file, key_file, ca_file
        self._setting = setting
        self._seen = self._state()

    def check(self, role: Role, *, issuer_file: str = "") -> float:
        """When the certificate ends, in epoch seconds.

        Args:
            issuer_file: Certificates (PEM) that it must lead to; empty: it is trusted as it stands, its dates apart.

        Raises:
            ConfigurationError: a file cannot be read, others may read the key, key and certificate do not belong
                together, the certificate has expired, is not valid yet, is not made for this role, or leads elsewhere.
        """
        own = _context(ssl.PROTOCOL_TLS_SERVER if role is Role.SERVER else ssl.PROTOCOL_TLS_CLIENT)
        other = _context(ssl.PROTOCOL_TLS_CLIENT if role is Role.SERVER else ssl.PROTOCOL_TLS_SERVER)
        self._load(own)
        if self.ca_file:
            self._trust(own, self.ca_file)
        self._trust(other, issuer_file or self.certificate_file)
        if not issuer_file:
            other.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        other.verify_mode = ssl.CERT_REQUIRED
        if role is Role.CLIENT:
            self._load(other)  # a server must have some certificate: here its own is as good as any
        try:
            shown = _shown_to(other, own)
        except ssl.SSLCertVerificationError as error:
            raise self._wrong(
                self.certificate_file, f"as a {role.value} it is refused: {error.verify_message}"
            ) from None
        except ssl.SSLError as error:
            raise self._wrong(
                self.certificate_file, f"no handshake with it succeeds: {error.reason or error}"
            ) from None
        return ssl.cert_time_to_seconds(shown["notAfter"])

    def pem(self) -> tuple[bytes, bytes, bytes | None]:
        """Key, certificate chain, and what others are checked by, once they were found to belong together.

        Raises:
            ConfigurationError: as check(); dates and purpose are not looked at.
        """
        self._load(_context(ssl.PROTOCOL_TLS_SERVER))
        ca = Path(self.ca_file).read_bytes() if self.ca_file else None
        return Path(self.key_file).read_bytes(), Path(self.certificate_file).read_bytes(), ca

    def were_renewed(self) -> bool:
        """Whether a file is another one than when this was last asked, or than at the beginning."""
        before, self._seen = self._seen, self._state()
        return self._seen != before

    def _state(self) -> list[tuple[int, int, int] | None]:
        return [_file_state(path) for path in (self.certificate_file, self.key_file, self.ca_file) if path]

    def _load(self, context: ssl.SSLContext) -> None:
        if problem := private_problem(self.key_file):
            raise self._wrong(self.key_file, problem)
        try:
            context.load_cert_chain(self.certificate_file, self.key_file, password=lambda: b"")  # or it would ask
        except (OSError, ValueError) as error:
            raise self._wrong(
                self.certificate_file, f"it does not go with {self.key_file!r}: {_reason(error)}"
            ) from None

    def _trust(self, context: ssl.SSLContext, path: str) -> None:
        try:
            context.load_verify_locations(path)
        except (OSError, ValueError) as error:
            raise self._wrong(path, f"it holds no certificates: {_reason(error)}") from None

    def _wrong(self, path: str, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self._setting}: {path!r}: {what}")


def authorities_end_s(path: str, *, setting: str) -> float:
    """When the first of the authorities in a file ends, in epoch seconds.

    Raises:
        ConfigurationError: the file cannot be read, or has no certificate of an authority.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{setting}: {path!r}: it holds no certificates: {_reason(error)}") from None
    ends = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]
    if not ends:
        raise ConfigurationError(f"{setting}: {path!r}: none of its certificates is an authority's")
    return min(ends)


def _context(protocol: int) -> ssl.SSLContext:
    """A context that trusts nobody yet and looks at no names."""
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shown_to(other: ssl.SSLContext, own: ssl.SSLContext) -> dict[str, str]:
    """What the side `other` sees of the certificate of `own`."""
    to_other, to_own = ssl.MemoryBIO(), ssl.MemoryBIO()
    is_server = own.protocol is ssl.PROTOCOL_TLS_SERVER
    sides = [
        own.wrap_bio(to_own, to_other, server_side=is_server),
        other.wrap_bio(to_other, to_own, server_side=not is_server),
    ]
    for _ in range(_ROUNDS):
        waiting = 0
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting += 1
        if not waiting:
            break
    found = sides[1].getpeercert()
    if not found:
        raise ssl.SSLError("the other side saw no certificate")
    return {name: str(value) for name, value in found.items()}


def _file_state(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
