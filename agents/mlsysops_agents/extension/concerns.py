"""Which assets a sample is about, so that exactly their analyses run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from mlsysops_core.contracts import Sample

__all__ = ["ASSET", "Concerns"]

#: How the asset of an application begins.
ASSET = "application/"


class Concerns:
    """The applications that an agent knows, by what their samples say of themselves.

    A component names itself in ``service.name``, and its application in ``service.namespace`` if it likes; what a node measures
    has ``k8s.node.name``. A look-up costs the same however many applications there are.

    Args:
        own: Assets that every sample may concern: what the agent looks after as a whole, and the system.
        on_node: Returns the applications with components on a node; None where the agent does not know.
    """

    def __init__(
        self, own: Sequence[str], on_node: Callable[[str], Collection[str] | None] = lambda _node: None
    ) -> None:
        self._own = tuple(own)
        self._on_node = on_node
        self._applications: dict[str, set[str]] = {}
        self._components: dict[str, frozenset[str]] = {}

    def note(self, application: str, components: Iterable[str]) -> None:
        """Note which components an application has."""
        now = frozenset(components)
        before = self._components.get(application, frozenset())
        if now == before:
            return
        for name in before - now:
            self._applications[name].discard(application)
            if not self._applications[name]:
                del self._applications[name]
        for name in now - before:
            self._applications.setdefault(name, set()).add(application)
        self._components[application] = now

    def forget(self, application: str) -> None:
        """Drop an application that is gone."""
        self.note(application, ())
        self._components.pop(application, None)

    def applications(self, sample: Sample) -> Collection[str] | None:
        """Return the names of the applications that a sample is about; None where it may be any."""
        names = self._applications.get(sample.attributes.get("service.name", ""))
        if names:
            namespace = sample.attributes.get("service.namespace", "")
            return (namespace,) if namespace in names else names
        node = sample.attributes.get("k8s.node.name", "")
        return self._on_node(node) if node else None

    def assets(self, sample: Sample) -> list[str] | None:
        """Return the assets that a sample is about; None where it may be any."""
        names = self.applications(sample)
        return None if names is None else [*self._own, *(ASSET + name for name in names)]
