"""``/v1/models`` and ``/ml``: machine-learning models; answered with 501 until there is an ML connector."""

from __future__ import annotations

from typing import NoReturn

from fastapi import APIRouter
from mlsysops_core.errors import MlsError

from mlsysops_northbound.deps import ServicesDep
from mlsysops_northbound.problems import responses

__all__ = ["NotImplementedYet", "router"]

router = APIRouter(tags=["Models"])


class NotImplementedYet(MlsError):
    """This version does not have it."""

    exit_code = 5
    code = "not-implemented"
    http_status = 501


def _absent(services: ServicesDep) -> NoReturn:
    raise NotImplementedYet(
        f"machine-learning models cannot be deployed with version {services.version}: it has no ML connector",
        hint="applications and policies work without; watch the change log for the ML connector",
    )


@router.get("/v1/models", status_code=501, responses=responses(501))
@router.get("/ml/list_all/", status_code=501, responses=responses(501))
async def list_models(services: ServicesDep) -> None:
    """List the models (not available yet)."""
    _absent(services)


@router.post("/v1/models", status_code=501, responses=responses(501))
@router.post("/ml/deploy_ml", status_code=501, responses=responses(501))
async def deploy_model(services: ServicesDep) -> None:
    """Deploy a model (not available yet)."""
    _absent(services)


@router.get("/v1/models/{model_uid}", status_code=501, responses=responses(501))
@router.get("/ml/status/{model_uid}", status_code=501, responses=responses(501))
async def get_model(model_uid: str, services: ServicesDep) -> None:
    """Return the state of a model (not available yet)."""
    _absent(services)


@router.delete("/v1/models/{model_uid}", status_code=501, responses=responses(501))
@router.delete("/ml/remove/{model_uid}", status_code=501, responses=responses(501))
async def remove_model(model_uid: str, services: ServicesDep) -> None:
    """Remove a model (not available yet)."""
    _absent(services)
