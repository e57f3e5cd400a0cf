"""HTTP as the API server speaks it: request facts, bodies, content negotiation, responses."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
import yaml

from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery import meta
from mlsysops_embedded.machinery.call import User
from mlsysops_embedded.machinery.protobuf import MEDIA_TYPE, decode_protobuf

__all__ = ["MAX_BODY", "Request", "decode_body", "respond", "respond_status"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: etcd's default --max-request-bytes doubled, as kube-apiserver limits bodies.
MAX_BODY: Final = 3 * 1024 * 1024
_BODY_SECONDS: Final = 60.0
_MAX_YAML_NODES: Final = 400_000
_CHUNK: Final = 256 * 1024
_GZIP_FROM: Final = 128 * 1024
#: The stdlib parser that sees duplicate fields is slow: not for what no person wrote.
_CHECK_DUPLICATES_BELOW: Final = 64 * 1024
_EXACT: Final = 2**53
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc] # the library has no types for its C form
    """Reads numbers as Go does on the way from YAML to JSON: 1.0 is written as 1."""

    def construct_yaml_float(self, node: Any) -> float:
        """A float; an integer where it is one that a float can tell from its neighbours."""
        value: float = super().construct_yaml_float(node)
        return int(value) if abs(value) < _EXACT and value.is_integer() else value


_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


class Request:
    """One HTTP request."""

    __slots__ = (
        "audit_id",
        "headers",
        "method",
        "path",
        "peer",
        "query",
        "raw_query",
        "receive",
        "scope",
        "send",
        "user",
        "warnings",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.raw_query: bytes = scope.get("query_string", b"")
        # What comes twice counts once, the first time, as in Go.
        pairs = parse_qsl(self.raw_query.decode("utf-8", "replace"), keep_blank_values=True) if self.raw_query else ()
        self.query = dict(reversed(pairs))
        self.peer: User | None = (scope.get("extensions") or {}).get("embedded.peer")
        self.user: User | None = None
        self.warnings: list[str] = []
        self.audit_id = self.header(b"audit-id")[:64] or str(uuid.uuid4())

    def header(self, name: bytes) -> str:
        """A header's text; empty where absent."""
        return self.headers.get(name, b"").decode("latin-1")

    def values(self, name: str) -> list[str]:
        """All values of a query parameter that may come several times."""
        if name not in self.query:
            return []
        text = self.raw_query.decode("utf-8", "replace")
        return [value for key, value in parse_qsl(text, keep_blank_values=True) if key == name]

    def flag(self, name: str) -> bool:
        """A boolean query parameter: set unless it says 0 or false (apimachinery `runtime/converter.go`)."""
        return name in self.query and self.query[name].lower() not in ("0", "false")

    def number(self, name: str) -> int:
        """An integer query parameter; 0 where absent.

        Raises:
            ApiError: 400.
        """
        text = self.query.get(name, "") or "0"
        if not _NUMBER.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
            raise ApiError.bad_request(f"invalid {name}: {text!r}")
        return int(text)

    @property
    def media_type(self) -> str:
        """Content type without parameters."""
        return self.header(b"content-type").partition(";")[0].strip().lower()

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            ApiError: 413 where it is too large, 400 where it is cut off, 408-like timeout where it does not come.
        """
        length = self.header(b"content-length")
        if length.isdecimal() and int(length) > MAX_BODY:
            raise ApiError.too_large(MAX_BODY)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while True:
                    message = await self.receive()
                    if message["type"] == "http.disconnect":
                        raise ApiError.bad_request("unexpected EOF in the body of the request")
                    part = message.get("body", b"")
                    size += len(part)
                    if size > MAX_BODY:
                        raise ApiError.too_large(MAX_BODY)
                    parts.append(part)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError as exc:
            raise ApiError.of(408, "Timeout", "the body of the request did not arrive in time") from exc

    def accepts(self) -> tuple[tuple[str, dict[str, str]], ...]:
        """Media types of Accept in order, with parameters."""
        return _media_types(self.header(b"accept"))

    def negotiate(self) -> tuple[str, dict[str, str]]:
        """The media type to answer with, and its parameters (``as``, ``v``, ``g``).

        Raises:
            ApiError: 406.
        """
        for name, parameters in self.accepts():
            if name in ("application/json", "*/*"):
                if not parameters.get("as") or _is_transformed(parameters):
                    return "application/json", parameters
            elif name in ("application/yaml", "text/yaml"):
                return "application/yaml", parameters
        raise ApiError.not_acceptable()


def _is_transformed(parameters: dict[str, str]) -> bool:
    form = parameters["as"] in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
    return form and (parameters.get("g"), parameters.get("v")) == ("meta.k8s.io", "v1")


@lru_cache(maxsize=256)
def _media_types(text: str) -> tuple[tuple[str, dict[str, str]], ...]:
    found = []
    for part in text.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name:
            pairs = (parameter.partition("=") for parameter in parameters)
            found.append((name.lower(), {key.strip(): value.strip() for key, _, value in pairs}))
    return tuple(found) or (("application/json", {}),)


def _pairs(duplicates: list[str]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                duplicates.append(f'duplicate field "{key}"')
            result[key] = value
        return result

    return build


def _check_yaml(data: bytes) -> None:
    """Refuses what is nested too deeply or, its aliases written out, holds too much."""
    nodes = 0
    sizes: dict[str, int] = {}
    open_at: list[tuple[str | None, int]] = []
    for event in yaml.parse(data, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            nodes += sizes.get(event.anchor or "", _MAX_YAML_NODES)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_at.append((event.anchor, nodes))
            nodes += 1
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, start = open_at.pop()
            if anchor:
                sizes[anchor] = nodes - start
        if len(open_at) > meta.MAX_DEPTH or nodes > _MAX_YAML_NODES:
            raise ApiError.bad_request("the body of the request is nested too deeply or holds too much")


def _load_yaml(data: bytes) -> Any:
    try:
        _check_yaml(data)
        # Through JSON, so that dates and other YAML-only values are refused or become what JSON has.
        value = yaml.load(data, Loader=_Loader)  # noqa: S506 - the C form of SafeLoader
        return orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError) as exc:
        raise ApiError.bad_request(f"error converting YAML to JSON: {' '.join(str(exc).split())}") from exc


def _find_twice(node: Any, duplicates: list[str]) -> None:
    """Notes keys that a YAML mapping has twice, in sigs.k8s.io/yaml's words."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    duplicates.append(f'line {key.start_mark.line + 1}: key "{key.value}" already set in map')
                seen.add(key.value)
            _find_twice(value, duplicates)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _find_twice(item, duplicates)


