"""The part of an agent's config file that is about plug-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlsysops_cli.slice.plugins import PluginSettings

__all__ = ["plugin_config"]


def plugin_config(settings: PluginSettings, host: str) -> dict[str, Any]:
    """Return the keys that the inventory sets for the agent of a host.

    Args:
        settings: What the inventory says.
        host: Name of the host.
    """
    config: dict[str, Any] = {}
    if host in settings.directories:
        config["plugin_dirs"] = list(settings.directories[host])
    if settings.digests is not None:
        config["policy_digests"] = list(settings.digests)
    if settings.signers is not None:
        config["policy_signers"] = list(settings.signers)
    if settings.packages:
        packages: dict[str, Any] = {"allowed": list(settings.packages)}
        if settings.wheelhouse:
            packages["wheelhouse"] = settings.wheelhouse
        if settings.index:
            packages["index"] = settings.index
        if settings.proxy:
            packages["proxy"] = settings.proxy
        config["worker"] = {"packages": packages}
    return config
