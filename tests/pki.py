"""Throwaway authorities and certificates for tests, made with the openssl program.

pki = Authority(folder, "ca")
pki.issue("server", names="DNS:localhost,IP:127.0.0.1")         files server.crt, server.key
"""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl program")


class Issued(NamedTuple):
    """Paths of a certificate and its key."""

    certificate: str
    key: str


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        """Make the authority's own certificate, for 30 days."""
        self._folder, self._name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self._new_key(name)
        usage = "keyUsage=critical,keyCertSign,cRLSign"
        basic = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", usage)
        subject = ("-subj", f"/O=mmrec tests/CN={name}")
        self._openssl(
            "req",
            "-x509",
            "-new",
            "-key",
            f"{name}.key",
            "-sha256",
            "-days",
            "30",
            *subject,
            *basic,
            "-out",
            f"{name}.crt",
        )

    @property
    def certificate(self) -> str:
        """Path of the authority's certificate."""
        return str(self._folder / f"{self._name}.crt")

    def issue(
        self,
        name: str,
        *,
        names: str = "DNS:localhost,IP:127.0.0.1",
        usage: str = "serverAuth,clientAuth",
        days: int = 90,
    ) -> Issued:
        """A certificate with its key, PKCS#8, mode 0600; files of that name are replaced.

        Args:
            days: From now on; negative for one that has expired.
        """
        self._new_key(name)
        self._openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/O=mmrec tests/CN={name}", "-out", f"{name}.csr")
        extensions = f"basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\nsubjectAltName={names}\n"
        (self._folder / f"{name}.ext").write_text(extensions, encoding="utf-8")
        signed = ("-CA", f"{self._name}.crt", "-CAkey", f"{self._name}.key", "-CAcreateserial", "-sha256")
        to = ("-days", str(days), "-extfile", f"{name}.ext", "-out", f"{name}.crt")
        self._openssl("x509", "-req", "-in", f"{name}.csr", *signed, *to)
        return Issued(str(self._folder / f"{name}.crt"), str(self._folder / f"{name}.key"))

    def _new_key(self, name: str) -> None:
        (self._folder / f"{name}.key").unlink(missing_ok=True)
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")
        (self._folder / f"{name}.key").chmod(0o600)

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)


def secret(path: Path, text: str) -> str:
    """A file with a secret, mode 0600; returns its path."""
    path.write_text(f"{text}\n", encoding="utf-8")
    path.chmod(0o600)
    return str(path)
