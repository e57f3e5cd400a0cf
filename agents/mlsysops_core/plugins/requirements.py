"""Which Python packages a module policy asks for, found without running it: it may need them to be imported at all."""

from __future__ import annotations

import ast
from collections.abc import Sequence

__all__ = ["declared_packages"]

_KEY = "packages"


def declared_packages(source: bytes) -> tuple[str, ...]:
    """Return what stands under the key ``packages`` of a dict in a module's text, as far as it is written out.

    A text that is no Python has none: loading it says what is wrong with it.
    """
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    found: dict[str, None] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == _KEY:
                    found.update(dict.fromkeys(_names(value)))
    return tuple(found)


def _names(node: ast.expr) -> Sequence[str]:
    if not isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return ()
    return [
        item.value.strip()
        for item in node.elts
        if isinstance(item, ast.Constant) and isinstance(item.value, str) and item.value.strip()
    ]
