"""Reads what an inventory says of the agents' plug-ins."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlsysops_cli.slice.plugins import PluginSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlsysops_core.errors import Fault

    from mlsysops_cli.inventory.loader import RawInventory
    from mlsysops_cli.inventory.values import Reader
    from mlsysops_cli.slice.model import AgentsForm

__all__ = ["read_plugins"]

_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{64}")
#: A project's name as the core metadata have it, alone: versions are the policies' to say.
_PACKAGE = re.compile(r"\*|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_OF_HOSTS = ("mls_plugin_dirs",)
_KEY_TYPE = b"ssh-ed25519"
#: RFC 8709, section 4: two strings, each with four bytes of length; the second is the key of 32 bytes.
_KEY_BYTES = 4 + len(_KEY_TYPE) + 4 + 32


def read_plugins(raw: RawInventory, reader: Reader, faults: list[Fault], form: AgentsForm) -> PluginSettings:
    """Return the settings, adding a fault for each that cannot be meant.

    Args:
        raw: The inventory.
        reader: Reads single values of it.
        faults: Is added to.
        form: Whether agents run as processes of hosts or as pods, which see no directories of their hosts.
    """
    read = _Lists(raw, faults, form)
    directories = {
        host: found
        for host in raw.hosts
        if (found := read.of_host(host, "mls_plugin_dirs", _is_absolute, "an absolute path")) is not None
    }
    houses = read.shared("mls_policy_wheelhouse", _is_absolute, "an absolute path") or ()
    indices = read.shared("mls_policy_index", _is_index, "an https URL without user and password") or ()
    proxies = read.shared("mls_policy_proxy", _is_plain_url, "an http or https URL without user and password") or ()
    return PluginSettings(
        directories=directories,
        digests=read.shared("mls_policy_digests", _DIGEST.fullmatch, "the SHA-256 of a policy: sha256:…"),
        signers=read.shared("mls_policy_signers", _is_public_key, "a public key of the form ssh-ed25519 AAAA… comment"),
        packages=read.shared("mls_policy_packages", _PACKAGE.fullmatch, "the name of a package, or *") or (),
        wheelhouse=houses[0] if houses else "",
        index=indices[0] if indices else "",
        proxy=proxies[0] if proxies else "",
        dataframe=reader.shared_flag("mls_policy_dataframe"),
    )


class _Lists:
    def __init__(self, raw: RawInventory, faults: list[Fault], form: AgentsForm) -> None:
        self._raw = raw
        self._faults = faults
        self._form = form

    def of_host(self, host: str, key: str, check: Callable[[str], Any], wanted: str) -> tuple[str, ...] | None:
        """Return a host's list of texts; one text alone is a list of one, and an absent variable is None."""
        value = self._raw.hosts[host].get(key)
        if value is None:
            return None
        if self._form == "pods" and key in _OF_HOSTS:
            hint = "`mls agent set-policy` reaches them; or let agents be processes, where the engine can"
            self._fault(host, key, "is a directory of hosts, but agents are pods and do not see it", hint)
            return None
        items = [value] if isinstance(value, str) else value
        wrong = items if not isinstance(items, list) else [i for i in items if not isinstance(i, str) or not check(i)]
        if not isinstance(items, list) or wrong:
            told = wrong[0] if isinstance(wrong, list) and wrong else wrong
            self._fault(host, key, f"has {told!r}", f"each must be {wanted}")
            return None
        return tuple(str(item).strip() for item in items)

    def shared(self, key: str, check: Callable[[str], Any], wanted: str) -> tuple[str, ...] | None:
        """Return a list that all hosts which have it must agree on."""
        found = {
            host: value for host in self._raw.hosts if (value := self.of_host(host, key, check, wanted)) is not None
        }
        if len(set(found.values())) > 1:
            self._fault(list(found)[-1], key, "differs from that of other hosts", "set it once, for all hosts")
        return next(iter(found.values()), None)

    def _fault(self, host: str, key: str, message: str, hint: str) -> None:
        fault = self._raw.fault(key, message=f"{key} {message}", hint=hint, path=f"{host}.{key}")
        if not any(known.path.endswith(key) and known.message == fault.message for known in self._faults):
            self._faults.append(fault)


def _is_index(text: str) -> bool:
    """Say whether pip would ask there: a host without TLS it believes only where that is its own."""
    local = _is_plain_url(text) and urlsplit(text).hostname in ("localhost", "127.0.0.1", "::1")
    return local or (_is_plain_url(text) and text.startswith("https:"))


def _is_plain_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def _is_absolute(text: str) -> bool:
    return text.startswith("/")


def _is_public_key(text: str) -> bool:
    parts = text.split(None, 2)
    if len(parts) < 2 or parts[0].encode() != _KEY_TYPE:
        return False
    try:
        return len(base64.b64decode(parts[1], validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False
