"""Versions of k3s: their order, and which one may follow which.

A control plane never goes back, and goes up one minor version at a time (https://kubernetes.io/releases/version-skew-policy/,
https://docs.k3s.io/upgrades/manual).
"""

from __future__ import annotations

import re

__all__ = ["Version", "parse_version", "refusal"]

_RELEASE = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(-[a-z0-9.]+)?\+k3s(\d+)")

#: Major, minor, patch, whether it is a final release, and the number of k3s' own release of it.
Version = tuple[int, int, int, bool, int]


def parse_version(text: str) -> Version | None:
    """Return the version that a text has in it (``k3s version v1.36.4+k3s1 (…)``), or None where there is none."""
    found = _RELEASE.search(text)
    if not found:
        return None
    major, minor, patch, before, release = found.groups()
    return int(major), int(minor), int(patch), not before, int(release)


def refusal(running: str, wanted: str) -> str:
    """Return why one version may not follow another, with what to do; empty where it may.

    Args:
        running: What runs.
        wanted: What shall run.
    """
    now, then = parse_version(running), parse_version(wanted)
    if now is None or then is None or now == then:
        return ""
    text = f"k3s {_short(running)} runs, and the inventory wants {_short(wanted)}"
    if then < now:
        return (
            f"{text}: k3s does not go back, because the older one may not read what the newer one wrote: "
            f"set mls_k3s_version to {_short(running)} or newer, or restore a backup onto bare hosts"
        )
    if then[0] != now[0] or then[1] > now[1] + 1:
        return f"{text}: one minor version at a time: set mls_k3s_version to a release of v{now[0]}.{now[1] + 1} first"
    return ""


def _short(text: str) -> str:
    found = _RELEASE.search(text)
    return found.group(0) if found else text
