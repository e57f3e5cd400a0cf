"""What an agent may not do though it tries to: kept until the API lets it, so that a status can say which right is missing."""

from __future__ import annotations

import re
from collections.abc import Callable

from mlsysops_core.errors import MlsError, Refused

__all__ = ["Permissions", "collection_of"]

#: How Kubernetes' RBAC authorizer says no (``k8s.io/apiserver`` ``forbiddenMessage``); quotas and admission say it otherwise.
_SAID = re.compile(r"\bcannot (?P<what>\w+ resource .+?)(?::|$)")


class Permissions:
    """Takes note of answers.

    Attributes:
        on_change: Called when something is refused that was not before, or is no more.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[], None] | None = None
        self._refused: dict[str, str] = {}

    def heard(self, request: str, error: MlsError | None = None) -> None:
        """Take note of how the API answered.

        Args:
            request: What kind of request it was: what the same permission lets, or not.
            error: What it said; None where it did as asked.
        """
        if error is None:
            if self._refused.pop(request, None) is not None:
                self._changed()
            return
        said = _SAID.search(str(error)) if isinstance(error, Refused) else None
        if said is not None and self._refused.get(request) != said["what"]:
            self._refused[request] = said["what"]
            self._changed()

    def refused(self) -> list[str]:
        """Return what it may not do, sorted, each as the API said it: ``list resource "pods" in API group "" …``."""
        return sorted(set(self._refused.values()))

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()


def collection_of(path: str) -> str:
    """Return a path without the name of an object: what is permitted is permitted for all of a kind, mostly."""
    parts = path.strip("/").split("/")
    start = (2 if parts[0] == "api" else 3) + (2 if "namespaces" in parts[:-2] else 0)
    return "/".join((*parts[: start + 1], "*", *parts[start + 2 :])) if len(parts) > start + 1 else path
