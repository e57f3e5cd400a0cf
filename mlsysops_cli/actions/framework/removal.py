"""What `destroy-all` does to Kubernetes APIs that are not ours: what we applied goes, the clusters stay as they are."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import Refused, TimedOut, Unreachable
from mlsysops_core.model import GROUP, KINDS, VERSION

from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError, is_ours
from mlsysops_cli.existing.before import NAMESPACES, give_back, had_before, shared_paths
from mlsysops_cli.render.configs import FRAMEWORK_NAMESPACE, NAMESPACE
from mlsysops_cli.slice import AppliedObjects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["purge", "removal_plan", "return_namespaces", "settle_applications"]

Plan = dict[str, Any]

_APPLICATIONS = f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/{KINDS['MLSysOpsApp'].plural}"
_SECONDS = 180.0
#: Seconds in which Karmada lets go of what it propagated, and looks, one a second, after which labels count as staying.
_LETTING_GO, _QUIET = 60.0, 3


def removal_plan(plan: Plan, directory: Path) -> Plan:
    """Return a plan with which the removing roles delete everything that was ever applied.

    Definitions of our kinds and namespaces are not among it: deleting them deletes what people put into them.

    Args:
        plan: The deployment plan.
        directory: State of the slice.
    """
    removal = copy.deepcopy(plan)
    applied = AppliedObjects.load(directory)
    for api in removal.get("apis", {}).values():
        for part in (*api["objects"], *api["pods"]):
            part["prune"] = applied.superfluous(part["plane"], [])
    return removal


def settle_applications(plan: Plan, *, remove: bool, note: Callable[[str], None]) -> None:
    """Refuse to take the framework away from applications that run, or remove them first.

    Args:
        plan: The deployment plan; without APIs of others there is nothing to do.
        remove: Remove them.
        note: Told what goes on.

    Raises:
        Refused: There are applications, and they are not to be removed.
        Unreachable: The continuum's API does not answer.
        TimedOut: They do not go.
    """
    if not plan.get("apis"):
        return
    (name, *_) = plan["groups"]["apis"]
    if not plan["apis"][name]["objects"]:  # it is another slice's by now, and what runs there, too
        return
    apis = [api for api in plan["apis"].values() if api["objects"]]
    continuum = Api(plan["apis"][name]["kubeconfig"], timeout=10.0, retries=0)
    try:
        names = _names(continuum)
        if not names:
            return
        if not remove:
            raise Refused(
                f"{len(names)} applications are deployed: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}",
                hint="remove them with `mls apps remove-app`, or all of them with --yes --remove-applications",
            )
        note(f"removing {len(names)} applications")
        for application in names:
            continuum.delete(f"{_APPLICATIONS}/{application}")
        everywhere = [Api(api["kubeconfig"], timeout=10.0, retries=1) for api in apis]
        deadline = time.monotonic() + _SECONDS
        while left := [(api.host, names) for api in everywhere if (names := _names(api))]:
            if time.monotonic() >= deadline:
                where = "; ".join(f"{', '.join(names)} in {host}" for host, names in left)
                raise TimedOut(f"applications are not gone after {_SECONDS:.0f} s: {where}", hint="see their Events")
            time.sleep(0.5)
    except ApiUnreachableError as exc:
        raise Unreachable(
            f"it is not known which applications run: {exc}",
            hint="start the API; or stop the agents alone, and forget the slice, with --yes --abandon",
        ) from exc


def _names(api: Api) -> list[str]:
    try:
        return sorted(item["metadata"]["name"] for item in api.request("GET", _APPLICATIONS).get("items") or [])
    except ApiError as exc:
        if exc.code == 404:  # the kind is not served: nothing was ever deployed
            return []
        raise


def return_namespaces(plan: Plan, directory: Path) -> Iterator[str]:
    """Give namespaces that were there before the slice their own labels; yield what does not work.

    Args:
        plan: The deployment plan.
        directory: State of the slice.
    """
    before = had_before(directory)
    for kubeconfig in _kubeconfigs(plan):
        try:
            if theirs := {path for path in before.get(kubeconfig, {}) if path.startswith(NAMESPACES)}:
                _give_back(
                    Api(kubeconfig, timeout=10.0, retries=1), {path: before[kubeconfig][path] for path in theirs}
                )
        except (ApiError, ApiUnreachableError) as exc:
            yield str(exc)


def _give_back(api: Api, labels: dict[str, dict[str, str]]) -> None:
    """Give labels back until they stay: Karmada puts its own version there again for as long as it has not let go."""
    deadline, quiet = time.monotonic() + _LETTING_GO, 0
    while quiet < _QUIET and time.monotonic() < deadline:
        quiet = 0 if give_back(api, labels) else quiet + 1
        time.sleep(1.0)


def purge(plan: Plan, directory: Path) -> Iterator[str]:
    """Delete the definitions of our kinds and our namespaces from every API that did not have them before us.

    Args:
        plan: The deployment plan.
        directory: State of the slice.

    Yields:
        What does not go.
    """
    before = had_before(directory)
    for kubeconfig in _kubeconfigs(plan):
        yield from _purge(Api(kubeconfig, timeout=10.0, retries=1), set(before.get(kubeconfig, {})))


def _kubeconfigs(plan: Plan) -> list[str]:
    parts = [part for api in plan.get("apis", {}).values() for part in (*api["objects"], *api["pods"])]
    return list(dict.fromkeys(str(part["kubeconfig"]) for part in parts))


def _purge(api: Api, theirs: set[str]) -> Iterator[str]:
    paths = [path for path in shared_paths((NAMESPACE, FRAMEWORK_NAMESPACE)) if path not in theirs]
    try:
        wanted = {path: found for path in paths if (found := api.get(path)) is not None}
        ours = {path for path, found in wanted.items() if not path.startswith(NAMESPACES) or is_ours(found)}
        for path in sorted(ours):
            api.delete(path)
        deadline = time.monotonic() + _SECONDS
        while left := [path for path in sorted(ours) if _same(api.get(path), wanted[path])]:
            if time.monotonic() >= deadline:
                yield from (f"{api.host}{path} is still there" for path in left)
                return
            time.sleep(0.5)
    except (ApiError, ApiUnreachableError) as exc:
        yield str(exc)


def _same(found: Mapping[str, Any] | None, before: Mapping[str, Any]) -> bool:
    return found is not None and found["metadata"].get("uid") == before["metadata"].get("uid")
