"""The paths that scripts written for the MLSysOps framework call, with the shapes they expect."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from mlsysops_core.model.api import ApplicationDetails, Mode, Ping
from starlette.responses import JSONResponse, Response

from mlsysops_northbound.deps import DryRun, ServicesDep, description_body, one_application
from mlsysops_northbound.problems import responses
from mlsysops_northbound.routes.apps import IdempotencyKey, description_schema
from mlsysops_northbound.routes.manage import ModePath
from mlsysops_northbound.services.infrastructure import kind_of_type

__all__ = ["router"]

router = APIRouter(tags=["Earlier paths"])


@router.post(
    "/apps/deploy",
    responses=responses(403, 409, 413, 415, 422),
    openapi_extra=description_schema("ApplicationDocument"),
)
async def deploy(
    request: Request,
    services: ServicesDep,
    dry_run: DryRun,
    force: bool = False,
    idempotency_key: IdempotencyKey = "",
) -> Response:
    """Deploy an application; the body is a description, ``{"yaml": description}`` or ``{"uri": address}``."""
    body = await description_body(request)
    application = one_application(body)

    async def run() -> Response:
        result = await services.applications.deploy(application, source=body.source, dry_run=dry_run, force=force)
        return JSONResponse({"app_id": result.id, "status": result.phase, "action": result.action})

    return await services.idempotency.once(request, body.raw, run)


@router.get("/apps/list_all/", responses=responses())
async def list_all(services: ServicesDep) -> dict[str, dict[str, str]]:
    """Return the phase of every application, by name."""
    return {"System_status": {item.id: item.phase for item in (await services.applications.list()).items}}


@router.get("/apps/status/{app_id}", responses=responses(404))
async def status(app_id: str, services: ServicesDep) -> dict[str, str]:
    """Return the phase of an application."""
    state = await services.applications.state(app_id)
    return {"app_id": state.id, "status": state.phase, "message": state.message}


@router.get("/apps/apps/details/{app_id}", responses=responses(404))
async def details(app_id: str, services: ServicesDep) -> dict[str, Any]:
    """Return the state of an application and the pods of its components."""
    found: ApplicationDetails = await services.applications.details(app_id)
    components = [
        {
            "name": item.name,
            "details": {
                "status": item.phase,
                "ready": item.ready,
                "message": item.message or "",
                "pods": [
                    {
                        "pod_name": item.pod,
                        "pod_status": item.phase,
                        "node_name": item.node or "",
                        "cluster_name": item.cluster or "",
                    }
                ]
                if item.pod
                else [],
            },
        }
        for item in found.component_statuses
    ]
    return {"app_id": found.id, "state": found.phase, "components": components}


@router.get("/apps/performance/{app_id}", responses=responses(404))
async def performance(app_id: str, services: ServicesDep) -> list[tuple[str, dict[str, Any]]]:
    """Return pairs of a metric's name and its value, target and whether it holds."""
    found = await services.applications.performance(app_id)
    return [(item.metric, item.model_dump(mode="json", by_alias=True, exclude={"metric"})) for item in found.items]


@router.delete("/apps/remove/{app_id}", status_code=202, responses=responses(404, 409))
async def remove(app_id: str, services: ServicesDep, dry_run: DryRun) -> dict[str, str]:
    """Start the removal of an application."""
    result = await services.applications.remove(app_id, dry_run=dry_run)
    return {"app_id": result.id, "message": "Application status updated to 'To_be_removed'."}


@router.post(
    "/infra/register",
    responses=responses(403, 409, 413, 415, 422),
    openapi_extra=description_schema("InfrastructureDocument"),
)
async def register(
    request: Request, services: ServicesDep, dry_run: DryRun, idempotency_key: IdempotencyKey = ""
) -> Response:
    """Register infrastructure; the body is as for ``/apps/deploy``."""
    body = await description_body(request)

    async def run() -> Response:
        results = await services.infrastructure.register(body.descriptions, dry_run=dry_run)
        items = [{"infra_id": item.id, "type": item.kind, "status": item.action} for item in results]
        return JSONResponse({**items[0], "items": items})

    return await services.idempotency.once(request, body.raw, run)


@router.get("/infra/list/", responses=responses(404, 422))
async def list_infra(
    services: ServicesDep,
    type_: Annotated[str, Query(alias="type")] = "All",
    name: str = "",
    id_type: str = "",
    id_value: str = "",
) -> dict[str, Any]:
    """Return name and type of what is registered."""
    found = await services.infrastructure.list(kind_of_type(id_type or type_), name=id_value or name)
    return {
        "items": [
            {"name": item.id, "type": item.type, "cluster": item.cluster, "ready": item.ready} for item in found.items
        ]
    }


@router.delete("/infra/unregister/{infra_id}", status_code=202, responses=responses(404, 409, 422))
async def unregister(
    infra_id: str,
    services: ServicesDep,
    dry_run: DryRun,
    type_: Annotated[str, Query(alias="type")] = "All",
    force: Annotated[bool, Query(description="Also a cluster or continuum that agents report to.")] = False,
) -> dict[str, str]:
    """Unregister one piece of infrastructure."""
    kinds = kind_of_type(type_)
    obj = await services.infrastructure.unregister(infra_id, kinds=kinds, dry_run=dry_run, force=force)
    return {"infra_id": obj["metadata"]["name"], "type": obj["kind"], "message": "unregistered"}


@router.get("/manage/ping", responses=responses())
async def ping(services: ServicesDep) -> Ping:
    """Return whether the API and every agent are alive."""
    return await services.slice.ping()


@router.put("/manage/mode/{mode}", responses=responses(409, 422))
async def set_mode(mode: ModePath, services: ServicesDep) -> Mode:
    """Set the mode: 0 heuristic, 1 machine learning."""
    return await services.slice.set_mode(1 if mode == "1" else 0)
