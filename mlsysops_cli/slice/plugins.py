"""What an inventory says of plug-ins: where agents find them, whose policies they run, what these may have installed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PluginSettings"]


class PluginSettings(BaseModel):
    """Settings of agents for plug-ins; what is None or empty is left to the agents' defaults.

    Attributes:
        directories: Plug-in directories by host, absolute paths there (``mls_plugin_dirs``).
        digests: SHA-256 digests of policies that may be sent to agents (``mls_policy_digests``).
        signers: OpenSSH public keys of those whose policies may be sent (``mls_policy_signers``).
        packages: Python packages that policies may have installed (``mls_policy_packages``).
        wheelhouse: Directory of the hosts with wheels, from which alone is installed (``mls_policy_wheelhouse``).
        index: URL of the package index that is asked (``mls_policy_index``).
        proxy: URL of the proxy on the way to it (``mls_policy_proxy``).
        dataframe: Whether policies look at telemetry as a pandas data frame (``mls_policy_dataframe``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    directories: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    digests: tuple[str, ...] | None = None
    signers: tuple[str, ...] | None = None
    packages: tuple[str, ...] = ()
    wheelhouse: str = ""
    index: str = ""
    proxy: str = ""
    dataframe: bool = False
