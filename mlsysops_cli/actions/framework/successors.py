"""Which clusters of a slice another slice has taken over since (`--take-ownership`): what is in them is not ours to remove."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError
from mlsysops_cli.ansible_plugins.module_utils.mls_ownership import slice_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["successors", "without_apis"]

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
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            return set(pool.map(lambda one: _slice(api, one), telling))
    except (OSError, ApiError, ApiUnreachableError):  # whoever removes something there says so
        return set()


def _slice(api: Api, one: Mapping[str, str]) -> str:
    found = api.get(api.path(one["api_version"], one["kind"], one.get("namespace", ""), one["name"]))
    return slice_of(found) if found else ""


def without_apis(plan: Plan, kubeconfigs: Collection[str]) -> Plan:
    """Return a plan that does not touch what is in some APIs.

    Args:
        plan: The deployment plan, or one that removes.
        kubeconfigs: Those of the APIs.
    """
    apis = {
        name: {
            **api,
            **{
                key: [part for part in api[key] if part["kubeconfig"] not in kubeconfigs] for key in ("objects", "pods")
            },
        }
        for name, api in plan.get("apis", {}).items()
    }
    return {**plan, "apis": apis} if apis else plan
