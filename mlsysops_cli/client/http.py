"""The client of the northbound API: requests, retries, and problem details turned into the errors of `mlsysops_core`."""

from __future__ import annotations

import random
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
from mlsysops_core.errors import (
    Conflict,
    Fault,
    InvalidInput,
    MlsError,
    NotFound,
    PartialFailure,
    Refused,
    TimedOut,
    Unreachable,
)

from mlsysops_cli import __version__
from mlsysops_cli.client.address import Target

__all__ = ["Northbound"]

_FAMILIES: dict[str, type[MlsError]] = {
    "invalid-input": InvalidInput,
    "unreachable": Unreachable,
    "refused": Refused,
    "unauthorized": Refused,
    "not-implemented": Refused,
    "not-found": NotFound,
    "conflict": Conflict,
    "timed-out": TimedOut,
    "partial-failure": PartialFailure,
}
_STATUSES: dict[int, type[MlsError]] = {
    401: Refused,
    403: Refused,
    404: NotFound,
    405: Refused,
    408: TimedOut,
    409: Conflict,
    412: Conflict,
    501: Refused,
    502: Unreachable,
    503: Unreachable,
    504: TimedOut,
}
_ATTEMPTS = 3
_PAGE = 500


class Northbound:
    """A session with the northbound API.

    Args:
        target: Address and token.
        timeout: Longest wait for an answer, seconds.
        log: Called with a line for each request.
        transport: Another transport than the network, for tests.
        sleep: Waits between attempts.
    """

    def __init__(
        self,
        target: Target,
        *,
        timeout: float = 30.0,
        log: Callable[[str], None] = lambda _: None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._target = target
        self._log = log
        self._sleep = sleep
        headers = {"User-Agent": f"mls/{__version__}", "Accept": "application/json"}
        if target.token:
            headers["Authorization"] = f"Bearer {target.token}"
        self._client = httpx.Client(
            base_url=target.url,
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=5.0),
            verify=_verify(target),
            transport=transport,
            trust_env=False,  # the API is on this machine or in its site: a proxy of the desktop has no business there
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, **query: str | int | bool) -> Any:
        """Return the JSON answer to a GET."""
        return self._request("GET", path, query).json()

    def get_text(self, path: str) -> tuple[str, str]:
        """Return the text answer to a GET, and its ETag."""
        answer = self._request("GET", path, {}, headers={"Accept": "*/*"})
        return answer.text, answer.headers.get("ETag", "")

    def items(self, path: str, **query: str | int | bool) -> dict[str, Any]:
        """Return a whole list, page by page, as if it had come in one."""
        found: list[Any] = []
        for page in self._pages(path, query):
            found += page.get("items") or []
        return {"items": found}

    def send(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        media_type: str = "application/yaml",
        source: str = "",
        if_match: str = "",
        **query: str | int | bool,
    ) -> Any:
        """Send a write and return its JSON answer; it carries a key, so that an attempt repeated has one effect.

        Args:
            method: POST, PUT or DELETE.
            path: Path below the base URL.
            content: Body.
            media_type: Its type.
            source: Name of the file it came from, for the server's faults.
            if_match: ETag of the version that is replaced.
            **query: Query parameters.
        """
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        if content is not None:
            headers["Content-Type"] = media_type
        if source and source.isascii() and source.isprintable():
            headers["X-Source"] = source
        if if_match:
            headers["If-Match"] = if_match
        return self._request(method, path, query, content=content, headers=headers).json()

    def _pages(self, path: str, query: Mapping[str, str | int | bool]) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            page = self._request("GET", path, {"limit": _PAGE, "continue": token, **query}).json()
            yield page
            token = page.get("continue") or ""
            if not token:
                return

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | bool],
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request; what a retry cannot harm is tried again while the API does not answer."""
        parameters = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in query.items()
            if value != ""
        }
        for attempt in range(1, _ATTEMPTS + 1):
            started = time.monotonic()
            try:
                answer = self._client.request(method, path, params=parameters, content=content, headers=headers)
            except httpx.TransportError as exc:
                self._log(f"{method} {path}: {_reason(exc)}")
                refused = isinstance(exc, httpx.ConnectError)  # nothing listens: it is down, not busy
                if refused or attempt == _ATTEMPTS:
                    raise self._unreachable(exc) from exc
                self._pause(attempt, None)
                continue
            self._log(
                f"{method} {answer.request.url} {answer.status_code} in {(time.monotonic() - started) * 1000:.0f} ms"
            )
            if answer.status_code in {502, 503} and attempt < _ATTEMPTS:
                self._pause(attempt, answer.headers.get("Retry-After"))
                continue
            if answer.is_success:
                return answer
            raise self._error(answer)
        raise AssertionError  # the loop returns or raises

    def _pause(self, attempt: int, retry_after: str | None) -> None:
        limit = 0.25 * 2**attempt
        if retry_after and retry_after.isdigit():
            limit = min(float(retry_after), 2.0)  # a person waits
        self._sleep(limit * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing

    def _unreachable(self, error: httpx.TransportError) -> MlsError:
        url = self._target.url
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return TimedOut(
                f"the northbound API at {url} did not answer in time", hint="`mls framework status` shows its state"
            )
        hint = "is the slice up? `mls framework status` tells"
        if self._target.environment:
            hint = "check MLS_API_IP and MLS_API_PORT"
        return Unreachable(f"the northbound API at {url} does not answer: {_reason(error)}", hint=hint)

    def _error(self, answer: httpx.Response) -> MlsError:
        try:
            problem = answer.json()
        except ValueError:
            problem = None
        if not isinstance(problem, Mapping) or "detail" not in problem:
            family = _STATUSES.get(answer.status_code, MlsError if answer.status_code >= 500 else InvalidInput)
            return family(
                f"{self._target.url} answered {answer.status_code} {answer.reason_phrase}, not as a northbound API does",
                hint="check the address with `mls context show`",
            )
        message, hint = str(problem.get("detail")), str(problem.get("hint") or "")
        code = str(problem.get("code") or "")
        family = _FAMILIES.get(code) or _STATUSES.get(answer.status_code, MlsError)
        if family is InvalidInput:
            return InvalidInput(message, faults=_faults(problem.get("faults")), hint=hint)
        if code == "unauthorized":
            hint = (
                f"the token is read from context {self._target.context!r}; deploy again to renew it"
                if self._target.context
                else hint
            )
        if family is MlsError:
            message = f"{message} ({problem.get('instance', '')})"
        return family(message, hint=hint)


def path_of(*parts: str) -> str:
    """Return a path whose parts are quoted, so that an id can never name another path.

    Raises:
        NotFound: A part is empty or could only be meant as a path: nothing has such a name.
    """
    for part in parts:
        if not part or "/" in part or part in {".", ".."}:
            raise NotFound(f"{part!r} is no name of anything", hint="`list-all` and `list` show the names there are")
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _faults(value: Any) -> list[Fault]:
    faults = []
    for item in value if isinstance(value, list) else []:
        if isinstance(item, Mapping):
            texts = {name: str(item.get(name) or "") for name in ("source", "path", "message", "hint")}
            numbers = {name: int(item.get(name) or 0) for name in ("line", "column")}
            faults.append(Fault(**texts, **numbers))  # type: ignore[arg-type]
    return faults


def _verify(target: Target) -> ssl.SSLContext | bool:
    if not target.url.startswith("https"):
        return False  # no TLS at all: loading the system's certificates would cost half of a command's time
    if target.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=target.ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise InvalidInput(
            f"{target.ca_file}: cannot be read as certificates: {exc}", hint="deploy the slice again"
        ) from exc


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text.split("] ", 1)[-1].lower() if text else type(error).__name__
