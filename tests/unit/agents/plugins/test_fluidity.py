"""The mechanism fluidity: what it writes, what it refuses, and that twice is the same as once."""

from __future__ import annotations

from typing import Any

import pytest
from agent_fakes import FakeHandle
from mlsysops_agents.plugins.mechanisms import Fluidity
from mlsysops_core.contracts import Rejected
from mlsysops_core.errors import InvalidInput, NotFound, Unreachable

WEB: dict[str, Any] = {
    "metadata": {"name": "web"},
    "containers": [
        {
            "image": "registry/web:1",
            "command": ["serve", "--fast"],
            "image_pull_policy": "IfNotPresent",
            "platform_requirements": {
                "cpu": {"requests": "250m", "limits": "500m"},
                "memory": {"requests": "64Mi", "limits": "128Mi"},
                "gpu": {"requests": 1},
            },
            "env": [
                {"name": "NODE_IP", "value_from": {"field_ref": {"field_path": "status.hostIP"}}},
                {"name": "TELEMETRY_ENDPOINT", "value": "$(NODE_IP):43170"},
            ],
            "ports": [{"container_port": 8080}, {"container_port": 9090, "name": "metrics", "protocol": "UDP"}],
        }
    ],
}


def action(verb: str, component: str = "web", **more: Any) -> dict[str, Any]:
    return {"name": "app", "deployment_plan": {"initial_plan": False, component: [{"action": verb, **more}]}}


class World:
    def __init__(self, *components: dict[str, Any], **spec: Any) -> None:
        self.handle = FakeHandle()
        self.objects = self.handle.objects
        self.mechanism = Fluidity(self.handle)
        self.describe(*(components or (WEB,)), **spec)

    def describe(self, *components: dict[str, Any], **spec: Any) -> None:
        body = {"name": "app", "components": list(components), **spec}
        self.objects.put(
            {"apiVersion": "mlsysops.eu/v1", "kind": "MLSysOpsApp", "metadata": {"name": "app"}, "spec": body}
        )
        self.handle.components = [item["metadata"]["name"] for item in components]

    async def do(self, verb: str, component: str = "web", **more: Any) -> None:
        command = action(verb, component, **more)
        assert self.mechanism.check(command) == ""
        assert (await self.mechanism.apply(command)).ok

    def deployment(self, name: str = "app-web") -> dict[str, Any]:
        found = self.objects.get("Deployment", name)
        assert found is not None
        return found

    def state(self, component: str = "web") -> dict[str, Any]:
        return dict(self.mechanism.get_state()["applications"]["app"]["components"][component])


