"""What clusters have that bears a name of ours and was made by others, looked for before anything is changed in any of them."""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api, ApiError
from mlsysops_cli.ansible_plugins.module_utils.mls_ownership import is_foreign, title_of
from mlsysops_cli.files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["foreign_objects"]

Object = dict[str, Any]
_AT_A_TIME = 8


def foreign_objects(kubeconfig: Mapping[str, Any], wanted: Iterable[Object]) -> list[str]:
    """Return what of some objects an API has already, made by others: kind, namespace and name of each.

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
        return [title_of(obj) for obj in found if obj is not None and is_foreign(obj)]


def _find(api: Api, obj: Object) -> Object | None:
    try:
        return api.find(obj)
    except ApiError as exc:
        if exc.code == 403:  # permissions are asked apart, each by its name
            return None
        raise
