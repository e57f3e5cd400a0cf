"""The real kubectl, verb by verb."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {color: red}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      schedulerName: nobody
      containers:
      - {name: c, image: "web:1", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""

Kubectl = Callable[..., str]


@pytest.fixture
def kubectl(plane: Any, namespace: str, tmp_path: Path) -> Kubectl:
    """Runs kubectl in a namespace of the test's own and gives its output; a wrong exit code fails."""

    def run(
        *arguments: str, stdin: str = "", code: int = 0, user: str = "admin", env: dict[str, str] | None = None
    ) -> str:
        command = ["kubectl", "--kubeconfig", str(plane.directory / f"{user}.kubeconfig"), "-n", namespace, *arguments]
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), **(env or {})}
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=60, env=environment, check=False
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    return run


def test_apply_diff_and_apply_again(kubectl: Kubectl) -> None:
    assert "deployment.apps/web created" in kubectl("apply", "-f", "-", stdin=MANIFEST)
    assert "deployment.apps/web unchanged" in kubectl("apply", "-f", "-", stdin=MANIFEST)
    changed = MANIFEST.replace("web:1", "web:2").replace("color: red", "shape: round")
    assert "+      - image: web:2" in kubectl("diff", "-f", "-", stdin=changed, code=1)
    assert "configured (server dry run)" in kubectl("apply", "--dry-run=server", "-f", "-", stdin=changed)
    kubectl("apply", "-f", "-", stdin=changed)
    kubectl("diff", "-f", "-", stdin=changed)
    assert json.loads(kubectl("get", "cm", "conf", "-o", "jsonpath={.data}")) == {"shape": "round"}
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}") == "web:2"


def test_server_side_apply(kubectl: Kubectl) -> None:
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", stdin=MANIFEST)
    other = MANIFEST.replace("replicas: 2", "replicas: 1")
    conflict = kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=other, code=1)
    assert 'conflict with "kubectl": .spec.replicas' in conflict
    kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", stdin=other)
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "1"


def test_get_in_every_form(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=MANIFEST)
    assert kubectl("get", "cm", "conf").splitlines()[0].split() == ["NAME", "DATA", "AGE"]
    assert "SELECTOR" in kubectl("get", "deploy", "-o", "wide")
    assert kubectl("get", "cm", "conf", "-o", "name").strip() == "configmap/conf"
    assert json.loads(kubectl("get", "cm", "-o", "json"))["kind"] == "List"
    assert "color: red" in kubectl("get", "cm", "conf", "-o", "yaml")
    assert kubectl("get", "cm", "conf", "-o", "custom-columns=N:.metadata.name", "--no-headers").strip() == "conf"
    assert "conf" in kubectl("get", "cm", "-A", "--chunk-size=2")
    assert "web" in kubectl("get", "deploy,svc", "--field-selector", "metadata.name=web")
    assert "No resources found" in kubectl("get", "deploy", "-l", "app=none")
    assert "NotFound" in kubectl("get", "cm", "none", code=1)
    assert "the server doesn't have a resource type" in kubectl("get", "cronjobs", code=1)
    assert "Replicas:" in kubectl("describe", "deploy", "web")
    assert "service/web" in kubectl("get", "all")


def test_create_generators(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "made", "--from-literal=a=b")
    kubectl("create", "secret", "generic", "hush", "--from-literal=p=q")
    assert kubectl("get", "secret", "hush", "-o", "jsonpath={.data.p}") == "cQ=="
    kubectl("create", "deployment", "gen", "--image=i:1", "--replicas=0", "--port=80")
    kubectl("create", "service", "clusterip", "gen", "--tcp=80:80")
    kubectl("create", "serviceaccount", "bob")
    assert kubectl("create", "token", "bob").count(".") == 2
    kubectl("create", "role", "r", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "rb", "--role=r", "--user=joe")
    assert kubectl("auth", "can-i", "list", "pods", user="joe").strip() == "yes"
    assert "no" in kubectl("auth", "can-i", "delete", "pods", user="joe", code=1)
    assert "pods" in kubectl("auth", "can-i", "--list", user="joe")
    assert "Forbidden" in kubectl("get", "secrets", user="joe", code=1)
    assert "already exists" in kubectl("create", "configmap", "made", code=1)


def test_changing_objects(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("apply", "-f", "-", stdin=MANIFEST)
    kubectl("label", "cm", "conf", "a=b")
    kubectl("annotate", "cm", "conf", "c=d")
    kubectl("patch", "cm", "conf", "--type=merge", "-p", '{"data":{"x":"1"}}')
    kubectl("patch", "cm", "conf", "--type=json", "-p", '[{"op":"remove","path":"/data/color"}]')
    kubectl(
        "patch",
        "deploy",
        "web",
        "-p",
        '{"spec":{"template":{"spec":{"containers":[{"name":"c","env":[{"name":"A","value":"b"}]}]}}}}',
    )
    container = json.loads(kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0]}"))
    assert (container["image"], container["env"]) == ("web:1", [{"name": "A", "value": "b"}])
    found = json.loads(kubectl("get", "cm", "conf", "-o", "json"))
    assert (found["data"], found["metadata"]["labels"]) == ({"x": "1"}, {"a": "b"})
    found["data"] = {"before": "2"}
    kubectl("replace", "-f", "-", stdin=json.dumps(found))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/before: .*/z: edited/" "$1"\n')
    editor.chmod(0o755)
    kubectl("edit", "cm", "conf", env={"EDITOR": str(editor)})
    assert json.loads(kubectl("get", "cm", "conf", "-o", "jsonpath={.data}")) == {"z": "edited"}
    kubectl("set", "image", "deploy/web", "c=web:3")
    kubectl("scale", "deploy", "web", "--replicas=0")
    kubectl("wait", "--for=jsonpath={.spec.replicas}=0", "deploy/web", "--timeout=10s")
    assert "is invalid: spec.replicas" in kubectl("patch", "deploy", "web", "-p", '{"spec":{"replicas":-1}}', code=1)


