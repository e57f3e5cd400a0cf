"""The descriptions above nodes: cluster, datacenter, continuum."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from mlsysops_core.model import rules
from mlsysops_core.model import vocabulary as words
from mlsysops_core.model.common import Root, raise_problems
from mlsysops_core.model.node import LOCATION_RULES
from mlsysops_core.model.scalars import Identifier, Location

__all__ = ["Cluster", "Continuum", "Datacenter"]


class Cluster(Root):
    """MLSysOps cluster formal specification."""

    name: Identifier | None = Field(None, description="Name of the cluster; the object is called by cluster_id.")
    cluster_id: Identifier = Field(description="The unique cluster identifier.")
    datacenter_id: Identifier | None = Field(None, description="The unique datacenter identifier.")
    nodes: list[Identifier] = Field(max_length=5000, description="Names of the registered nodes.")

    @model_validator(mode="after")
    def _cross_field_rules(self) -> Cluster:
        raise_problems("Cluster", rules.members({"nodes": self.nodes}, "nodes"))
        return self


class Continuum(Root):
    """MLSysOps continuum formal specification."""

    name: Identifier | None = Field(None, description="Name of the continuum; the object is called by continuum_id.")
    continuum_id: Identifier = Field(description="The unique continuum identifier.")
    clusters: list[Identifier] = Field(max_length=1000, description="Identifiers of the registered clusters.")

    @model_validator(mode="after")
    def _cross_field_rules(self) -> Continuum:
        raise_problems("Continuum", rules.members({"clusters": self.clusters}, "clusters"))
        return self


class Datacenter(Root):
    """MLSysOps datacenter formal specification."""

    name: Identifier | None = Field(None, description="Name of the datacenter; the object is called by datacenter_id.")
    datacenter_id: Identifier = Field(description="The unique datacenter identifier.")
    cluster_id: Identifier = Field(description="Identifier of the cluster of which the datacenter is a member.")
    continuum: words.Layer = Field(description="Layer of the continuum to which the datacenter belongs.")
    nodes: list[Identifier] = Field(max_length=5000, description="Names of the registered nodes.")
    continent: words.Continent | None = Field(None, description="Continent.")
    country: words.Country | None = Field(
        None, description="Country: Greece, Italy, France, Netherlands, Ireland, Portugal, Denmark, Israel."
    )
    city: words.City | None = Field(None, description="City.")
    location: Annotated[Location, Field(json_schema_extra=LOCATION_RULES)] | None = Field(
        None, description="Longitude and latitude (degrees), in this order."
    )
    cloud_provider: words.CloudProvider | None = Field(None, description="Provider.")

    @model_validator(mode="after")
    def _cross_field_rules(self) -> Datacenter:
        raise_problems("Datacenter", rules.datacenter({"nodes": self.nodes, "location": self.location}))
        return self
