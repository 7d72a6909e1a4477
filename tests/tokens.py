"""An issuer of tokens (JWT, RS256) for tests, made with the openssl program.

issuer = TokenIssuer(folder, issuer="https://issuer.example", audience="mmrec")
issuer.jwks_file; issuer.token("storefront", "recommend record")
"""

import base64
import json
import subprocess
import time
from pathlib import Path
from typing import Any

KEY_ID = "k1"


class TokenIssuer:
    """Signs what it is asked to sign."""

    def __init__(self, folder: Path, *, issuer: str, audience: str) -> None:
        """Make a key, and the file of keys by which others check."""
        folder.mkdir(parents=True, exist_ok=True)
        self._key, self._issuer, self._audience = folder / "token.key", issuer, audience
        _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(self._key))
        found = _openssl("rsa", "-in", str(self._key), "-noout", "-modulus").decode().strip()
        modulus = bytes.fromhex(found.removeprefix("Modulus="))
        key = {"kty": "RSA", "kid": KEY_ID, "alg": "RS256", "use": "sig", "n": _text(modulus), "e": "AQAB"}
        jwks = folder / "jwks.json"
        jwks.write_text(json.dumps({"keys": [key]}), encoding="utf-8")
        self.jwks_file = str(jwks)

    def token(self, client: str, scope: str, *, audience: str = "", expires_in_s: float = 3_600, **more: Any) -> str:
        """A token.

        Args:
            audience: Whom it is for; empty: the usual.
            expires_in_s: Negative for one that has expired.
            more: Further claims.
        """
        claims = {
            "iss": self._issuer,
            "sub": client,
            "aud": audience or self._audience,
            "exp": int(time.time() + expires_in_s),
            "scope": scope,
            **more,
        }
        head = {"alg": "RS256", "kid": KEY_ID, "typ": "JWT"}
        said = ".".join(_text(json.dumps(part).encode()) for part in (head, claims))
        signature = _openssl("dgst", "-sha256", "-sign", str(self._key), given=said.encode())
        return f"{said}.{_text(signature)}"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Metadata of a call that shows a token."""
    return (("authorization", f"Bearer {token}"),)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=given, check=True, capture_output=True).stdout
