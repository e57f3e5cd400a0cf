"""How built-in kinds are stored: as Go's types write them, whatever form they came in."""

from __future__ import annotations

from typing import Any

import pytest
from kube_api import Api, Obj, config_map, deployment, lease, path, pod


def owned(obj: Obj) -> Obj:
    """What the one manager of an object owns."""
    (entry,) = obj["metadata"]["managedFields"]
    fields: Obj = entry["fieldsV1"]
    return fields


class TestEmptyFields:
    def test_are_left_out(self, api: Api, namespace: str) -> None:
        body = config_map("cm", {"a": ""}, labels={}, annotations={}, finalizers=[])
        made = api.create(path("configmaps", namespace), {**body, "binaryData": {}})
        assert made["data"] == {"a": ""}
        assert "binaryData" not in made
        assert not {"labels", "annotations", "finalizers"} & set(made["metadata"])
        assert owned(made) == {"f:data": {".": {}, "f:a": {}}}

    def test_of_workloads(self, api: Api, namespace: str) -> None:
        spec = {"minReadySeconds": 0, "paused": False, "revisionHistoryLimit": 0}
        made = api.create(path("deployments", namespace), deployment("d", replicas=0, **spec))
        assert not {"minReadySeconds", "paused"} & set(made["spec"])
        assert (made["spec"]["replicas"], made["spec"]["revisionHistoryLimit"]) == (0, 0)

    def test_make_no_new_generation(self, api: Api, namespace: str) -> None:
        """A typed client reads an object and writes it back without its empty fields."""
        body = deployment("d")
        body["kind"] = "DaemonSet"
        del body["spec"]["replicas"]
        template = body["spec"]["template"]["spec"]
        template["nodeSelector"] = {"no": "where"}
        template["containers"][0] |= {
            "stdin": False,
            "command": [],
            "workingDir": "",
            "env": [{"name": "A", "value": ""}],
        }
        api.create(path("daemonsets", namespace), body)
        now = api.read(path("daemonsets", namespace, "d"))
        container = {"name": "main", "image": template["containers"][0]["image"], "env": [{"name": "A"}]}
        now["spec"]["template"]["spec"]["containers"] = [container]
        del now["metadata"]["resourceVersion"]
        assert api.replace(path("daemonsets", namespace, "d"), now)["metadata"]["generation"] == 1

    def test_null_texts_are_empty(self, api: Api, namespace: str) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm", "labels": None}}
        made = api.create(path("configmaps", namespace), {**body, "data": {"a": None}, "immutable": None})
        assert made["data"] == {"a": ""}
        assert "immutable" not in made

    def test_structures_are_there(self, api: Api, namespace: str) -> None:
        body = lease("l")
        del body["spec"]
        assert api.create(path("leases", namespace), body)["spec"] == {}

    def test_times_of_events_are_null(self, api: Api, namespace: str) -> None:
        involved = {"kind": "Pod", "namespace": namespace, "name": "p"}
        made = api.create(path("events", namespace), {"metadata": {"name": "e"}, "involvedObject": involved})
        assert owned(made) == {"f:involvedObject": {}}
        unset: Obj = {"eventTime": None, "firstTimestamp": None, "lastTimestamp": None, "source": {}}
        unset |= {"reportingComponent": "", "reportingInstance": ""}
        assert {key: made[key] for key in unset} == unset
        patched = api.merge(path("events", namespace, "e"), {"count": 2})
        assert {key: patched[key] for key in unset} == unset
        new = api.read(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/e")
        unset = {"eventTime": None, "deprecatedFirstTimestamp": None, "deprecatedLastTimestamp": None}
        assert {key: new[key] for key in unset} == unset
        assert not {"reportingController", "reportingInstance"} & set(new)

    @pytest.mark.parametrize("rules", [None, []])
    def test_rules_of_roles_are_null(self, api: Api, namespace: str, rules: Any) -> None:
        made = api.create(path("roles", namespace), {"metadata": {"name": "r"}, "rules": rules})
        assert made["rules"] is None
        if rules is None:
            assert "managedFields" not in made["metadata"]
        rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
        assert api.merge(path("roles", namespace, "r"), {"rules": [rule]})["rules"] == [rule]
        assert api.merge(path("roles", namespace, "r"), {"rules": None})["rules"] is None

    def test_type_of_secrets(self, api: Api, namespace: str) -> None:
        made = api.create(path("secrets", namespace), {"metadata": {"name": "s"}, "type": ""})
        assert made["type"] == "Opaque"


class TestQuantities:
    @pytest.mark.parametrize(
        ("given", "written"),
        [
            ("0.1", "100m"),
            ("1000m", "1"),
            (0.5, "500m"),
            (2, "2"),
            ("0.5Gi", "512Mi"),
            ("1024Mi", "1Gi"),
            ("1e3", "1e3"),
            ("100000", "100k"),
            ("1.5Ki", "1536"),
        ],
    )
    def test_are_canonical(self, api: Api, namespace: str, given: Any, written: str) -> None:
        body = pod("p", nodeName="nowhere")
        body["spec"]["containers"][0]["resources"] = {"limits": {"example.com/x": given, "memory": given}}
        if written in ("100m", "500m"):
            del body["spec"]["containers"][0]["resources"]["limits"]["example.com/x"]  # whole things alone
        made = api.create(path("pods", namespace), body, dryRun="All")
        resources = made["spec"]["containers"][0]["resources"]
        assert resources["limits"]["memory"] == written
        assert resources["requests"]["memory"] == written

    def test_lists_of_resources_are_rounded_up_to_milli(self, api: Api, namespace: str) -> None:
        body = deployment("d", replicas=0)
        container = body["spec"]["template"]["spec"]["containers"][0]
        container["resources"] = {"limits": {"cpu": "0.1234567", "memory": "1.5"}, "requests": {"cpu": "1u"}}
        made = api.create(path("deployments", namespace), body)["spec"]["template"]["spec"]["containers"][0]
        assert made["resources"] == {"limits": {"cpu": "124m", "memory": "1500m"}, "requests": {"cpu": "1m"}}

    def test_quality_of_service_compares_them(self, api: Api, namespace: str) -> None:
        body = pod("p", nodeName="nowhere")
        body["spec"]["containers"][0]["resources"] = {
            "limits": {"cpu": "100m", "memory": "1Gi"},
            "requests": {"cpu": "0.1", "memory": "1024Mi"},
        }
        assert api.create(path("pods", namespace), body, dryRun="All")["status"]["qosClass"] == "Guaranteed"


class TestOwnership:
    """What a creator owns: what it sent and what was filled in by default, not what admission and allocation add."""

    def test_of_pods(self, api: Api, namespace: str) -> None:
        made = api.create(path("pods", namespace), pod("p", nodeName="nowhere"))
        fields = ("image", "imagePullPolicy", "name", "resources", "terminationMessagePath", "terminationMessagePolicy")
        container = {".": {}, **{f"f:{name}": {} for name in fields}}
        spec = owned(made)["f:spec"]
        assert spec["f:containers"] == {'k:{"name":"main"}': container}
        assert "f:restartPolicy" in spec
        assert not {".", "f:tolerations", "f:priority", "f:serviceAccountName"} & set(spec)
        assert made["metadata"]["generation"] == 1
        api.remove(path("pods", namespace, "p"), {"gracePeriodSeconds": 0})

    def test_of_services(self, api: Api, namespace: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s"},
            "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]},
        }
        spec = owned(api.create(path("services", namespace), body))["f:spec"]
        assert "f:selector" in spec
        assert not {"f:clusterIP", "f:clusterIPs", "f:ipFamilies", "f:ipFamilyPolicy"} & set(spec)


class TestServices:
    def made(self, api: Api, namespace: str, **spec: Any) -> Obj:
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}
        result: Obj = api.create(path("services", namespace), body)["spec"]
        return result

    def test_sticky_sessions(self, api: Api, namespace: str) -> None:
        made = self.made(api, namespace, sessionAffinity="ClientIP", ports=[{"port": 80}])
        assert made["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}

    def test_from_outside(self, api: Api, namespace: str) -> None:
        made = self.made(api, namespace, type="LoadBalancer", ports=[{"port": 80, "nodePort": 30123}])
        assert made["externalTrafficPolicy"] == "Cluster"
        assert made["allocateLoadBalancerNodePorts"] is True

    def test_without_address_and_selector(self, api: Api, namespace: str) -> None:
        made = self.made(api, namespace, clusterIP="None")
        assert (made["ipFamilies"], made["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")

    def test_change_their_type(self, api: Api, namespace: str) -> None:
        """What only the former type has goes with it."""
        url = path("services", namespace, "s")
        self.made(api, namespace, selector={"a": "b"}, ports=[{"port": 80}])
        outside = api.merge(url, {"spec": {"type": "ExternalName", "externalName": "example.com"}})["spec"]
        assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"} & set(outside)
        assert api.merge(url, {"spec": {"type": "NodePort", "externalName": None}})["spec"]["clusterIP"]
        inside = api.merge(url, {"spec": {"type": "ClusterIP"}})["spec"]
        assert "externalTrafficPolicy" not in inside

    def test_ports_are_not_twice(self, api: Api, namespace: str) -> None:
        ports = [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]
        response = api.post(path("services", namespace), {"metadata": {"name": "s"}, "spec": {"ports": ports}})
        assert response.status_code == 422


def test_pod_networks_of_nodes(api: Api, unique: str) -> None:
    made = api.create(path("nodes"), {"metadata": {"name": unique}, "spec": {"podCIDR": "10.1.0.0/24"}})
    assert made["spec"]["podCIDRs"] == ["10.1.0.0/24"]
    api.remove(path("nodes", name=unique))
