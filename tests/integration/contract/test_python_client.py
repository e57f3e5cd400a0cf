"""The official Python client, used as its documentation shows: typed, dynamic, watch, informer, asyncio."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Iterator
from typing import Any

import kubernetes
import kubernetes.aio as aio
import pytest
from kube_api import Api, wait_for
from kube_crds import INTEGER, Definition, defined, spec_schema
from kube_targets import Target
from kubernetes import client
from kubernetes.client.exceptions import ApiException


@pytest.fixture
def api_client(target: Target) -> Iterator[client.ApiClient]:
    configuration = client.Configuration()
    kubernetes.config.load_kube_config(str(target.kubeconfig), client_configuration=configuration)
    with client.ApiClient(configuration) as made:
        yield made


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"app": "x"}), data=data)


def deployment(name: str, replicas: int = 1) -> client.V1Deployment:
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1DeploymentSpec(
            replicas=replicas,
            selector=client.V1LabelSelector(match_labels={"app": name}),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels={"app": name}),
                spec=client.V1PodSpec(containers=[client.V1Container(name="main", image="example.com/simulated:1")]),
            ),
        ),
    )


def test_version(api_client: client.ApiClient) -> None:
    assert client.VersionApi(api_client).get_code().git_version.startswith("v1.")


def test_discovery(api_client: client.ApiClient) -> None:
    assert "apps" in {group.name for group in client.ApisApi(api_client).get_api_versions().groups}
    assert "pods" in {resource.name for resource in client.CoreV1Api(api_client).get_api_resources().resources}


def test_core(api_client: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api_client)
    made = core.create_namespaced_config_map(namespace, config_map("cm", a="1"))
    assert made.metadata.uid
    made.data["b"] = "2"
    replaced = core.replace_namespaced_config_map("cm", namespace, made)
    assert replaced.data == {"a": "1", "b": "2"}
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map("cm", namespace, made)
    assert (conflict.value.status, conflict.value.reason) == (409, "Conflict")
    patched = core.patch_namespaced_config_map("cm", namespace, {"data": {"a": None}})
    assert patched.data == {"b": "2"}
    listing = core.list_namespaced_config_map(namespace, label_selector="app=x", limit=10)
    assert [item.metadata.name for item in listing.items] == ["cm"]
    status = core.delete_namespaced_config_map("cm", namespace)
    assert status["status"] == "Success"
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_config_map("cm", namespace)
    assert missing.value.status == 404


def test_secrets_and_services(api_client: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api_client)
    secret = core.create_namespaced_secret(
        namespace, client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"a": "b"})
    )
    assert secret.data == {"a": "Yg=="}
    service = core.create_namespaced_service(
        namespace,
        client.V1Service(
            metadata=client.V1ObjectMeta(name="svc"),
            spec=client.V1ServiceSpec(selector={"a": "b"}, ports=[client.V1ServicePort(port=80, target_port="http")]),
        ),
    )
    assert service.spec.cluster_ip
    assert service.spec.ports[0].target_port == "http"
    account = core.create_namespaced_service_account(
        namespace, client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="robot"))
    )
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token(account.metadata.name, namespace, request)
    assert token.status.token.count(".") == 2


def test_pods(api_client: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api_client)
    body = client.V1Pod(
        metadata=client.V1ObjectMeta(generate_name="p-"),
        spec=client.V1PodSpec(
            containers=[client.V1Container(name="main", image="example.com/simulated:1")], node_name="nowhere"
        ),
    )
    made = core.create_namespaced_pod(namespace, body)
    name = made.metadata.name
    assert made.status.phase == "Pending"
    core.patch_namespaced_pod_status(name, namespace, {"status": {"message": "hello"}})
    assert core.read_namespaced_pod_status(name, namespace).status.message == "hello"
    deleted = core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)
    assert deleted.metadata.name == name
    core.delete_collection_namespaced_pod(namespace)


def test_apps(api_client: client.ApiClient, namespace: str) -> None:
    apps = client.AppsV1Api(api_client)
    apps.create_namespaced_deployment(namespace, deployment("d", replicas=0))
    scale = apps.read_namespaced_deployment_scale("d", namespace)
    scale.spec.replicas = 0
    scale.metadata.resource_version = None  # controllers may have written since
    apps.replace_namespaced_deployment_scale("d", namespace, scale)
    # A list is a strategic merge patch to this client.
    apps.patch_namespaced_deployment(
        "d",
        namespace,
        {"spec": {"template": {"spec": {"containers": [{"name": "more", "image": "example.com/more:1"}]}}}},
    )
    names = {
        container.name for container in apps.read_namespaced_deployment("d", namespace).spec.template.spec.containers
    }
    assert names == {"main", "more"}
    apps.delete_namespaced_deployment("d", namespace, propagation_policy="Foreground")


def test_rbac(api_client: client.ApiClient, namespace: str) -> None:
    rbac = client.RbacAuthorizationV1Api(api_client)
    rbac.create_namespaced_role(
        namespace,
        client.V1Role(
            metadata=client.V1ObjectMeta(name="r"),
            rules=[client.V1PolicyRule(api_groups=[""], resources=["pods"], verbs=["get"])],
        ),
    )
    rbac.create_namespaced_role_binding(
        namespace,
        client.V1RoleBinding(
            metadata=client.V1ObjectMeta(name="b"),
            role_ref=client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name="r"),
            subjects=[client.RbacV1Subject(kind="User", name="jane", api_group="rbac.authorization.k8s.io")],
        ),
    )
    review = client.AuthorizationV1Api(api_client).create_subject_access_review(
        client.V1SubjectAccessReview(
            spec=client.V1SubjectAccessReviewSpec(
                user="jane",
                resource_attributes=client.V1ResourceAttributes(namespace=namespace, verb="get", resource="pods"),
            )
        )
    )
    assert review.status.allowed


def test_leases_and_events(api_client: client.ApiClient, namespace: str) -> None:
    now = dt.datetime.now(dt.UTC)
    leases = client.CoordinationV1Api(api_client)
    made = leases.create_namespaced_lease(
        namespace,
        client.V1Lease(
            metadata=client.V1ObjectMeta(name="l"),
            spec=client.V1LeaseSpec(holder_identity="me", lease_duration_seconds=15, renew_time=now),
        ),
    )
    assert abs((made.spec.renew_time - now).total_seconds()) < 0.001
    event = client.CoreV1Event(
        metadata=client.V1ObjectMeta(generate_name="e-"),
        involved_object=client.V1ObjectReference(kind="Lease", name="l", namespace=namespace),
        reason="Tested",
        message="m",
        type="Normal",
        event_time=now,
        action="Testing",
        reporting_component="example.com/tester",
        reporting_instance="tester-1",
    )
    client.CoreV1Api(api_client).create_namespaced_event(namespace, event)
    newer = client.EventsV1Api(api_client).list_namespaced_event(namespace).items
    assert [(item.reason, item.note) for item in newer] == [("Tested", "m")]


@pytest.fixture(scope="module")
def widgets(api: Api) -> Iterator[Definition]:
    with defined(api, Definition(spec_schema(size=INTEGER), version={"subresources": {"status": {}}})) as made:
        yield made


def test_custom_objects(api_client: client.ApiClient, namespace: str, widgets: Definition) -> None:
    custom = client.CustomObjectsApi(api_client)
    where = (widgets.group, "v1", namespace, "widgets")
    custom.create_namespaced_custom_object(*where, widgets.widget("w", {"size": 1}))
    custom.patch_namespaced_custom_object(*where, "w", {"spec": {"size": 2}})
    custom.patch_namespaced_custom_object_status(*where, "w", {"status": {"seen": True}})
    found = custom.get_namespaced_custom_object(*where, "w")
    assert (found["spec"], found["status"]) == ({"size": 2}, {"seen": True})
    listing = custom.list_cluster_custom_object(widgets.group, "v1", "widgets")
    assert namespace in [item["metadata"]["namespace"] for item in listing["items"]]
    custom.delete_namespaced_custom_object(*where, "w")


def test_definitions(api_client: client.ApiClient, widgets: Definition) -> None:
    extensions = client.ApiextensionsV1Api(api_client)
    found = extensions.read_custom_resource_definition(widgets.name)
    assert {c.type: c.status for c in found.status.conditions}["Established"] == "True"


def test_dynamic(api_client: client.ApiClient, namespace: str, widgets: Definition, tmp_path: Any) -> None:
    dynamic = kubernetes.dynamic.DynamicClient(api_client, cache_file=str(tmp_path / "cache.json"))
    resource = dynamic.resources.get(api_version=f"{widgets.group}/v1", kind="Widget")
    made = resource.create(body=widgets.widget("w", {"size": 1}), namespace=namespace)
    assert made.spec.size == 1
    applied = resource.server_side_apply(
        body=widgets.widget("w", {"size": 5}), namespace=namespace, field_manager="me", force_conflicts=True
    )
    assert applied.spec.size == 5
    assert [item.metadata.name for item in resource.get(namespace=namespace).items] == ["w"]
    resource.delete(name="w", namespace=namespace)
    pods = dynamic.resources.get(api_version="v1", kind="Pod")
    assert pods.get(namespace=namespace).items == []


def test_watch(api_client: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api_client)
    since = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("cm"))
    core.delete_namespaced_config_map("cm", namespace)
    watch = kubernetes.watch.Watch()
    seen = []
    # A namespace gets its kube-root-ca.crt at a time of its own.
    only = {"resource_version": since, "field_selector": "metadata.name=cm", "timeout_seconds": 10}
    for event in watch.stream(core.list_namespaced_config_map, namespace, **only):
        assert isinstance(event["object"], client.V1ConfigMap)
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            watch.stop()
    assert seen == [("ADDED", "cm"), ("DELETED", "cm")]


def test_create_from_yaml(api_client: client.ApiClient, namespace: str, tmp_path: Any) -> None:
    file = tmp_path / "cm.yaml"
    file.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: two\n"
    )
    kubernetes.utils.create_from_yaml(api_client, str(file), namespace=namespace)
    core = client.CoreV1Api(api_client)
    assert {"one", "two"} <= {item.metadata.name for item in core.list_namespaced_config_map(namespace).items}


class TestAsync:
    @pytest.fixture
    async def connection(self, target: Target) -> AsyncIterator[aio.client.ApiClient]:
        configuration = aio.client.Configuration()
        await aio.config.load_kube_config(str(target.kubeconfig), client_configuration=configuration)
        async with aio.client.ApiClient(configuration) as made:
            yield made

    async def test_core(self, connection: aio.client.ApiClient, namespace: str) -> None:
        core = aio.client.CoreV1Api(connection)
        body = aio.client.V1ConfigMap(metadata=aio.client.V1ObjectMeta(name="cm"), data={"a": "1"})
        await core.create_namespaced_config_map(namespace, body)
        assert (await core.read_namespaced_config_map("cm", namespace)).data == {"a": "1"}
        patched = await core.patch_namespaced_config_map("cm", namespace, {"data": {"b": "2"}})
        assert patched.data == {"a": "1", "b": "2"}
        await core.delete_namespaced_config_map("cm", namespace)
        with pytest.raises(aio.client.ApiException) as missing:
            await core.read_namespaced_config_map("cm", namespace)
        assert missing.value.status == 404

    async def test_many_at_once(self, connection: aio.client.ApiClient, namespace: str) -> None:
        core = aio.client.CoreV1Api(connection)

        async def one(index: int) -> None:
            body = aio.client.V1ConfigMap(metadata=aio.client.V1ObjectMeta(name=f"cm-{index}"))
            await core.create_namespaced_config_map(namespace, body)

        await asyncio.gather(*(one(index) for index in range(50)))
        listing = await core.list_namespaced_config_map(namespace)
        assert len([item for item in listing.items if item.metadata.name.startswith("cm-")]) == 50

    async def test_watch(self, connection: aio.client.ApiClient, namespace: str) -> None:
        core = aio.client.CoreV1Api(connection)
        since = (await core.list_namespaced_config_map(namespace)).metadata.resource_version
        body = aio.client.V1ConfigMap(metadata=aio.client.V1ObjectMeta(name="cm"))
        await core.create_namespaced_config_map(namespace, body)
        async with aio.watch.Watch() as watch:
            async for event in watch.stream(
                core.list_namespaced_config_map,
                namespace,
                resource_version=since,
                timeout_seconds=10,
                field_selector="metadata.name=cm",  # a controller puts one of its own there
            ):
                assert (event["type"], event["object"].metadata.name) == ("ADDED", "cm")
                break

    async def test_custom_objects(self, connection: aio.client.ApiClient, namespace: str, widgets: Definition) -> None:
        custom = aio.client.CustomObjectsApi(connection)
        where = (widgets.group, "v1", namespace, "widgets")
        await custom.create_namespaced_custom_object(*where, widgets.widget("w", {"size": 1}))
        found = await custom.get_namespaced_custom_object(*where, "w")
        assert found["spec"] == {"size": 1}


def test_informer(api_client: client.ApiClient, namespace: str) -> None:
    """List and watch in the background, into a store."""
    from kubernetes.informer import SharedInformer

    core = client.CoreV1Api(api_client)
    informer = SharedInformer(core.list_namespaced_config_map, namespace=namespace)
    informer.start()
    try:
        core.create_namespaced_config_map(namespace, config_map("cm"))
        wait_for("seen", lambda: any(item.metadata.name == "cm" for item in informer.cache.list()))
        core.delete_namespaced_config_map("cm", namespace)
        wait_for("forgotten", lambda: not any(item.metadata.name == "cm" for item in informer.cache.list()))
    finally:
        informer.stop()
