"""Puts the API together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from mlsysops_core.model import KINDS
from mlsysops_core.model.api import Problem
from pydantic.json_schema import models_json_schema
from starlette.responses import HTMLResponse, RedirectResponse

from mlsysops_northbound import problems
from mlsysops_northbound.config import Config, TokenFile
from mlsysops_northbound.deps import Services, authenticated
from mlsysops_northbound.guard import Guard
from mlsysops_northbound.idempotency import Idempotency
from mlsysops_northbound.metrics import Metrics
from mlsysops_northbound.page import api_page
from mlsysops_northbound.routes import agents, apps, infra, legacy, manage, ml, probes
from mlsysops_northbound.services import Agents, Applications, Infrastructure, SliceService
from mlsysops_northbound.store import Store

__all__ = ["create_app", "description_schemas", "software_version"]


def software_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("mlsysops-cli")
    except PackageNotFoundError:  # run from a copied tree
        return "unknown"


def create_app(config: Config, store: Store) -> FastAPI:
    """Return the application.

    Args:
        config: Its configuration.
        store: Where objects live; closed with the application.
    """
    number = software_version()
    metrics = Metrics(number)
    idempotency = Idempotency(config.state_dir / "northbound.sqlite")
    services = Services(
        config=config,
        token=TokenFile(config.token_file),
        agents=Agents(store, namespace=config.namespace, framework_namespace=config.framework_namespace),
        applications=Applications(store, config.namespace),
        infrastructure=Infrastructure(store, config.namespace),
        slice=SliceService(
            store,
            name=config.slice,
            version=number,
            namespace=config.namespace,
            framework_namespace=config.framework_namespace,
        ),
        idempotency=idempotency,
        metrics=metrics,
        version=number,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await store.close()
        idempotency.close()

    app = FastAPI(
        title="MLSysOps northbound API",
        summary="Applications and infrastructure of one slice.",
        version=number,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
    )
    app.state.services = services
    problems.install(app)
    app.add_middleware(Guard, max_body=config.max_body, timeout=config.timeout, metrics=metrics)
    app.include_router(probes.router)
    for router in (agents.router, apps.router, infra.router, manage.router, ml.router, legacy.router):
        app.include_router(router, dependencies=[Depends(authenticated)])
    _describe_problems(app)
    _serve_page(app)
    return app


def _serve_page(app: FastAPI) -> None:
    """Serve the OpenAPI document to people, too."""

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    def page() -> str:
        return api_page(app.openapi())

    @app.get("/", include_in_schema=False)
    def root() -> RedirectResponse:
        return RedirectResponse("/docs")


def _operation_id(route: APIRoute) -> str:
    tag = str(route.tags[0]).lower().replace(" ", "-") if route.tags else "api"
    return f"{tag}-{route.name}" + ("-earlier" if route.path.startswith("/ml") else "")


def _describe_problems(app: FastAPI) -> None:
    """Add the problem schema to the OpenAPI document, and take FastAPI's own error schemas out."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        problem = Problem.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        _describe_descriptions(schemas)
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for operations in document["paths"].values():
            for operation in operations.values():
                fault = operation["responses"].get("422", {}).get("content", {})
                if "application/json" in fault:
                    operation["responses"].update({str(key): value for key, value in problems.responses(422).items()})
                    operation["responses"]["422"]["content"].pop("application/json", None)
        app.openapi_schema = document
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _describe_descriptions(schemas: dict[str, Any]) -> None:
    """Add the schemas of the descriptions: `ApplicationDocument` and `InfrastructureDocument` are their wrapped forms."""
    schemas.update(description_schemas())
    wrapped = {
        name: {
            "type": "object",
            "properties": {name: {"$ref": f"#/components/schemas/{kind.model.__name__}"}},
            "required": [name],
            "description": f"A {kind.model.__name__.lower()}, wrapped.",
        }
        for name, kind in KINDS.items()
    }
    schemas["ApplicationDocument"] = wrapped.pop("MLSysOpsApp")
    schemas["InfrastructureDocument"] = {"oneOf": list(wrapped.values()), "description": "Infrastructure, wrapped."}


def description_schemas() -> dict[str, Any]:
    """Return the schemas of the descriptions and of everything in them, by name."""
    models = [(kind.model, "validation") for kind in KINDS.values()]
    _, generated = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    found: dict[str, Any] = generated["$defs"]
    return found
