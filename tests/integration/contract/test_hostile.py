"""Bad input and bad manners: a clear refusal, never a failure of the server's own, and others are served meanwhile."""

from __future__ import annotations

import json
import resource
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import hypothesis.strategies as st
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from kube_api import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api, config_map, deployment, failure, path
from kube_crds import INTEGER, Definition, defined, spec_schema
from kube_targets import Target

FUZZ = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
#: Connections on which nothing is said.
IDLE = 1000
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=15,
)
FIELDS = ("metadata", "spec", "status", "data", "rules", "subjects", "roleRef", "type", "stringData")
METADATA = st.dictionaries(
    st.sampled_from(
        [
            "name",
            "namespace",
            "labels",
            "annotations",
            "finalizers",
            "ownerReferences",
            "managedFields",
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "deletionTimestamp",
            "generation",
            "generateName",
        ]
    ),
    JSON,
    max_size=4,
)
OBJECTS = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4) | st.builds(
    lambda metadata, rest: {**rest, "metadata": metadata},
    METADATA,
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
)
RESOURCES = (
    "configmaps",
    "secrets",
    "pods",
    "services",
    "deployments",
    "daemonsets",
    "replicasets",
    "events",
    "leases",
    "roles",
    "rolebindings",
    "serviceaccounts",
    "endpointslices",
)


def refused(code: int) -> bool:
    return 400 <= code < 500


@pytest.fixture(autouse=True)
def memory(target: Target) -> Iterator[None]:
    """Nothing here may cost the server much for long."""
    if target.embedded is None or target.embedded.process is None:
        yield
        return
    process = psutil.Process(target.embedded.process.popen.pid)
    before = process.memory_info().rss
    yield
    assert target.embedded.process.running()
    grown = (process.memory_info().rss - before) / 2**20
    assert grown < 120, f"{grown:.0f} MiB more than before"


@pytest.fixture
def there(api: Api, namespace: str) -> str:
    """URL of a ConfigMap."""
    api.create(path("configmaps", namespace), config_map("cm"))
    return path("configmaps", namespace, "cm")


