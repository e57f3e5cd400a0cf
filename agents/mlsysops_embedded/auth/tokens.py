"""ServiceAccount tokens: signed JWTs (RFC 7519, ES256 of RFC 7518) with the claims Kubernetes gives them."""

from __future__ import annotations

import base64
import hashlib
import time
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

__all__ = ["AUDIENCE", "LEGACY_ISSUER", "TokenSigner"]

AUDIENCE: Final = "https://kubernetes.default.svc"
#: Who issues the tokens that are kept in Secrets and do not expire (pkg/serviceaccount/legacy.go).
LEGACY_ISSUER: Final = "kubernetes/serviceaccount"
_CACHE: Final = 4096


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class TokenSigner:
    """Makes and checks tokens.

    Args:
        key_file: PEM of a P-256 private key.
    """

    def __init__(self, key_file: Path) -> None:
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key_file}: not an elliptic curve key")
        self._key = key
        self._public = key.public_key()
        der = self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self._id = _encode(hashlib.sha256(der).digest())
        self._known: dict[str, dict[str, Any]] = {}

    def sign(self, claims: dict[str, Any]) -> str:
        """A token of the claims."""
        head = _encode(orjson.dumps({"alg": "ES256", "kid": self._id}))
        text = f"{head}.{_encode(orjson.dumps(claims))}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_encode(r.to_bytes(32) + s.to_bytes(32))}"

    def verify(self, token: str) -> dict[str, Any] | None:
        """Claims of a token that is genuine and valid now; otherwise None."""
        claims = self._known.get(token)
        if claims is None:
            claims = self._checked(token)
            if claims is None:
                return None
            if len(self._known) >= _CACHE:
                self._known.clear()
            self._known[token] = claims
        now = time.time()
        if claims.get("iss") == LEGACY_ISSUER:  # as long as its Secret holds it, which the authenticator looks up
            return claims
        if not isinstance(claims.get("exp"), (int, float)) or now >= claims["exp"] or now < claims.get("nbf", 0) - 10:
            return None
        return claims

    def _checked(self, token: str) -> dict[str, Any] | None:
        head, _, rest = token.partition(".")
        body, _, signature = rest.partition(".")
        try:
            header, raw = orjson.loads(_decode(head)), _decode(signature)
            if not isinstance(header, dict) or header.get("alg") != "ES256" or len(raw) != 64:
                return None
            der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
            self._public.verify(der, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
            claims = orjson.loads(_decode(body))
        except (ValueError, InvalidSignature):
            return None
        return claims if isinstance(claims, dict) else None
