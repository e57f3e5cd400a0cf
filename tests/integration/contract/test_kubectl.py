"""Every kubectl verb that people and scripts use, with the real kubectl."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kube_api import Api, Obj, config_map, deployment, path, pod, wait_for
from kube_cli import Kubectl
from kube_crds import Definition, defined
from kube_targets import Target

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: cm
data:
  a: "1"
  b: "2"
"""


class TestLook:
    """What only reads."""

    @pytest.fixture
    def two(self, api: Api, namespace: str) -> None:
        api.create(path("configmaps", namespace), config_map("one", {"a": "1"}, labels={"n": "1"}))
        api.create(path("configmaps", namespace), config_map("two", {"a": "1", "b": "2"}, labels={"n": "2"}))

    def test_version(self, kubectl: Kubectl) -> None:
        found = kubectl("version", "-o", "json").json()
        assert found["serverVersion"]["gitVersion"].startswith("v1.")

    def test_api_resources(self, kubectl: Kubectl) -> None:
        out = kubectl("api-resources").out
        assert re.search(r"^pods +po +v1 +true +Pod$", out, re.MULTILINE)
        assert re.search(r"^deployments +deploy +apps/v1 +true +Deployment$", out, re.MULTILINE)
        names = kubectl("api-resources", "--namespaced=false", "-o", "name").out.split()
        assert "nodes" in names
        assert "pods" not in names
        assert "apps/v1" in kubectl("api-versions").out.split()

    @pytest.mark.usefixtures("two")
    def test_get(self, kubectl: Kubectl) -> None:
        lines = kubectl("get", "configmaps", "one", "two").out.splitlines()
        assert lines[0].split() == ["NAME", "DATA", "AGE"]
        assert [line.split()[:2] for line in lines[1:]] == [["one", "1"], ["two", "2"]]
        assert kubectl("get", "cm", "one", "--no-headers").out.split()[0] == "one"
        assert kubectl("get", "cm", "-o", "name", "-l", "n=2").out == "configmap/two\n"
        assert kubectl("get", "cm", "-o", "name", "-l", "n in (1,2)", "--chunk-size=1").out.split() == [
            "configmap/one",
            "configmap/two",
        ]
        assert kubectl("get", "cm", "-o", "name", "--field-selector", "metadata.name=one").out == "configmap/one\n"
        assert kubectl("get", "cm/two", "-o", "jsonpath={.data.b}").out == "2"
        assert kubectl("get", "cm", "two", "-o", "custom-columns=N:.metadata.name,B:.data.b").out.split() == [
            "N",
            "B",
            "two",
            "2",
        ]
        assert kubectl("get", "cm", "two", "-o", "json").json()["data"] == {"a": "1", "b": "2"}
        assert "name: two" in kubectl("get", "cm", "two", "-o", "yaml").out
        assert "LABELS" in kubectl("get", "cm", "--show-labels").out
        assert kubectl("get", "cm", "-l", "n", "-L", "n").out.splitlines()[1].split()[-1] == "1"
        assert "managedFields" in kubectl("get", "cm", "two", "-o", "yaml", "--show-managed-fields").out

    @pytest.mark.usefixtures("two")
    def test_get_everywhere(self, kubectl: Kubectl, namespace: str) -> None:
        lines = kubectl("get", "cm", "-A").out.splitlines()
        assert lines[0].split() == ["NAMESPACE", "NAME", "DATA", "AGE"]
        assert [namespace, "one", "1"] in [line.split()[:3] for line in lines]

    @pytest.mark.usefixtures("two")
    def test_get_sorted_and_several_kinds(self, kubectl: Kubectl) -> None:
        out = kubectl("get", "cm,secret", "-o", "name", "--sort-by=.metadata.creationTimestamp").out.split()
        assert {"configmap/one", "configmap/two"} <= set(out)
        assert kubectl("get", "all").code == 0

    def test_get_nothing(self, kubectl: Kubectl, namespace: str) -> None:
        ran = kubectl("get", "deployments")
        assert ran.err == f"No resources found in {namespace} namespace.\n"
        missing = kubectl.run("get", "deployment", "none")
        assert missing.code == 1
        assert missing.err == 'Error from server (NotFound): deployments.apps "none" not found\n'
        assert kubectl("get", "deployment", "none", "--ignore-not-found").out == ""
        unknown = kubectl.run("get", "nonsense")
        assert unknown.code == 1
        assert 'the server doesn\'t have a resource type "nonsense"' in unknown.err

    def test_get_pods_wide(self, kubectl: Kubectl, api: Api, namespace: str) -> None:
        api.create(path("pods", namespace), pod("p", nodeName="nowhere"))
        lines = kubectl("get", "pods", "-o", "wide").out.splitlines()
        assert lines[0].split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
        assert lines[1].split()[:4] == ["p", "0/1", "Pending", "0"]
        api.remove(path("pods", namespace, "p"), {"gracePeriodSeconds": 0})

    def test_get_watch(self, kubectl: Kubectl, api: Api, namespace: str) -> None:
        process = kubectl.start("get", "cm", "-w", "-o", "name")
        try:
            assert process.stdout is not None
            api.create(path("configmaps", namespace), config_map("seen"))
            for line in process.stdout:
                if line == "configmap/seen\n":
                    break
        finally:
            process.terminate()
            process.communicate()

    def test_get_raw(self, kubectl: Kubectl) -> None:
        assert kubectl("get", "--raw", "/readyz").out == "ok"
        assert json.loads(kubectl("get", "--raw", "/api").out)["kind"] == "APIVersions"

    @pytest.mark.usefixtures("two")
    def test_describe(self, kubectl: Kubectl, namespace: str) -> None:
        out = kubectl("describe", "cm", "two").out
        assert re.search(r"^Name: +two$", out, re.MULTILINE)
        assert re.search(rf"^Namespace: +{namespace}$", out, re.MULTILINE)

    def test_describe_workloads(self, kubectl: Kubectl, api: Api, namespace: str) -> None:
        api.create(path("deployments", namespace), deployment("d", replicas=0))
        assert "Replicas:" in kubectl("describe", "deployment", "d").out
        api.create(path("pods", namespace), pod("p", nodeName="nowhere"))
        assert re.search(r"^Node: +nowhere", kubectl("describe", "pod", "p").out, re.MULTILINE)
        assert "Name:" in kubectl("describe", "namespace", namespace).out
        api.remove(path("pods", namespace, "p"), {"gracePeriodSeconds": 0})

    def test_explain(self, kubectl: Kubectl, api: Api) -> None:
        schema: Obj = {
            "type": "object",
            "description": "A widget is for testing.",
            "properties": {
                "spec": {
                    "type": "object",
                    "description": "What is wished.",
                    "required": ["size"],
                    "properties": {"size": {"type": "integer", "description": "How big it is."}},
                }
            },
        }
        with defined(api, Definition(schema)) as definition:
            name = f"widgets.{definition.group}"

            def explained() -> str | None:
                out = kubectl.run("explain", name).out
                return out if "A widget is for testing." in out else None

            out = wait_for("explained", explained)
            assert "KIND:" in out
            out = kubectl("explain", name, "--recursive").out
            assert re.search(r"size\s+<integer>", out)
        out = kubectl("explain", "deployment").out
        assert re.search(r"KIND: +Deployment", out)

    def test_cluster_info(self, kubectl: Kubectl) -> None:
        assert "control plane" in kubectl("cluster-info").out


