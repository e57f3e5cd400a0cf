"""Templates and policies that come and go at the same time, a control plane killed in between, and a member that may little."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator

import pytest
import yaml
from embedded_plane import Plane, eventually, free_slice, gone
from mlsysops_embedded.client import HttpClient, Object, Resource
from mlsysops_embedded.client.resources import (
    CLUSTERS,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    POLICIES,
    RESOURCE_BINDINGS,
    WORKS,
)
from mlsysops_embedded.errors import ApiError

TEMPLATES = 100
AGENT = "karmada:agent:cluster1"
GADGETS = Resource("example.org", "v1", "gadgets", True, "Gadget")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", True, "Role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", True, "RoleBinding")
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", False, "ClusterRole")
CLUSTER_ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", False, "ClusterRoleBinding")
RBAC = {r.kind: r for r in (ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS)}


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plane, Plane]]:
    """A continuum and a member whose agent is no administrator."""
    octet, root = free_slice(), tmp_path_factory.mktemp("races")
    top, member = Plane(root / "top", "continuum", octet, 0), Plane(root / "member", "cluster1", octet, 1)
    top.bootstrap(member=AGENT, member_groups=("karmada:agents",))
    member.bootstrap()
    top.options = {"propagation": {"enabled": True}}
    member.options = {"member": {"cluster": "cluster1", "kubeconfig": str(top.member_kubeconfig)}}
    try:
        top.start()
        member.start()
        yield top, member
    finally:
        member.close()
        top.close()


def agent_rules() -> list[Object]:
    """What the rendered tree of a slice lets a member's agent do (templates/kubernetes/rbac-continuum.yaml.j2)."""
    subjects = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": AGENT}]
    read, write = ["get", "list", "watch"], ["patch", "update"]
    granted = {
        ("Role", "karmada-es-cluster1"): [
            {"apiGroups": ["work.karmada.io"], "resources": ["works"], "verbs": read + write},
            {"apiGroups": ["work.karmada.io"], "resources": ["works/status"], "verbs": ["get", *write]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        ],
        ("Role", "karmada-cluster"): [
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "verbs": read + write,
                "resourceNames": ["cluster1"],
            },
        ],
        ("ClusterRole", ""): [
            {"apiGroups": ["cluster.karmada.io"], "resources": ["clusters"], "verbs": ["create"]},
            {
                "apiGroups": ["cluster.karmada.io"],
                "resources": ["clusters"],
                "verbs": read + write,
                "resourceNames": ["cluster1"],
            },
            {
                "apiGroups": ["cluster.karmada.io"],
                "resources": ["clusters/status"],
                "verbs": ["get", *write],
                "resourceNames": ["cluster1"],
            },
        ],
    }
    result = []
    for (kind, namespace), rules in granted.items():
        metadata = {"name": "karmada-agent-cluster1", **({"namespace": namespace} if namespace else {})}
        result.append({"apiVersion": ROLES.api_version, "kind": kind, "metadata": metadata, "rules": rules})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": metadata["name"]}
        result.append(
            {
                "apiVersion": ROLES.api_version,
                "kind": f"{kind}Binding",
                "metadata": metadata,
                "roleRef": reference,
                "subjects": subjects,
            }
        )
    return result


