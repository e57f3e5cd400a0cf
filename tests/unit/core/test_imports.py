"""The kernel's public face, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

from mlsysops_core import model


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_errors_and_quantities_are_light() -> None:
    assert not {"pydantic", "yaml"} & modules_after("import mlsysops_core.errors, mlsysops_core.quantities")


def test_descriptions_need_pydantic_and_pyyaml_alone() -> None:
    loaded = modules_after("import mlsysops_core.model")
    assert {"pydantic", "yaml"} <= loaded
    heavy = {
        "kubernetes",
        "httpx",
        "typer",
        "click",
        "ansible",
        "jinja2",
        "rich",
        "aiohttp",
        "mlsysops_cli",
        "mlsysops_agents",
    }
    assert not heavy & loaded


def test_importing_builds_no_validator() -> None:
    code = "from mlsysops_core.model import Application; print(Application.__pydantic_complete__)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "False", "validators are built on first use, so that an import stays cheap"


def test_the_public_face_of_the_model() -> None:
    assert set(model.__all__) == {
        "API_VERSION", "Application", "Cluster", "Component", "Container", "Continuum", "Datacenter", "Description", "GROUP", "KINDS",
        "Kind", "Loaded", "Node", "VERSION", "description_name", "from_resource", "kind_of", "load", "load_descriptions", "to_document",
        "to_resource", "warnings_of",
    }  # fmt: skip
    assert all(hasattr(model, name) for name in model.__all__)
