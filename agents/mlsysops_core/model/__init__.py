"""The descriptions of applications and infrastructure: one source of truth for CRDs, API, editors and reference."""

from __future__ import annotations

from mlsysops_core.model.application import Application
from mlsysops_core.model.components import Component
from mlsysops_core.model.containers import Container
from mlsysops_core.model.infrastructure import Cluster, Continuum, Datacenter
from mlsysops_core.model.kinds import (
    API_VERSION,
    GROUP,
    KINDS,
    VERSION,
    Description,
    Kind,
    description_name,
    from_resource,
    kind_of,
    to_document,
    to_resource,
)
from mlsysops_core.model.load import Loaded, load, load_descriptions
from mlsysops_core.model.node import Node
from mlsysops_core.model.warnings import warnings_of

__all__ = [
    "API_VERSION",
    "GROUP",
    "KINDS",
    "VERSION",
    "Application",
    "Cluster",
    "Component",
    "Container",
    "Continuum",
    "Datacenter",
    "Description",
    "Kind",
    "Loaded",
    "Node",
    "description_name",
    "from_resource",
    "kind_of",
    "load",
    "load_descriptions",
    "to_document",
    "to_resource",
    "warnings_of",
]