class TestBodies:
    def test_random_bytes(self, api: Api, namespace: str, there: str) -> None:
        collection = path("configmaps", namespace)

        @FUZZ
        @given(st.binary(max_size=200), st.sampled_from(["application/json", "application/yaml"]))
        def check(body: bytes, kind: str) -> None:
            headers = {"Content-Type": kind}
            assert api.http.post(collection, content=body, headers=headers).status_code < 500
            assert api.http.put(there, content=body, headers=headers).status_code < 500
            for patch in (MERGE, JSON_PATCH, STRATEGIC, APPLY):
                response = api.http.patch(
                    there, content=body, headers={"Content-Type": patch}, params={"fieldManager": "fuzz"}
                )
                assert response.status_code < 500, (patch, body)

        check()

    def test_random_objects(self, api: Api, namespace: str) -> None:
        @FUZZ
        @given(OBJECTS, st.sampled_from(RESOURCES))
        def check(body: Any, resource: str) -> None:
            response = api.post(path(resource, namespace), body, dryRun="All")
            assert response.status_code < 500, (resource, body, response.text)

        check()

    def test_random_patches(self, target: Target, api: Api, namespace: str) -> None:
        if target.embedded is None:
            pytest.skip("Kubernetes calls some malformed patches errors of its own")
        api.create(path("deployments", namespace), deployment("d", paused=True, replicas=0))
        url = path("deployments", namespace, "d")
        pods = st.dictionaries(
            st.sampled_from(["containers", "volumes", "tolerations", "$patch", "$setElementOrder/containers"]), JSON
        )
        bodies = OBJECTS | st.builds(lambda spec: {"spec": {"template": {"spec": spec}}}, pods)
        operations = st.lists(
            st.fixed_dictionaries(
                {
                    "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
                    "path": st.sampled_from(["", "/", "/spec", "/spec/template/spec/containers/0", "/metadata/-", "x"]),
                },
                optional={"value": JSON, "from": st.sampled_from(["", "/spec", "/none", "x"])},
            ),
            max_size=3,
        )

        @FUZZ
        @given(bodies, operations)
        def check(body: Any, many: Any) -> None:
            for patch, kind in ((body, MERGE), (body, STRATEGIC), (many, JSON_PATCH)):
                response = api.patch(url, patch, kind, dryRun="All")
                assert response.status_code < 500, (kind, patch, response.text)
            applied = {"apiVersion": "apps/v1", "kind": "Deployment", **body}
            response = api.patch(url, applied, APPLY, dryRun="All", fieldManager="fuzz", force="true")
            assert response.status_code < 500, (applied, response.text)

        check()

    def test_random_definitions_and_custom_objects(self, api: Api, namespace: str) -> None:
        with defined(api, Definition(spec_schema(size=INTEGER))) as definition:

            @FUZZ
            @given(OBJECTS, JSON)
            def check(body: Any, schema: Any) -> None:
                widget = {**definition.widget("w"), **body}
                assert api.post(definition.url(namespace), widget, dryRun="All").status_code < 500, widget
                crd = Definition({"type": "object", "properties": {"spec": schema}}).body
                response = api.post(path("customresourcedefinitions"), crd, dryRun="All")
                assert response.status_code < 500, (schema, response.text)

            check()

    @pytest.mark.parametrize("depth", [1_000, 100_000])
    @pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}")])
    def test_deep_json(self, api: Api, namespace: str, there: str, depth: int, start: str, end: str) -> None:
        inner = "1" if start != "[" else ""
        body = f'{{"metadata":{{"name":"deep"}},"data":{start * depth}{inner}{end * depth}}}'
        headers = {"Content-Type": "application/json"}
        assert refused(api.http.post(path("configmaps", namespace), content=body, headers=headers).status_code)
        for kind in (MERGE, STRATEGIC, JSON_PATCH, APPLY):
            response = api.http.patch(
                there, content=body, headers={"Content-Type": kind}, params={"fieldManager": "fuzz"}
            )
            assert refused(response.status_code), kind

    def test_deep_custom_objects(self, api: Api, namespace: str) -> None:
        """Also where the schema is open for anything."""
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        with defined(api, Definition(schema)) as definition:
            for depth in (200, 5_000):
                value: Any = 1
                text = '{"a":' * depth + "1" + "}" * depth
                body = json.dumps(definition.widget("deep", value)).replace('"spec": 1', f'"spec": {text}')
                response = api.http.post(
                    definition.url(namespace), content=body, headers={"Content-Type": "application/json"}
                )
                assert response.status_code < 500
            assert api.get(definition.url(namespace)).status_code == 200

    @pytest.mark.parametrize(
        "text",
        [
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)),
            "&a [*a]",
            "[" * 5_000,
            "a: " * 5_000,
            "!!python/object/apply:os.system ['true']",
            "a: !!binary '!'",
            "? [a]\n: b\n",
            "- " * 5_000 + "x",
        ],
    )
    def test_yaml_bombs(self, api: Api, namespace: str, text: str) -> None:
        start = time.monotonic()
        response = api.http.post(
            path("configmaps", namespace), content=text, headers={"Content-Type": "application/yaml"}
        )
        assert refused(response.status_code)
        assert time.monotonic() - start < 5

    def test_large_bodies(self, api: Api, namespace: str, there: str) -> None:
        big = b'{"data":{"a":"' + b"x" * 10_000_000 + b'"}}'
        for method, url, kind in (
            ("POST", path("configmaps", namespace), "application/json"),
            ("PUT", there, "application/json"),
            ("PATCH", there, MERGE),
            ("PATCH", there, APPLY),
            ("DELETE", there, "application/json"),
        ):
            response = api.http.request(
                method, url, content=big, headers={"Content-Type": kind}, params={"fieldManager": "fuzz"}
            )
            failure(response, 413, "RequestEntityTooLarge")

    def test_large_bodies_that_hide_their_size(self, api: Api, namespace: str) -> None:
        def chunks() -> Iterator[bytes]:
            yield b'{"data":{"a":"'
            for _ in range(160):
                yield b"x" * 65536

        try:
            response = api.http.post(
                path("configmaps", namespace), content=chunks(), headers={"Content-Type": "application/json"}
            )
        except Exception as error:  # noqa: BLE001 - whichever way the connection was cut
            assert "rotocol" in type(error).__name__ or "Error" in type(error).__name__  # noqa: PT017
        else:
            failure(response, 413, "RequestEntityTooLarge")
        assert api.get("/readyz").status_code == 200

    def test_many_small_things(self, api: Api, namespace: str) -> None:
        body = config_map("many", {f"k{index}": "" for index in range(50_000)})
        assert api.post(path("configmaps", namespace), body).status_code in (201, 422)
        labels = {f"k{index}": "v" for index in range(20_000)}
        assert api.post(path("configmaps", namespace), config_map("labels", labels=labels)).status_code < 500
        too_many = {f"k{index}": "v" * 100 for index in range(5_000)}
        response = api.post(path("configmaps", namespace), config_map("annotations", annotations=too_many))
        failure(response, 422, "Invalid")

    def test_regular_expressions_cannot_hang_it(self, api: Api, namespace: str) -> None:
        """Kubernetes' engine is linear in time."""
        schema = spec_schema(code={"type": "string", "pattern": "^(a+)+$"})
        with defined(api, Definition(schema)) as definition:
            start = time.monotonic()
            body = definition.widget("w", {"code": "a" * 40 + "!"})
            failure(api.post(definition.url(namespace), body), 422, "Invalid")
            assert time.monotonic() - start < 5


