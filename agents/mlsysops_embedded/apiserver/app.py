"""The ASGI application: authenticate, authorise, dispatch, audit."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Final

import orjson

from mlsysops_embedded.apiserver.access import Access
from mlsysops_embedded.apiserver.discovery import Discovery
from mlsysops_embedded.apiserver.http import Receive, Request, Scope, Send, respond, respond_status
from mlsysops_embedded.apiserver.logs import LogProxy
from mlsysops_embedded.apiserver.metrics import Metrics
from mlsysops_embedded.apiserver.openapi import OpenApi
from mlsysops_embedded.apiserver.registry import Registry
from mlsysops_embedded.apiserver.routing import Route, route
from mlsysops_embedded.apiserver.subresources import Subresources
from mlsysops_embedded.apiserver.verbs import Verbs
from mlsysops_embedded.auth.audit import AuditLog
from mlsysops_embedded.auth.escalation import EscalationCheck
from mlsysops_embedded.auth.impersonation import impersonated
from mlsysops_embedded.auth.rbac import Attributes
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.call import ANONYMOUS
from mlsysops_embedded.machinery.selectors import parse_field_selector
from mlsysops_embedded.release import GIT_VERSION, MINOR

__all__ = ["VERSION", "ApiServer"]

_LOG: Final = logging.getLogger("embedded.apiserver")
VERSION: Final = {
    "major": "1", "minor": MINOR, "emulationMajor": "1", "emulationMinor": MINOR, "gitVersion": GIT_VERSION, "gitCommit": "",
    "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux",
}  # fmt: skip
_HEALTH: Final = ("/healthz", "/livez", "/readyz")


class ApiServer:
    """ASGI application.

    Args:
        registry: Objects.
        access: Authentication and authorisation.
        audit: Where requests are noted.
        logs: Logs of pods.
        metrics: What nodes and pods use.
    """

    def __init__(
        self,
        registry: Registry,
        access: Access,
        audit: AuditLog | None = None,
        logs: LogProxy | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._registry = registry
        self._access = access
        self._audit = audit
        self._verbs = Verbs(registry, Subresources(registry, access, logs), metrics)
        self._discovery = Discovery(registry.catalog)
        self._openapi = OpenApi(registry.catalog)
        self.ready = False
        # Requests come from others than the server itself from here on.
        registry.strategies.guards += (EscalationCheck(access.authorizer), access.nodes.guard)
        registry.strategies.observers.append(access.authorizer.observe)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive, _Started(send))
        sender: _Started = request.send  # type: ignore[assignment]
        asked = Attributes(request.method.lower(), path=request.path)
        author = user = ANONYMOUS
        code = 500
        try:
            found = route(request)
            if found is not None:
                asked = found.attributes
                if not found.name and found.verb in ("list", "watch") and "fieldSelector" in request.query:
                    fields = parse_field_selector(request.query["fieldSelector"])
                    name, node = fields.exact("metadata.name") or "", fields.exact("spec.nodeName") or ""
                    asked = replace(asked, subresource="", name=name, node=node if found.plural == "pods" else "")
            author = user = self._access.authenticator.authenticate(request.peer, request.header(b"authorization"))
            user = request.user = impersonated(author, scope["headers"], self._access.authorizer)
            self._access.authorizer.demand(user, asked)
            code = await self._dispatch(request, found)
        except ApiError as exc:
            code = exc.code
            await self._fail(request, sender, exc)
        except RecursionError:
            code = 400
            await self._fail(request, sender, ApiError.bad_request("the object is nested too deeply"))
        except Exception as exc:  # noqa: BLE001 - the border of a request: one that fails must not end the server
            _LOG.exception("%s %s", request.method, request.path)
            await self._fail(request, sender, ApiError.internal(f"{type(exc).__name__}: {exc}"))
        if self._audit is not None:
            client = scope.get("client") or ("", 0)
            agent = request.header(b"user-agent")
            self._audit.record(
                request.audit_id, author, user, asked, uri=request.path, source=str(client[0]), agent=agent, code=code
            )

    @staticmethod
    async def _fail(request: Request, sender: _Started, error: ApiError) -> None:
        if not sender.started:
            await respond_status(request, error)
        elif not sender.finished:
            await sender({"type": "http.response.body", "body": b""})

    async def _dispatch(self, request: Request, found: Route | None) -> int:
        if found is not None:
            info = self._registry.catalog.find(found.group, found.version, found.plural)
            if info is None:
                raise ApiError.unknown_resource()
            return await self._verbs.serve(request, found, info)
        path = request.path.rstrip("/") or "/"
        if request.method not in ("GET", "HEAD"):
            raise (
                ApiError.method_not_allowed() if path.startswith(("/api", "/version")) else ApiError.unknown_resource()
            )
        if path.startswith(_HEALTH) and path.split("/")[1] in ("healthz", "livez", "readyz"):
            return await self._health(request, path)
        if path == "/version":
            await respond(request, 200, orjson.dumps(VERSION))
            return 200
        if path == "/":
            return await self._index(request)
        if path.startswith("/openapi"):
            return await self._openapi.serve(request, path)
        answer = self._discovery.answer(request)
        if answer is None:
            raise ApiError.unknown_resource()
        await respond(request, 200, orjson.dumps(answer[0]), content_type=answer[1])
        return 200

    async def _health(self, request: Request, path: str) -> int:
        fine = self.ready or path.startswith("/livez")
        text = (
            ("ok" if "verbose" not in request.query else f"[+]ping ok\n[+]store ok\n{path.strip('/')} check passed\n")
            if fine
            else "not ready"
        )
        await respond(request, 200 if fine else 503, text, content_type="text/plain; charset=utf-8")
        return 200 if fine else 503

    async def _index(self, request: Request) -> int:
        groups = self._registry.catalog.groups()
        paths = ["/api", "/api/v1", "/apis"]
        for group, versions in groups.items():
            if group:
                paths += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)]
        paths += ["/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
        await respond(request, 200, orjson.dumps({"paths": paths}))
        return 200


class _Started:
    """Notes how far the response is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.finished = False

    async def __call__(self, message: Any) -> None:
        self.started = True
        self.finished = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)