class TestChange:
    def test_create(self, kubectl: Kubectl) -> None:
        assert kubectl("create", "-f", "-", stdin=CONFIG_MAP).out == "configmap/cm created\n"
        again = kubectl.run("create", "-f", "-", stdin=CONFIG_MAP)
        assert again.code == 1
        assert again.err.startswith("Error from server (AlreadyExists): ")
        assert kubectl("create", "configmap", "lit", "--from-literal=x=y").out == "configmap/lit created\n"
        assert kubectl("create", "secret", "generic", "s", "--from-literal=x=y").code == 0
        assert kubectl("create", "deployment", "d", "--image=example.com/x:1", "--replicas=0").code == 0
        assert kubectl("create", "serviceaccount", "sa").code == 0
        assert kubectl("create", "role", "r", "--verb=get", "--resource=pods").code == 0
        assert kubectl("create", "rolebinding", "rb", "--role=r", "--user=jane").code == 0
        assert kubectl("create", "token", "sa").out.count(".") == 2
        assert kubectl("expose", "deployment", "d", "--port=80").code == 0

    def test_create_checks_fields(self, kubectl: Kubectl) -> None:
        ran = kubectl.run("create", "-f", "-", stdin=CONFIG_MAP + "nonsense: 1\n")
        assert ran.code == 1
        assert 'strict decoding error: unknown field "nonsense"' in ran.err
        warned = kubectl("create", "--validate=warn", "-f", "-", stdin=CONFIG_MAP + "nonsense: 1\n")
        assert 'Warning: unknown field "nonsense"' in warned.err

    def test_apply(self, kubectl: Kubectl) -> None:
        assert kubectl("apply", "-f", "-", stdin=CONFIG_MAP).out == "configmap/cm created\n"
        assert kubectl("apply", "-f", "-", stdin=CONFIG_MAP).out == "configmap/cm unchanged\n"
        fewer = CONFIG_MAP.replace('  b: "2"\n', "").replace('a: "1"', 'a: "3"')
        assert kubectl("apply", "-f", "-", stdin=fewer).out == "configmap/cm configured\n"
        assert kubectl("get", "cm", "cm", "-o", "jsonpath={.data}").out == '{"a":"3"}'
        ran = kubectl("apply", "-f", "-", "--dry-run=server", stdin=CONFIG_MAP)
        assert ran.out == "configmap/cm configured (server dry run)\n"
        assert kubectl("get", "cm", "cm", "-o", "jsonpath={.data}").out == '{"a":"3"}'

    def test_apply_deployment_client_side(self, kubectl: Kubectl) -> None:
        """Lists merge by key, with what others added kept."""
        body = json.dumps(deployment("d", replicas=0))
        assert kubectl("apply", "-f", "-", stdin=body).out == "deployment.apps/d created\n"
        extra = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "example.com/side:1"}]}}}}
        kubectl("patch", "deployment", "d", "-p", json.dumps(extra))
        changed = deployment("d", replicas=0, image="example.com/simulated:2")
        assert kubectl("apply", "-f", "-", stdin=json.dumps(changed)).out == "deployment.apps/d configured\n"
        out = kubectl("get", "deployment", "d", "-o", "jsonpath={.spec.template.spec.containers[*].image}").out
        assert set(out.split()) == {"example.com/simulated:2", "example.com/side:1"}
        # kubectl sends the order of the containers again; that changes nothing.
        before = kubectl("get", "deployment", "d", "-o", "jsonpath={.metadata.generation}").out
        kubectl("apply", "-f", "-", stdin=json.dumps(changed))
        assert kubectl("get", "deployment", "d", "-o", "jsonpath={.metadata.generation}").out == before

    def test_apply_server_side(self, kubectl: Kubectl) -> None:
        ran = kubectl("apply", "--server-side", "-f", "-", stdin=CONFIG_MAP)
        assert ran.out == "configmap/cm serverside-applied\n"
        kubectl("patch", "cm", "cm", "--type=merge", "-p", '{"data":{"a":"mine"}}', "--field-manager=me")
        conflict = kubectl.run("apply", "--server-side", "-f", "-", stdin=CONFIG_MAP)
        assert conflict.code == 1
        assert 'conflict with "me"' in conflict.err
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=CONFIG_MAP)
        assert kubectl("get", "cm", "cm", "-o", "jsonpath={.data.a}").out == "1"
        ran = kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=CONFIG_MAP.replace('"1"', '"9"'))
        assert ran.out == "configmap/cm serverside-applied (server dry run)\n"

    def test_apply_moves_from_client_to_server(self, kubectl: Kubectl) -> None:
        kubectl("apply", "-f", "-", stdin=CONFIG_MAP)
        kubectl("apply", "--server-side", "-f", "-", stdin=CONFIG_MAP.replace('  b: "2"\n', ""))
        assert kubectl("get", "cm", "cm", "-o", "jsonpath={.data}").out == '{"a":"1"}'

    def test_apply_prune(self, kubectl: Kubectl) -> None:
        two = CONFIG_MAP.replace("name: cm", "name: cm2\n  labels: {set: x}")
        one = CONFIG_MAP.replace("name: cm", "name: cm1\n  labels: {set: x}")
        kubectl("apply", "-f", "-", stdin=one + "---\n" + two)
        ran = kubectl("apply", "-f", "-", "--prune", "-l", "set=x", "--prune-allowlist=core/v1/ConfigMap", stdin=one)
        assert "configmap/cm2 pruned" in ran.out

    def test_diff(self, kubectl: Kubectl) -> None:
        kubectl("apply", "-f", "-", stdin=CONFIG_MAP)
        assert kubectl.run("diff", "-f", "-", stdin=CONFIG_MAP).code == 0
        changed = kubectl.run("diff", "-f", "-", stdin=CONFIG_MAP.replace('"2"', '"3"'))
        assert changed.code == 1, changed.err
        assert re.search(r'^-  b: "2"$', changed.out, re.MULTILINE)
        assert re.search(r'^\+  b: "3"$', changed.out, re.MULTILINE)
        server = kubectl.run("diff", "--server-side", "-f", "-", stdin=CONFIG_MAP.replace("cm", "new"))
        assert server.code == 1, server.err

    def test_edit(self, kubectl: Kubectl, tmp_path: Path) -> None:
        kubectl("apply", "-f", "-", stdin=CONFIG_MAP)
        editor = tmp_path / "editor.sh"
        editor.write_text('#!/bin/sh\nsed -i \'s/b: "2"/b: edited/\' "$1"\n')
        editor.chmod(0o755)
        ran = kubectl("edit", "cm", "cm", env={"KUBE_EDITOR": str(editor)})
        assert ran.out == "configmap/cm edited\n"
        assert kubectl("get", "cm", "cm", "-o", "jsonpath={.data.b}").out == "edited"

    @pytest.mark.parametrize(
        ("kind", "patch"),
        [
            ("json", '[{"op":"replace","path":"/data/a","value":"new"}]'),
            ("merge", '{"data":{"a":"new"}}'),
            ("strategic", '{"data":{"a":"new"}}'),
        ],
    )
    def test_patch(self, kubectl: Kubectl, kind: str, patch: str) -> None:
        kubectl("create", "-f", "-", stdin=CONFIG_MAP)
        assert kubectl("patch", "cm", "cm", f"--type={kind}", "-p", patch).out == "configmap/cm patched\n"
        assert kubectl("get", "cm", "cm", "-o", "jsonpath={.data.a}").out == "new"
        assert kubectl("patch", "cm", "cm", f"--type={kind}", "-p", patch).out in (
            "configmap/cm patched (no change)\n",
            "configmap/cm patched\n" if kind == "json" else "",
        )

    def test_patch_status(self, kubectl: Kubectl) -> None:
        kubectl("create", "deployment", "d", "--image=example.com/x:1", "--replicas=0")
        kubectl(
            "patch", "deployment", "d", "--subresource=status", "--type=merge", "-p", '{"status":{"collisionCount":4}}'
        )
        assert kubectl("get", "deployment", "d", "-o", "jsonpath={.status.collisionCount}").out == "4"

    def test_replace(self, kubectl: Kubectl) -> None:
        kubectl("create", "-f", "-", stdin=CONFIG_MAP)
        ran = kubectl("replace", "-f", "-", stdin=CONFIG_MAP.replace('"2"', '"3"'))
        assert ran.out == "configmap/cm replaced\n"
        ran = kubectl("replace", "--force", "-f", "-", stdin=CONFIG_MAP)
        assert ran.out.endswith("configmap/cm replaced\n")
        assert kubectl.run("replace", "-f", "-", stdin=CONFIG_MAP.replace("cm", "none")).code == 1

    def test_label_and_annotate(self, kubectl: Kubectl) -> None:
        kubectl("create", "-f", "-", stdin=CONFIG_MAP)
        assert kubectl("label", "cm", "cm", "a=b").out == "configmap/cm labeled\n"
        refused = kubectl.run("label", "cm", "cm", "a=c")
        assert refused.code == 1
        kubectl("label", "cm", "cm", "a=c", "--overwrite")
        assert kubectl("label", "cm", "cm", "a-").out == "configmap/cm unlabeled\n"
        assert kubectl("annotate", "cm", "cm", "x=y").out.startswith("configmap/cm annotate")
        assert kubectl("get", "cm", "cm", "-o", "jsonpath={.metadata.annotations.x}").out == "y"

    def test_set(self, kubectl: Kubectl) -> None:
        kubectl("create", "deployment", "d", "--image=example.com/x:1", "--replicas=0")
        assert kubectl("set", "image", "deployment/d", "x=example.com/x:2").out == "deployment.apps/d image updated\n"
        assert kubectl("set", "env", "deployment/d", "A=b").out == "deployment.apps/d env updated\n"

    def test_delete(self, kubectl: Kubectl, api: Api, namespace: str) -> None:
        kubectl("create", "-f", "-", stdin=CONFIG_MAP)
        out = kubectl("delete", "cm", "cm", "--dry-run=server").out
        assert re.search(r"deleted .*\(server dry run\)", out)
        assert 'configmap "cm" deleted' in kubectl("delete", "cm", "cm").out
        missing = kubectl.run("delete", "cm", "cm")
        assert missing.code == 1
        assert kubectl("delete", "cm", "cm", "--ignore-not-found").code == 0
        kubectl("create", "-f", "-", stdin=CONFIG_MAP)
        assert kubectl("delete", "-f", "-", stdin=CONFIG_MAP).code == 0
        for name in ("a", "b"):
            api.create(path("configmaps", namespace), config_map(name, labels={"x": "y"}))
        assert kubectl("delete", "cm", "-l", "x=y").out.count(" deleted") == 2

    def test_delete_waits(self, kubectl: Kubectl, api: Api, namespace: str) -> None:
        api.create(path("configmaps", namespace), config_map("held", finalizers=["example.com/hold"]))
        ran = kubectl.run("delete", "cm", "held", "--wait=false")
        assert ran.code == 0
        late = kubectl.run("delete", "cm", "held", "--timeout=1s")
        assert late.code == 1
        assert "timed out waiting for the condition" in late.err
        waiting = kubectl.start("delete", "cm", "held", "--ignore-not-found")
        api.merge(path("configmaps", namespace, "held"), {"metadata": {"finalizers": []}})
        assert waiting.wait(timeout=20) == 0
        waiting.communicate()

    def test_delete_now(self, kubectl: Kubectl, api: Api, namespace: str) -> None:
        api.create(path("pods", namespace), pod("p", nodeName="nowhere"))
        kubectl("delete", "pod", "p", "--grace-period=0", "--force")
        assert api.gone(path("pods", namespace, "p"))

    def test_kustomize(self, kubectl: Kubectl, tmp_path: Path) -> None:
        (tmp_path / "kustomization.yaml").write_text("resources: [cm.yaml]\nnamePrefix: pre-\n")
        (tmp_path / "cm.yaml").write_text(CONFIG_MAP)
        assert kubectl("apply", "-k", str(tmp_path)).out == "configmap/pre-cm created\n"