def test_rollouts(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=MANIFEST.replace("replicas: 2", "replicas: 0"))
    kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    kubectl("set", "image", "deploy/web", "c=web:2")
    kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    assert kubectl("rollout", "history", "deploy/web").count("<none>") == 2
    kubectl("rollout", "undo", "deploy/web")
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}") == "web:1"
    kubectl("rollout", "restart", "deploy/web")


def test_deleting(kubectl: Kubectl, eventually: Callable[..., Any]) -> None:
    kubectl("apply", "-f", "-", stdin=MANIFEST)
    eventually(lambda: kubectl("get", "pods", "-o", "name").count("pod/") == 2)
    assert "deleted" in kubectl("delete", "deploy", "web", "--cascade=foreground", "--timeout=20s")
    assert "No resources found" in kubectl("get", "pods,rs")
    kubectl("apply", "-f", "-", stdin=MANIFEST)
    eventually(lambda: kubectl("get", "pods", "-o", "name").count("pod/") == 2)
    kubectl("delete", "deploy", "web", "--cascade=orphan")
    kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
    kubectl("delete", "-f", "-", "--ignore-not-found", stdin=MANIFEST)
    kubectl("wait", "--for=delete", "cm/conf", "--timeout=10s")
    kubectl("create", "namespace", "short-lived")
    kubectl("create", "configmap", "x", "-n", "short-lived")
    kubectl("delete", "namespace", "short-lived", "--timeout=20s")


def test_nodes(kubectl: Kubectl, namespace: str) -> None:
    name = f"node-{namespace}"
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"taints": [{"key": "test", "effect": "NoSchedule"}]},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(node))
    kubectl("cordon", name)
    assert "SchedulingDisabled" in kubectl("get", "node", name)
    kubectl("uncordon", name)
    kubectl("taint", "node", name, "a=b:NoSchedule")
    assert "a=b:NoSchedule" in kubectl("describe", "node", name)
    kubectl("drain", name, "--ignore-daemonsets", "--timeout=10s")
    kubectl("delete", "node", name)


def test_custom_resources(kubectl: Kubectl) -> None:
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.kubectl.example.com"},
        "spec": {
            "group": "kubectl.example.com",
            "scope": "Namespaced",
            "names": {"plural": "gadgets", "kind": "Gadget", "shortNames": ["gdg"]},
            "versions": [{
                "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object", "description": "What is wanted.", "properties": {"size": {"type": "integer", "description": "How big."}}}}}},
            }],
        },
    }  # fmt: skip
    kubectl("apply", "-f", "-", stdin=json.dumps(crd))
    kubectl("wait", "--for=condition=Established", "crd/gadgets.kubectl.example.com", "--timeout=10s")
    assert "How big." in kubectl("explain", "gadgets.spec.size")
    assert "gadgets" in kubectl("api-resources", "--api-group=kubectl.example.com")
    gadget = {"apiVersion": "kubectl.example.com/v1", "kind": "Gadget", "metadata": {"name": "g"}, "spec": {"size": 3}}
    kubectl("apply", "-f", "-", stdin=json.dumps(gadget))
    assert kubectl("get", "gdg").split() == ["NAME", "SIZE", "g", "3"]
    wrong = {**gadget, "spec": {"size": 3, "colour": "red"}}
    assert 'unknown field "spec.colour"' in kubectl("apply", "-f", "-", stdin=json.dumps(wrong), code=1)
    kubectl("patch", "gdg", "g", "--type=merge", "--subresource=status", "-p", '{"status":{}}')
    kubectl("delete", "crd", "gadgets.kubectl.example.com", "--timeout=20s")


def test_the_rest(kubectl: Kubectl) -> None:
    assert "Server Version: v1.36." in kubectl("version")
    assert "deployments" in kubectl("api-resources")
    assert "apps/v1" in kubectl("api-versions")
    assert "REPLICAS" not in kubectl("explain", "deployment.spec")
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    kubectl("events")
    kubectl("get", "events")
    assert "ok" in kubectl("get", "--raw", "/readyz")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "i"}]},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(pod))
    assert "does not have a host assigned" in kubectl("logs", "p", code=1)
    assert "does not support exec" in kubectl("exec", "p", "--", "ls", code=1)
    kubectl("delete", "pod", "p")


def test_watching(kubectl: Kubectl, plane: Any, namespace: str, tmp_path: Path) -> None:
    command = [
        "kubectl",
        "--kubeconfig",
        str(plane.kubeconfig),
        "-n",
        namespace,
        "get",
        "secrets",
        "-w",
        "--output-watch-events",
    ]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    kubectl("create", "secret", "generic", "first")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split()[:2] == ["EVENT", "NAME"]
        assert process.stdout.readline().split()[:2] == ["ADDED", "first"]
        kubectl("create", "secret", "generic", "second")
        assert process.stdout.readline().split()[:2] == ["ADDED", "second"]
        kubectl("delete", "secret", "second")
        assert process.stdout.readline().split()[:2] == ["DELETED", "second"]
        process.kill()
