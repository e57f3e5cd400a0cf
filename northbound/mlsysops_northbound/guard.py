"""What every request passes through: an id, limits on size and time, a measurement, and a last net for faults of ours."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from typing import Any

from mlsysops_core.errors import InvalidInput
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlsysops_northbound.metrics import Metrics
from mlsysops_northbound.problems import from_status, problem_response

__all__ = ["BodyTooLarge", "Guard"]

_log = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class BodyTooLarge(InvalidInput):
    """The request body is larger than the API takes."""

    http_status = 413


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: What it guards.
        max_body: Largest request body, bytes.
        timeout: Longest time until a request is answered, seconds.
        metrics: Where requests are counted.
    """

    def __init__(self, app: ASGIApp, *, max_body: int, timeout: float, metrics: Metrics) -> None:
        self._app = app
        self._max_body = max_body
        self._timeout = timeout
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(scope, receive, send, request_id, self._max_body)
        started = time.perf_counter()
        try:
            length = headers.get(b"content-length", b"0")
            if length.isdigit() and int(length) > self._max_body:
                await exchange.fail(413, f"the body has {int(length)} bytes, at most {self._max_body} are taken")
            else:
                async with asyncio.timeout(self._timeout):
                    await self._app(scope, exchange.receive, exchange.send)
        except TimeoutError:
            _log.error("%s %s took longer than %g s", scope["method"], scope["path"], self._timeout)
            await exchange.fail(504, f"no answer within {self._timeout:g} s")
        except Exception:  # noqa: BLE001 - the border to the server: a client always gets an answer, the log has the cause
            if not exchange.started:
                _log.exception("%s %s failed", scope["method"], scope["path"])
                await exchange.fail(500, "an internal error; the server's log has the details under this instance")
        finally:
            route = getattr(scope.get("route"), "path", "(no route)")
            self._metrics.observe(scope["method"], route, exchange.status, time.perf_counter() - started)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str, max_body: int) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._request_id, self._left, self._max_body = request_id, max_body, max_body
        self.started = False
        self.status = 500

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise BodyTooLarge(f"the body is larger than {self._max_body} bytes", hint="send less at once")
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started, self.status = True, int(message["status"])
            extra = {
                b"x-request-id": self._request_id.encode("latin-1"),
                b"cache-control": b"no-store",
                b"x-content-type-options": b"nosniff",
            }
            message["headers"] = [*message.get("headers", []), *extra.items()]
        await self._send(message)

    async def fail(self, status: int, detail: str) -> None:
        """Answer with a problem, unless an answer has begun."""
        if self.started:
            return
        codes = {413: "invalid-input", 504: "timed-out", 500: "internal-error"}
        instance = f"urn:mlsysops:request:{self._request_id}"
        response: Any = problem_response(from_status(status, detail, instance=instance, code=codes[status]))
        await response(self._scope, self._receive, self.send)
