"""``/v1/apps``: applications."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from mlsysops_core.model import Application
from mlsysops_core.model.api import (
    ApplicationDecisions,
    ApplicationDetails,
    ApplicationList,
    ApplicationPerformance,
    ApplicationState,
    DeployResult,
    RemoveResult,
)
from starlette.responses import PlainTextResponse, Response

from mlsysops_northbound.deps import Continue, DryRun, Limit, ServicesDep, answer, description_body, one_application
from mlsysops_northbound.problems import responses

__all__ = ["IdempotencyKey", "description_schema", "router"]

router = APIRouter(prefix="/v1/apps", tags=["Applications"])

IdempotencyKey = Annotated[
    str,
    Header(alias="Idempotency-Key", max_length=255, description="Repeating a write with its key repeats the answer."),
]


def description_schema(name: str) -> dict[str, Any]:
    """Return the OpenAPI of a body that is read by the description loader, not by FastAPI.

    Args:
        name: Schema of the wrapped form.
    """
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {
        "requestBody": {
            "required": True,
            "description": "A description, wrapped as the schema says, or as a Kubernetes manifest of the same kind.",
            "content": {"application/json": {"schema": schema}, "application/yaml": {"schema": schema}},
        }
    }


_BODY = description_schema("ApplicationDocument")


@router.get("", responses=responses(422))
async def list_applications(services: ServicesDep, limit: Limit = 0, continue_: Continue = "") -> ApplicationList:
    """List the applications, by name."""
    return await services.applications.list(limit=limit, continue_token=continue_)


@router.post(
    "",
    status_code=201,
    response_model=DeployResult,
    responses={200: {"model": DeployResult}, **responses(403, 409, 413, 415, 422)},
    openapi_extra=_BODY,
)
async def deploy_application(
    request: Request,
    services: ServicesDep,
    dry_run: DryRun,
    force: Annotated[bool, Query(description="Replace the description of one that exists.")] = False,
    idempotency_key: IdempotencyKey = "",
) -> Response:
    """Deploy an application: 201 created, 200 unchanged (or updated, with `force`), 409 exists with another description."""
    body = await description_body(request)
    application: Application = one_application(body)

    async def run() -> Response:
        result = await services.applications.deploy(application, source=body.source, dry_run=dry_run, force=force)
        status = 201 if result.action == "created" and not dry_run else 200
        return answer(result, status, {"Location": f"/v1/apps/{result.id}"})

    return await services.idempotency.once(request, body.raw, run)


@router.get("/{app_id}", responses=responses(404))
async def get_application(app_id: str, services: ServicesDep, response: Response) -> ApplicationDetails:
    """Return everything known of an application but its decisions."""
    details = await services.applications.details(app_id)
    if details.resource_version:
        response.headers["ETag"] = f'"{details.resource_version}"'
    return details


@router.put(
    "/{app_id}", response_model=DeployResult, responses=responses(403, 404, 409, 413, 415, 422), openapi_extra=_BODY
)
async def update_application(
    app_id: str,
    request: Request,
    services: ServicesDep,
    dry_run: DryRun,
    if_match: Annotated[str, Header(alias="If-Match", description="ETag of the version that is replaced.")] = "",
    idempotency_key: IdempotencyKey = "",
) -> Response:
    """Replace the description of an application that exists."""
    body = await description_body(request)
    application = one_application(body)
    version = if_match.removeprefix("W/").strip('"')

    async def run() -> Response:
        result = await services.applications.update(
            app_id, application, source=body.source, if_match=version, dry_run=dry_run
        )
        return answer(result)

    return await services.idempotency.once(request, body.raw, run)


@router.delete("/{app_id}", status_code=202, response_model=RemoveResult, responses=responses(404, 409))
async def remove_application(
    app_id: str, request: Request, services: ServicesDep, dry_run: DryRun, idempotency_key: IdempotencyKey = ""
) -> Response:
    """Start the removal of an application; it is gone when its status answers 404."""

    async def run() -> Response:
        return answer(await services.applications.remove(app_id, dry_run=dry_run), 202)

    return await services.idempotency.once(request, b"", run)


@router.get("/{app_id}/status", responses=responses(404))
async def get_application_status(app_id: str, services: ServicesDep) -> ApplicationState:
    """Return how an application is doing."""
    return await services.applications.state(app_id)


@router.get("/{app_id}/details", responses=responses(404))
async def get_application_details(app_id: str, services: ServicesDep) -> ApplicationDetails:
    """Return everything known of an application but its decisions."""
    return await services.applications.details(app_id)


@router.get("/{app_id}/performance", responses=responses(404))
async def get_application_performance(app_id: str, services: ServicesDep) -> ApplicationPerformance:
    """Return an application's targets, what was measured, and whether they hold."""
    return await services.applications.performance(app_id)


@router.get("/{app_id}/decisions", responses=responses(404))
async def get_application_decisions(
    app_id: str,
    services: ServicesDep,
    limit: Limit = 0,
    decision: Annotated[
        str, Query(max_length=64, description="Only this decision: its number (1 is the newest), or how its id begins.")
    ] = "",
    since: Annotated[
        str, Query(max_length=64, description="Only decisions since then: RFC 3339, or a duration before now (10m).")
    ] = "",
) -> ApplicationDecisions:
    """Return what the agents decided and why, newest first."""
    return await services.applications.decisions(app_id, limit=limit, decision=decision, since=since)


@router.get("/{app_id}/source", response_class=PlainTextResponse, responses={204: {}, **responses(404)})
async def get_application_source(app_id: str, services: ServicesDep) -> Response:
    """Return the text an application was deployed from, comments and all; 204 where none was kept."""
    text, version = await services.applications.source(app_id)
    headers = {"ETag": f'"{version}"'}
    if not text:
        return Response(status_code=204, headers=headers)
    return PlainTextResponse(text, media_type="application/yaml", headers=headers)
