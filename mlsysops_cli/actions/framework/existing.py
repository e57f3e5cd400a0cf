"""What a slice on clusters that exist needs before it can be rendered: their APIs checked, their nodes, their kubeconfigs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import Conflict, Fault, InvalidInput, Unreachable

from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import ApiError, ApiUnreachableError
from mlsysops_cli.ansible_plugins.module_utils.mls_ownership import way_out
from mlsysops_cli.existing import Probed, extend_slice, node_facts, probe_apis
from mlsysops_cli.existing.before import remember
from mlsysops_cli.existing.obstacles import look_for_obstacles
from mlsysops_cli.existing.probe import KARMADA_HOST
from mlsysops_cli.files import write_private
from mlsysops_cli.render.configs import FRAMEWORK_NAMESPACE, NAMESPACE
from mlsysops_cli.render.kubernetes_plan import api_of_plane

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import Slice, SliceLayout

__all__ = ["Existing", "look_at_existing"]


class Existing:
    """The clusters of a slice as they were found; of a slice on another engine, none.

    Args:
        probed: What its APIs are.
    """

    def __init__(self, probed: Probed | None) -> None:
        self._probed = probed

    def facts(self, slice_: Slice) -> dict[str, dict[str, Any]]:
        """Return what the APIs say of the hardware of nodes on which no process of ours looks for itself."""
        if self._probed is None:
            return {}
        known = node_facts(self._probed)
        return {name: facts for name, facts in known.items() if name in slice_.hosts and not slice_.hosts[name].machine}

    def refuse_obstacles(
        self, layout: SliceLayout, planes: Mapping[str, Sequence[dict[str, Any]]], *, take_over: bool
    ) -> None:
        """Refuse what would end in the middle, or at the cost of others, before anything is changed.

        Args:
            layout: The slice, placed.
            planes: What shall be applied, by the name under which it is remembered.
            take_over: Take over what others made under names of ours.

        Raises:
            Conflict: Others made objects that have names of ours; names each with its cluster.
            InvalidInput: A kubeconfig's user may not give our agents their permissions; names each.
            Unreachable: An API does not answer.
        """
        if self._probed is None:
            return
        foreign: dict[str, list[str]] = {}
        faults: list[Fault] = []
        for plane, wanted in planes.items():
            host, on_karmadas_host = api_of_plane(layout, plane)
            name = KARMADA_HOST if on_karmadas_host else host
            place = name if on_karmadas_host else _place(layout, host)
            try:
                found = look_for_obstacles(self._probed.kubeconfigs[name], wanted)
            except ApiUnreachableError as exc:
                raise Unreachable(f"{place}: {exc}") from exc
            except ApiError as exc:
                raise Conflict(f"{place}: {exc}", hint="see its log") from exc
            faults += [Fault(path=place, message=text, hint=hint) for text, hint in found.ungranted]
            if found.foreign:
                foreign.setdefault(place, []).extend(found.foreign)
        if faults:
            raise InvalidInput(faults=list(dict.fromkeys(faults)))
        if foreign and not take_over:
            raise Conflict(
                "nothing was changed: there are objects of others that have names of ours",
                hint=way_out(),
                details=[f"{place}: others made {', '.join(names)}" for place, names in foreign.items()],
            )

    def write_kubeconfigs(self, layout: SliceLayout) -> None:
        """Keep with the slice a private copy of each kubeconfig, reduced to the context that is used, and what was there before.

        What the APIs had is kept by kubeconfig.
        """
        if self._probed is None:
            return
        before: dict[str, dict[str, dict[str, str]]] = {}
        for name, kubeconfig in self._probed.kubeconfigs.items():
            path = layout.management.host_kubeconfig if name == KARMADA_HOST else layout.hosts[name].admin_kubeconfig
            write_private(path, json.dumps(kubeconfig, indent=1) + "\n")  # JSON is YAML
            before[str(path)] = self._probed.before.get(name, {})
        remember(layout.directory, before)


def look_at_existing(settings: Settings, slice_: Slice) -> tuple[Slice, Existing]:
    """Check the APIs of a slice on the engine ``existing``, and take their nodes into it; others are left as they are.

    Args:
        settings: Told what goes on.
        slice_: The slice, as the inventory describes it.

    Raises:
        Unreachable: APIs do not answer.
        InvalidInput: APIs, permissions, members or nodes are not as they must be; carries every fault.
    """
    if slice_.engine != "existing":
        return slice_, Existing(None)
    settings.note(f"checking {len(slice_.existing.apis)} Kubernetes APIs")
    probed = probe_apis(slice_, namespace=NAMESPACE, framework_namespace=FRAMEWORK_NAMESPACE)
    return extend_slice(slice_, probed), Existing(probed)


def _place(layout: SliceLayout, host: str) -> str:
    found = layout.hosts[host].host
    return f"host {host} (the Karmada API)" if found.role == "management" else f"host {host} (cluster {found.cluster})"
