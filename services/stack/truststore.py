"""The caller's certificate authorities, in the form a Java runtime reads.

A packaged Java brings its own list of authorities and ignores the machine's. Where SSL_CERT_FILE names a PEM file (a
company's proxy, say), the same file is written as a JKS key store: magic, version, entries, and the keyed SHA-1 digest
that the format asks for.
"""

import hashlib
import os
import re
import ssl
import struct
from pathlib import Path

from mmrec.disk.files import replace_file
from mmrec.errors import MachineError

_PASSWORD = "changeit"  # the customary password of trust stores; it keeps no secret  # noqa: S105
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def java_trust_options(folder: Path) -> list[str]:
    """Java options that trust what SSL_CERT_FILE names, writing the key store into `folder`; none where it is unset."""
    named = os.environ.get("SSL_CERT_FILE", "")
    if not named:
        return []
    try:
        pem = Path(named).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise MachineError(
            f"SSL_CERT_FILE={named} cannot be read ({error.strerror}); unset it or name a PEM file"
        ) from None
    store = folder / f"trust-{hashlib.sha256(pem.encode()).hexdigest()[:16]}.jks"
    if not store.exists():
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(store, jks([ssl.PEM_cert_to_DER_cert(block) for block in _PEM.findall(pem)]))
    return [
        f"-Djavax.net.ssl.trustStore={store}",
        "-Djavax.net.ssl.trustStoreType=JKS",
        f"-Djavax.net.ssl.trustStorePassword={_PASSWORD}",
    ]


def jks(certificates: list[bytes]) -> bytes:
    """A JKS key store of trusted certificates, given in DER form."""

    def text(value: str) -> bytes:
        encoded = value.encode()
        return struct.pack(">H", len(encoded)) + encoded

    body = struct.pack(">III", 0xFEEDFEED, 2, len(certificates))
    for number, der in enumerate(certificates):
        entry = struct.pack(">I", 2) + text(f"ca-{number}") + struct.pack(">Q", 0) + text("X.509")
        body += entry + struct.pack(">I", len(der)) + der
    sealed = _PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + body
    return body + hashlib.sha1(sealed, usedforsecurity=False).digest()
