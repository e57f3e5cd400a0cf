"""``/v1/slice`` and ``/v1/settings``: the slice as a whole."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from mlsysops_core.model.api import Mode, Ping, SliceInfo, SystemTarget

from mlsysops_northbound.deps import ServicesDep
from mlsysops_northbound.problems import responses

__all__ = ["ModePath", "router"]

router = APIRouter(prefix="/v1", tags=["Slice"])

ModePath = Annotated[Literal["0", "1"], Path(description="0 heuristic, 1 machine learning.")]


@router.get("/slice", responses=responses())
async def get_slice(services: ServicesDep) -> SliceInfo:
    """Return agents, clusters, versions and settings of the slice."""
    return await services.slice.info()


@router.get("/ping", responses=responses())
async def ping(services: ServicesDep) -> Ping:
    """Return whether every agent is alive."""
    return await services.slice.ping()


@router.get("/settings/mode", responses=responses())
async def get_mode(services: ServicesDep) -> Mode:
    """Return the mode of the slice's policies."""
    return await services.slice.mode()


@router.put("/settings/mode/{mode}", responses=responses(409, 422))
async def set_mode(mode: ModePath, services: ServicesDep) -> Mode:
    """Set the mode of the slice's policies."""
    return await services.slice.set_mode(1 if mode == "1" else 0)


@router.get("/settings/system-targets", responses=responses())
async def get_system_targets(services: ServicesDep) -> list[SystemTarget]:
    """Return the targets of the whole slice."""
    return await services.slice.targets()


@router.put("/settings/system-targets", responses=responses(409, 422))
async def set_system_target(target: SystemTarget, services: ServicesDep) -> list[SystemTarget]:
    """Set a target of the whole slice; one for the same metric is replaced."""
    return await services.slice.set_target(target)


@router.delete("/settings/system-targets/{metric:path}", responses=responses(404, 409, 422))
async def remove_system_target(
    metric: Annotated[str, Path(max_length=253, description="Name of the metric.")], services: ServicesDep
) -> list[SystemTarget]:
    """Take a target of the whole slice back; the others are returned."""
    return await services.slice.remove_target(metric)
