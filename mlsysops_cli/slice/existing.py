"""What an inventory says of clusters that exist: the kubeconfigs with which they are reached."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ExistingSettings", "KubeconfigSource"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KubeconfigSource(_Strict):
    """A kubeconfig of the user's, on this machine.

    Attributes:
        path: Absolute path of the file (``mls_kubeconfig``).
        context: The context to use (``mls_context``); its current one where empty.
        server: URL at which agents outside the cluster reach it (``mls_api_url``); the kubeconfig's own where empty.
    """

    path: str
    context: str = ""
    server: str = ""


class ExistingSettings(_Strict):
    """Settings of the engine ``existing``.

    Attributes:
        apis: Kubeconfig of each control plane by the name of the host that stands for it: a Karmada API for the
            management host, a member for the server of each cluster.
        karmada_host: Kubeconfig of the cluster on which Karmada runs (``mls_karmada_host_kubeconfig``), where the
            continuum agent and the northbound API shall be pods of it.
    """

    apis: dict[str, KubeconfigSource] = Field(default_factory=dict)
    karmada_host: KubeconfigSource | None = None