async def test_a_component_becomes_service_and_deployment() -> None:
    world = World()
    await world.do("deploy", host="n1")
    assert [write[1:] for write in world.objects.writes] == [("Service", "web"), ("Deployment", "app-web")]
    deployment = world.deployment()
    assert deployment["metadata"]["labels"] == {
        "app.kubernetes.io/name": "web",
        "app.kubernetes.io/part-of": "app",
        "app.kubernetes.io/managed-by": "mlsysops",
        "mlsysops.eu/app": "app",
        "mlsysops.eu/component": "web",
    }
    (owner,) = deployment["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("MLSysOpsApp", "app", "uid-app")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": "n1"}
    assert pod["containers"] == [
        {
            "name": "web",
            "image": "registry/web:1",
            "command": ["serve", "--fast"],
            "imagePullPolicy": "IfNotPresent",
            "env": [
                {"name": "NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
                {"name": "TELEMETRY_ENDPOINT", "value": "$(NODE_IP):43170"},
            ],
            "ports": [
                {"name": "tcp-8080", "containerPort": 8080, "protocol": "TCP"},
                {"name": "metrics", "containerPort": 9090, "protocol": "UDP"},
            ],
            "startupProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 2**31 - 1},
            "resources": {
                "requests": {"cpu": "250m", "memory": "64Mi"},
                "limits": {"cpu": "500m", "memory": "128Mi", "nvidia.com/gpu": "1"},
            },
        }
    ]
    service = world.objects.get("Service", "web")
    assert service is not None
    assert [(port["name"], port["port"]) for port in service["spec"]["ports"]] == [
        ("tcp-8080", 8080),
        ("metrics", 9090),
    ]
    assert world.state() == {"node_placed": "n1", "ready": False, "outdated": False, "unwanted": False}
    assert world.objects.events == [("app", "Scheduled", "web placed on n1")]


async def test_twice_is_the_same_as_once() -> None:
    world = World()
    await world.do("deploy", host="n1")
    generation = world.deployment()["metadata"]["generation"]
    await world.do("deploy", host="n1")
    assert world.deployment()["metadata"]["generation"] == generation


async def test_a_move_changes_the_node_and_nothing_else() -> None:
    world = World(WEB, permitted_actions=["component_relocation"])
    await world.do("deploy", host="n1")
    before = world.deployment()["spec"]["template"]["spec"]["containers"]
    await world.do("move", src_host="n1", target_host="n2")
    assert world.state()["node_placed"] == "n2"
    assert world.deployment()["spec"]["template"]["spec"]["containers"] == before


async def test_what_no_longer_makes_sense_is_said_before_anything_happens() -> None:
    world = World()
    check = world.mechanism.check
    assert check(action("move", src_host="n1", target_host="n2")) == "component web is not placed"
    await world.do("deploy", host="n1")
    assert check(action("deploy", host="n2")) == "component web is on n1 already"
    assert check(action("move", src_host="n3", target_host="n2")) == "component web is on n1, not on n3"
    assert "component_relocation is not among the permitted_actions" in check(action("move", target_host="n2"))
    world.handle.unfit = {"web": Rejected("n1", "ready", "gone", "web")}
    assert check(action("move", target_host="n2")) == ""  # to rescue a component needs no permission
    world.handle.unfit = {"web": Rejected("n2", "memory", "needs 2 GB", "web")}
    world.describe(WEB, permitted_actions=["*"])
    assert check(action("move", target_host="n2")) == "component web does not fit on n2: memory (needs 2 GB)"
    assert check(action("deploy", "other", host="n1")) == "component other is not for this cluster"
    del world.objects.stored[("MLSysOpsApp", "app")]
    assert check(action("remove")) == "application app is gone"
    with pytest.raises(NotFound):
        await world.mechanism.apply(action("deploy", host="n1"))


async def test_a_changed_description_is_seen_and_carried_out() -> None:
    world = World()
    await world.do("deploy", host="n1")
    bare = {"metadata": {"name": "web"}, "containers": [{"image": "registry/web:2"}]}
    world.describe(bare)
    assert world.state()["outdated"]
    await world.do("change_spec", new_spec=bare, host="n1")
    assert not world.state()["outdated"]
    assert world.deployment()["spec"]["template"]["spec"]["containers"][0]["image"] == "registry/web:2"
    assert world.objects.get("Service", "web") is None  # it has no ports any more
    world.describe({**bare, "node_placement": {"labels": ["x"]}})
    assert not world.state()["outdated"]  # where it may be is none of its pods' business


async def test_a_policy_may_change_only_what_the_owner_permits() -> None:
    world = World()
    await world.do("deploy", host="n1")
    other = {"containers": [{**WEB["containers"][0], "image": "registry/web:small"}]}
    change = action("change_spec", new_spec=other, host="n1")
    assert "change_container_image is not among the permitted_actions" in world.mechanism.check(change)
    world.describe(WEB, permitted_actions=["change_container_image", "component_relocation"])
    await world.do("change_spec", new_spec=other, host="n1")
    assert not world.state()["outdated"]
    await world.do("move", target_host="n2")  # what the policy changed goes along
    image = world.deployment()["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry/web:small"


async def test_a_change_of_the_specification_is_no_move() -> None:
    world = World()
    world.describe(WEB, permitted_actions=["change_container_image"])
    await world.do("deploy", host="n1")
    other = {"containers": [{**WEB["containers"][0], "image": "registry/web:small"}]}
    await world.do("change_spec", new_spec=other, host="n2")  # as policies that do not know where it is
    assert world.state()["node_placed"] == "n1"


async def test_removal_takes_all_objects_of_the_component() -> None:
    world = World(WEB, permitted_actions=["component_relocation"])
    await world.do("deploy", host="n1")
    await world.do("remove", host="n1")
    assert {kind for kind, _ in world.objects.stored} == {"MLSysOpsApp"}


async def test_removal_is_no_way_around_the_owner_s_permission() -> None:
    """What is taken away is placed anew, so that it would be a move."""
    world = World()
    check = world.mechanism.check
    assert check(action("remove", host="n1")) == ""  # it is nowhere
    await world.do("deploy", host="n1")
    assert check(action("remove", host="n1")) == "component_relocation is not among the permitted_actions of app"
    world.handle.unfit = {"web": Rejected("n1", "ready", "gone", "web")}
    assert check(action("remove", host="n1")) == ""
    world.handle.unfit = {}
    world.describe(WEB, permitted_actions=["component_relocation"])
    assert check(action("remove", host="n1")) == ""
    # What is described no more, or for another cluster now, goes without being asked about.
    world.describe({**WEB, "metadata": {"name": "other"}})
    assert check(action("remove", host="n1")) == ""


async def test_a_service_name_belongs_to_the_first_application() -> None:
    world = World()
    world.objects.put(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "labels": {"mlsysops.eu/app": "first"}}}
    )
    with pytest.raises(InvalidInput, match="Service web belongs to application first"):
        await world.mechanism.apply(action("deploy", host="n1"))
    assert world.objects.get("Deployment", "app-web") is None