@pytest.fixture
async def clients(planes: tuple[Plane, Plane]) -> AsyncIterator[tuple[HttpClient, HttpClient]]:
    top, member = planes
    async with top.client() as above, member.client() as below:
        await top.ready(above)
        await member.ready(below)
        for namespace in ("karmada-cluster", "karmada-es-cluster1"):
            await _apply(above, NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        for obj in agent_rules():
            await _apply(above, RBAC[obj["kind"]], obj)

        async def joined() -> bool:
            cluster = await above.get(CLUSTERS, "cluster1")
            conditions = (cluster.get("status") or {}).get("conditions") or ()
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        await eventually(joined, timeout=60)
        yield above, below


async def _apply(client: HttpClient, resource: Resource, obj: Object) -> None:
    metadata = obj["metadata"]
    await client.patch(
        resource, metadata["name"], obj, metadata.get("namespace"), patch_type="apply", field_manager="test", force=True
    )


def _policy(name: str) -> Object:
    selector = {"apiVersion": "v1", "kind": "ConfigMap", "name": name}
    placement = {"clusterAffinity": {"clusterNames": ["cluster1"]}}
    return {"metadata": {"name": name}, "spec": {"resourceSelectors": [selector], "placement": placement}}


async def _insist(request: object) -> None:
    """Do a write until it is acknowledged; who finds it done already is content."""
    while True:
        try:
            await request()  # type: ignore[operator]
        except ApiError as exc:
            if exc.code in (404, 409):
                return
            if exc.code < 500:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def _come_and_go(client: HttpClient, name: str, turn: int) -> None:
    """A template with its policy, gone after a moment: the policy before, after or together with it."""

    async def template() -> None:
        await _insist(lambda: client.delete(CONFIG_MAPS, name, "default"))

    async def policy() -> None:
        await _insist(lambda: client.delete(POLICIES, name, "default"))

    await _insist(lambda: client.create(POLICIES, _policy(name), "default"))
    await _insist(lambda: client.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": {"a": "1"}}, "default"))
    if turn % 4:  # some go before anything of them was propagated, some after
        await asyncio.sleep(0.05 * (turn % 7))
    if turn % 3 == 0:
        await policy()
        await template()
    elif turn % 3 == 1:
        await template()
        await policy()
    else:
        await asyncio.gather(policy(), template())


async def _nothing_left(above: HttpClient, below: HttpClient, prefix: str) -> bool:
    bindings = (await above.list(RESOURCE_BINDINGS, "default"))["items"]
    works = (await above.list(WORKS, "karmada-es-cluster1"))["items"]
    maps = (await below.list(CONFIG_MAPS, "default"))["items"]
    left = [obj["metadata"]["name"] for obj in [*bindings, *works, *maps]]
    return not any(name.startswith(prefix) for name in left)


async def test_what_comes_and_goes_quickly_leaves_nothing(clients: tuple[HttpClient, HttpClient]) -> None:
    above, below = clients
    gate = asyncio.Semaphore(8)

    async def one(turn: int) -> None:
        async with gate:
            await _come_and_go(above, f"quick-{turn}", turn)

    await asyncio.gather(*(one(turn) for turn in range(TEMPLATES)))
    await eventually(lambda: _nothing_left(above, below, "quick-"), timeout=120, what="nothing is left")


async def test_a_kill_in_between_leaves_nothing(
    planes: tuple[Plane, Plane], clients: tuple[HttpClient, HttpClient]
) -> None:
    above, below = clients
    top, _ = planes
    gate, begun = asyncio.Semaphore(8), asyncio.Event()

    async def one(turn: int) -> None:
        async with gate:
            if turn == TEMPLATES // 2:
                begun.set()
            await _come_and_go(above, f"killed-{turn}", turn)

    async def kill() -> None:
        await begun.wait()
        top.daemons["controlplane"].stop(signal.SIGKILL)
        top.daemons["controlplane"].start()

    await asyncio.gather(kill(), *(one(turn) for turn in range(TEMPLATES)))
    await top.ready(above)
    await eventually(lambda: _nothing_left(above, below, "killed-"), timeout=120, what="nothing is left")


async def test_a_work_that_outlived_its_binding_goes(clients: tuple[HttpClient, HttpClient]) -> None:
    above, below = clients
    await above.create(POLICIES, _policy("outlived"), "default")
    await above.create(CONFIG_MAPS, {"metadata": {"name": "outlived"}, "data": {"a": "1"}}, "default")
    await eventually(lambda: below.get(CONFIG_MAPS, "outlived", "default"))
    works = (await above.list(WORKS, "karmada-es-cluster1"))["items"]
    work = next(w for w in works if w["metadata"]["name"].startswith("outlived-"))
    orphan = {key: work["metadata"][key] for key in ("labels", "annotations", "finalizers")}
    orphan["annotations"] = {**orphan["annotations"], "resourcebinding.karmada.io/name": "nobody-configmap"}
    spec = {"workload": {"manifests": [{**work["spec"]["workload"]["manifests"][0]}]}}
    await above.create(WORKS, {"metadata": {"name": "orphan", **orphan}, "spec": spec}, "karmada-es-cluster1")
    await eventually(lambda: gone(above, WORKS, "orphan", "karmada-es-cluster1"))
    assert await below.get(CONFIG_MAPS, "outlived", "default")  # it is another Work's
    await above.delete(CONFIG_MAPS, "outlived", "default")
    await eventually(lambda: gone(below, CONFIG_MAPS, "outlived", "default"))


async def test_owners_of_a_kind_just_defined_take_what_they_own_along(clients: tuple[HttpClient, HttpClient]) -> None:
    above, _ = clients
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"}
    spec = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version]}
    await above.create(CUSTOM_RESOURCE_DEFINITIONS, {"metadata": {"name": "gadgets.example.org"}, "spec": spec})

    async def created() -> Object:
        kind = {"apiVersion": "example.org/v1", "kind": "Gadget"}
        return await above.create(GADGETS, {**kind, "metadata": {"name": "owner"}}, "default")

    owner = await eventually(created)
    reference = {"apiVersion": "example.org/v1", "kind": "Gadget", "name": "owner", "uid": owner["metadata"]["uid"]}
    owned = {"metadata": {"name": "owned", "ownerReferences": [reference]}}
    await above.create(CONFIG_MAPS, owned, "default")
    await above.delete(GADGETS, "owner", "default")
    await eventually(lambda: gone(above, CONFIG_MAPS, "owned", "default"))