class TestAccess:
    def test_can_i(self, kubectl: Kubectl) -> None:
        assert kubectl("auth", "can-i", "create", "pods").out == "yes\n"
        assert "*.*" in kubectl("auth", "can-i", "--list").out

    def test_whoami(self, kubectl: Kubectl) -> None:
        if kubectl("version", "--client", "-o", "json").json()["clientVersion"]["minor"] in ("26", "27"):
            pytest.skip("before 1.28, kubectl asked a beta version that no server has any more")
        assert "kubernetes-admin" in kubectl("auth", "whoami").out

    def test_reconcile(self, kubectl: Kubectl) -> None:
        role = kubectl("create", "role", "r", "--verb=get", "--resource=pods", "--dry-run=client", "-o", "yaml").out
        assert "reconciled" in kubectl("auth", "reconcile", "-f", "-", stdin=role).out


class TestWait:
    def test_condition_and_jsonpath(self, kubectl: Kubectl, api: Api, namespace: str) -> None:
        api.create(path("pods", namespace), pod("p", nodeName="nowhere"))
        url = path("pods", namespace, "p", "status")
        waiting = [
            kubectl.start("wait", "pod/p", "--for=condition=Ready", "--timeout=30s"),
            kubectl.start("wait", "pod/p", "--for=jsonpath={.status.phase}=Running", "--timeout=30s"),
        ]
        ready = {"type": "Ready", "status": "True"}
        api.merge(url, {"status": {"phase": "Running", "conditions": [ready]}})
        for process in waiting:
            out, err = process.communicate(timeout=40)
            assert process.returncode == 0, err
            assert "condition met" in out
        api.remove(path("pods", namespace, "p"), {"gracePeriodSeconds": 0})

    def test_delete(self, kubectl: Kubectl, api: Api, namespace: str) -> None:
        api.create(path("configmaps", namespace), config_map("cm"))
        waiting = kubectl.start("wait", "cm/cm", "--for=delete", "--timeout=30s")
        api.remove(path("configmaps", namespace, "cm"))
        _, err = waiting.communicate(timeout=40)
        assert waiting.returncode == 0, err

    def test_in_vain(self, kubectl: Kubectl, api: Api, namespace: str) -> None:
        api.create(path("configmaps", namespace), config_map("cm"))
        ran = kubectl.run("wait", "cm/cm", "--for=condition=Never", "--timeout=1s")
        assert ran.code == 1
        assert "timed out waiting for the condition" in ran.err


