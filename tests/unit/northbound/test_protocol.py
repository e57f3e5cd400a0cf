"""HTTP: problems, the token, limits, probes, the OpenAPI document."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlsysops_core.errors import InvalidInput, Unreachable
from mlsysops_northbound.app import create_app
from mlsysops_northbound.config import Config, TokenFile, load_config
from pydantic import ValidationError

YAML = {"Content-Type": "application/yaml"}


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check the form RFC 9457 asks for, and return the problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["type"] == f"urn:mlsysops:problem:{problem['code']}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == f"urn:mlsysops:request:{answer.headers['x-request-id']}"
    return problem


async def test_faults_are_an_extension_member_with_line_column_path_and_hint(
    api: httpx.AsyncClient, app_yaml: str
) -> None:
    text = app_yaml.replace("qos_metrics", "qos_metric").replace("target: 20", "target: x")
    problem = is_problem(await api.post("/v1/apps", content=text, headers={**YAML, "X-Source": "app.yaml"}), 422)
    assert problem["faults"]
    for fault in problem["faults"]:
        assert fault["source"] == "app.yaml"
        assert fault["line"] > 0
        assert fault["column"] > 0
        assert fault["path"]
        assert fault["message"]
    assert any("qos_metrics" in fault.get("hint", "") for fault in problem["faults"])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic dDp0"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer ü".encode().decode("latin-1")},
    ],
)
async def test_nothing_is_told_without_the_token(
    api: httpx.AsyncClient, headers: dict[str, str], app_yaml: str
) -> None:
    del api.headers["Authorization"]
    for method, path in (
        ("GET", "/v1/apps"),
        ("POST", "/apps/deploy"),
        ("DELETE", "/v1/apps/x"),
        ("GET", "/metrics"),
        ("GET", "/ml/list_all/"),
    ):
        sent = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = await api.request(method, path, headers=sent, content=app_yaml if method == "POST" else None)
        problem = is_problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert problem["code"] == "unauthorized"


async def test_a_token_that_changed_is_read_again(api: httpx.AsyncClient, config: Config) -> None:
    config.token_file.write_text("another-token-of-good-length")
    assert (await api.get("/v1/apps")).status_code == 401
    renewed = {"Authorization": "Bearer another-token-of-good-length"}
    assert (await api.get("/v1/apps", headers=renewed)).status_code == 200
    config.token_file.unlink()
    is_problem(await api.get("/v1/apps", headers=renewed), 503)


async def test_the_api_server_is_away(api: httpx.AsyncClient, store: Any, app_yaml: str) -> None:
    store.failure = Unreachable("the continuum's API does not answer")
    for path in ("/v1/apps", "/v1/slice", "/readyz", "/manage/ping", "/apps/status/shop"):
        answer = await api.get(path)
        is_problem(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
    is_problem(await api.post("/v1/apps", content=app_yaml, headers=YAML), 503)
    assert (await api.get("/healthz")).text == "ok"
    store.failure = None
    assert (await api.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", YAML, 422),
        (b"{", {"Content-Type": "application/json"}, 422),
        (b"\xff\xfe", YAML, 422),
        (b"<a/>", {"Content-Type": "application/xml"}, 415),
        (b"a" * 300_000, YAML, 413),
        (b'{"uri": "http://169.254.169.254/latest"}', {"Content-Type": "application/json"}, 403),
        (b'{"uri": "file:///etc/passwd"}', {"Content-Type": "application/json"}, 403),
        (b'{"yaml": 5}', {"Content-Type": "application/json"}, 422),
        (b'{"yaml": {"MLSysOpsApp": {}}}', {"Content-Type": "application/json"}, 422),
    ],
)
async def test_a_body_that_is_no_description(
    api: httpx.AsyncClient, store: Any, content: bytes, headers: dict[str, str], status: int
) -> None:
    for path in ("/v1/apps", "/apps/deploy", "/v1/infra"):
        is_problem(await api.post(path, content=content, headers=headers), status)
    assert not store.objects


async def test_a_body_without_a_length_is_limited_too(api: httpx.AsyncClient) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b"#" * 10_000

    is_problem(await api.post("/v1/apps", content=endless(), headers=YAML), 413)


async def test_unknown_paths_methods_and_parameters_are_problems(api: httpx.AsyncClient) -> None:
    is_problem(await api.get("/v2/apps"), 404)
    is_problem(await api.patch("/v1/apps"), 405)
    problem = is_problem(await api.get("/v1/apps?limit=many"), 422)
    assert problem["faults"][0]["path"] == "limit"


async def test_a_fault_of_ours_is_a_problem_and_the_log_has_the_cause(
    api: httpx.AsyncClient, store: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(store, "list", broken)
    problem = is_problem(await api.get("/v1/apps", headers={"X-Request-Id": "abc"}), 500)
    assert problem["instance"].endswith(":abc")
    assert "secret" not in str(problem)
    assert "secret detail" in caplog.text


async def test_a_request_that_takes_too_long_is_ended(
    config: Config, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "version", forever)
    app = create_app(config.model_copy(update={"timeout": 0.05}), store)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://n") as client,
    ):
        is_problem(await client.get("/readyz"), 504)


async def test_metrics_count_requests_by_route(api: httpx.AsyncClient) -> None:
    await api.get("/v1/apps/some")
    await api.get("/v1/apps/other")
    text = (await api.get("/metrics")).text
    assert 'mlsysops_northbound_requests_total{method="GET",route="/v1/apps/{app_id}",status="404"} 2.0' in text


async def test_the_openapi_document_describes_problems_and_security(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    assert "Problem" in schemas
    assert "HTTPValidationError" not in schemas
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path not in {"/healthz", "/readyz"}:
                assert operation["security"], (method, path)
                assert "application/problem+json" in operation["responses"]["401"]["content"], (method, path)
            assert "application/json" not in operation["responses"].get("422", {}).get("content", {}), (method, path)
    names = [operation["operationId"] for operations in document["paths"].values() for operation in operations.values()]
    assert len(names) == len(set(names))


def test_it_does_not_listen_beyond_this_machine_without_tls(config: Config) -> None:
    values = config.model_dump()
    for address in ("0.0.0.0", "10.0.0.1", "::", "host.example"):
        with pytest.raises(ValidationError, match="not loopback"):
            Config.model_validate({**values, "listen": {"address": address}})
    tls = {"cert": "/c", "key": "/k"}
    assert Config.model_validate({**values, "listen": {"address": "10.0.0.1"}, "tls": tls})
    assert Config.model_validate({**values, "listen": {"address": "127.20.0.10"}})


def test_faults_of_the_configuration_have_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("slice: local\nkubeconfig: /k\ntoken_file: /t\nstate_dir: /s\nlisten:\n  prot: 1\n")
    with pytest.raises(InvalidInput) as caught:
        load_config(path)
    assert caught.value.faults[0].line == 6
    with pytest.raises(InvalidInput):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(("text", "mode"), [("long-enough-for-a-token", 0o644), ("short", 0o600), ("", 0o600)])
def test_a_token_file_that_is_not_safe_is_refused(tmp_path: Path, text: str, mode: int) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(InvalidInput):
        TokenFile(path).read()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/agents/policies/torn", r'{"target": "all", "text": "\ud800"}'),
        ("PUT", "/v1/agents/config/torn", r'{"target": "all", "text": "\ud800"}'),
        ("PUT", "/v1/settings/system-targets", r'{"metric": "\ud800", "target": 1}'),
        ("POST", "/v1/apps", r'{"yaml": "\ud800"}'),
        ("POST", "/apps/deploy", r'{"MLSysOpsApp": {"name": "\ud800"}}'),
        ("PUT", "/v1/settings/system-targets", b'{"metric": "\xff"}'),
    ],
)
async def test_what_is_no_text_is_the_clients_fault(
    api: httpx.AsyncClient, method: str, path: str, body: str | bytes
) -> None:
    answer = await api.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert is_problem(answer, 422)["code"] == "invalid-input"


class Page(HTMLParser):
    """Texts, links and ids of a page; every element has to be closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.texts: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert "src" not in found, "it needs something from elsewhere"
        self.links |= {found["href"] or ""} if "href" in found else set()
        self.ids |= {found["id"] or ""} if "id" in found else set()
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.add(data)


async def test_a_browser_is_shown_every_request_and_schema_and_needs_nothing_from_elsewhere(
    api: httpx.AsyncClient,
) -> None:
    assert (await api.get("/")).headers["location"] == "/docs"
    del api.headers["Authorization"]  # as openapi.json: it tells nothing of the slice
    answer = await api.get("/docs")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page, document = Page(answer.text), (await api.get("/openapi.json")).json()
    assert page.open == []
    for path, methods in document["paths"].items():
        assert {f"{method.upper()} {path}" for method in methods} <= page.texts
    assert set(document["components"]["schemas"]) <= page.ids
    assert page.links <= {f"#{name}" for name in page.ids} | {"openapi.json"}