async def test_a_member_returns_after_its_history_was_compacted(
    planes: tuple[Plane, Plane], clients: tuple[HttpClient, HttpClient]
) -> None:
    above, below = clients
    top, _ = planes
    uids = {}
    for name in ("stays", "changes", "goes"):
        await above.create(POLICIES, _policy(f"long-{name}"), "default")
        await above.create(CONFIG_MAPS, {"metadata": {"name": f"long-{name}"}, "data": {"a": "1"}}, "default")
        found = await eventually(lambda name=name: below.get(CONFIG_MAPS, f"long-{name}", "default"))  # type: ignore[misc]
        uids[name] = found["metadata"]["uid"]
    process = top.daemons["controlplane"]
    process.stop()
    assert await below.get(CONFIG_MAPS, "long-goes", "default")  # with the link down nothing goes
    _compact(top)
    # The member's own objects were touched meanwhile; drift is mended without word from above.
    await below.patch(CONFIG_MAPS, "long-stays", {"data": {"a": "drift"}}, "default", patch_type="merge")

    async def has(name: str, value: str) -> bool:
        return bool((await below.get(CONFIG_MAPS, name, "default"))["data"] == {"a": value})

    await eventually(lambda: has("long-stays", "1"))
    process.start()
    await top.ready(above)
    await above.delete(CONFIG_MAPS, "long-goes", "default")
    await above.patch(CONFIG_MAPS, "long-changes", {"data": {"a": "2"}}, "default", patch_type="merge")
    await eventually(lambda: has("long-changes", "2"), timeout=60)
    await eventually(lambda: gone(below, CONFIG_MAPS, "long-goes", "default"), timeout=60)
    for name in ("stays", "changes"):
        found = await below.get(CONFIG_MAPS, f"long-{name}", "default")
        assert found["metadata"]["uid"] == uids[name]


def _compact(plane: Plane) -> None:
    """Forget all history of a stopped control plane, as an hour of writes would."""
    connection = sqlite3.connect(plane.root / "data" / "store.sqlite")
    with connection:
        newest = connection.execute("SELECT max(rv) FROM revisions").fetchone()[0]
        connection.execute(
            "DELETE FROM revisions WHERE rv NOT IN (SELECT max(rv) FROM revisions GROUP BY bucket, namespace, name)"
        )
        connection.execute("DELETE FROM revisions WHERE deleted = 1 AND rv < ?", (newest,))
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('compacted', ?)", (newest,))
    connection.close()


async def test_the_agent_may_no_more_than_its_rules_say(planes: tuple[Plane, Plane]) -> None:
    top, _ = planes
    groups = yaml.safe_load((top.root / "bootstrap.yaml").read_text())["kubeconfigs"][-1]["groups"]
    assert groups == ["karmada:agents"]
    async with HttpClient.from_kubeconfig(top.member_kubeconfig) as agent:
        for resource, namespace in ((WORKS, "karmada-es-other"), (CONFIG_MAPS, "default"), (CLUSTERS, None)):
            with pytest.raises(ApiError) as refused:
                await agent.list(resource, namespace)
            assert refused.value.code == 403
