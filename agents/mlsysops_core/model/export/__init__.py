"""Generates from the models: CustomResourceDefinitions, JSON schemas for editors, and the reference of the documentation."""

from __future__ import annotations

from mlsysops_core.model.export.crds import custom_resource_definition
from mlsysops_core.model.export.editor import editor_schema
from mlsysops_core.model.export.files import check_files, generated_files, write_files
from mlsysops_core.model.export.reference import reference_page

__all__ = [
    "check_files",
    "custom_resource_definition",
    "editor_schema",
    "generated_files",
    "reference_page",
    "write_files",
]
