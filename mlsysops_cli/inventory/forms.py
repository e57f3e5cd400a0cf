"""What single variables may look like, where the code that uses them would take nonsense, or plays alone see them.

A template is known only while a play runs, and what is vaulted in its line is nobody's to see: both are left to the play.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mlsysops_core.errors import Fault

    from mlsysops_cli.inventory.loader import RawInventory

__all__ = ["check_forms", "is_url"]

#: https://pkg.go.dev/github.com/distribution/reference: [host[:port]/]path[:tag][@digest]
_REGISTRY = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::\d+)?"
_PATH = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_REGISTRY}/)?{_PATH}(?:/{_PATH})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)
_REGISTRY_PATH = re.compile(rf"{_REGISTRY}(?:/{_PATH})*")
#: https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config: names, with a dot or a star before, and ports.
_NO_PROXY = re.compile(r"\*|(?:\*?\.)?[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?(?::\d+)?")
#: Members of k3s' registries.yaml (https://docs.k3s.io/installation/private-registry).
_OF_REGISTRIES = frozenset({"mirrors", "configs"})
_DAY = 86400


def is_url(value: object) -> bool:
    """Whether something is the URL of a server that speaks HTTP or HTTPS."""
    if not isinstance(value, str) or re.search(r"\s", value):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_image(value: object) -> bool:
    return isinstance(value, str) and bool(_IMAGE.fullmatch(value))


def _is_registry(value: object) -> bool:
    return isinstance(value, str) and bool(_REGISTRY_PATH.fullmatch(value))


def _is_seconds(value: object) -> bool:
    text = str(value)
    return not isinstance(value, bool) and text.isdecimal() and 0 < int(text) <= _DAY


def _is_flag(value: object) -> bool:
    return str(value).lower() in ("true", "false", "yes", "no")


def _is_without_proxy(value: object) -> bool:
    return isinstance(value, str) and all(_is_place(word.strip()) for word in value.split(",") if word.strip())


def _is_place(word: str) -> bool:
    try:
        ipaddress.ip_network(word.strip("[]"), strict=False)
    except ValueError:
        return bool(_NO_PROXY.fullmatch(word))
    return True


def _is_registries(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= _OF_REGISTRIES
        and all(isinstance(part, dict) for part in value.values())
    )


def _is_headers(value: object) -> bool:
    return isinstance(value, dict) and not any(isinstance(one, list | bool) or one is None for one in value.values())


_URL = (is_url, "which is no URL", "http://… or https://…")
_PROXY = (is_url, "which is no URL", "the proxy's URL, such as http://proxy.example:3128")
_OF_IMAGES = (_is_image, "which is no name of an image", "registry.example.com/path/name:tag")
_SECONDS = (_is_seconds, "which are no seconds", f"a whole number from 1 to {_DAY}")

#: Forms by variable: the check, what is said of what does not pass it, and what is wanted.
_FORMS: dict[str, tuple[Callable[[object], bool], str, str]] = {
    "mls_http_proxy": _PROXY,
    "mls_https_proxy": _PROXY,
    "mls_no_proxy": (_is_without_proxy, "which are no names or networks", "such as .example,registry.lab,10.0.0.0/8"),
    "mls_artifacts_mirror": _URL,
    "mls_k3s_url": _URL,
    "mls_karmada_url": _URL,
    "mls_api_url": (is_url, "which is no URL", "such as https://api.example.com:6443"),
    "mls_agents_image": _OF_IMAGES,
    "mls_northbound_image": _OF_IMAGES,
    "mls_karmada_agent_image": _OF_IMAGES,
    "mls_karmada_registry": (_is_registry, "which is no registry", "such as registry.example.com/karmada"),
    "mls_airgap_images": (_is_flag, "which is neither yes nor no", "true or false"),
    "mls_health_seconds": _SECONDS,
    "mls_rollout_seconds": _SECONDS,
}
#: What may hold secrets is not shown.
_SECRET: dict[str, tuple[Callable[[object], bool], str, str]] = {
    "mls_registries": (_is_registries, "is no registries.yaml of k3s", "a mapping with mirrors, configs, or both"),
    "mls_otlp_headers": (_is_headers, "is no mapping of headers", "write it as name: value"),
}


def check_forms(raw: RawInventory, faults: list[Fault], hosts: Iterable[str]) -> None:
    """Add a fault for each value that its variable cannot have, once, however many hosts have it.

    Args:
        raw: The inventory.
        faults: Is added to.
        hosts: The hosts of the slice.
    """
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for host in hosts:
        for key, value in raw.hosts[host].items():
            if value in (None, "") or _is_for_the_play(value):
                continue
            if key in _FORMS and not _FORMS[key][0](value):
                _, said, hint = _FORMS[key]
                found.setdefault((key, f"is {_shown(value)}, {said}"), (host, hint))
            elif key in _SECRET and not _SECRET[key][0](value):
                _, said, hint = _SECRET[key]
                found.setdefault((key, said), (host, hint))
    for (key, said), (host, hint) in found.items():
        faults.append(raw.fault(key, message=f"{key} of host {host} {said}", hint=hint, path=key))


def _is_for_the_play(value: object) -> bool:
    return (isinstance(value, str) and "{{" in value) or (isinstance(value, dict) and "__ansible_vault" in value)


def _shown(value: Any) -> str:
    """Return a value without user and password."""
    return value.rpartition("@")[2] if isinstance(value, str) and "://" in value else str(value)
