"""``/healthz``, ``/readyz``, ``/metrics``: for supervisors and Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.responses import PlainTextResponse, Response

from mlsysops_northbound.deps import ServicesDep, authenticated
from mlsysops_northbound.problems import responses

__all__ = ["router"]

router = APIRouter(tags=["Probes"])


@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    """Return 200 while the process serves requests."""
    return "ok"


@router.get("/readyz", response_class=PlainTextResponse, responses=responses())
async def readyz(services: ServicesDep) -> str:
    """Return 200 while the continuum's API answers, 503 where it does not."""
    await services.slice.probe()
    return "ok"


@router.get("/metrics", response_class=PlainTextResponse, dependencies=[Depends(authenticated)], responses=responses())
async def metrics(services: ServicesDep) -> Response:
    """Return the API's metrics in the Prometheus text format."""
    return Response(services.metrics.render(), media_type=services.metrics.content_type)
