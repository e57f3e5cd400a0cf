"""What the endpoints share: the services, the bearer token, how a body becomes descriptions, how an answer is written."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from mlsysops_core.errors import InvalidInput, MlsError, Refused, Unreachable
from mlsysops_core.model import Application, Description, load_descriptions
from mlsysops_core.yaml import load_yaml
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from mlsysops_northbound.config import Config, TokenFile
from mlsysops_northbound.idempotency import Idempotency
from mlsysops_northbound.metrics import Metrics
from mlsysops_northbound.problems import Unauthorized
from mlsysops_northbound.services import Agents, Applications, Infrastructure, SliceService

__all__ = [
    "Body",
    "Continue",
    "DryRun",
    "Limit",
    "Services",
    "ServicesDep",
    "answer",
    "authenticated",
    "description_body",
    "one_application",
    "read_body",
]

_bearer = HTTPBearer(
    auto_error=False, description="The token made at deploy time; `mls` reads it from the context file."
)
_TOKEN_HINT = "send `Authorization: Bearer TOKEN`; `mls framework deploy-all` writes the token into the context file"  # noqa: S105 - no token


@dataclass(slots=True)
class Services:
    """Everything the endpoints work with."""

    config: Config
    token: TokenFile
    agents: Agents
    applications: Applications
    infrastructure: Infrastructure
    slice: SliceService
    idempotency: Idempotency
    metrics: Metrics
    version: str


@dataclass(frozen=True, slots=True)
class Body:
    """A request body that was understood.

    Attributes:
        raw: As it came.
        descriptions: What it describes.
        source: The YAML text, where the body was a text that people write; empty where it was JSON.
    """

    raw: bytes
    descriptions: list[Description]
    source: str = ""


def services(request: Request) -> Services:
    """Return the services of the application a request came to."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]
Limit = Annotated[int, Query(ge=0, le=1000, description="Most items of a page; 0 for all.")]
Continue = Annotated[str, Query(alias="continue", max_length=4096, description="Token of the page before.")]


def authenticated(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> None:
    """Let a request through that carries the bearer token.

    Raises:
        Unauthorized: It carries none, or a wrong one.
    """
    try:
        token = services(request).token.read()
    except InvalidInput as exc:
        raise Unreachable("the API cannot read its own token", hint="see its log") from exc
    if credentials is None:
        raise Unauthorized("the request carries no bearer token", hint=_TOKEN_HINT)
    if not hmac.compare_digest(credentials.credentials.encode(), token):
        raise Unauthorized("the bearer token is wrong", hint=_TOKEN_HINT)


def dry_run(dryRun: Annotated[str, Query(description="`server` checks and writes nothing.")] = "none") -> bool:  # noqa: N803
    """Understand ``dryRun`` as kubectl's flag and as Kubernetes' parameter write it."""
    value = dryRun.lower()
    if value in {"", "none", "false"}:
        return False
    if value in {"server", "all", "true"}:
        return True
    raise InvalidInput(f"dryRun={dryRun!r} is not understood", hint="none or server")


DryRun = Annotated[bool, Depends(dry_run)]


async def read_body(request: Request) -> bytes:
    """Return the body; the guard has limited its size.

    Raises:
        InvalidInput: It is empty, or of a media type that descriptions do not have.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media and not (media.endswith(("json", "yaml")) or media in {"text/plain", "application/octet-stream"}):
        error = InvalidInput(
            f"a body of type {media} is not understood", hint="send application/json or application/yaml"
        )
        error.http_status = 415
        raise error
    raw = await request.body()
    if not raw.strip():
        raise InvalidInput("the request has no body", hint="send a description, JSON or YAML")
    return raw


async def description_body(request: Request) -> Body:
    """Return the descriptions in a body: wrapped or a manifest, JSON or YAML, or ``{"yaml": …}`` as older clients send.

    Raises:
        InvalidInput: It does not validate; every fault with line and column.
        Refused: ``{"uri": …}`` names a host that `Config.uri_hosts` does not list.
    """
    raw = await read_body(request)
    text, source = raw, "request body"
    envelope = _envelope(raw)
    if "uri" in envelope:
        uri = str(envelope["uri"])
        text, source = await _fetch(uri, services(request).config), uri
    elif "yaml" in envelope:
        inner = envelope["yaml"]
        text = inner.encode() if isinstance(inner, str) else json.dumps(inner).encode()
    descriptions = load_descriptions(text, source=request.headers.get("x-source") or source)
    written = text.decode() if not text.lstrip().startswith((b"{", b"[")) else ""
    return Body(raw, descriptions, written)


def one_application(body: Body) -> Application:
    """Return the application a body describes.

    Raises:
        InvalidInput: It describes several things, or something else.
    """
    if len(body.descriptions) != 1:
        raise InvalidInput(
            f"the body holds {len(body.descriptions)} descriptions", hint="deploy one application at a time"
        )
    description = body.descriptions[0]
    if not isinstance(description, Application):
        kind = type(description).__name__.lower()
        raise InvalidInput(
            f"this describes a {kind}, not an application", hint="use `mls infra register-infra` (POST /v1/infra)"
        )
    return description


def answer(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the JSON answer for a model."""
    return JSONResponse(model.model_dump(mode="json", by_alias=True), status_code=status, headers=dict(headers or {}))


def _envelope(raw: bytes) -> Mapping[str, Any]:
    """Return the body when it is one of the envelopes of older clients: exactly ``{"yaml": …}`` or ``{"uri": …}``."""
    if b'"uri"' not in raw[:4096] and b'"yaml"' not in raw[:4096]:
        return {}
    try:
        value = load_yaml(raw, "request body").value
    except MlsError:
        return {}  # the description loader says what is wrong with it
    return value if isinstance(value, Mapping) and set(value) in ({"yaml"}, {"uri"}) else {}


async def _fetch(uri: str, config: Config) -> bytes:
    import httpx

    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"} or parts.netloc.rpartition("@")[2] not in config.uri_hosts:
        raise Refused(
            f"this API does not fetch {uri!r}",
            hint="send the description itself (`mls … --uri` does), or list the host under uri_hosts in the API's configuration",
        )
    data = b""
    try:
        async with (
            httpx.AsyncClient(timeout=10, follow_redirects=False) as client,
            client.stream("GET", uri) as response,
        ):
            if response.status_code != 200:
                raise InvalidInput(f"{uri} answered {response.status_code}", hint="check the address")
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > config.max_body:
                    raise InvalidInput(f"{uri}: larger than {config.max_body} bytes", hint="descriptions are smaller")
    except httpx.HTTPError as exc:
        raise InvalidInput(f"{uri} cannot be fetched: {exc}", hint="check the address") from exc
    return data
