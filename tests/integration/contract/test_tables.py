"""Tables for people: columns of built-in and custom kinds, and metadata alone."""

from __future__ import annotations

from typing import Any

from kube_api import Api, Obj, config_map, deployment, lease, path, pod
from kube_crds import INTEGER, STRING, Definition, defined, spec_schema

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


def table(api: Api, url: str, **params: Any) -> Obj:
    body: Obj = api.get(url, accept=TABLE, **params).json()
    assert (body["kind"], body["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    return body


def columns(body: Obj) -> list[tuple[str, int]]:
    return [(column["name"], column["priority"]) for column in body["columnDefinitions"]]


def cells(body: Obj) -> list[dict[str, Any]]:
    headers = [column["name"] for column in body["columnDefinitions"]]
    return [dict(zip(headers, row["cells"], strict=True)) for row in body["rows"]]


def test_pods(api: Api, namespace: str) -> None:
    api.create(path("pods", namespace), pod("p", nodeName="nowhere"))
    body = table(api, path("pods", namespace))
    assert columns(body) == [
        ("Name", 0),
        ("Ready", 0),
        ("Status", 0),
        ("Restarts", 0),
        ("Age", 0),
        ("IP", 1),
        ("Node", 1),
        ("Nominated Node", 1),
        ("Readiness Gates", 1),
    ]
    (row,) = cells(body)
    assert row["Name"] == "p"
    assert row["Ready"] == "0/1"
    assert row["Status"] == "Pending"
    assert str(row["Restarts"]) == "0"
    assert row["Age"].endswith("s")
    assert row["Node"] == "nowhere"
    assert row["IP"] == "<none>"
    assert body["metadata"]["resourceVersion"]
    first = body["columnDefinitions"][0]
    assert (first["type"], first["format"]) == ("string", "name")
    assert first["description"]


def test_status_of_pods(api: Api, namespace: str) -> None:
    url = path("pods", namespace, "p")
    api.create(path("pods", namespace), pod("p", nodeName="nowhere"))

    def shown(status: Obj) -> dict[str, Any]:
        api.merge(f"{url}/status", {"status": status})
        return cells(table(api, url))[0]

    waiting = {"name": "main", "ready": False, "restartCount": 3, "image": "x", "imageID": ""}
    waiting["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    row = shown({"phase": "Running", "containerStatuses": [waiting]})
    assert row["Status"] == "CrashLoopBackOff"
    assert str(row["Restarts"]).startswith("3")
    running = {**waiting, "ready": True, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    row = shown({"phase": "Running", "containerStatuses": [running]})
    assert (row["Status"], row["Ready"]) == ("Running", "1/1")
    done = {**waiting, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    assert shown({"phase": "Succeeded", "containerStatuses": [done]})["Status"] == "Completed"
    api.remove(url, {"gracePeriodSeconds": 0})


def test_sidecars_count(api: Api, namespace: str) -> None:
    """Init containers that restart always are containers of their pod as well."""
    url = path("pods", namespace, "p")
    sidecar = {"name": "side", "image": "example.com/simulated:1", "restartPolicy": "Always"}
    api.create(path("pods", namespace), pod("p", nodeName="nowhere", initContainers=[sidecar]))
    assert cells(table(api, url))[0]["Ready"] == "0/2"
    common = {"ready": True, "restartCount": 2, "image": "x", "imageID": "", "started": True}
    running = {**common, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    main = {**running, "name": "main"}

    def shown(**status: Any) -> tuple[str, str, str]:
        api.merge(f"{url}/status", {"status": {"phase": "Running", **status}})
        row = cells(table(api, url))[0]
        return row["Ready"], row["Status"], str(row["Restarts"])

    side = {**running, "name": "side"}
    assert shown(initContainerStatuses=[side], containerStatuses=[main]) == ("2/2", "Running", "4")
    unready = {**side, "ready": False}
    assert shown(initContainerStatuses=[unready], containerStatuses=[main]) == ("1/2", "Running", "4")
    begun = {**side, "ready": False, "started": False}
    waiting = {
        **main,
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": "PodInitializing"}},
    }
    assert shown(initContainerStatuses=[begun], containerStatuses=[waiting]) == ("0/2", "Init:0/1", "2")
    api.remove(url, {"gracePeriodSeconds": 0})


def test_terminating_pod(api: Api, namespace: str) -> None:
    url = path("pods", namespace, "p")
    api.create(path("pods", namespace), pod("p", nodeName="nowhere"))
    api.remove(url)
    assert cells(table(api, url))[0]["Status"] == "Terminating"
    api.remove(url, {"gracePeriodSeconds": 0})


def test_other_kinds(api: Api, namespace: str) -> None:
    api.create(path("deployments", namespace), deployment("d", paused=True, replicas=0))
    api.create(path("configmaps", namespace), config_map("cm", {"a": "1", "b": "2"}))
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "svc"},
        "spec": {"selector": {"app": "d"}, "ports": [{"port": 80}, {"port": 53, "protocol": "UDP", "name": "dns"}]},
    }
    service["spec"]["ports"][0]["name"] = "http"  # type: ignore[index]
    api.create(path("services", namespace), service)

    body = table(api, path("deployments", namespace))
    assert [name for name, priority in columns(body) if not priority] == [
        "Name",
        "Ready",
        "Up-to-date",
        "Available",
        "Age",
    ]
    assert [name for name, priority in columns(body) if priority] == ["Containers", "Images", "Selector"]
    (row,) = cells(body)
    assert row["Ready"] == "0/0"
    assert row["Containers"] == "main"
    assert row["Selector"] == "app=d"

    rows = {row["Name"]: row for row in cells(table(api, path("configmaps", namespace)))}
    assert rows["cm"]["Data"] == 2

    (row,) = cells(table(api, path("services", namespace)))
    assert row["Type"] == "ClusterIP"
    assert row["External-IP"] == "<none>"
    assert row["Port(s)"] == "80/TCP,53/UDP"
    assert row["Selector"] == "app=d"

    rows = {row["Name"]: row for row in cells(table(api, path("namespaces")))}
    assert rows[namespace]["Status"] == "Active"

    headers = {
        "nodes": ["Name", "Status", "Roles", "Age", "Version"],
        "secrets": ["Name", "Type", "Data", "Age"],
        "replicasets": ["Name", "Desired", "Current", "Ready", "Age"],
        "daemonsets": ["Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age"],
        "leases": ["Name", "Holder", "Age"],
        "events": ["Last Seen", "Type", "Reason", "Object", "Message"],
        "customresourcedefinitions": ["Name", "Created At"],
        "clusterroles": ["Name", "Created At"],
        "rolebindings": ["Name", "Role", "Age"],
        "endpointslices": ["Name", "AddressType", "Ports", "Endpoints", "Age"],
    }
    for resource, expected in headers.items():
        body = table(api, path(resource))
        assert [name for name, priority in columns(body) if not priority] == expected, resource
    # Since 1.36 without the number of secrets.
    accounts = [name for name, _ in columns(table(api, path("serviceaccounts")))]
    assert accounts in (["Name", "Age"], ["Name", "Secrets", "Age"])


def test_scales(api: Api, namespace: str) -> None:
    api.create(path("deployments", namespace), deployment("web", replicas=0))
    body = table(api, path("deployments", namespace, "web", "scale"))
    assert columns(body) == [("Name", 0), ("Desired", 0), ("Available", 0), ("Age", 0)]
    (row,) = cells(body)
    assert (row["Name"], row["Desired"], row["Available"]) == ("web", 0, 0)


def test_rows_carry_metadata_or_objects_or_nothing(api: Api, namespace: str) -> None:
    api.create(path("configmaps", namespace), config_map("cm", labels={"a": "b"}))
    url = path("configmaps", namespace, "cm")
    partial = table(api, url)["rows"][0]["object"]
    assert (partial["kind"], partial["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert partial["metadata"]["labels"] == {"a": "b"}
    assert "data" not in partial
    assert table(api, url, includeObject="Object")["rows"][0]["object"]["data"] == {"key": "value"}
    assert table(api, url, includeObject="None")["rows"][0].get("object") is None


def test_pages(api: Api, namespace: str) -> None:
    for name in ("a", "b", "c"):
        api.create(path("configmaps", namespace), config_map(name))
    first = table(api, path("configmaps", namespace), limit=2)
    assert len(first["rows"]) == 2
    second = table(api, path("configmaps", namespace), limit=2, **{"continue": first["metadata"]["continue"]})
    assert [row["Name"] for row in cells(first) + cells(second)][:3] == ["a", "b", "c"]


def test_watch(api: Api, namespace: str) -> None:
    """Only the first event repeats the columns."""
    url = path("leases", namespace)
    since = api.read(url)["metadata"]["resourceVersion"]
    api.create(url, lease("a"))
    api.create(url, lease("b"))
    with api.watch(url, accept=TABLE, resourceVersion=since) as watch:
        first, second = watch.take(2)
    assert first["type"] == "ADDED"
    assert first["object"]["kind"] == "Table"
    assert first["object"]["columnDefinitions"]
    assert first["object"]["rows"][0]["cells"][0] == "a"
    assert not second["object"].get("columnDefinitions")
    assert second["object"]["rows"][0]["cells"][0] == "b"


def test_errors_are_no_tables(api: Api, namespace: str) -> None:
    response = api.get(path("configmaps", namespace, "none"), accept=TABLE)
    assert response.status_code == 404
    assert response.json()["kind"] == "Status"


def test_metadata_alone(api: Api, namespace: str) -> None:
    api.create(path("configmaps", namespace), config_map("cm"))
    one = api.get(path("configmaps", namespace, "cm"), accept=PARTIAL).json()
    assert (one["kind"], one["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert one["metadata"]["name"] == "cm"
    assert "data" not in one
    listing = api.get(path("configmaps", namespace), accept=PARTIAL_LIST).json()
    assert listing["kind"] == "PartialObjectMetadataList"
    assert "cm" in [item["metadata"]["name"] for item in listing["items"]]
    assert all("data" not in item for item in listing["items"])


def test_columns_of_custom_kinds(api: Api, namespace: str) -> None:
    version = {
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1, "description": "Its color"},
            {
                "name": "Ready",
                "type": "string",
                "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
            },
            {"name": "Made", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            {"name": "First", "type": "string", "jsonPath": ".spec.list[0]"},
            {"name": "All", "type": "string", "jsonPath": ".spec.list[*]"},
            {"name": "List", "type": "string", "jsonPath": ".spec.list"},
            {"name": "Label", "type": "string", "jsonPath": ".metadata.labels.example\\.com/a"},
        ]
    }
    schema = spec_schema(size=INTEGER, color=STRING, list={"type": "array", "items": STRING})
    with defined(api, Definition(schema, version=version)) as definition:
        body = definition.widget("w", {"size": 3, "color": "red", "list": ["x", "y"]})
        body["metadata"]["labels"] = {"example.com/a": "b"}
        body["status"] = {"conditions": [{"type": "Other", "status": "x"}, {"type": "Ready", "status": "True"}]}
        api.create(definition.url(namespace), body)
        api.create(definition.url(namespace), definition.widget("x"))
        found = table(api, definition.url(namespace))
        assert columns(found) == [
            ("Name", 0),
            ("Size", 0),
            ("Color", 1),
            ("Ready", 0),
            ("Made", 0),
            ("First", 0),
            ("All", 0),
            ("List", 0),
            ("Label", 0),
        ]
        assert found["columnDefinitions"][2]["description"] == "Its color"
        full, empty = cells(found)
        assert full["Size"] == 3
        assert (full["Color"], full["Ready"], full["First"], full["Label"]) == ("red", "True", "x", "b")
        assert (full["All"], full["List"]) == ("x", '["x","y"]')
        assert full["Made"].endswith("s")
        assert empty["Size"] is None
        assert empty["Ready"] in (None, "")


def test_custom_kinds_have_an_age_by_default(api: Api, namespace: str) -> None:
    with defined(api, Definition()) as definition:
        api.create(definition.url(namespace), definition.widget("w"))
        assert [name for name, _ in columns(table(api, definition.url(namespace)))] == ["Name", "Age"]
