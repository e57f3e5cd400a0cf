"""Lists: versions, pages of one snapshot, selectors, order."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from kube_api import Api, Obj, config_map, failure, hold, lease, names, path, pod, version

URL = "leases"


def fill(api: Api, namespace: str, count: int) -> list[str]:
    made = [f"cm-{index:02}" for index in range(count)]
    for name in made:
        api.create(path(URL, namespace), lease(name))
    return made


def pages(api: Api, url: str, limit: int, **params: str) -> list[Obj]:
    found = [api.read(url, limit=limit, **params)]
    while token := found[-1]["metadata"].get("continue"):
        found.append(api.read(url, limit=limit, **{**params, "continue": token}))
    return found


def test_shape(api: Api, namespace: str) -> None:
    listing = api.read(path(URL, namespace))
    assert (listing["kind"], listing["apiVersion"]) == ("LeaseList", "coordination.k8s.io/v1")
    assert listing["items"] == []
    assert listing["metadata"]["resourceVersion"].isdigit()
    assert "continue" not in listing["metadata"]


def test_order(api: Api, namespace: str) -> None:
    for name in ("b", "a-b", "a.b", "a", "c"):
        api.create(path(URL, namespace), lease(name))
    assert names(api.read(path(URL, namespace))) == ["a", "a-b", "a.b", "b", "c"]


def test_across_namespaces(api: Api, namespace: str) -> None:
    api.create(path(URL, namespace), lease("cm"))
    items = api.read(path(URL))["items"]
    keys = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items]
    assert (namespace, "cm") in keys
    assert keys == sorted(keys)


class TestVersions:
    def test_unset_is_the_newest(self, api: Api, namespace: str) -> None:
        for index in range(20):
            created = api.create(path(URL, namespace), lease(f"cm-{index}"))
            listing = api.read(path(URL, namespace))
            assert len(listing["items"]) == index + 1
            assert version(listing) >= version(created)

    def test_zero_and_not_older_than(self, api: Api, namespace: str) -> None:
        assert api.get(path(URL, namespace), resourceVersion="0").status_code == 200
        created = api.create(path(URL, namespace), lease("cm"))
        for params in ({}, {"resourceVersionMatch": "NotOlderThan"}):
            listing = api.read(path(URL, namespace), resourceVersion=created["metadata"]["resourceVersion"], **params)
            assert names(listing) == ["cm"]
            assert version(listing) >= version(created)

    def test_exact(self, api: Api, namespace: str) -> None:
        """The past as it was, whatever happened since."""
        url = path(URL, namespace)
        api.create(url, lease("kept", "old"))
        api.create(url, lease("removed"))
        then = api.read(url)
        api.merge(f"{url}/kept", hold("new"))
        api.remove(f"{url}/removed")
        api.create(url, lease("later"))
        exact = api.read(url, resourceVersion=then["metadata"]["resourceVersion"], resourceVersionMatch="Exact")
        assert exact == then

    @pytest.mark.parametrize(
        "params",
        [
            {"resourceVersionMatch": "Exact"},
            {"resourceVersionMatch": "NotOlderThan"},
            {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
            {"resourceVersionMatch": "Perhaps", "resourceVersion": "1"},
        ],
    )
    def test_match_is_checked(self, api: Api, namespace: str, params: dict[str, str]) -> None:
        failure(api.get(path(URL, namespace), **params), 422, "Invalid")

    def test_malformed(self, api: Api, namespace: str) -> None:
        assert api.get(path(URL, namespace), resourceVersion="newest").status_code in (400, 422)

    def test_the_future(self, api: Api, namespace: str) -> None:
        """Not known yet: a timeout that names its cause, so that clients list afresh."""
        future = str(version(api.read(path(URL, namespace))) + 1_000_000)
        status = failure(
            api.get(path(URL, namespace), resourceVersion=future, resourceVersionMatch="NotOlderThan"), 504, "Timeout"
        )
        assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
        assert status["message"].startswith("Timeout: Too large resource version")


class TestPages:
    def test_all_and_each_once(self, api: Api, namespace: str) -> None:
        made = fill(api, namespace, 10)
        found = pages(api, path(URL, namespace), 3)
        assert [len(page["items"]) for page in found] == [3, 3, 3, 1]
        assert [name for page in found for name in names(page)] == made
        assert len({page["metadata"]["resourceVersion"] for page in found}) == 1
        assert [page["metadata"].get("remainingItemCount") for page in found] == [7, 4, 1, None]

    def test_a_page_that_holds_all_has_no_next(self, api: Api, namespace: str) -> None:
        fill(api, namespace, 3)
        assert "continue" not in api.read(path(URL, namespace), limit=3)["metadata"]

    def test_are_one_snapshot(self, api: Api, namespace: str) -> None:
        made = fill(api, namespace, 6)
        url = path(URL, namespace)
        first = api.read(url, limit=2)
        api.remove(f"{url}/cm-03")
        api.merge(f"{url}/cm-04", hold("two"))
        api.create(url, lease("cm-99"))
        api.create(url, lease("cm-00-later"))
        second = api.read(url, limit=2, **{"continue": first["metadata"]["continue"]})
        third = api.read(url, limit=2, **{"continue": second["metadata"]["continue"]})
        assert names(first) + names(second) + names(third) == made
        assert third["items"][0]["spec"]["holderIdentity"] == "value"
        assert "continue" not in third["metadata"]

    def test_with_selectors(self, api: Api, namespace: str) -> None:
        for index in range(9):
            labels = {"third": "yes"} if index % 3 == 0 else {"third": "no"}
            api.create(path(URL, namespace), lease(f"cm-{index}", labels=labels))
        found = pages(api, path(URL, namespace), 2, labelSelector="third=yes")
        assert [names(page) for page in found] == [["cm-0", "cm-3"], ["cm-6"]]
        assert "remainingItemCount" not in found[0]["metadata"]

    @pytest.mark.parametrize("token", ["nonsense", "e30", "AAAA", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ"])
    def test_malformed_token(self, api: Api, namespace: str, token: str) -> None:
        failure(api.get(path(URL, namespace), limit=1, **{"continue": token}), 400, "BadRequest")

    def test_token_and_version_exclude_each_other(self, api: Api, namespace: str) -> None:
        fill(api, namespace, 3)
        first = api.read(path(URL, namespace), limit=1)
        token = first["metadata"]["continue"]
        response = api.get(
            path(URL, namespace), limit=1, resourceVersion=first["metadata"]["resourceVersion"], **{"continue": token}
        )
        assert response.status_code in (400, 422)

    def test_across_namespaces(self, api: Api, namespace: str) -> None:
        fill(api, namespace, 5)
        found = pages(api, path(URL), 2)
        keys = [(i["metadata"]["namespace"], i["metadata"]["name"]) for page in found for i in page["items"]]
        assert keys == sorted(set(keys))
        assert len([key for key in keys if key[0] == namespace and key[1].startswith("cm-")]) == 5

    def test_exact_version_with_pages(self, api: Api, namespace: str) -> None:
        made = fill(api, namespace, 5)
        url = path(URL, namespace)
        then = api.read(url)["metadata"]["resourceVersion"]
        api.remove(f"{url}/cm-00")
        first = api.read(url, limit=3, resourceVersion=then, resourceVersionMatch="Exact")
        assert first["metadata"]["resourceVersion"] == then
        second = api.read(url, limit=3, **{"continue": first["metadata"]["continue"]})
        assert names(first) + names(second) == made


class TestLabelSelectors:
    @pytest.fixture
    def labelled(self, api: Api, namespace: str) -> str:
        for name, labels in {
            "red": {"color": "red", "size": "1"},
            "green": {"color": "green", "size": "2"},
            "blue": {"color": "blue"},
            "empty": {"color": ""},
            "none": {},
        }.items():
            api.create(path(URL, namespace), lease(name, labels=labels))
        return path(URL, namespace)

    @pytest.mark.parametrize(
        ("selector", "expected"),
        [
            ("color=red", ["red"]),
            ("color==red", ["red"]),
            ("color!=red", ["blue", "empty", "green", "none"]),
            ("color in (red, blue)", ["blue", "red"]),
            ("color in (red,)", ["empty", "red"]),
            ("color notin (red,blue)", ["empty", "green", "none"]),
            ("size", ["green", "red"]),
            ("!size", ["blue", "empty", "none"]),
            ("color=", ["empty"]),
            ("color in (red,green),size!=1", ["green"]),
            ("size>1", ["green"]),
            ("size<2", ["red"]),
            ("color=red,color=blue", []),
        ],
    )
    def test_select(self, api: Api, labelled: str, selector: str, expected: list[str]) -> None:
        listing = api.read(labelled, labelSelector=selector)
        assert names(listing) == expected

    @pytest.mark.parametrize("selector", ["a b", "a in b", "a in (b", "=x", "a=b=c", "a,,b", "a>x", "!a=b", "-a=b"])
    def test_malformed(self, api: Api, namespace: str, selector: str) -> None:
        failure(api.get(path(URL, namespace), labelSelector=selector), 400, "BadRequest")


class TestFieldSelectors:
    def test_name_and_namespace(self, api: Api, namespace: str) -> None:
        fill(api, namespace, 3)
        assert names(api.read(path(URL, namespace), fieldSelector="metadata.name=cm-01")) == ["cm-01"]
        rest = names(api.read(path(URL, namespace), fieldSelector="metadata.name!=cm-01"))
        assert [name for name in rest if name.startswith("cm-")] == ["cm-00", "cm-02"]
        everywhere = api.read(path(URL), fieldSelector=f"metadata.namespace={namespace},metadata.name==cm-02")
        assert names(everywhere) == ["cm-02"]

    def test_of_pods(self, api: Api, namespace: str) -> None:
        url = path("pods", namespace)
        api.create(url, pod("here", nodeName="node-a"))
        api.create(url, pod("there", nodeName="node-b", restartPolicy="Never"))
        for selector, expected in {
            "spec.nodeName=node-a": ["here"],
            "spec.nodeName!=node-a": ["there"],
            "spec.restartPolicy=Never": ["there"],
            "status.phase=Pending": ["here", "there"],
            "status.phase=Running": [],
            "spec.schedulerName=default-scheduler,metadata.name=here": ["here"],
        }.items():
            assert names(api.read(url, fieldSelector=selector)) == expected, selector

    def test_of_secrets_and_events(self, api: Api, namespace: str) -> None:
        for name, kind in (("a", "Opaque"), ("b", "example.com/special")):
            api.create(
                path("secrets", namespace),
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind},
            )
        assert names(api.read(path("secrets", namespace), fieldSelector="type=example.com/special")) == ["b"]
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "e"},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": namespace},
            "reason": "Testing",
            "message": "m",
            "type": "Normal",
        }
        api.create(path("events", namespace), event)
        selector = "involvedObject.name=p,involvedObject.kind=Pod,reason=Testing,type=Normal"
        assert names(api.read(path("events", namespace), fieldSelector=selector)) == ["e"]
        assert names(api.read(path("events", namespace), fieldSelector="involvedObject.name=q")) == []

    @pytest.mark.parametrize(
        ("resource", "selector"), [(URL, "spec.holderIdentity=value"), ("pods", "spec.hostname=x"), (URL, "nonsense")]
    )
    def test_unsupported(self, api: Api, namespace: str, resource: str, selector: str) -> None:
        failure(api.get(path(resource, namespace), fieldSelector=selector), 400, "BadRequest")


def test_one_object_of_the_future(api: Api, namespace: str) -> None:
    created = api.create(path(URL, namespace), lease("cm"))
    url = path(URL, namespace, "cm")
    assert api.read(url, resourceVersion="0")["metadata"]["name"] == "cm"
    assert api.read(url, resourceVersion=created["metadata"]["resourceVersion"]) == created
    failure(api.get(url, resourceVersion=str(version(created) + 1_000_000)), 504, "Timeout")


@pytest.mark.parametrize("kind", ["pods", "nodes", "secrets", "events", "namespaces", "services"])
def test_fields_that_nobody_selects_by(api: Api, kind: str) -> None:
    """The client says what was asked for, the server only what is wrong with it."""
    status = failure(api.get(path(kind), fieldSelector="foo=bar"), 400, "BadRequest")
    assert status["message"] == "field label not supported: foo"


@pytest.mark.parametrize("kind", ["configmaps", "leases", "deployments", "replicasets", "endpointslices", "roles"])
def test_fields_of_kinds_that_have_none_of_their_own(api: Api, kind: str) -> None:
    status = failure(api.get(path(kind), fieldSelector="foo=bar"), 400, "BadRequest")
    assert status["message"] == '"foo" is not a known field selector: only "metadata.name", "metadata.namespace"'


def forged(token: str, **changes: Any) -> str:
    content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return base64.urlsafe_b64encode(json.dumps({**content, **changes}).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("changes", "code"), [({"rv": 0}, 400), ({"rv": True}, 400), ({"start": ["", ""]}, 400), ({"rv": 10**15}, 504)]
)
def test_forged_tokens(api: Api, namespace: str, changes: Obj, code: int) -> None:
    for name in ("a", "b", "c"):
        api.create(path("configmaps", namespace), config_map(name))
    token = api.read(path("configmaps", namespace), limit=1)["metadata"]["continue"]
    response = api.get(path("configmaps", namespace), **{"limit": 1, "continue": forged(token, **changes)})
    assert response.status_code == code, response.text


def test_what_comes_twice_counts_once(api: Api, namespace: str) -> None:
    for name in ("a", "b", "c"):
        api.create(path("configmaps", namespace), config_map(name))
    found = api.http.get(path("configmaps", namespace) + "?limit=1&limit=2").json()
    assert len(found["items"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        "limit=%D9%A3",
        "resourceVersion=%D9%A3",
        "limit=9223372036854775808",
        "labelSelector=A/b",
        "labelSelector=a%3E1_0",
        "fieldSelector=metadata.name%3D%5Cx",
        "fieldSelector=metadata.name%20%3D%20x",
    ],
)
def test_what_only_looks_right(api: Api, namespace: str, query: str) -> None:
    failure(api.http.get(f"{path('configmaps', namespace)}?{query}"), 400, "BadRequest")
