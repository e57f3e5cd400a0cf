"""A patch on its way: from what is there to what is wanted, and whose fault it is where that is no object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from mlsysops_embedded.errors import ApiError, Cause, UndecodableError
from mlsysops_embedded.machinery.patch import json_patch, merge_patch, strategic_patch

__all__ = ["Patching", "unknown_members"]

Obj = dict[str, Any]
_MEMBERS: Final = ("op", "path", "from", "value")


def unknown_members(patch: Any) -> list[str]:
    """What is to be said of members that no operation of a JSON patch has."""
    operations = enumerate(patch if isinstance(patch, list) else ())
    return [
        f'json patch unknown field "[{index}].{name}"'
        for index, operation in operations
        if isinstance(operation, dict)
        for name in operation
        if name not in _MEMBERS
    ]


class Patching:
    """Applies one patch; called with the present object it gives the wanted one.

    Args:
        kind: ``json``, ``merge`` or ``strategic``.
        patch: The patch.
        schema: Of the object; says how lists merge.
    """

    def __init__(self, kind: str, patch: Any, schema: Mapping[str, Any]) -> None:
        self._kind = kind
        self._patch = patch
        self._schema = schema
        self._done = False

    def __call__(self, old: Obj) -> Obj:
        """The patched object.

        Raises:
            ApiError: 400 or 422 where the patch is none, or does not apply.
        """
        if self._kind == "json":
            result = json_patch(old, self._patch)
        elif not isinstance(self._patch, dict):
            raise ApiError.bad_request(f"a {self._kind} patch must be an object")
        elif self._kind == "merge":
            result = merge_patch(old, self._patch)
        else:
            result = strategic_patch(old, self._patch, self._schema)
        if not isinstance(result, dict):
            raise ApiError.bad_request("the patch does not give an object")
        self._done = True
        return result

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Says of what is no object of its kind that the patch made it so.

        Raises:
            ApiError: 422.
        """
        try:
            yield
        except UndecodableError as exc:
            if not self._done:
                raise
            raise ApiError.invalid("", "", [Cause("FieldValueInvalid", "patch", exc.message)]) from exc
