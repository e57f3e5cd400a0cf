"""The tree that a slice renders to, with a person's own descriptions in the place of rendered ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import Fault, InvalidInput
from mlsysops_core.model import (
    KINDS,
    Application,
    description_name,
    kind_of,
    load_descriptions,
    to_document,
    to_resource,
)

from mlsysops_cli.render import cached_facts, local_facts, render_slice
from mlsysops_cli.render.configs import NAMESPACE

if TYPE_CHECKING:
    from mlsysops_cli.render import RenderedTree
    from mlsysops_cli.slice import Slice, SliceLayout

__all__ = ["overlay_descriptions", "rendered_tree"]


def rendered_tree(
    slice_: Slice, layout: SliceLayout, descriptions: str | None = None, facts: dict[str, dict[str, Any]] | None = None
) -> RenderedTree:
    """Render a slice with the best facts there are; local ones are always fresh."""
    known = cached_facts(slice_) | local_facts(slice_) | (facts or {})
    tree = render_slice(layout, known)
    if descriptions:
        overlay_descriptions(tree, slice_, Path(descriptions))
    return tree


def overlay_descriptions(tree: RenderedTree, slice_: Slice, directory: Path) -> None:
    """Let a person's own descriptions replace the rendered ones of the same kind and name.

    Raises:
        InvalidInput: One does not validate, or describes what is not in the slice.
    """
    if not directory.is_dir():
        raise InvalidInput(f"{directory}: no such directory", hint="--path names a directory of descriptions")
    folders = {KINDS["MLSysOpsContinuum"].kind: "continuum", "MLSysOpsCluster": "clusters", "MLSysOpsNode": "nodes"}
    faults = []
    for path in sorted(p for p in directory.rglob("*") if p.suffix in (".yaml", ".yml") and p.is_file()):
        for description in load_descriptions(path.read_bytes(), source=os.fspath(path)):
            kind, name = kind_of(description).kind, description_name(description)
            if isinstance(description, Application):
                continue  # deployed with `mls apps deploy-app`
            key = f"continuum/40-descriptions/{folders.get(kind, '')}-{name}.yaml"
            if key not in tree:
                faults.append(
                    Fault(
                        source=str(path),
                        message=f"{kind} {name} is not in slice {slice_.name}",
                        hint="name it as the inventory does, or register it with `mls infra register-infra`",
                    )
                )
                continue
            labels = tree[key][0]["metadata"]["labels"]
            resource = to_resource(description, namespace=NAMESPACE)
            resource["metadata"]["labels"] = {**resource["metadata"].get("labels", {}), **labels}
            tree[key] = [resource]
            tree[f"descriptions/{folders[kind]}/{name}.yaml"] = [to_document(description)]
    if faults:
        raise InvalidInput(faults=faults)
