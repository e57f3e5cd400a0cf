"""Impersonation: one user acts as another, where RBAC lets it (verb ``impersonate``).

Source: apiserver `pkg/endpoints/filters/impersonation/impersonation.go`;
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from mlsysops_embedded.auth.rbac import Attributes, Authorizer
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.call import ANONYMOUS, User

__all__ = ["impersonated"]

_USER: Final = b"impersonate-user"
_GROUP: Final = b"impersonate-group"
_UID: Final = b"impersonate-uid"
_EXTRA: Final = b"impersonate-extra-"
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#: What names a ServiceAccount; all else that begins so is an ordinary user.
_ACCOUNT: Final = re.compile(
    rf"system:serviceaccount:(?P<namespace>{_LABEL}):(?P<account>{_LABEL}(\.{_LABEL})*)", re.ASCII
)
_AUTHENTICATION: Final = "authentication.k8s.io"


def impersonated(user: User, headers: Iterable[tuple[bytes, bytes]], authorizer: Authorizer) -> User:
    """Who a request acts as: its user, or whom its headers name.

    The user must hold the right to every name, group, uid and extra value that a header gives; only the groups that
    follow from the name itself go unasked.

    Args:
        user: Whom the credentials prove.
        headers: Names in lower case, with values.
        authorizer: Who may impersonate whom.

    Raises:
        ApiError: 400 where the headers name no user, 403 where the user may not.
    """
    names: list[str] = []
    uids: list[str] = []
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    for key, raw in headers:
        if not key.startswith(b"impersonate-"):
            continue
        value = raw.decode("latin-1")
        if key == _USER:
            names.append(value)
        elif key == _GROUP:
            groups.append(value)
        elif key == _UID:
            uids.append(value)
        elif key.startswith(_EXTRA):
            extra.setdefault(unquote(key[len(_EXTRA) :].decode("latin-1").lower()), []).append(value)
    name, uid = (names or [""])[0], (uids or [""])[0]
    if not name:
        if groups or uid or extra:
            raise ApiError.bad_request("requested impersonation of a group, uid or extra without impersonating a user")
        return user
    account = _ACCOUNT.fullmatch(name)
    if account:
        asked = [Attributes("impersonate", "", "serviceaccounts", "", account["namespace"], account["account"])]
    else:
        asked = [Attributes("impersonate", "", "users", name=name)]
    asked += [Attributes("impersonate", "", "groups", name=group) for group in groups]
    asked += [
        Attributes("impersonate", _AUTHENTICATION, "userextras", key, name=value)
        for key, values in extra.items()
        for value in values
    ]
    if uid:
        asked.append(Attributes("impersonate", _AUTHENTICATION, "uids", name=uid))
    for item in asked:
        authorizer.demand(user, item)
    if account and not groups:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account['namespace']}"]
    if name == ANONYMOUS.name:
        groups.append("system:unauthenticated")
    elif "system:unauthenticated" not in groups:
        groups.append("system:authenticated")
    return User(name, tuple(dict.fromkeys(groups)), uid, extra)
