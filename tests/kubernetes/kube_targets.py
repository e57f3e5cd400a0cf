"""What the contract tests know of an API server under test, whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kube_api import Api
from kube_embedded import EmbeddedControlPlane
from kube_kubelets import Kubelets
from kube_pki import issue_user


@dataclass
class Target:
    """An API server under test.

    Attributes:
        name: What reports call it.
        directory: Scratch directory.
        url: Base URL.
        authority: Files of the certificate authority and its key, which the server trusts for clients too.
        kubeconfig: Of an administrator (group system:masters).
        missing: Of the controllers and the scheduler, what does not run; empty where nothing is missing.
        kubelets: Nodes that may join.
        embedded: Our engine, for what only its processes can show.
        compact: Makes the server forget what was before a revision, where it has a way to ask for that.
    """

    name: str
    directory: Path
    url: str
    authority: tuple[Path, Path]
    kubeconfig: Path
    kubelets: Kubelets
    missing: str = ""
    embedded: EmbeddedControlPlane | None = None
    compact: Callable[[int], None] | None = None
    _clients: list[Api] = field(default_factory=list)

    def user(self, name: str, *groups: str) -> Api:
        """A user with a client certificate."""
        api = Api(self.url, self.authority[0], issue_user(self.authority, name, groups, self.directory))
        self._clients.append(api)
        return api

    def token(self, token: str) -> Api:
        """The owner of a bearer token."""
        api = Api(self.url, self.authority[0], token=token)
        self._clients.append(api)
        return api

    def anonymous(self) -> Api:
        """Nobody in particular."""
        api = Api(self.url, self.authority[0])
        self._clients.append(api)
        return api

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            client.close()
