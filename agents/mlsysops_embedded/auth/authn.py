"""Authentication: client certificates and ServiceAccount tokens."""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from typing import Any, Final

from mlsysops_embedded.auth.tokens import AUDIENCE, LEGACY_ISSUER, TokenSigner
from mlsysops_embedded.errors import ApiError, Cause
from mlsysops_embedded.machinery import meta
from mlsysops_embedded.machinery.call import ANONYMOUS, User
from mlsysops_embedded.store import Store

__all__ = ["Authenticator"]

_MIN_SECONDS: Final = 600
_MAX_SECONDS: Final = 365 * 86400


class Authenticator:
    """Tells who calls.

    Args:
        store: Where ServiceAccounts, pods and secrets are looked up.
        signer: Of ServiceAccount tokens.
    """

    def __init__(self, store: Store, signer: TokenSigner) -> None:
        self._store = store
        self._signer = signer

    def authenticate(self, peer: User | None, authorization: str) -> User:
        """The user of a request.

        Args:
            peer: From a verified client certificate.
            authorization: The header.

        Raises:
            ApiError: 401 where credentials are given but not good.
        """
        if peer is not None:
            return peer
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise ApiError.unauthorized()
        user = self.token_user(token.strip(), (AUDIENCE,))
        if user is None:
            raise ApiError.unauthorized()
        return user

    def token_user(self, token: str, audiences: tuple[str, ...]) -> User | None:
        """The user of a token for one of the audiences; None where it is not good (any more)."""
        claims = self._signer.verify(token)
        if claims is None:
            return None
        if claims.get("iss") == LEGACY_ISSUER:
            return self._secret_user(token, claims) if AUDIENCE in audiences else None
        given = claims.get("aud") or []
        if not set(given if isinstance(given, list) else [given]) & set(audiences):
            return None
        facts = claims.get("kubernetes.io") or {}
        namespace, account = facts.get("namespace", ""), facts.get("serviceaccount") or {}
        present = self._store.read("serviceaccounts", namespace, account.get("name", ""))
        if (
            present is None
            or present["metadata"]["uid"] != account.get("uid")
            or present["metadata"].get("deletionTimestamp")
        ):
            return None
        extra: dict[str, Any] = {"authentication.kubernetes.io/credential-id": [f"JTI={claims.get('jti', '')}"]}
        for kind, bucket, place in (
            ("pod", "pods", namespace),
            ("secret", "secrets", namespace),
            ("node", "nodes", ""),
        ):
            bound = facts.get(kind)
            if not bound:
                continue
            obj = self._store.read(bucket, place, bound.get("name", ""))
            if obj is None or obj["metadata"]["uid"] != bound.get("uid"):
                return None
            extra[f"authentication.kubernetes.io/{kind}-name"] = [bound["name"]]
            extra[f"authentication.kubernetes.io/{kind}-uid"] = [bound["uid"]]
        name = f"system:serviceaccount:{namespace}:{account['name']}"
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return User(name, groups, account["uid"], extra)

    def _secret_user(self, token: str, claims: dict[str, Any]) -> User | None:
        """The user of a token that is kept in a Secret; None where the Secret does not hold it any more."""
        namespace, name, account, uid = (
            str(claims.get(f"kubernetes.io/serviceaccount/{key}") or "")
            for key in ("namespace", "secret.name", "service-account.name", "service-account.uid")
        )
        present = self._store.read("serviceaccounts", namespace, account)
        if present is None or present["metadata"]["uid"] != uid or present["metadata"].get("deletionTimestamp"):
            return None
        secret = self._store.read("secrets", namespace, name)
        kept = ((secret or {}).get("data") or {}).get("token") or ""
        if not hmac.compare_digest(base64.b64encode(token.encode()), str(kept).encode()):
            return None
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return User(f"system:serviceaccount:{namespace}:{account}", groups, uid, {})

    def audiences(self, token: str, asked: tuple[str, ...]) -> list[str]:
        """Which of the audiences asked for a token names."""
        given = (self._signer.verify(token) or {}).get("aud") or []
        return [audience for audience in asked if audience in (given if isinstance(given, list) else [given])]

    def token_request(self, account: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        """Answers a TokenRequest for a ServiceAccount (authentication.k8s.io/v1).

        Raises:
            ApiError: 400, 404 or 409 where the request asks for what cannot be given.
        """
        spec = request.get("spec") or {}
        seconds = spec.get("expirationSeconds") or 3600
        if seconds < _MIN_SECONDS:
            why = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
            cause = Cause("FieldValueInvalid", "spec.expirationSeconds", why)
            raise ApiError.invalid("TokenRequest", "", [cause], "authentication.k8s.io")
        if seconds > 2**32:
            cause = Cause("FieldValueInvalid", "spec.expirationSeconds", f"Invalid value: {seconds}: too long")
            raise ApiError.invalid("TokenRequest", "", [cause], "authentication.k8s.io")
        seconds = min(seconds, _MAX_SECONDS)
        audiences = spec.get("audiences") or [AUDIENCE]
        metadata = account["metadata"]
        facts: dict[str, Any] = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        bound = spec.get("boundObjectRef")
        if bound:
            version, kind = bound.get("apiVersion") or "v1", bound.get("kind", "")
            if version != "v1" or kind not in ("Pod", "Secret"):
                raise ApiError.bad_request(f"cannot bind token to object of type {version}, Kind={kind}")
            kind = kind.lower()
            bucket = f"{kind}s"
            obj = self._store.read(bucket, metadata["namespace"], str(bound.get("name", "")))
            if obj is None:
                raise ApiError.not_found(bucket, str(bound.get("name", "")))
            if bound.get("uid") not in (None, "", obj["metadata"]["uid"]):
                raise ApiError.conflict(
                    bucket, obj["metadata"]["name"], "the UID in the bound object reference does not match"
                )
            facts[kind] = {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
        issued = int(time.time())
        claims = {
            "aud": audiences, "exp": issued + seconds, "iat": issued, "nbf": issued, "iss": AUDIENCE,
            "jti": secrets.token_hex(16), "kubernetes.io": facts,
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }  # fmt: skip
        status = {"token": self._signer.sign(claims), "expirationTimestamp": meta.later(meta.now(), seconds)}
        return {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "creationTimestamp": meta.now()},
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound},
            "status": status,
        }
