"""``/v1/infra``: nodes, clusters, datacenters and the continuum."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from mlsysops_core.model.api import InfrastructureItem, InfrastructureList, RegisterResult, RemoveResult
from pydantic import TypeAdapter
from starlette.responses import JSONResponse, Response

from mlsysops_northbound.deps import Continue, DryRun, Limit, ServicesDep, answer, description_body
from mlsysops_northbound.problems import responses
from mlsysops_northbound.routes.apps import IdempotencyKey, description_schema
from mlsysops_northbound.services.infrastructure import kind_of_type

__all__ = ["router"]

router = APIRouter(prefix="/v1/infra", tags=["Infrastructure"])

Type = Annotated[str, Query(alias="type", description="Continuum, Datacenter, Cluster, Node or All.")]
_RESULTS = TypeAdapter(list[RegisterResult])


@router.get("", responses=responses(404, 422))
async def list_infrastructure(
    services: ServicesDep,
    type_: Type = "All",
    name: Annotated[str, Query(max_length=253, description="Only the one of this name.")] = "",
    limit: Limit = 0,
    continue_: Continue = "",
) -> InfrastructureList:
    """List what is registered, kind by kind."""
    return await services.infrastructure.list(kind_of_type(type_), name=name, limit=limit, continue_token=continue_)


@router.post(
    "",
    status_code=201,
    response_model=list[RegisterResult],
    responses={200: {"model": list[RegisterResult]}, **responses(403, 409, 413, 415, 422)},
    openapi_extra=description_schema("InfrastructureDocument"),
)
async def register_infrastructure(
    request: Request, services: ServicesDep, dry_run: DryRun, idempotency_key: IdempotencyKey = ""
) -> Response:
    """Register infrastructure, or update what is registered: 201 where something is new, 200 where nothing is."""
    body = await description_body(request)

    async def run() -> Response:
        results = await services.infrastructure.register(body.descriptions, dry_run=dry_run)
        status = 201 if not dry_run and any(result.action == "created" for result in results) else 200
        return JSONResponse(_RESULTS.dump_python(results, mode="json", by_alias=True), status_code=status)

    return await services.idempotency.once(request, body.raw, run)


@router.get("/{infra_id}", responses=responses(404, 422))
async def get_infrastructure(infra_id: str, services: ServicesDep, type_: Type = "All") -> InfrastructureItem:
    """Return one piece of infrastructure."""
    return (await services.infrastructure.list(kind_of_type(type_), name=infra_id)).items[0]


@router.delete("/{infra_id}", status_code=202, response_model=RemoveResult, responses=responses(404, 409, 422))
async def unregister_infrastructure(
    infra_id: str,
    request: Request,
    services: ServicesDep,
    dry_run: DryRun,
    type_: Type = "All",
    force: Annotated[bool, Query(description="Also a cluster or continuum that agents report to.")] = False,
    idempotency_key: IdempotencyKey = "",
) -> Response:
    """Unregister one piece of infrastructure."""

    async def run() -> Response:
        kinds = kind_of_type(type_)
        obj = await services.infrastructure.unregister(infra_id, kinds=kinds, dry_run=dry_run, force=force)
        message = f"{obj['kind']} unregistered"
        return answer(RemoveResult(id=obj["metadata"]["name"], dry_run=dry_run, message=message), 202)

    return await services.idempotency.once(request, b"", run)
