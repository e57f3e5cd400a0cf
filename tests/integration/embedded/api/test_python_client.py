"""The official Python client, synchronous and asynchronous, as its users use it."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("kubernetes")

from kubernetes import client, config, dynamic, watch
from kubernetes.aio import client as aio_client
from kubernetes.aio import config as aio_config
from kubernetes.aio import watch as aio_watch

pytestmark = pytest.mark.filterwarnings("ignore")


def deployment(name: str) -> client.V1Deployment:
    labels = {"app": name}
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels),
        spec=client.V1PodSpec(
            containers=[
                client.V1Container(
                    name="c", image="i:1", resources=client.V1ResourceRequirements(limits={"cpu": "100m"})
                )
            ]
        ),
    )
    spec = client.V1DeploymentSpec(replicas=0, selector=client.V1LabelSelector(match_labels=labels), template=template)
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name), spec=spec)


@pytest.fixture
def kube(plane: Any) -> Any:
    with config.new_client_from_config(str(plane.kubeconfig)) as made:
        yield made


def test_typed_calls(kube: Any, namespace: str) -> None:
    core, apps, rbac = client.CoreV1Api(kube), client.AppsV1Api(kube), client.RbacAuthorizationV1Api(kube)
    made = apps.create_namespaced_deployment(namespace, deployment("web"))
    assert made.spec.template.spec.containers[0].image_pull_policy == "IfNotPresent"
    apps.patch_namespaced_deployment(name="web", namespace=namespace, body={"metadata": {"labels": {"a": "b"}}})
    assert not apps.read_namespaced_deployment_scale("web", namespace).spec.replicas
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 1}})
    core.create_namespaced_config_map(
        namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c"), data={"a": "b"})
    )
    assert core.read_namespaced_config_map("c", namespace).data == {"a": "b"}
    listed = core.list_namespaced_config_map(namespace, label_selector="", limit=1)
    assert len(listed.items) == 1
    rules = [client.V1PolicyRule(api_groups=[""], resources=["pods"], verbs=["get"])]
    rbac.create_namespaced_role(namespace, client.V1Role(metadata=client.V1ObjectMeta(name="r"), rules=rules))
    with pytest.raises(client.ApiException) as error:
        core.read_namespaced_secret("none", namespace)
    assert error.value.status == 404
    apps.delete_namespaced_deployment("web", namespace)


def test_watch_and_dynamic(kube: Any, namespace: str) -> None:
    core = client.CoreV1Api(kube)
    for name in ("a", "b"):
        core.create_namespaced_secret(
            namespace, client.V1Secret(metadata=client.V1ObjectMeta(name=name), string_data={"x": "y"})
        )
    names = [
        e["object"].metadata.name
        for e in watch.Watch().stream(core.list_namespaced_secret, namespace, timeout_seconds=1)
    ]
    assert names == ["a", "b"]
    leases = dynamic.DynamicClient(kube).resources.get(api_version="coordination.k8s.io/v1", kind="Lease")
    leases.create(
        body={"metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 5}},
        namespace=namespace,
    )
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "l"},
        "spec": {"holderIdentity": "you"},
    }
    applied = leases.server_side_apply(
        body=body, name="l", namespace=namespace, field_manager="m", force_conflicts=True
    )
    assert applied.spec.holderIdentity == "you"


async def test_asynchronous_calls(plane: Any, namespace: str) -> None:
    loaded = aio_client.Configuration()
    await aio_config.load_kube_config(str(plane.kubeconfig), client_configuration=loaded)
    async with aio_client.ApiClient(loaded) as kube:
        core = aio_client.CoreV1Api(kube)
        await core.create_namespaced_secret(namespace, aio_client.V1Secret(metadata=aio_client.V1ObjectMeta(name="a")))
        async with aio_watch.Watch().stream(core.list_namespaced_secret, namespace, timeout_seconds=1) as stream:
            assert [event["object"].metadata.name async for event in stream] == ["a"]
        custom = aio_client.CustomObjectsApi(kube)
        found = await custom.list_cluster_custom_object("apps", "v1", "deployments")
        assert found["kind"] == "DeploymentList"
