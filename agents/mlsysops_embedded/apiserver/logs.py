"""Pod logs: found at the pod's kubelet, passed on as they come."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import quote, urlencode

from mlsysops_embedded.apiserver.http import Request
from mlsysops_embedded.apiserver.kubelets import Kubelets
from mlsysops_embedded.apiserver.registry import Registry
from mlsysops_embedded.apiserver.routing import Route
from mlsysops_embedded.errors import ApiError

__all__ = ["LogProxy"]

_OPTIONS: Final = ("follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes")
_CHUNK: Final = 65536


class LogProxy:
    """Reads `/containerLogs` of kubelets (kubernetes `pkg/registry/core/pod/strategy.go` LogLocation).

    Args:
        registry: Pods and nodes.
        kubelets: The way to kubelets.
    """

    def __init__(self, registry: Registry, kubelets: Kubelets) -> None:
        self._registry = registry
        self._kubelets = kubelets

    async def serve(self, request: Request, route: Route) -> int:
        """Answers a request for a log.

        Raises:
            ApiError: 400, 404, or 500 where the kubelet does not answer.
        """
        import aiohttp

        url, node = self._location(request, route)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        started = False
        watcher: asyncio.Task[None] | None = None
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, ssl=self._kubelets.tls) as answer,
            ):
                if answer.status != 200:
                    text = (await answer.text())[:1000]
                    reason = {400: "BadRequest", 404: "NotFound"}.get(answer.status, "InternalError")
                    raise ApiError.of(
                        min(500, answer.status),
                        reason,
                        text or f"the kubelet answered {answer.status}",
                    )
                head = [(b"content-type", b"text/plain")]
                await request.send({"type": "http.response.start", "status": 200, "headers": head})
                started = True
                watcher = asyncio.create_task(_until_gone(request, answer))
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    await request.send({"type": "http.response.body", "body": chunk, "more_body": True})
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            if not started:
                raise ApiError.internal(f'Get "{url}": {exc} (node {node})') from exc
        finally:
            if watcher is not None:
                watcher.cancel()
        await request.send({"type": "http.response.body", "body": b""})
        return 200

    def _location(self, request: Request, route: Route) -> tuple[str, str]:
        pod = self._registry.read("pods", route.namespace, route.name)
        if pod is None:
            raise ApiError.not_found("pods", route.name)
        spec: dict[str, Any] = pod.get("spec") or {}
        names = [
            c["name"]
            for group in ("initContainers", "containers", "ephemeralContainers")
            for c in spec.get(group) or ()
        ]
        main = [c["name"] for c in spec.get("containers") or ()]
        container = request.query.get("container", "")
        if not container:
            container = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container", "")
        if not container:
            if len(main) > 1:
                raise ApiError.bad_request(
                    f"a container name must be specified for pod {route.name}, choose one of: {main}"
                )
            container = main[0]
        elif container not in names:
            raise ApiError.bad_request(f"container {container} is not valid for pod {route.name}")
        node_name = spec.get("nodeName", "")
        if not node_name:
            raise ApiError.bad_request(f"pod {route.name} does not have a host assigned")
        node = self._registry.read("nodes", "", node_name)
        if node is None:
            raise ApiError.not_found("nodes", node_name)
        options = {key: request.query[key] for key in _OPTIONS if key in request.query}
        query = f"?{urlencode(options)}" if options else ""
        path = "/".join(quote(part, safe="") for part in (route.namespace, route.name, container))
        return f"{self._kubelets.url(node)}/containerLogs/{path}{query}", node_name


async def _until_gone(request: Request, answer: Any) -> None:
    """Closes the kubelet's answer once the client is away, so that a followed log ends."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    answer.close()
