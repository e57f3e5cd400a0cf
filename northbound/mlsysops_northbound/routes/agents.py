"""``/v1/agents``: policies and settings of running agents."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from mlsysops_core.model.api import AgentsRequest, SentItem, SentList

from mlsysops_northbound.deps import DryRun, ServicesDep
from mlsysops_northbound.problems import responses

__all__ = ["router"]

router = APIRouter(prefix="/v1/agents", tags=["Agents"])

Name = Annotated[str, Path(max_length=64, description="Name of it.")]
Target = Annotated[str, Query(max_length=512, description="all, a tier, tier/name, or a label selector.")]
Filter = Annotated[str, Query(max_length=512, description="Only for this target; everything where empty.")]


@router.get("/policies", responses=responses(422))
async def list_policies(services: ServicesDep, target: Filter = "") -> SentList:
    """Return the policies that were sent, and what every agent says of those it has."""
    return await services.agents.find("policy", target=target)


@router.put("/policies/{name}", responses=responses(403, 404, 409, 413, 422))
async def set_policy(name: Name, request: AgentsRequest, services: ServicesDep, dry_run: DryRun) -> SentItem:
    """Send a policy to running agents, or bring back an earlier revision."""
    return await services.agents.put("policy", name, request, dry_run=dry_run)


@router.delete("/policies/{name}", responses=responses(404, 409, 422))
async def delete_policy(name: Name, target: Target, services: ServicesDep, dry_run: DryRun) -> SentItem:
    """Take a policy that was sent back from running agents."""
    return await services.agents.delete("policy", name, target, dry_run=dry_run)


@router.get("/config", responses=responses(422))
async def list_config(services: ServicesDep, target: Filter = "") -> SentList:
    """Return the settings that were sent to agents."""
    return await services.agents.find("config", target=target)


@router.put("/config/{name}", responses=responses(404, 409, 413, 422))
async def set_config(name: Name, request: AgentsRequest, services: ServicesDep, dry_run: DryRun) -> SentItem:
    """Send settings to running agents, or bring back an earlier revision."""
    return await services.agents.put("config", name, request, dry_run=dry_run)


@router.delete("/config/{name}", responses=responses(404, 409, 422))
async def delete_config(name: Name, target: Target, services: ServicesDep, dry_run: DryRun) -> SentItem:
    """Take settings back from running agents."""
    return await services.agents.delete("config", name, target, dry_run=dry_run)
