"""Finds the files that ship beside the code: templates, roles, playbooks and inventories.

A wheel carries them under ``mlsysops_cli/_assets``; an editable install or a checkout has them at its root.
"""

from __future__ import annotations

from pathlib import Path

from mlsysops_core.errors import NotFound

__all__ = ["asset", "assets_root"]


def assets_root() -> Path:
    """Return the directory that holds ``templates``, ``roles``, ``playbooks`` and ``inventories``."""
    here = Path(__file__).resolve().parent
    packaged = here / "_assets"
    return packaged if packaged.is_dir() else here.parent


def asset(*parts: str) -> Path:
    """Return the absolute path of a shipped file or directory.

    Args:
        parts: Path below the assets' root, e.g. ``asset("playbooks", "site.yml")``.

    Raises:
        NotFound: The installation lacks it.
    """
    path = assets_root().joinpath(*parts)
    if not path.exists():
        raise NotFound(f"{path} is missing from this installation", hint="install mlsysops-cli again")
    return path
