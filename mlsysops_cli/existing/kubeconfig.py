"""One context of a user's kubeconfig as a file of its own, with everything in it that it refers to.

The form is that of ``kubectl config view --minify --flatten`` (Kubernetes, ``k8s.io/client-go/tools/clientcmd/api/v1``).
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from mlsysops_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from mlsysops_cli.slice.existing import KubeconfigSource

__all__ = ["read_kubeconfig"]

_MAX_BYTES = 4 * 1024 * 1024
_FILES = {
    "cluster": (("certificate-authority", "certificate-authority-data"),),
    "user": (("client-certificate", "client-certificate-data"), ("client-key", "client-key-data")),
}


def read_kubeconfig(source: KubeconfigSource) -> dict[str, Any]:
    """Return a kubeconfig with the one context that is meant, its certificates embedded.

    Credentials that a program gives (``exec``) or that lie in a file which others renew (``tokenFile``) stay references,
    with absolute paths.

    Args:
        source: The user's kubeconfig.

    Raises:
        NotFound: The file, or the context, does not exist.
        InvalidInput: It is no kubeconfig, or refers to a file that cannot be read.
    """
    path = Path(source.path)
    document = _load(path)
    contexts = _named(document, "contexts", "context")
    name = source.context or str(document.get("current-context") or "")
    if not name:
        raise InvalidInput(f"{path} has no current context", hint=f"set mls_context to one of: {_list(contexts)}")
    if name not in contexts:
        raise NotFound(f"{path} has no context {name!r}", hint=f"set mls_context to one of: {_list(contexts)}")
    context = contexts[name]
    parts = {}
    for kind, plural in (("cluster", "clusters"), ("user", "users")):
        known = _named(document, plural, kind)
        wanted = str(context.get(kind) or "")
        if wanted not in known:
            raise InvalidInput(f"{path}: context {name} names the {kind} {wanted!r}, which is not there")
        parts[kind] = _embedded(path, kind, dict(known[wanted]))
    _must_be_usable(f"{path}: context {name}", parts["user"])
    if not parts["cluster"].get("server"):
        raise InvalidInput(f"{path}: the cluster of context {name} has no server")
    kept = {key: value for key, value in context.items() if key == "namespace"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": parts["cluster"]}],
        "users": [{"name": "user", "user": parts["user"]}],
        "contexts": [{"name": name, "context": {"cluster": "cluster", "user": "user", **kept}}],
        "current-context": name,
    }


def _load(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except FileNotFoundError as exc:
        raise NotFound(f"no kubeconfig {path}", hint="set mls_kubeconfig to the path of one") from exc
    except OSError as exc:
        raise InvalidInput(f"{path}: {exc.strerror or exc}", hint="make it readable for this user") from exc
    if len(data) > _MAX_BYTES:
        raise InvalidInput(f"{path}: larger than {_MAX_BYTES} bytes, which no kubeconfig is")
    try:
        document = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{path}: not YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(document, dict) or not isinstance(document.get("clusters"), list):
        raise InvalidInput(f"{path} is no kubeconfig", hint="`kubectl config view --raw` writes one")
    return document


def _named(document: dict[str, Any], plural: str, kind: str) -> dict[str, dict[str, Any]]:
    entries = document.get(plural)
    return {
        str(entry["name"]): entry[kind]
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and entry.get("name") and isinstance(entry.get(kind), dict)
    }


def _embedded(path: Path, kind: str, part: dict[str, Any]) -> dict[str, Any]:
    """Put files that a part refers to into it; what must stay a reference gets an absolute path."""
    for field, data in _FILES[kind]:
        file = part.pop(field, None)
        if file and not part.get(data):
            place = path.parent / Path(str(file)).expanduser()
            try:
                part[data] = base64.b64encode(place.read_bytes()).decode()
            except OSError as exc:
                raise InvalidInput(f"{path}: {field} {place}: {exc.strerror or exc}") from exc
    if part.get("tokenFile"):
        part["tokenFile"] = str(path.parent / str(part["tokenFile"]))
    program = part.get("exec")
    if isinstance(program, dict) and "/" in str(program.get("command", "")):
        part["exec"] = program | {"command": str(path.parent / str(program["command"]))}
    return part


def _must_be_usable(place: str, user: dict[str, Any]) -> None:
    """Refuse what kubectl would do otherwise than we do, or not do any more; each would end as somebody else, or as nobody."""
    if user.get("as"):
        raise InvalidInput(
            f"{place} impersonates {user['as']}", hint="name a context whose user has the permissions itself"
        )
    provider = user.get("auth-provider")
    kind = provider.get("name") if isinstance(provider, dict) else None
    if kind and kind != "oidc":
        hint = "have your provider's command write the kubeconfig anew: it names a program (exec) then"
        raise InvalidInput(f"{place} has the auth-provider {kind}, which Kubernetes has removed", hint=hint)
    if user.get("password") and not any(user.get(key) for key in ("token", "tokenFile", "exec")):
        hint = "name a context with a certificate, a token or a program (exec)"
        raise InvalidInput(f"{place} has a password, which Kubernetes takes no longer", hint=hint)


def _list(names: dict[str, Any]) -> str:
    return ", ".join(sorted(names)) or "none"