@pytest.mark.usefixtures("nodes")
class TestRun:
    """What needs nodes."""

    @pytest.fixture
    def web(self, kubectl: Kubectl) -> Iterator[str]:
        kubectl("apply", "-f", "-", stdin=json.dumps(deployment("web", replicas=2)))
        kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        yield "deployment/web"
        kubectl("delete", "deployment", "web", "--cascade=foreground", "--ignore-not-found", "--timeout=30s")

    def test_rollout(self, kubectl: Kubectl, web: str) -> None:
        kubectl("set", "image", web, "main=example.com/simulated:2")
        out = kubectl("rollout", "status", web, "--timeout=30s").out
        assert 'deployment "web" successfully rolled out' in out
        assert re.findall(r"^(\d+)", kubectl("rollout", "history", web).out, re.MULTILINE) == ["1", "2"]
        assert "rolled back" in kubectl("rollout", "undo", web).out
        kubectl("rollout", "status", web, "--timeout=30s")
        image = kubectl("get", web, "-o", "jsonpath={.spec.template.spec.containers[0].image}").out
        assert image == "example.com/simulated:1"
        before = set(kubectl("get", "pods", "-l", "app=web", "-o", "name").out.split())
        assert "restarted" in kubectl("rollout", "restart", web).out
        kubectl("rollout", "status", web, "--timeout=30s")

        def replaced() -> bool:
            return not before & set(kubectl("get", "pods", "-l", "app=web", "-o", "name").out.split())

        wait_for("all pods are new", replaced)
        kubectl("rollout", "pause", web)
        kubectl("rollout", "resume", web)

    def test_scale(self, kubectl: Kubectl, web: str) -> None:
        assert kubectl("scale", web, "--replicas=3").out == "deployment.apps/web scaled\n"
        kubectl("rollout", "status", web, "--timeout=30s")
        assert kubectl("get", web, "--no-headers").out.split()[1] == "3/3"
        refused = kubectl.run("scale", web, "--replicas=1", "--current-replicas=9")
        assert refused.code == 1
        kubectl("wait", web, "--for=condition=Available", "--timeout=30s")

    def test_cascade(self, kubectl: Kubectl, web: str) -> None:
        kubectl("delete", web, "--cascade=orphan")
        left = kubectl("get", "rs", "-l", "app=web", "-o", "name").out.split()
        assert len(left) == 1
        kubectl("delete", *left, "--cascade=foreground", "--timeout=30s")
        assert kubectl("get", "pods", "-l", "app=web", "-o", "name").out == ""

    def test_logs(self, kubectl: Kubectl, web: str) -> None:
        assert kubectl("logs", web).code == 0
        assert kubectl("logs", web, "--tail=1", "--timestamps").code == 0
        assert kubectl("logs", "-l", "app=web", "--prefix").code == 0
        name = kubectl("get", "pods", "-l", "app=web", "-o", "name").out.split()[0]
        previous = kubectl.run("logs", name, "--previous")
        assert previous.code == 1
        assert "previous terminated container" in previous.err
        assert kubectl.run("logs", "pod/none").code == 1

    def test_exec_and_the_like_are_refused(self, kubectl: Kubectl, web: str) -> None:
        name = kubectl("get", "pods", "-l", "app=web", "-o", "name").out.split()[0]
        copying = ("cp", f"{name.removeprefix('pod/')}:/etc/hosts", "/tmp/never-copied")
        for arguments in (("exec", name, "--", "true"), ("port-forward", name, "8080:80"), ("attach", name), copying):
            ran = kubectl.run(*arguments, timeout=20)
            assert ran.code != 0, arguments
            assert ran.err.strip(), arguments

    @pytest.mark.usefixtures("web")
    def test_events(self, kubectl: Kubectl) -> None:
        out = kubectl("events").out
        assert "ScalingReplicaSet" in out
        assert "Scheduled" in out
        assert "SuccessfulCreate" in kubectl("get", "events").out
        assert "ScalingReplicaSet" in kubectl("events", "--for", "deployment/web").out
        assert "Events:" in kubectl("describe", "deployment", "web").out

    def test_top(self, target: Target, kubectl: Kubectl, web: str, nodes: list[str]) -> None:
        if target.embedded is None:
            pytest.skip(f"{target.name} runs without a metrics server")
        out = wait_for("metrics of nodes", lambda: kubectl.run("top", "nodes").out, timeout=30)
        assert out.split()[:2] == ["NAME", "CPU(cores)"]
        assert set(nodes) <= set(out.split())
        out = wait_for("metrics of pods", lambda: kubectl.run("top", "pods").out, timeout=30)
        assert out.split()[:2] == ["NAME", "CPU(cores)"]

    def test_nodes(self, kubectl: Kubectl, nodes: list[str]) -> None:
        lines = kubectl("get", "nodes").out.splitlines()
        assert lines[0].split() == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
        assert [line.split()[:2] for line in lines[1:]] == [[node, "Ready"] for node in nodes]
        out = kubectl("describe", "node", nodes[0]).out
        assert "Allocated resources" in out
        assert "Ready" in out

    def test_taint(self, kubectl: Kubectl, nodes: list[str]) -> None:
        assert "tainted" in kubectl("taint", "node", nodes[0], "k=v:NoSchedule").out
        assert "untainted" in kubectl("taint", "node", nodes[0], "k-").out

    def test_cordon_and_drain(self, kubectl: Kubectl, web: str, nodes: list[str]) -> None:
        assert "cordoned" in kubectl("cordon", nodes[0]).out
        try:
            assert "SchedulingDisabled" in kubectl("get", "node", nodes[0]).out
            out = kubectl(
                "drain", nodes[0], "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=40s"
            ).out
            assert "drained" in out
            kubectl("rollout", "status", web, "--timeout=30s")
            where = kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}").out
            assert set(where.split()) == {nodes[1]}
        finally:
            assert "uncordoned" in kubectl("uncordon", nodes[0]).out

    def test_run(self, kubectl: Kubectl) -> None:
        assert kubectl("run", "p", "--image=example.com/simulated:1").out == "pod/p created\n"
        kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=30s")
        kubectl("delete", "pod", "p", "--timeout=30s")