#: What Kubernetes calls an error of its own (500).
KUBERNETES_FAILS = (
    "/api/v1/namespaces/%2e%2e/configmaps",
    "/api/v1/pods?timeoutSeconds=-1&watch=1&resourceVersion=99999999999999999999",
)


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "/api/v1/namespaces/default/configmaps/%00",
            "/api/v1/namespaces/default/configmaps/%ff%fe",
            "/api/v1/namespaces/default/configmaps/..%2f..%2fsecrets",
            "/api/v1/namespaces/../../etc/passwd",
            "/api/v1/namespaces/%2e%2e/configmaps",
            "//api//v1//pods",
            "/api/v1/namespaces/default/configmaps/" + "x" * 5000,
            "/api/v1/pods?" + "&".join(f"a{index}=1" for index in range(2000)),
            "/api/v1/pods?labelSelector=" + "a%3Db%2C" * 1000 + "a",
            "/api/v1/pods?fieldSelector=" + "%2C" * 5000,
            "/api/v1/pods?labelSelector=%ff",
            "/api/v1/pods?limit=-1",
            "/api/v1/pods?limit=99999999999999999999",
            "/api/v1/pods?continue=" + "A" * 5000,
            "/api/v1/pods?resourceVersion=-5",
            "/api/v1/pods?timeoutSeconds=-1&watch=1&resourceVersion=99999999999999999999",
            "/apis/apps/v1/namespaces/default/deployments/x/scale/status/more",
        ],
    )
    def test_odd(self, target: Target, api: Api, url: str) -> None:
        with api.http.stream("GET", target.url + url, timeout=10) as response:
            assert response.status_code < 500 or (target.embedded is None and url in KUBERNETES_FAILS), url

    def test_random_parameters(self, api: Api, namespace: str) -> None:
        names = st.sampled_from(
            [
                "labelSelector",
                "fieldSelector",
                "limit",
                "continue",
                "resourceVersion",
                "resourceVersionMatch",
                "dryRun",
                "fieldValidation",
                "pretty",
                "includeObject",
                "sendInitialEvents",
            ]
        )
        texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)

        @FUZZ
        @given(st.dictionaries(names, texts, max_size=4))
        def check(params: dict[str, str]) -> None:
            response = api.get(path("configmaps", namespace), **params)
            # 504 is what Kubernetes answers to a version that is not known yet.
            assert response.status_code < 500 or response.status_code == 504, (params, response.text)

        check()

    def test_long_headers(self, api: Api) -> None:
        response = api.http.get("/version", headers={"X-Long": "x" * 30_000})
        assert response.status_code < 500


