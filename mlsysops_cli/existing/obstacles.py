"""What stands in the way of objects in a cluster, looked for before anything is changed in any: namesakes, and permissions to give."""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api, ApiError
from mlsysops_cli.ansible_plugins.module_utils.mls_ownership import in_the_way
from mlsysops_cli.existing.grants import ungranted
from mlsysops_cli.files import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Obstacles", "look_for_obstacles"]

Object = dict[str, Any]
_AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What stands in the way.

    Attributes:
        foreign: Objects that others made, or other slices have, under names of ours: kind, namespace and name of each.
        ungranted: Permissions that the user may not give to our agents, each with what to do.
    """

    foreign: list[str]
    ungranted: list[tuple[str, str]]


def look_for_obstacles(kubeconfig: Mapping[str, Any], wanted: Sequence[Object]) -> Obstacles:
    """Return what stands in the way of objects in an API.

    Args:
        kubeconfig: A kubeconfig with everything in it.
        wanted: Objects that shall be applied.

    Raises:
        ApiUnreachableError: The API does not answer.
        ApiError: It refuses.
    """
    with tempfile.TemporaryDirectory(prefix="mls-claims-") as scratch, ThreadPoolExecutor(_AT_A_TIME) as pool:
        path = Path(scratch) / "kubeconfig"
        write_private(path, json.dumps(kubeconfig))  # JSON is YAML
        api = Api(str(path), timeout=10.0, retries=1)
        found = pool.map(lambda obj: _find(api, obj), wanted)
        named = [in_the_way(obj, there) for obj, there in zip(wanted, found, strict=True)]
        return Obstacles([name for name in named if name], ungranted(api, wanted))


def _find(api: Api, obj: Object) -> Object | None:
    try:
        return api.find(obj)
    except ApiError as exc:
        if exc.code == 403:  # permissions are asked apart, each by its name
            return None
        raise
