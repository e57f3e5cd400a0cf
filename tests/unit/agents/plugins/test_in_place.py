"""Changes of CPU and memory alone: resized where the cluster can, replaced where it cannot, finished where an agent was killed."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from typing import Any

import pytest
from agent_fakes import FakeHandle, FakeObjects
from mlsysops_agents.plugins.mechanisms import Fluidity
from mlsysops_agents.plugins.mechanisms.inplace import RESIZING
from mlsysops_core.errors import InvalidInput, MlsError, NotFound, Refused, Unreachable

COMPONENT: dict[str, Any] = {
    "metadata": {"name": "web"},
    "containers": [
        {
            "image": "web:1",
            "platform_requirements": {"cpu": {"requests": "0.25", "limits": "500m"}, "memory": {"requests": "64Mi"}},
        }
    ],
}
BIGGER: dict[str, Any] = {"cpu": {"requests": "300m", "limits": "1"}, "memory": {"requests": "64Mi"}}


def with_needs(needs: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {**COMPONENT, "containers": [{**COMPONENT["containers"][0], "platform_requirements": needs, **more}]}


class Cluster(FakeObjects):
    """Deployments have their ReplicaSet and pod; what the controllers and the kubelet do, it does at once.

    Attributes:
        templates: Templates of the Deployment's ReplicaSets, by name: more than one were a roll-out.
        unresizable: What the API server says to a resize.
        answer: What the kubelet says to one: ``(reason, message)``; None says nothing, ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unresizable: MlsError | None = None
        self.answer: tuple[str, str] | None = ("", "")
        self.old_kubelet = False

    async def apply(self, obj: Mapping[str, Any], *, field_manager: str) -> dict[str, Any]:
        if obj["kind"] == "ReplicaSet":
            self.writes.append(("apply", "ReplicaSet", obj["metadata"]["name"]))
            rs = copy.deepcopy(self.stored["ReplicaSet", obj["metadata"]["name"]])
            amounts = {c["name"]: c["resources"] for c in obj["spec"]["template"]["spec"]["containers"]}
            for container in rs["spec"]["template"]["spec"]["containers"]:
                container["resources"] = amounts[container["name"]]
            return self._observed(rs)
        made = await super().apply(obj, field_manager=field_manager)
        if made["kind"] == "Deployment" and not made["spec"].get("paused"):
            self._roll_out(made)
        return made

    async def resize(
        self, pod: str, resources: Mapping[str, Mapping[str, Any]], *, field_manager: str
    ) -> dict[str, Any]:
        if self.unresizable is not None:
            raise self.unresizable
        made = await super().resize(pod, resources, field_manager=field_manager)
        if self.answer is None:
            return made
        reason, message = self.answer
        status = made["status"] = copy.deepcopy(made.get("status") or {"containerStatuses": [{"name": "web"}]})
        if not self.old_kubelet:
            status["observedGeneration"] = made["metadata"]["generation"]
        status["conditions"] = []
        if reason:
            mark = {"type": "PodResizePending", "reason": reason, "message": message, "status": "True"}
            seen = {} if self.old_kubelet else {"observedGeneration": made["metadata"]["generation"]}
            status["conditions"] = [{**mark, **seen}]
        else:
            for container in made["spec"]["containers"]:
                asked = container["resources"]
                promised = {"allocatedResources": asked.get("requests", {}), "resources": asked}
                status["containerStatuses"] = [{"name": container["name"], **promised}]
        return made

    def _observed(self, obj: dict[str, Any]) -> dict[str, Any]:
        made = self.put(obj)
        made["status"] = {"observedGeneration": made["metadata"]["generation"]}
        return made

    def _roll_out(self, deployment: dict[str, Any]) -> None:
        template = deployment["spec"]["template"]
        sets = self.items("ReplicaSet")
        same = next((rs for rs in sets if rs["spec"]["template"]["spec"] == template["spec"]), None)
        for rs in sets:
            if rs is not same:
                rs["spec"]["replicas"] = 0
                self.drop("Pod", f"{rs['metadata']['name']}-pod")
        if same is not None:
            return
        name = f"{deployment['metadata']['name']}-{len(sets)}"
        labels = template["metadata"]["labels"]

        def owned(kind: str, name: str, owner: dict[str, Any], spec: Any) -> dict[str, Any]:
            references = [{"uid": owner["metadata"]["uid"], "kind": owner["kind"], "controller": True}]
            metadata = {"name": name, "labels": dict(labels), "ownerReferences": references}
            return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": copy.deepcopy(spec)}

        rs = self._observed(owned("ReplicaSet", name, deployment, {"replicas": 1, "template": template}))
        rs["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = "x"
        pod = self.put(owned("Pod", f"{name}-pod", rs, {**template["spec"], "nodeName": "n1"}))
        asked = template["spec"]["containers"][0]["resources"]["requests"]
        pod["status"] = {"containerStatuses": [{"name": "web", "allocatedResources": asked}]}


class World:
    def __init__(self, component: Mapping[str, Any] = COMPONENT) -> None:
        self.objects = Cluster()
        self.handle = FakeHandle(objects=self.objects)
        self.mechanism = Fluidity(self.handle)
        self.handle.components = ["web"]
        spec = {
            "name": "app",
            "components": [component],
            "permitted_actions": ["change_container_resource_requirements", "change_container_image"],
        }
        app = {"apiVersion": "mlsysops.eu/v1", "kind": "MLSysOpsApp", "metadata": {"name": "app"}, "spec": spec}
        self.objects.put(app)

    async def do(self, verb: str, new_spec: Mapping[str, Any] | None = None) -> str:
        action = {"action": verb, "host": "n1", **({"new_spec": new_spec} if new_spec is not None else {})}
        command = {"name": "app", "deployment_plan": {"initial_plan": False, "web": [action]}}
        assert self.mechanism.check(command) == ""
        done = asyncio.ensure_future(self.mechanism.apply(command))
        while not done.done():
            await self.handle.clock.advance(1.0)
        return (await done).message

    async def deployed(self) -> World:
        await self.do("deploy")
        self.objects.writes.clear()
        return self

    def pods(self) -> dict[str, Any]:
        """Name to resources."""
        return {p["metadata"]["name"]: p["spec"]["containers"][0]["resources"] for p in self.objects.items("Pod")}

    def deployment(self) -> dict[str, Any]:
        return self.objects.stored["Deployment", "app-web"]

    def template(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.objects.stored[kind, name]["spec"]["template"]["spec"]["containers"][0][
            "resources"
        ]
        return found

    def unfinished(self) -> bool:
        shown = self.mechanism.get_state()["applications"]["app"]["components"]["web"]
        return bool(shown.get("unfinished"))


WANTED = {"requests": {"cpu": "300m", "memory": "64Mi"}, "limits": {"cpu": "1"}}


async def test_the_pod_stays_and_templates_follow() -> None:
    world = await World().deployed()
    assert await world.do("change_spec", with_needs(BIGGER)) == "web resized in place"
    assert world.pods() == {"app-web-0-pod": WANTED}
    assert world.template("Deployment", "app-web") == world.template("ReplicaSet", "app-web-0") == WANTED
    assert [write[:2] for write in world.objects.writes] == [
        ("resize", "Pod"),
        ("apply", "Deployment"),
        ("apply", "ReplicaSet"),
        ("apply", "Deployment"),
    ]
    assert "paused" not in world.deployment()["spec"]
    assert not world.unfinished()


@pytest.mark.parametrize(("answer", "told"), [(("", ""), "in place"), (("Deferred", "full"), "(full)"), (None, "yet)")])
async def test_kubelets_that_do_not_say_what_they_have_seen(answer: tuple[str, str] | None, told: str) -> None:
    """As those of Kubernetes 1.33: a limit alone changes, which is in nothing that they have promised."""
    world = await World().deployed()
    world.objects.old_kubelet, world.objects.answer = True, answer
    needs = {"cpu": {"requests": "0.25", "limits": "1"}, "memory": {"requests": "64Mi"}}
    assert (await world.do("change_spec", with_needs(needs))).endswith(told)


async def test_a_pod_that_has_ended_is_nobodys_to_resize() -> None:
    world = await World().deployed()
    world.objects.stored["Pod", "app-web-0-pod"]["status"]["phase"] = "Failed"
    assert await world.do("change_spec", with_needs(BIGGER)) == "web resized in place"
    assert ("resize", "Pod", "app-web-0-pod") not in world.objects.writes
    assert world.template("ReplicaSet", "app-web-0") == WANTED


async def test_back_to_the_description_in_place() -> None:
    world = await World().deployed()
    await world.do("change_spec", with_needs(BIGGER))
    assert await world.do("change_spec", {}) == "web resized in place"
    assert world.pods() == {"app-web-0-pod": {"requests": {"cpu": "0.25", "memory": "64Mi"}, "limits": {"cpu": "500m"}}}


@pytest.mark.parametrize(
    "new",
    [
        with_needs({"cpu": {"requests": "250m"}, "memory": {"requests": "64Mi"}}),  # a limit is taken away
        with_needs({**BIGGER, "gpu": {"requests": 1}}),
        with_needs(BIGGER, image="web:2"),
    ],
)
async def test_what_is_more_than_amounts_rolls_out(new: Mapping[str, Any]) -> None:
    world = await World().deployed()
    world.objects.stored["MLSysOpsApp", "app"]["spec"]["permitted_actions"] = ["*"]
    assert await world.do("change_spec", new) == "web changed"
    assert list(world.pods()) == ["app-web-1-pod"]
    assert ("resize", "Pod", "app-web-0-pod") not in world.objects.writes


@pytest.mark.parametrize("error", [NotFound("no such resource"), Refused("too much"), InvalidInput("quality")])
async def test_what_the_api_server_refuses_rolls_out(error: MlsError) -> None:
    world = await World().deployed()
    world.objects.unresizable = error
    told = await world.do("change_spec", with_needs(BIGGER))
    assert told == f"web changed by new pods, as it could not be in place ({error})"
    assert world.pods() == {"app-web-1-pod": WANTED}


async def test_what_the_node_refuses_is_taken_back_and_rolls_out() -> None:
    world = await World().deployed()
    world.objects.answer = ("Infeasible", "no control group")
    assert (await world.do("change_spec", with_needs(BIGGER))).endswith("(no control group)")
    assert [write for write in world.objects.writes if write[0] == "resize"] == [("resize", "Pod", "app-web-0-pod")] * 2
    assert world.pods() == {"app-web-1-pod": WANTED}


@pytest.mark.parametrize("answer", [("Deferred", "too little cpu"), None])
async def test_what_has_no_room_yet_waits_in_place(answer: tuple[str, str] | None) -> None:
    """A new pod would have even less room, beside the old one."""
    world = await World().deployed()
    world.objects.answer = answer
    assert (await world.do("change_spec", with_needs(BIGGER))).startswith("web resized as soon as its node has room")
    assert world.pods() == {"app-web-0-pod": WANTED}


async def test_equal_amounts_written_otherwise_change_nothing() -> None:
    world = await World().deployed()
    same = {"cpu": {"requests": "250m", "limits": "0.5"}, "memory": {"requests": "65536Ki"}}
    await world.do("change_spec", with_needs(same))
    assert ("resize", "Pod", "app-web-0-pod") not in world.objects.writes


async def test_while_it_rolls_out_nothing_is_resized() -> None:
    world = await World().deployed()
    rs = copy.deepcopy(world.objects.stored["ReplicaSet", "app-web-0"])
    rs["metadata"] |= {"name": "app-web-old"}
    world.objects.put(rs)
    assert await world.do("change_spec", with_needs(BIGGER)) == "web changed"


class Killed(Unreachable):
    """The agent ends here."""


@pytest.mark.parametrize("write", [0, 1, 2, 3])
async def test_whatever_stops_half_way_is_finished(write: int) -> None:
    """Before each of the four writes."""
    world = await World().deployed()
    count = 0

    def killed(verb: Any) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == write + 1:
                raise Killed("killed")
            return await verb(*args, **kwargs)

        return call

    apply, resize = world.objects.apply, world.objects.resize
    world.objects.apply, world.objects.resize = killed(apply), killed(resize)  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await world.do("change_spec", with_needs(BIGGER))
    world.objects.apply, world.objects.resize = apply, resize  # type: ignore[method-assign]
    world.mechanism = Fluidity(world.handle)
    begun = RESIZING in world.deployment()["metadata"]["annotations"]
    assert begun == world.unfinished() == (write > 1)
    if begun:
        await world.do("deploy")  # what the policy does about what is unfinished
    else:
        await world.do("change_spec", with_needs(BIGGER))
    assert world.pods() == {"app-web-0-pod": WANTED}
    assert world.template("Deployment", "app-web") == world.template("ReplicaSet", "app-web-0") == WANTED
    assert "paused" not in world.deployment()["spec"]
    assert not world.unfinished()