def connect(target: Target) -> socket.socket:
    host, port = target.url.removeprefix("https://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def encrypted(target: Target) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(target.authority[0]))
    return context.wrap_socket(connect(target), server_hostname=target.url.removeprefix("https://").split(":")[0])


def served(api: Api) -> bool:
    """Others are served, and promptly."""
    start = time.monotonic()
    good = api.get(path("namespaces")).status_code == 200
    return good and time.monotonic() - start < 2


@pytest.fixture
def many_files() -> Iterator[None]:
    """So many open files that a thousand connections are possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 500
    if hard < wanted:
        pytest.skip(f"no more than {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestManners:
    @pytest.mark.usefixtures("many_files")
    def test_idle_connections(self, target: Target, api: Api) -> None:
        """A thousand; half of them do not even say hello."""
        with ExitStack() as stack:
            for _ in range(IDLE // 2):
                stack.enter_context(connect(target))
            for _ in range(IDLE // 2):
                stack.enter_context(encrypted(target))
            assert served(api)
        assert served(api)

    def test_it_takes_all_files_that_it_may_have(self, target: Target) -> None:
        if target.embedded is None or target.embedded.process is None:
            pytest.skip("the limits of our engine alone are ours to judge")
        soft, hard = psutil.Process(target.embedded.process.popen.pid).rlimit(psutil.RLIMIT_NOFILE)
        assert soft == hard

    def test_slow_requests(self, target: Target, api: Api) -> None:
        """Headers and bodies that never end."""
        with ExitStack() as stack:
            for index in range(40):
                client = stack.enter_context(encrypted(target))
                client.sendall(b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\n")
                if index % 2:
                    client.sendall(b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
            assert served(api)
        assert served(api)

    def test_broken_protocol(self, target: Target, api: Api) -> None:
        for rubbish in (
            b"\x00" * 1000,
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n",
        ):
            with encrypted(target) as client:
                client.sendall(rubbish)
                client.settimeout(10)
                try:
                    answer = client.recv(4096)
                except TimeoutError:
                    assert b"\n" not in rubbish  # it may wait for the end of what has none
                    continue
            assert answer == b"" or answer.split()[1].startswith(b"4") or answer.split()[1] == b"505", rubbish
        with connect(target) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            plain.settimeout(10)
            try:
                answer = plain.recv(4096)
            except ConnectionError:
                answer = b""
            assert not answer.startswith(b"HTTP/1.1 200")
        assert served(api)

    def test_watchers_that_do_not_read(self, target: Target, api: Api, namespace: str) -> None:
        """What they do not take is not kept for ever, and nobody waits for them."""
        with ExitStack() as stack:
            watcher = target.user("kubernetes-admin", "system:masters")
            for _ in range(20):
                stack.enter_context(watcher.http.stream("GET", path("configmaps", namespace), params={"watch": "true"}))
            api.create(path("configmaps", namespace), config_map("cm"))
            url = path("configmaps", namespace, "cm")
            for index in range(40):
                api.merge(url, {"data": {"big": f"{index}" + "x" * 200_000}})
            assert served(api)
        assert served(api)

    def test_clients_that_leave(self, target: Target, api: Api, namespace: str) -> None:
        for _ in range(30):
            client = encrypted(target)
            client.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
            client.close()
        assert served(api)


def test_nothing_of_this_was_an_error_of_the_server(target: Target) -> None:
    """Runs last in this module: no traceback in its log."""
    if target.embedded is None or target.embedded.process is None:
        pytest.skip("the log of our engine alone is ours to judge")
    log = target.embedded.process.log.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
