"""The description of the test application, made to fit a slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsysops_core.model import load_descriptions

from mlsysops_cli.render.configs import TEST_IMAGE
from mlsysops_cli.render.templates import render_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlsysops_core.model import Node

__all__ = ["test_application"]


def test_application(slice_name: str, clusters: Sequence[str], nodes: Sequence[Node]) -> str:
    """Return the description as YAML text with its comments.

    Args:
        slice_name: Name of the slice, for the comment.
        clusters: Clusters that may host it.
        nodes: The slice's nodes: layers and architectures are taken from them, so that they satisfy the description.

    Raises:
        InvalidInput: The description does not validate.
    """
    architectures = {node.hardware.cpu.architecture if node.hardware.cpu else None for node in nodes}
    known = sorted(value for value in architectures if value)
    text = render_text(
        "descriptions/test-application.yaml.j2",
        {
            "slice": slice_name,
            "image": f"{TEST_IMAGE}:latest",
            "clusters": list(clusters),
            "layers": sorted({node.continuum_layer for node in nodes}) or ["edge"],
            # A node whose architecture is unknown satisfies no demand for one.
            "architectures": known if None not in architectures and len(known) == len(architectures) else [],
        },
    )
    load_descriptions(text, source="mlsysops-app-test-description.yaml")
    return text