def decode_body(data: bytes, media_type: str, *, duplicates: list[str] | None = None) -> Any:
    """Parses a JSON or YAML body.

    Args:
        data: The body.
        media_type: Its type.
        duplicates: Gets what is to be said of fields that come twice; looking for them costs time.

    Raises:
        ApiError: 400 or 415.
    """
    if media_type == MEDIA_TYPE:
        return decode_protobuf(data)
    if media_type in ("application/yaml", "text/yaml", "application/apply-patch+yaml"):
        value = _load_yaml(data)
        if duplicates is not None and len(data) < _CHECK_DUPLICATES_BELOW:
            _find_twice(yaml.compose(data, Loader=_Loader), duplicates)
        return value
    if media_type and media_type not in ("application/json", "text/json") and not media_type.endswith("+json"):
        raise ApiError.unsupported_media_type()
    try:
        value = orjson.loads(data)
        if duplicates is not None and len(data) < _CHECK_DUPLICATES_BELOW:
            json.loads(data, object_pairs_hook=_pairs(duplicates))
    except RecursionError as exc:
        raise ApiError.bad_request("the body of the request is nested too deeply") from exc
    except ValueError as exc:
        raise ApiError.bad_request(f"couldn't get version/kind; json parse error: {exc}") from exc
    if isinstance(value, (dict, list)):
        meta.check_depth(value)
    return value


def _dump_yaml(data: bytes) -> bytes:
    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump(orjson.loads(data), Dumper=dumper, sort_keys=True, allow_unicode=True, encoding="utf-8")


def _gzip(parts: Iterable[bytes]) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return b"".join([*(packer.compress(part) for part in parts), packer.flush()])


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of about the same size."""
    held: list[bytes] = []
    size = 0
    for part in parts:
        for start in range(0, len(part) or 1, _CHUNK):
            piece = part[start : start + _CHUNK] if len(part) > _CHUNK else part
            held.append(piece)
            size += len(piece)
            if size >= _CHUNK:
                yield b"".join(held)
                held, size = [], 0
    yield b"".join(held)


async def respond(
    request: Request,
    code: int,
    data: bytes | str | Sequence[bytes],
    *,
    content_type: str = "application/json",
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Sends a whole response, as YAML where the client prefers it and gzipped where it is large.

    What is given in parts is never held as a whole, where it goes out as it is.
    """
    parts = [data.encode()] if isinstance(data, str) else [data] if isinstance(data, bytes) else data
    head = [*headers, (b"audit-id", request.audit_id.encode())]
    if content_type == "application/yaml":
        parts = [_dump_yaml(b"".join(parts))]
    elif content_type == "application/json" and request.flag("pretty"):
        text = orjson.loads(b"".join(parts))
        parts = [orjson.dumps(text, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)]
    size = sum(map(len, parts))
    if size >= _GZIP_FROM and b"gzip" in request.headers.get(b"accept-encoding", b""):
        parts = [await asyncio.to_thread(_gzip, parts)]
        size = len(parts[0])
        head.append((b"content-encoding", b"gzip"))
        head.append((b"vary", b"Accept-Encoding"))
    head.append((b"content-type", content_type.encode()))
    head.append((b"content-length", b"%d" % size))
    head.append((b"cache-control", b"no-cache, private"))
    for text in dict.fromkeys(request.warnings):
        clean = "".join(
            char if char.isprintable() and char not in '"\\' else "\\" + char if char in '"\\' else " " for char in text
        )
        head.append((b"warning", f'299 - "{clean}"'.encode()))
    await request.send({"type": "http.response.start", "status": code, "headers": head})
    if size <= _CHUNK:
        await request.send({"type": "http.response.body", "body": b"".join(parts)})
        return
    for chunk in _chunks(parts):  # in pieces, so that a slow reader holds back the sender
        await request.send({"type": "http.response.body", "body": chunk, "more_body": True})
    await request.send({"type": "http.response.body", "body": b""})


async def respond_status(request: Request, error: ApiError) -> None:
    """Sends an error."""
    headers = []
    seconds = (error.status.get("details") or {}).get("retryAfterSeconds")
    if error.code == 429 or seconds:
        headers.append((b"retry-after", b"%d" % (seconds or 1)))
    if error.code == 401:
        headers.append((b"www-authenticate", b'Bearer realm="kubernetes"'))
    await respond(request, error.code, orjson.dumps(error.status), headers=headers)
