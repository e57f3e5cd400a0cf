"""Contexts: which slice a command talks to, and with which address, token and kubeconfigs.

A context is one JSON file, ``<config dir>/contexts/<name>.json``, mode 0600, written by
``mls framework deploy-all`` and removed by ``destroy-all``; ``<config dir>/current-context`` holds the
name of the one in use. The config directory is the platform's, or what ``MLS_CONFIG`` says.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import InvalidInput, NotFound

from mlsysops_cli.files import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Api",
    "ClusterAccess",
    "Context",
    "config_dir",
    "current_context_name",
    "delete_context",
    "list_contexts",
    "load_context",
    "save_context",
    "use_context",
]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_DEPLOY_HINT = "run `mls framework deploy-all` first, or name one with --context"


@dataclass(frozen=True, slots=True)
class Api:
    """How to reach the northbound API.

    Attributes:
        url: Base URL, e.g. ``http://127.20.0.10:8000``.
        token: Bearer token; never shown by ``repr``.
        ca_file: PEM file that the server's certificate is checked with; None for the system's.
    """

    url: str
    token: str = field(default="", repr=False)
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """How to reach the control plane of one cluster.

    Attributes:
        kubeconfig: Absolute path of its kubeconfig.
    """

    kubeconfig: str


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a client needs to know of a slice.

    Attributes:
        name: The slice's name; also the file's name.
        api: The northbound API.
        kubeconfig: Absolute path of the continuum's kubeconfig.
        clusters: Access to each cluster's control plane, by cluster name.
        slice_dir: Directory with the slice's state; empty when the slice was not deployed from this machine.
        engine: ``embedded``, ``k3s`` or ``existing``.
    """

    name: str
    api: Api
    kubeconfig: str = ""
    clusters: Mapping[str, ClusterAccess] = field(default_factory=dict)
    slice_dir: str = ""
    engine: str = "embedded"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "name": self.name,
            "api": {"url": self.api.url, "token": self.api.token, "ca_file": self.api.ca_file},
            "kubeconfig": self.kubeconfig,
            "clusters": {name: {"kubeconfig": access.kubeconfig} for name, access in sorted(self.clusters.items())},
            "slice_dir": self.slice_dir,
            "engine": self.engine,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Context:
        """Build a context from its JSON form; unknown keys are ignored, so that versions can mix.

        Raises:
            KeyError: ``name`` or ``api.url`` is missing.
            TypeError: A member has the wrong type.
        """
        api = value["api"]
        return cls(
            name=str(value["name"]),
            api=Api(url=str(api["url"]), token=str(api.get("token") or ""), ca_file=api.get("ca_file") or None),
            kubeconfig=str(value.get("kubeconfig") or ""),
            clusters={
                str(name): ClusterAccess(str(access.get("kubeconfig") or ""))
                for name, access in (value.get("clusters") or {}).items()
            },
            slice_dir=str(value.get("slice_dir") or ""),
            engine=str(value.get("engine") or "embedded"),
        )


def config_dir() -> Path:
    """Return the directory of the client configuration (it may not exist yet)."""
    override = os.environ.get("MLS_CONFIG")
    if override:
        return Path(override).expanduser()
    import platformdirs

    return platformdirs.user_config_path("mlsysops")


def list_contexts() -> list[str]:
    """Return the names of all contexts, sorted."""
    directory = config_dir() / "contexts"
    return sorted(path.stem for path in directory.glob("*.json")) if directory.is_dir() else []


def current_context_name() -> str | None:
    """Return the name of the context in use: ``MLS_CONTEXT``, else the chosen one, else the only one there is."""
    name = os.environ.get("MLS_CONTEXT", "").strip()
    if name:
        return name
    try:
        name = (config_dir() / "current-context").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        name = ""
    if name:
        return name
    names = list_contexts()
    return names[0] if len(names) == 1 else None


def load_context(name: str | None = None) -> Context:
    """Load a context.

    Args:
        name: Its name; the one in use where None.

    Raises:
        NotFound: There is no such context, or none is in use.
        InvalidInput: The file is not a context.
    """
    chosen = name or current_context_name()
    if not chosen:
        known = list_contexts()
        if known:
            raise NotFound("no context is in use", hint=f"choose one with `mls context use`: {', '.join(known)}")
        raise NotFound(f"no slice is known on this machine (no context in {config_dir()})", hint=_DEPLOY_HINT)
    path = _path(chosen)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        known = list_contexts()
        hint = f"known contexts: {', '.join(known)}" if known else _DEPLOY_HINT
        raise NotFound(f"context {chosen!r} does not exist (no file {path})", hint=hint) from exc
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"{path}: not a text file", hint="remove it and deploy the slice again") from exc
    try:
        return Context.from_dict(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise InvalidInput(f"{path}: not a context file: {exc}", hint="remove it and deploy the slice again") from exc


def save_context(context: Context, *, current: bool = True) -> Path:
    """Write a context atomically, mode 0600, and by default make it the one in use.

    Returns:
        The file written.

    Raises:
        InvalidInput: The name cannot be a file name.
    """
    path = _path(context.name)
    write_private(path, json.dumps(context.to_dict(), indent=2) + "\n")
    if current:
        use_context(context.name)
    return path


def use_context(name: str) -> None:
    """Make a context the one in use.

    Raises:
        NotFound: There is no such context.
    """
    if not _path(name).is_file():
        known = list_contexts()
        hint = f"known contexts: {', '.join(known)}" if known else _DEPLOY_HINT
        raise NotFound(f"context {name!r} does not exist", hint=hint)
    write_private(config_dir() / "current-context", name + "\n")


def delete_context(name: str) -> bool:
    """Remove a context, and the choice of it; return whether there was one."""
    path = _path(name)
    existed = path.is_file()
    path.unlink(missing_ok=True)
    pointer = config_dir() / "current-context"
    if pointer.is_file() and pointer.read_text(encoding="utf-8").strip() == name:
        pointer.unlink(missing_ok=True)
    for directory in (path.parent, config_dir()):
        try:
            directory.rmdir()  # only when empty: destroy-all leaves nothing behind
        except OSError:
            break
    return existed


def _path(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is not a context name", hint="lower-case letters, digits, '-' and '.', at most 253 characters"
        )
    return config_dir() / "contexts" / f"{name}.json"
