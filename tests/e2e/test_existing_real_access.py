"""Who deploys onto a real Kubernetes: with the permissions that are asked for and no others, and with a token that is replaced meanwhile.

And definitions of ours that an earlier version left there, with objects that were made with them.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import CONTINUUM
from newcomer import Newcomer, wait_for
from real_planes import ON_REAL_CLUSTERS, RealPlanes, differences, running, somebody
from test_existing import CONFLICT, inventory, others_have_names_of_ours

from mlsysops_cli.existing.api import needs

pytestmark = ON_REAL_CLUSTERS
INVALID = 3
DEPLOYER = "system:serviceaccount:default:deployer"
ROLES = ("roles", "clusterroles")
GROUP = "rbac.authorization.k8s.io"


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPlanes]:
    """A continuum of the embedded engine, and a real cluster that is its member."""
    with running(tmp_path_factory.mktemp("planes"), "engine") as made:
        yield made


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Newcomer]:
    """Somebody with an empty home, of whom nothing is left in the end."""
    with somebody(tmp_path) as newcomer:
        yield newcomer


def put(clusters: RealPlanes, *objects: dict[str, Any]) -> None:
    """Apply objects in the real cluster."""
    path = clusters.real.root / "objects.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    clusters.real.kubectl("apply", "-f", str(path))


def role(rules: list[dict[str, Any]]) -> dict[str, Any]:
    metadata = {"name": "deployer"}
    return {"apiVersion": f"{GROUP}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}


def rules(*, pods: bool, give: bool = True) -> list[dict[str, Any]]:
    """What is asked for, and no more."""
    wanted = needs(karmada=False, pods=pods, namespace="mlsysops", framework_namespace="mlsysops-framework")
    asked = [
        {"apiGroups": [one.group], "resources": [one.resource], "verbs": list(one.verbs)}
        for one in wanted
    ]  # fmt: skip
    given = [{"apiGroups": [GROUP], "resources": list(ROLES), "verbs": ["escalate", "bind"]}]
    return asked + (given if give else [])


@pytest.fixture
def deployer(clusters: RealPlanes) -> Iterator[None]:
    """An account, bound to the ClusterRole of its name."""
    binding = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "deployer"},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "deployer"},
        "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": "default"}],
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer", "namespace": "default"}}
    put(clusters, account, binding)
    yield
    clusters.real.kubectl("delete", "clusterrole,clusterrolebinding", "deployer", "--ignore-not-found")
    clusters.real.kubectl("delete", "serviceaccount", "deployer", "-n", "default")


def token(clusters: RealPlanes, name: str) -> str:
    """A token of the account that is good until its Secret goes."""
    metadata = {
        "name": name, "namespace": "default", "annotations": {"kubernetes.io/service-account.name": "deployer"},
    }  # fmt: skip
    put(
        clusters,
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/service-account-token"},
    )

    def made() -> str:
        return clusters.real.kubectl("get", "secret", name, "-n", "default", "-o", "jsonpath={.data.token}")

    return base64.b64decode(wait_for("a token", made, timeout=60)).decode()


def kubeconfig(person: Newcomer, clusters: RealPlanes, user: dict[str, Any]) -> str:
    """A kubeconfig of the real cluster with another user."""
    document = yaml.safe_load(clusters.real.kubeconfig.read_text())
    document["users"] = [{"name": document["users"][0]["name"], "user": user}]
    path = person.home / "deployer.kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def refused(clusters: RealPlanes) -> set[str]:
    """What the account was not allowed to do."""
    return {
        f"{entry['verb']} {entry.get('objectRef')}"
        for entry in clusters.real.audit()
        if entry["user"]["username"] == DEPLOYER and (entry.get("responseStatus") or {}).get("code") == 403
    }


@pytest.mark.usefixtures("deployer")
@pytest.mark.parametrize("form", ["processes", "pods"])
def test_permissions_that_are_missing_are_named_and_those_that_are_asked_for_suffice(
    person: Newcomer, clusters: RealPlanes, form: str
) -> None:
    user = {"token": clusters.real.kubectl("create", "token", "deployer", "-n", "default", "--duration=2h").strip()}
    file = inventory(person, clusters, form, api={"mls_kubeconfig": kubeconfig(person, clusters, user)})
    everything = rules(pods=form == "pods")
    before = clusters.snapshot()

    def faults(few: list[dict[str, Any]]) -> list[str]:
        put(clusters, role(few))
        done = person.run(f"mls framework deploy-all -i {file}", expect=INVALID)
        lines = [line for line in done.err.splitlines() if line.startswith("error: host api1 (cluster member1): ")]
        assert len(lines) == len([line for line in done.err.splitlines() if " its user may not " in line]), done.err
        return lines

    few = [
        one | {"verbs": [verb for verb in one["verbs"] if (one["resources"], verb) != (["serviceaccounts"], "delete")]}
        for one in everything
        if one["resources"] != ["customresourcedefinitions"]
    ]
    missing = faults(few)
    assert len(missing) == 2, missing
    assert any("may not delete serviceaccounts in namespace mlsysops-framework" in line for line in missing)
    assert any("may not get, create, patch, delete customresourcedefinitions" in line for line in missing)

    granting = faults(rules(pods=form == "pods", give=False))
    assert any(" give agents the right to watch nodes (" in line for line in granting), granting
    assert any(" deployments.apps in namespace mlsysops (" in line for line in granting), granting
    changed = differences(before, clusters.snapshot())
    assert changed == {CONTINUUM: [], "member1": [f"{GROUP}/v1 ClusterRole /deployer"]}

    put(clusters, role(everything))
    known = refused(clusters)
    person.run(f"mls framework deploy-all -q -i {file}", timeout=600)
    person.run("mls framework destroy-all --yes --purge", timeout=600)
    assert refused(clusters) == known
    assert differences(before, clusters.snapshot()) == changed


def test_what_others_made_under_names_of_ours_is_theirs_until_it_is_taken(
    person: Newcomer, clusters: RealPlanes
) -> None:
    file = inventory(person, clusters, "processes")
    empty = clusters.snapshot()
    with others_have_names_of_ours(clusters):
        before = clusters.snapshot()
        done = person.run(f"mls framework deploy-all -i {file}", expect=CONFLICT)
        assert "host api1 (cluster member1): others made " in done.err
        assert differences(before, clusters.snapshot()) == {CONTINUUM: [], "member1": []}
        person.run(f"mls framework deploy-all -q --take-ownership -i {file}", timeout=600)
        assert person.run(f"mls framework deploy-all -i {file} -o json", timeout=600).json()["changed"] == 0
        person.run("mls framework destroy-all --yes --purge", timeout=600)
        accounts = clusters.real.kubectl("get", "serviceaccounts", "-n", "mlsysops-framework", "-o", "name")
        assert accounts.split() == ["serviceaccount/default"]  # the namespace was theirs before
    wait_for("all is as before", lambda: differences(empty, clusters.snapshot())["member1"] == [], timeout=120)


@pytest.mark.usefixtures("deployer")
def test_a_token_may_be_replaced_while_a_deployment_runs(person: Newcomer, clusters: RealPlanes) -> None:
    put(clusters, role([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]))
    place = person.home / "token"
    place.write_text(token(clusters, "first"))
    second = token(clusters, "second")
    file = inventory(
        person, clusters, "processes", api={"mls_kubeconfig": kubeconfig(person, clusters, {"tokenFile": str(place)})}
    )
    command = subprocess.Popen(
        ["mls", "framework", "deploy-all", "-q", "--inventory", file],
        cwd=person.work, env=person.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def objects_are_being_made() -> bool:
        assert command.poll() is None
        return "mlsysops-framework" in clusters.real.kubectl("get", "namespaces", "-o", "name")

    try:
        wait_for("objects are being made", objects_are_being_made, timeout=180, every=0.05)
        place.with_name("new").write_text(second)
        place.with_name("new").rename(place)
        clusters.real.kubectl("delete", "secret", "first", "-n", "default")
        _, said = command.communicate(timeout=600)
    finally:
        command.kill()
        command.wait()
    assert command.returncode == 0, said
    assert person.run("mls framework status").out.startswith("Slice xprocesses: ready")


def least(schema: dict[str, Any]) -> Any:
    """A value that a schema takes."""
    empty = {"string": "x", "array": [], "object": {}, "integer": 1, "number": 1, "boolean": True}
    return schema["enum"][0] if "enum" in schema else empty[schema["type"]]


def test_definitions_of_an_earlier_version_are_brought_up_to_date(person: Newcomer, clusters: RealPlanes) -> None:
    real = clusters.real
    file = inventory(person, clusters, "processes")
    person.run(f"mls framework deploy-all -q -i {file}", timeout=600)
    name = "mlsysopsdatacenters.mlsysops.eu"
    current = json.loads(real.kubectl("get", "crd", name, "-o", "json"))

    # What an earlier version might have had: a member that went away, and none of those that came.
    path = real.root / "older.json"
    older = {key: current[key] for key in ("apiVersion", "kind", "spec")}
    older["metadata"] = {"name": name, "labels": current["metadata"]["labels"]}
    version = json.loads(json.dumps(older["spec"]["versions"][0]))
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    came = [key for key in spec["properties"] if key not in spec.get("required", [])]
    spec["properties"] = {key: spec["properties"][key] for key in spec.get("required", [])} | {
        "formerly": {"type": "string"}
    }
    spec.pop("x-kubernetes-validations", None)
    version.pop("additionalPrinterColumns", None)
    older["spec"] = {**older["spec"], "versions": [version]}
    path.write_text(json.dumps(older))
    manager = ("apply", "--server-side", "--force-conflicts", "--field-manager=mls", "-f", str(path))
    for plane in (CONTINUUM, "member1"):
        clusters.kubectl(plane, *manager)
    required = {key: least(spec["properties"][key]) for key in spec.get("required", [])}
    thing = {
        "apiVersion": "mlsysops.eu/v1",
        "kind": "MLSysOpsDatacenter",
        "metadata": {"name": "old", "namespace": "mlsysops"},
        "spec": required | {"formerly": "here"},
    }
    path.write_text(json.dumps(thing))

    def put_old() -> bool:
        real.kubectl("apply", "-f", str(path))
        return (
            real.kubectl("get", "mlsysopsdatacenter", "old", "-n", "mlsysops", "-o", "jsonpath={.spec.formerly}")
            == "here"
        )

    wait_for("the old definition is served", put_old, timeout=60)
    try:
        changed = person.run(f"mls framework upgrade -i {file} -o json", timeout=600, expect=None)
        assert changed.code == 0, changed.err
        assert person.run(f"mls framework deploy-all -i {file} -o json", timeout=600).json()["changed"] == 0
        now = json.loads(real.kubectl("get", "crd", name, "-o", "json"))
        assert now["spec"] == current["spec"]
        assert now["status"]["storedVersions"] == ["v1"]
        assert came
        # It is there, and can be written: what no definition knows any more goes with the next write.
        real.kubectl("annotate", "mlsysopsdatacenter", "old", "-n", "mlsysops", "seen=yes")
        left = json.loads(real.kubectl("get", "mlsysopsdatacenter", "old", "-n", "mlsysops", "-o", "json"))
        assert left["spec"] == required
    finally:
        real.kubectl("delete", "mlsysopsdatacenter", "old", "-n", "mlsysops", "--ignore-not-found")