async def test_special_wishes() -> None:
    world = World(
        {
            "metadata": {"name": "web"},
            "host_network": True,
            "runtime_class_name": "kata-fc",
            "restart_policy": "OnFailure",
            "sensors": [{"camera": {"model": "d455"}, "endpoint_variable": "CAMERA"}],
            "runtime_configuration": {
                "config_specification_file": '{"knob": 1}',
                "config_file_path": "/etc/app/knobs.json",
            },
            "containers": [{"image": "a"}, {"image": "b", "ports": [{"container_port": 80, "host_port": 80}]}],
        }
    )
    world.objects.put(
        {
            "apiVersion": "mlsysops.eu/v1",
            "kind": "MLSysOpsNode",
            "metadata": {"name": "n1"},
            "spec": {"sensors": [{"camera": {"model": "d455"}, "endpoint": "rtsp://n1/cam"}]},
        }
    )
    await world.do("deploy", host="n1")
    deployment = world.deployment()
    pod = deployment["spec"]["template"]["spec"]
    assert (pod["hostNetwork"], pod["runtimeClassName"], pod["restartPolicy"]) == (True, "kata-fc", "Always")
    assert deployment["metadata"]["annotations"]["mlsysops.eu/restart-policy"] == "OnFailure"
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert [container["name"] for container in pod["containers"]] == ["web", "web-1"]
    assert pod["containers"][0]["env"] == [{"name": "CAMERA", "value": "rtsp://n1/cam"}]
    assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/etc/app/knobs.json"
    config = world.objects.get("ConfigMap", "app-web")
    assert config is not None
    assert config["data"] == {"knobs.json": '{"knob": 1}'}
    assert "runtimeClassName" not in str(World({**WEB, "runtime_class_name": "default"}).objects.stored)


async def test_errors_of_the_api_go_up_for_the_scheduler_to_judge() -> None:
    world = World()
    world.objects.fail = Unreachable("away")
    with pytest.raises(Unreachable):
        await world.mechanism.apply(action("deploy", host="n1"))


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ({}, "needs the application's 'name'"),
        ({"name": "app", "deployment_plan": {"web": [{"action": "fly", "host": "n1"}]}}, "is no action"),
        ({"name": "app", "deployment_plan": {"web": [{"action": "deploy"}]}}, "deploy needs a host"),
        ({"name": "app", "deployment_plan": {"web": ["deploy"]}}, "is no action"),
    ],
)
def test_a_command_of_another_form_is_refused(command: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        World().mechanism.assets(command)


def test_one_action_alone_counts_as_a_list_and_assets_are_components() -> None:
    command = {
        "name": "app",
        "deployment_plan": {"initial_plan": True, "a": {"action": "deploy", "host": "n"}, "b": []},
    }
    assert World().mechanism.assets(command) == {"application/app/a"}
