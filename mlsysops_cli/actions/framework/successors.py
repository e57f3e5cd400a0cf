"""Which clusters of a slice another slice has taken over since (`--take-ownership`): what is in them is not ours to remove."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mlsysops_core.model import GROUP

from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError
from mlsysops_cli.ansible_plugins.module_utils.mls_ownership import slice_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

__all__ = ["spared", "successors", "without_apis"]

Plan = dict[str, Any]

#: Kinds of which every slice has objects of the same names. Descriptions and their definitions carry no slice's name.
_TELLING = frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount"})
_AT_A_TIME = 8


def successors(removal: Plan) -> dict[str, str]:
    """Return the slices that have taken over what this one applied, by kubeconfig; an API that does not answer is left out.

    Args:
        removal: A plan that removes all that was ever applied (`removal_plan`).
    """
    name, found = removal.get("slice", ""), {}
    for api in removal.get("apis", {}).values():
        for part in (*api["objects"], *api["pods"]):
            kubeconfig = part["kubeconfig"]
            if kubeconfig not in found and (others := _slices(kubeconfig, part["prune"]) - {"", name}):
                found[kubeconfig] = min(others)
    return found


def _slices(kubeconfig: str, applied: Sequence[Mapping[str, str]]) -> set[str]:
    """Return the slices that objects of an API belong to."""
    try:
        api = Api(kubeconfig, timeout=10.0, retries=1)
        telling = [one for one in applied if one["kind"] in _TELLING]
        # The first by itself, so that an API that does not answer is waited for once.
        found = {_slice(api, one) for one in telling[:1]}
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            return found | set(pool.map(lambda one: _slice(api, one), telling[1:]))
    except (OSError, ApiError, ApiUnreachableError):  # whoever removes something there says so
        return set()


def _slice(api: Api, one: Mapping[str, str]) -> str:
    found = api.get(api.path(one["api_version"], one["kind"], one.get("namespace", ""), one["name"]))
    return slice_of(found) if found else ""


def spared(removal: Plan, kubeconfigs: Collection[str]) -> Plan:
    """Return a plan that removes from some APIs only what says that it is this slice's: descriptions do not say whose they are.

    Args:
        removal: A plan that removes.
        kubeconfigs: Those of the APIs.
    """
    return _with_parts(removal, lambda part: _named(part) if part["kubeconfig"] in kubeconfigs else part)


def without_apis(plan: Plan, kubeconfigs: Collection[str]) -> Plan:
    """Return a plan that knows nothing of some APIs.

    Args:
        plan: The deployment plan.
        kubeconfigs: Those of the APIs.
    """
    return _with_parts(plan, lambda part: None if part["kubeconfig"] in kubeconfigs else part)


def _named(part: Plan) -> Plan:
    return {**part, "prune": [one for one in part["prune"] if not one["api_version"].startswith(f"{GROUP}/")]}


def _with_parts(plan: Plan, change: Callable[[Plan], Plan | None]) -> Plan:
    apis = {
        name: {**api, **{key: [new for part in api[key] if (new := change(part))] for key in ("objects", "pods")}}
        for name, api in plan.get("apis", {}).items()
    }
    return {**plan, "apis": apis} if apis else plan
